//! What is decided about SQL that Alembic gave, and what is written of it.

use std::path::Path;

use super::{
    driver::without_passwords,
    script::{self, Imported},
    section::{self, Heard, How, Offline, Section},
    shape::difference,
    tags::{self, Tagged},
};
use crate::{
    engine::Engine::{self, Postgres, Sqlite},
    graph::{notation::graph, notation::revisions, revision::Revision},
    script::{
        Direction::{self, Down, Up},
        Script, is_transaction_word, terminated,
    },
};

fn heard(statements: &[&str]) -> Heard {
    Heard { statements: statements.iter().map(ToString::to_string).collect(), ..Heard::default() }
}

fn taken(statements: &[&str]) -> Section {
    let statements = statements.iter().map(ToString::to_string).collect();
    Section::Taken { how: How::Offline, statements, transactional: true }
}

fn refused(why: &str) -> Section {
    Section::Refused { why: why.to_owned(), line: None }
}

fn revision(title: &str) -> Revision {
    let mut all = revisions("c01; c02<-c01 [label=side]");
    let mut revision = all.pop().unwrap();
    title.clone_into(&mut revision.title);
    revision.created = Some("2023-07-24 12:47:11.123456".to_owned());
    revision
}

fn imported(title: &str, sections: &[(Engine, Direction, Section)]) -> Imported {
    let tag = Some("1.13".to_owned());
    Imported { revision: revision(title), tag, sections: sections.to_vec() }
}

#[track_caller]
fn text(sections: &[(Engine, Direction, Section)]) -> String {
    script::write(&imported("add x", sections)).unwrap().text
}

#[test]
fn a_statement_ends_with_its_semicolon_whatever_stands_behind_it() {
    let cases = [
        ("select 1", Some("select 1;")),
        (" select 1; ", Some("select 1;")),
        ("select 1 -- why", Some("select 1 -- why\n;")),
        ("select 1 /* why */", Some("select 1 /* why */\n;")),
        ("select ';'", Some("select ';';")),
        ("select 1; select 2", Some("select 1; select 2;")),
        ("-- nothing", None),
        ("  ", None),
    ];
    for (text, expected) in cases {
        for engine in Engine::ALL {
            assert_eq!(terminated(engine, text).as_deref(), expected, "{text}");
        }
    }
}

#[test]
fn what_only_begins_or_ends_a_transaction_is_known() {
    for text in
        ["COMMIT", "commit;", "begin", "END TRANSACTION;", "start transaction", "-- x\nBEGIN"]
    {
        assert!(is_transaction_word(Postgres, text), "{text}");
    }
    for text in ["rollback", "begin; select 1", "commit prepared 'x'", "select 1", "", "end x"] {
        assert!(!is_transaction_word(Postgres, text), "{text}");
    }
}

mod sections {
    use super::*;

    #[test]
    fn what_is_the_same_twice_is_taken() {
        let one = heard(&["create table t (a int)", "select 1;"]);
        let expected = taken(&["create table t (a int);", "select 1;"]);
        assert_eq!(section::offline(Postgres, &one, &one), Offline::Settled(expected));
    }

    #[test]
    fn the_order_of_constraints_is_no_difference_and_another_word_is_one() {
        let one = heard(&["create table t (a int, check (a > 1), unique (a))"]);
        let other = heard(&["create table t (a int, unique (a), check (a > 1))"]);
        let third = heard(&["create table t (a int, unique (a), check (a > 2))"]);
        assert!(matches!(section::recorded(Sqlite, &one, &other), Section::Taken { .. }));
        assert_eq!(
            section::recorded(Sqlite, &one, &third),
            refused("sends something else each time, such as the time or a random number")
        );
    }

    #[test]
    fn what_fails_offline_is_asked_of_a_database_and_what_fails_there_is_refused() {
        let failed =
            Heard { failed: Some("TypeError: no".to_owned()), line: Some(7), ..Heard::default() };
        let why = "TypeError: no".to_owned();
        let asks = Offline::Asks { why, line: Some(7) };
        assert_eq!(section::offline(Postgres, &failed, &failed), asks);
        assert_eq!(
            section::recorded(Postgres, &failed, &failed),
            Section::Refused {
                why: "fails on a scratch database: TypeError: no".to_owned(),
                line: Some(7)
            }
        );
    }

    #[test]
    fn a_refusal_wins_over_what_failed_because_of_it() {
        let both = Heard {
            failed: Some("Refused".to_owned()),
            refused: Some("starts another program".to_owned()),
            ..Heard::default()
        };
        let expected = refused("starts another program");
        assert_eq!(section::offline(Sqlite, &both, &both), Offline::Settled(expected.clone()));
        assert_eq!(section::recorded(Sqlite, &both, &both), expected);
    }

    #[test]
    fn the_second_time_counts_as_the_first() {
        let asks = Heard { asks: Some("inspects".to_owned()), ..heard(&["select 1"]) };
        let found = section::offline(Sqlite, &heard(&["select 1"]), &asks);
        assert_eq!(found, Offline::Asks { why: "inspects".to_owned(), line: None });
    }

    #[test]
    fn a_commit_by_hand_is_left_out_and_means_no_transaction() {
        let by_hand = heard(&["COMMIT", "create index concurrently i on t (a)"]);
        let Offline::Settled(Section::Taken { statements, transactional, .. }) =
            section::offline(Postgres, &by_hand, &by_hand)
        else {
            panic!("it is not taken");
        };
        assert_eq!(statements, ["create index concurrently i on t (a);"]);
        assert!(!transactional);
    }
}

mod scripts {
    use super::*;

    #[test]
    fn what_both_engines_share_stands_once() {
        let text = text(&[
            (Postgres, Up, taken(&["alter table t add x int;", "update t set x = 1;"])),
            (Postgres, Down, taken(&["alter table t drop x;"])),
            (Sqlite, Up, taken(&["alter table t add x int;", "update t set x = 1;"])),
            (Sqlite, Down, taken(&[])),
        ]);
        assert_eq!(
            text,
            "-- add x
--
-- revision: c02
-- revises: c01
-- branch: side
-- tag: 1.13
-- created: 2023-07-24 12:47:11

-- migrate:up
alter table t add x int;

update t set x = 1;

-- migrate:down postgres
alter table t drop x;

-- migrate:down sqlite
-- nothing to undo
"
        );
        let script = Script::parse(Path::new("x"), &text).unwrap();
        assert_eq!(script.revision.labels, ["side"]);
        assert_eq!(script.statements(Sqlite, Up).unwrap().len(), 2);
    }

    #[test]
    fn one_engine_alone_has_its_name_at_each_section() {
        let text = text(&[
            (Postgres, Up, taken(&["select 1;"])),
            (Postgres, Down, Section::Absent("there is none".to_owned())),
        ]);
        assert!(text.ends_with("\n\n-- migrate:up postgres\nselect 1;\n"), "{text}");
    }

    #[test]
    fn what_cannot_run_in_a_transaction_has_none() {
        let concurrently = taken(&["create index concurrently i on t (a);"]);
        let written = script::write(&imported("x", &[(Postgres, Up, concurrently)])).unwrap();
        assert!(!written.transactional);
        assert!(written.text.contains("\n-- transaction: false\n"), "{}", written.text);
    }

    #[test]
    fn what_is_missing_is_said_and_keeps_the_script_from_being_used() {
        let text =
            text(&[(Postgres, Up, taken(&["select 1;"])), (Sqlite, Up, refused("reads rows"))]);
        assert!(
            text.contains(
                "\n-- Not imported is up for sqlite, which reads rows; write it by hand below\n\
                 -- its marker.\n"
            ),
            "{text}"
        );
        let script = Script::parse(Path::new("x"), &text).unwrap();
        assert!(script.serves(Postgres, Up));
        assert!(!script.serves(Sqlite, Up));
    }

    #[test]
    fn nothing_at_all_is_a_file_that_does_not_load() {
        let text = text(&[(Sqlite, Up, refused("reads rows"))]);
        let faults = Script::parse(Path::new("x"), &text).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
    }

    #[test]
    fn sql_that_no_script_can_have_is_refused() {
        let refused = |statement: &str| {
            script::write(&imported("x", &[(Postgres, Up, taken(&[statement]))])).unwrap_err()
        };
        assert_eq!(
            refused("insert into t values ('\n-- migrate:down\n');"),
            "has SQL with a line that begins a section of a script"
        );
        assert_eq!(
            refused("copy t from stdin;"),
            "as a script, line 10: the rows of `COPY … FROM STDIN` are sent by psql, which prelaunch \
             is not; write `INSERT` instead"
        );
    }

    #[test]
    fn any_title_is_written_as_one() {
        for (title, expected) in [
            ("fix: a thing", "fix: a thing"),
            ("tag: 1.8", "Alembic has tag: 1.8"),
            ("-- migrate:down", "-- migrate:down"),
            ("", "Revision c02"),
            ("…", "Revision c02"),
        ] {
            let one = imported(title, &[(Sqlite, Up, taken(&[]))]);
            let written = script::write(&one).unwrap();
            let script = Script::parse(Path::new("x"), &written.text).unwrap();
            assert_eq!(script.revision.title, expected);
        }
    }

    #[test]
    fn the_name_is_the_one_that_a_new_revision_has() {
        let name = |one: &Imported| script::write(one).unwrap().name;
        let mut one = imported("Add x, and y!", &[(Sqlite, Up, taken(&[]))]);
        assert_eq!(name(&one), "20230724_c02_add_x_and_y.sql");
        one.revision.created = Some("yesterday".to_owned());
        assert_eq!(name(&one), "c02_add_x_and_y.sql");
        one.revision.created = None;
        one.revision.title = String::new();
        assert_eq!(name(&one), "c02.sql");
    }
}

#[test]
fn tags_are_for_revisions_that_there_are() {
    let graph = graph("aaaa1; bbbb1<-aaaa1; bbbb2<-bbbb1");
    let resolved = |text: &str| {
        let tags = tags::lines(text).and_then(|tags| tags::resolve(&graph, tags));
        tags.map_err(|error| error.to_string()).map(|tags| {
            tags.iter().map(|(id, tag)| format!("{id}={tag}")).collect::<Vec<_>>().join(" ")
        })
    };
    let ok = |text: &str| Ok(text.to_owned());
    let error = |text: &str| Err(text.to_owned());
    assert_eq!(resolved("# releases\naaaa1 1.0 # first\n\nbbbb2=v2\n"), ok("aaaa1=1.0 bbbb2=v2"));
    assert_eq!(resolved("aaaa 1.0"), ok("aaaa1=1.0"));
    assert_eq!(resolved("aaaa1=1.0\naaaa1=1.0"), ok("aaaa1=1.0"));
    assert_eq!(
        resolved("aaaa1=1.0\naaaa1=1.1"),
        error("`aaaa1` has two tags, `1.0` and `1.1`; a script has one")
    );
    assert_eq!(resolved("aaaa1"), error("line 1: write `ID=TAG`"));
    assert_eq!(resolved("base 1.0"), error("tag `1.0` is for `base`, which is not one revision"));
    assert!(resolved("cccc1 1.0").is_err_and(|error| error.starts_with("tag `1.0`: no revision")));
    assert_eq!(
        Tagged::parse("a=").map_err(|error| error.to_string()),
        Err("write `ID=TAG`".to_owned())
    );
}

#[test]
fn schemas_of_sqlite_are_the_same_but_for_how_they_are_written() {
    let said = |ordered, one: &str, other: &str| {
        difference(Sqlite, ordered, &[one.to_owned()], &[other.to_owned()])
    };
    let table = "CREATE TABLE \"t\" (a INT, b TEXT DEFAULT 'x,(Y', CHECK (a > 1), UNIQUE (a, b))";
    let same =
        "create table t(\n\ta int,\n\tb text default 'x,(Y',\n\tunique (a, b), check (a>1) )";
    // Blanks inside of an expression are its text.
    assert!(said(true, table, same).is_some());
    let same = same.replace("a>1", "a > 1");
    assert_eq!(said(true, table, &same), None);
    assert!(said(true, table, &same.replace("'x,(Y'", "'x,(y'")).is_some());
    let turned = "create table t (b text default 'x,(Y', a int, check (a > 1), unique (a, b))";
    assert!(said(true, table, turned).is_some());
    assert_eq!(said(false, table, turned), None);
    assert_eq!(
        said(true, "create index i on t (a)", "create index i on t (b)").as_deref(),
        Some(
            "only Alembic made `create index i on t(a)`; only the scripts made `create index i on t(b)`"
        )
    );
}

#[test]
fn the_place_of_a_column_counts_where_there_are_no_branches() {
    let line =
        |position| vec![format!("column public.t.a integer null default  position {position}")];
    assert!(difference(Postgres, true, &line(1), &line(2)).is_some());
    assert_eq!(difference(Postgres, false, &line(1), &line(2)), None);
}

#[test]
fn no_password_of_a_url_is_shown() {
    let cases = [
        ("no (postgresql://u:pw@h/d) there", "no (postgresql://u:…@h/d) there"),
        ("a://u:p@w:@h b://h/x", "a://u:…@h b://h/x"),
        ("http://h:80/x", "http://h:80/x"),
        ("://:pw@", "://:…@"),
        ("", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(without_passwords(text), expected);
    }
}
