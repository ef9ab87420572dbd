//! Where statements begin and end, on each engine.

use super::{
    super::{
        statements::{read, split},
        *,
    },
    parse, script,
};

const POSTGRES: &[Engine] = &[Engine::Postgres];
const SQLITE: &[Engine] = &[Engine::Sqlite];

/// The statements, joined by ` | `; or the fault. The first line of the text is line 4.
fn cut(engine: Engine, text: &str) -> String {
    let header = "-- revision: a\n-- transaction: no\n-- migrate:up\n";
    match parse(&format!("{header}{text}")).unwrap().statements(engine, Direction::Up) {
        Ok(all) => joined(&all),
        // Where it is cut is asked here, not whether it may stand there.
        Err(ScriptFault { kind: ScriptFaultKind::SpansStatements { .. }, .. }) => {
            joined(&read(engine, text, 4).0)
        }
        Err(fault) => fault.to_string(),
    }
}

fn joined(statements: &[Statement]) -> String {
    statements.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join(" | ")
}

fn check(engines: &[Engine], cases: &[(&str, &str)]) {
    for &engine in engines {
        for (text, expected) in cases {
            assert_eq!(cut(engine, text), *expected, "{engine}: {text}");
        }
    }
}

fn statements(engine: Engine, sections: &str) -> Vec<Statement> {
    script(sections).statements(engine, Direction::Up).unwrap()
}

/// Each is one statement, whatever it holds, and one more follows it.
fn check_whole(engines: &[Engine], texts: &[&str]) {
    for &engine in engines {
        for text in texts {
            assert_eq!(cut(engine, text), *text, "{engine}");
            assert_eq!(cut(engine, &format!("{text};b")), format!("{text} | b"), "{engine}");
            let crlf = text.replace('\n', "\r\n");
            assert_eq!(cut(engine, &format!("{crlf};\r\nb")), format!("{crlf} | b"), "{engine}");
        }
    }
}

#[test]
fn both_engines_agree_on_the_plain_cases() {
    check(
        &Engine::ALL,
        &[
            ("", ""),
            (" \n-- only a comment;\n/* ; */", ""),
            (";;; ;", ""),
            ("a", "a"),
            ("a;", "a"),
            ("a;b", "a | b"),
            ("a ;\n b\n;", "a | b"),
            ("a;;b;-- end;", "a | b"),
            ("/* x; */ a -- y;\n b /* z; */ -- w;\n ; c", "a -- y;\n b | c"),
            ("a--b;c\n;d", "a | d"),
            ("a - -b;c", "a - -b | c"),
            ("a -- 'x\n;b", "a | b"),
            ("a /* 'x */;b /**/;/***/c", "a | b | c"),
            ("é;日本;😀 ';😀'", "é | 日本 | 😀 ';😀'"),
            ("a\r\n;\r\nb\r\n;\r\n", "a | b"),
        ],
    );
    check_whole(
        &Engine::ALL,
        &["'a;'';'", "'\\'", "\"a;\"\"b\"", "a'b;'", "'--'", "'/*'", "'a\n;\nb'", "U&'\\'", "x';'"],
    );
}

#[test]
fn postgres_strings_end_where_postgres_ends_them() {
    check_whole(
        POSTGRES,
        &[
            r"E'a\';b'",
            r"e'\\'",
            r"E'a''\';b'",
            "E'a'\n  '\\';'",
            "E'a' -- x\n -- y\n'\\';'",
            "U&'\\' UESCAPE '!'",
            "U&\"a;b\"",
            "$$;$$",
            "$a$;$$;$b$;$a$",
            "$a$ $A$;$a$",
            "$a$x$$a$",
            "$é1$;$é1$",
            "a$b$",
            "$1 + $2",
            "$x",
            "$x - $y",
            "do $$ begin; 'x end; $$",
            "a /* /* */ ; */ b",
            "a */* ; */ b",
        ],
    );
    check(
        POSTGRES,
        &[
            ("a$b$;c$b$", "a$b$ | c$b$"),
            ("$1;$1", "$1 | $1"),
            ("$1$;$1$", "$1$ | $1$"),
            ("typE'\\';b'", "m/x.sql:4: the string that opens here is not closed; end it with `'`"),
            ("E'a' '\\';b", "E'a' '\\' | b"),
            ("E'a';\n'\\';b", "E'a' | '\\' | b"),
            ("[a;b]", "[a | b]"),
            ("`a;b`", "`a | b`"),
            ("a -- x\r;b", "a | b"),
        ],
    );
}

#[test]
fn sqlite_quotes_end_where_sqlite_ends_them() {
    check_whole(SQLITE, &["`a;``;`", "[a;'b\"]", "[a;[b]", "\"a;'\"", "a$b$", "$a$"]);
    check(
        SQLITE,
        &[
            ("e'\\';b", "e'\\' | b"),
            ("$$;$$", "$$ | $$"),
            ("/* /* ; */ a;b", "a | b"),
            ("[a]];b", "[a]] | b"),
            ("a(;b)", "a( | b)"),
            ("-- x\r;a\n;b", "b"),
        ],
    );
}

#[test]
fn parentheses_hold_the_statements_of_a_rule() {
    let rule = "CREATE RULE r AS ON INSERT TO t DO ALSO (UPDATE a SET b = (1); DELETE FROM c;)";
    check_whole(POSTGRES, &[rule, "(';)';)"]);
    check(POSTGRES, &[("a);b", "a) | b"), ("(a;b", "(a;b")]);
}

#[test]
fn a_body_in_standard_sql_is_one_statement() {
    check_whole(
        POSTGRES,
        &[
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC\n\
             SELECT CASE WHEN a > 0 THEN CASE a WHEN 1 THEN 2 END ELSE 0 END;\n\
             SELECT a AS end; -- END;\nSELECT 'END;'; SELECT (CASE a END);\nEND",
            "create or replace procedure p() begin /* x */ atomic insert into t values (1); end",
            "CREATE FUNCTION f() BEGIN ATOMIC END",
            "CREATE FUNCTION atomic() BEGIN ATOMIC SELECT atomic; END",
            "CREATE FUNCTION begin.atomic(begin atomic) RETURN 1",
        ],
    );
    check(
        POSTGRES,
        &[
            ("BEGIN; ATOMIC; END", "BEGIN | ATOMIC | END"),
            ("ATOMIC; a", "ATOMIC | a"),
            ("CREATE TABLE begin atomic; a", "CREATE TABLE begin atomic | a"),
            ("CREATE TRIGGER t BEGIN; a; END; b", "CREATE TRIGGER t BEGIN | a | END | b"),
            ("CREATE FUNCTION f() AS 'x'; BEGIN; END", "CREATE FUNCTION f() AS 'x' | BEGIN | END"),
        ],
    );
}

#[test]
fn the_body_of_a_trigger_is_one_statement() {
    check_whole(
        SQLITE,
        &[
            "CREATE TRIGGER t AFTER INSERT ON u BEGIN\n\
             UPDATE u SET a = CASE WHEN 1 THEN 2 END;\nSELECT 1 AS end; /* END; */\nEND",
            "create temp trigger if not exists t begin select 'x;'; end",
            "CREATE TEMPORARY TRIGGER [a;b] BEGIN SELECT CASE 1 WHEN 2 THEN 3 END; END",
            "CREATE TRIGGER begin BEFORE DELETE ON end BEGIN DELETE FROM a; END",
        ],
    );
    check(
        SQLITE,
        &[
            ("CREATE TABLE trigger(a); b", "CREATE TABLE trigger(a) | b"),
            ("CREATE TRIGGER end; a; END; b", "CREATE TRIGGER end; a; END | b"),
            ("DROP TRIGGER t; SELECT 1; END; b", "DROP TRIGGER t | SELECT 1 | END | b"),
            ("CREATE FUNCTION f BEGIN ATOMIC a; END", "CREATE FUNCTION f BEGIN ATOMIC a | END"),
        ],
    );
}

#[test]
fn what_is_not_closed_is_reported_where_it_opens() {
    let fault = |engines: &[Engine], text: &str, line: usize, what: &str, end: &str| {
        let expected = format!(
            "m/x.sql:{line}: the {what} that opens here is not closed; end it with `{end}`"
        );
        check(engines, &[(text, &expected), (&text.replace('\n', "\r\n"), &expected)]);
    };
    fault(&Engine::ALL, "a;\n\nb 'c;\nd;\n", 6, "string", "'");
    fault(&Engine::ALL, "'a''\n", 4, "string", "'");
    fault(&Engine::ALL, "a;\n\"b\n", 5, "quoted identifier", "\"");
    fault(&Engine::ALL, "a;\n -- x\n /* b;\n", 6, "comment", "*/");
    fault(&Engine::ALL, "/*/", 4, "comment", "*/");
    fault(POSTGRES, "/* a\n/* b */\n", 4, "comment", "*/");
    fault(POSTGRES, "a\n$x$ b\n$y$ $X$\n", 5, "dollar-quoted string", "$x$");
    fault(POSTGRES, "a $$\n", 4, "dollar-quoted string", "$$");
    fault(POSTGRES, "\nE'a\\'", 5, "string", "'");
    fault(POSTGRES, "E'a\\", 4, "string", "'");
    fault(POSTGRES, "E'a'\n'b", 4, "string", "'");
    fault(SQLITE, "a;\n`b", 5, "quoted identifier", "`");
    fault(SQLITE, "a;\n[b\n", 5, "quoted identifier", "]");
}

#[test]
fn a_statement_knows_its_place_in_the_file() {
    let text = "-- migrate:down\nx;\n-- migrate:up\n\n  ä; /* é\n */ b\n; c\n\
                -- migrate:up sqlite\nno;\n-- migrate:up postgres\nd -- no semicolon\n\
                -- migrate:up\n\te";
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        let places: Vec<_> = statements(Engine::Postgres, &text)
            .into_iter()
            .map(|one| (one.text, one.line, one.column))
            .collect();
        let expected = [("ä", 7, 3), ("b", 8, 5), ("c", 9, 3), ("d", 13, 1), ("e", 15, 2)];
        assert_eq!(places, expected.map(|(text, line, column)| (text.to_owned(), line, column)));
    }
}

#[test]
fn the_position_of_an_error_becomes_line_and_column_of_the_file() {
    let all = statements(Engine::Postgres, "-- migrate:up\nx;  SELECT 'é',\r\n  'ü' nope\n;");
    assert_eq!(all[1].text, "SELECT 'é',\r\n  'ü' nope");
    let check = |offset: usize, expected: (usize, usize)| {
        assert_eq!(all[1].position(offset), expected, "{offset}");
    };
    check(1, (4, 5));
    check(0, (4, 5));
    check(8, (4, 12));
    check(11, (4, 15));
    check(14, (5, 1));
    check(20, (5, 7));
    check(usize::MAX, (5, 11));
}

#[test]
fn words_lead_a_statement_in_upper_case() {
    let check = |text: &str, n: usize, expected: &[&str]| {
        let all =
            statements(Engine::Postgres, &format!("-- transaction: no\n-- migrate:up\n{text}"));
        assert_eq!(all[0].words(n), expected, "{text}");
    };
    check(
        "create /* a */ index -- b\n Concurrently i on t",
        3,
        &["CREATE", "INDEX", "CONCURRENTLY"],
    );
    check("checkpoint", 4, &["CHECKPOINT"]);
    check("REINDEX (VERBOSE) TABLE t", 4, &["REINDEX"]);
    check("DROP \"TABLE\" x", 4, &["DROP"]);
    check("(SELECT 1)", 4, &[]);
    check("a b", 0, &[]);
}

#[test]
fn a_concurrent_index_is_named_as_the_catalogue_does() {
    let check = |text: &str, expected: Option<&str>| {
        let text = format!("-- transaction: no\n-- migrate:up\n{text}");
        let found = statements(Engine::Postgres, &text)[0].concurrent_index();
        let shown = found.map(|ConcurrentIndex { name, schema, table }| {
            format!("{} {table} {name}", schema.as_deref().unwrap_or("-"))
        });
        assert_eq!(shown.as_deref(), expected, "{text}");
    };
    check("CREATE INDEX CONCURRENTLY i ON t (a)", Some("- t i"));
    check(
        "create unique index concurrently if not exists Ix on only S.T using gin (a)",
        Some("s t ix"),
    );
    check(
        "CREATE INDEX CONCURRENTLY \"I \"\"x\" ON \"S.s\" . /* x */ \"T\"(a)",
        Some("S.s T I \"x"),
    );
    check("CREATE INDEX CONCURRENTLY i ON db.s.t (a)", Some("s t i"));
    check("CREATE INDEX CONCURRENTLY if ON t (a)", Some("- t if"));
    check("CREATE INDEX CONCURRENTLY \"on\" ON t (a)", Some("- t on"));
    check("CREATE INDEX CONCURRENTLY Éa ON t (a)", Some("- t Éa"));
    let long = format!("CREATE INDEX CONCURRENTLY {}é ON t (a)", "A".repeat(62));
    check(&long, Some(&format!("- t {}", "a".repeat(62))));
    check("CREATE INDEX CONCURRENTLY ON t (a)", None);
    check("CREATE INDEX i ON t (a)", None);
    check("CREATE INDEX CONCURRENTLY i", None);
    check("CREATE INDEX CONCURRENTLY i ON", None);
    check("CREATE INDEX CONCURRENTLY i ON t.", None);
    check("DROP INDEX CONCURRENTLY i", None);
    check("CREATE", None);
}

/// Texts made of what opens, closes and resembles: each run is the same.
fn nasty() -> impl Iterator<Item = String> {
    const PARTS: [&str; 44] = [
        ";",
        ";",
        ";",
        "'",
        "'",
        "''",
        "\"",
        "`",
        "[",
        "]",
        "(",
        ")",
        "--",
        "/*",
        "*/",
        "\n",
        "\r\n",
        "\r",
        " ",
        "$$",
        "$a$",
        "$",
        "$1",
        "E'",
        "e",
        "U&'",
        "\\",
        "\\'",
        "é",
        "😀",
        "\u{a0}",
        "1",
        "CREATE ",
        "FUNCTION ",
        "TRIGGER ",
        "OR REPLACE ",
        "BEGIN ",
        "ATOMIC ",
        "CASE ",
        "END",
        "a",
        ".",
        "-",
        "/",
    ];
    let mut state = 42_u64;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    (0..20_000).map(move |_| (0..next(24)).map(|_| PARTS[next(PARTS.len())]).collect())
}

#[test]
fn pieces_partition_any_text() {
    for (engine, text) in nasty().flat_map(|text| Engine::ALL.map(|e| (e, text.clone()))) {
        let (pieces, _) = split(engine, &text);
        let joined: String = pieces.iter().map(|piece| &text[piece.range.clone()]).collect();
        assert_eq!(joined, text, "{engine}");
        let mut at = 0;
        for piece in &pieces {
            assert!(piece.range.start == at && at < piece.range.end, "{engine}: {text:?}");
            at = piece.range.end;
            let ends = piece.tokens.iter().flat_map(|token| [token.start, token.end]);
            let bounds: Vec<_> = [piece.range.start].into_iter().chain(ends).collect();
            assert!(bounds.is_sorted() && bounds.iter().all(|&b| b <= at), "{engine}: {text:?}");
        }
    }
}

#[test]
fn a_statement_read_again_is_the_same_statement() {
    let mut count = 0;
    for (engine, text) in nasty().flat_map(|text| Engine::ALL.map(|e| (e, text.clone()))) {
        let (statements, unclosed) = read(engine, &text, 1);
        if unclosed.is_some() {
            continue;
        }
        for one in statements {
            let (again, unclosed) = read(engine, &one.text, 1);
            assert_eq!(unclosed, None, "{engine}: {text:?}");
            assert_eq!(again.len(), 1, "{engine}: {text:?}");
            assert_eq!(again[0].text, one.text, "{engine}: {text:?}");
            assert_eq!(one.position(1), (one.line, one.column));
            let line = text.split('\n').nth(one.line - 1).unwrap();
            let rest: String = line.chars().skip(one.column - 1).collect();
            assert!(rest.starts_with(one.text.split('\n').next().unwrap()), "{engine}: {text:?}");
            count += 1;
        }
    }
    assert!(count > 10_000, "{count}");
}
