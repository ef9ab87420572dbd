//! Headers and section markers.

use std::{path::PathBuf, time::Duration};

use super::{super::*, parse, script};
use crate::graph::revision::RevisionId;

const WHOLE: &str = "\
-- fix suggestions type enum values
--
-- revision: 1e629a913727
-- revises: 3fc3c0839959, b2
-- depends-on: c3,api
-- branch: api
-- tag: 1.13.0-rc.1
-- created: 2023-07-24 12:47:11
-- transaction: off
-- idempotent: yes
-- lock-timeout: 1.5s
-- reindex: records, users,records
-- allow: renaming-table, whatever-comes

-- Why: the enum had the wrong words. See https://example.org/a:b and 12:30.
-- ---------------------------------

-- migrate:up
UP;
  --   migrate:up \tpostgresql \n\
PG;
-- migrate:up sqlite
LITE;
--migrate:down
DOWN;";

#[test]
fn a_whole_header_becomes_a_revision_and_settings() {
    let id = |text: &str| RevisionId::new(text).unwrap();
    let expected = Revision {
        id: id("1e629a913727"),
        parents: vec![id("3fc3c0839959"), id("b2")],
        depends_on: vec!["c3".to_owned(), "api".to_owned()],
        labels: vec!["api".to_owned()],
        tag: Some("1.13.0-rc.1".to_owned()),
        title: "fix suggestions type enum values".to_owned(),
        created: Some("2023-07-24 12:47:11".to_owned()),
        place: Place { path: PathBuf::from("m/x.sql"), line: 3 },
    };
    let settings = Settings {
        transactional: false,
        idempotent: true,
        lock_timeout: Some(Duration::from_millis(1500)),
        reindex: Datasets::Named(["records", "users"].map(str::to_owned).into()),
        allow: Allowed {
            line: 13,
            rules: ["renaming-table", "whatever-comes"].map(str::to_owned).into(),
        },
        delegate: false,
    };
    let check = |text: &str| {
        let script = parse(text).unwrap();
        assert_eq!((&script.revision, &script.settings), (&expected, &settings));
    };
    check(WHOLE);
    check(&WHOLE.replace('\n', "\r\n"));
    check(&format!("\u{feff}{WHOLE}"));
}

#[test]
fn sections_know_their_line_and_whom_they_serve() {
    for text in [WHOLE.to_owned(), WHOLE.replace('\n', "\r\n")] {
        let script = parse(&text).unwrap();
        let sections: Vec<_> = script
            .sections
            .iter()
            .map(|s| (s.direction, s.engine, s.line, s.text.trim()))
            .collect();
        assert_eq!(
            sections,
            [
                (Direction::Up, None, 19, "UP;"),
                (Direction::Up, Some(Engine::Postgres), 21, "PG;"),
                (Direction::Up, Some(Engine::Sqlite), 23, "LITE;"),
                (Direction::Down, None, 25, "DOWN;"),
            ]
        );
    }
    let script = parse(WHOLE).unwrap();
    assert_eq!(script.text(Engine::Postgres, Direction::Up), "UP;\nPG;\n");
    assert_eq!(script.text(Engine::Sqlite, Direction::Up), "UP;\nLITE;\n");
    assert_eq!(script.text(Engine::Sqlite, Direction::Down), "DOWN;\n");
}

#[test]
fn a_missing_section_is_told_where_the_revision_stands() {
    let script = script("-- migrate:up sqlite\n-- migrate:down postgres\n");
    assert!(script.serves(Engine::Sqlite, Direction::Up));
    assert!(script.serves(Engine::Postgres, Direction::Down));
    assert!(!script.serves(Engine::Postgres, Direction::Up));
    assert!(!script.serves(Engine::Sqlite, Direction::Down));
    assert_eq!(script.text(Engine::Sqlite, Direction::Up), "");
    assert_eq!(
        script.missing_section(Engine::Postgres, Direction::Up).to_string(),
        "m/x.sql:2: no up section for postgres; \
         add `-- migrate:up postgres`, or `-- migrate:up` to serve each engine"
    );
}

#[test]
fn a_revision_is_left_to_alembic_where_there_is_no_section_for_it() {
    let header = "-- x\n-- revision: a\n-- delegate: alembic\n";
    let both = parse(header).unwrap();
    let one = parse(&format!("{header}-- migrate:up postgres\nselect 1;\n")).unwrap();
    let delegates = |script: &Script, engine| (script.delegates(engine), script.can_apply(engine));
    assert_eq!(delegates(&both, Engine::Postgres), (true, true));
    assert_eq!(delegates(&both, Engine::Sqlite), (true, true));
    assert_eq!(delegates(&one, Engine::Postgres), (false, true));
    assert_eq!(delegates(&one, Engine::Sqlite), (true, true));
    assert_eq!(
        parse(&format!("{}-- migrate:up\n", header.replace("alembic", "me"))).unwrap_err(),
        "m/x.sql:3: `delegate` is `me`; write `alembic`"
    );
}

#[test]
fn the_title_is_the_first_line_with_text_unless_it_is_a_key() {
    let check = |header: &str, expected: &str| {
        let script = parse(&format!("{header}\n-- migrate:up\n")).unwrap();
        assert_eq!(script.revision.title, expected, "{header}");
        assert_eq!(script.revision.id.as_str(), "a", "{header}");
    };
    check("-- add users\n-- revision: a", "add users");
    check("\n--\n-- -----\n--   add users  \n-- More prose.\n-- revision: a", "add users");
    check("--add users\n--revision:a", "add users");
    check("-- fix: a colon is fine here\n-- revision: a", "fix: a colon is fine here");
    check("-- revision: a\n-- Too late for a title.", "");
    check("-- revision : a", "");
}

#[test]
fn an_empty_value_is_as_if_the_line_were_absent() {
    let lines = "-- revises:
-- depends-on:
-- branch:
-- tag:
-- created:
-- transaction:
\
                 -- idempotent:
-- lock-timeout:
-- reindex:
";
    let script = parse(&format!("-- t\n-- revision: a\n{lines}-- migrate:up\n")).unwrap();
    assert_eq!(script.settings, Settings::default());
    assert!(script.settings.transactional);
    assert_eq!(script.revision.parents, []);
    assert_eq!((script.revision.tag, script.revision.created), (None, None));
}

#[test]
fn a_truth_word_asks_for_all_datasets_or_none() {
    let check = |value: &str, expected: Datasets| {
        let script = parse(&format!("-- revision: a\n-- reindex: {value}\n-- migrate:up\n"));
        assert_eq!(script.unwrap().settings.reindex, expected, "{value}");
    };
    check("TRUE", Datasets::All);
    check("1", Datasets::All);
    check("off", Datasets::None);
    check("users", Datasets::Named(["users".to_owned()].into()));
    check("on, off", Datasets::Named(["on", "off"].map(str::to_owned).into()));
}

#[test]
fn a_fault_names_file_line_and_the_way_out() {
    let check = |lines: &str, expected: &str| {
        let text = format!("-- a title\n-- revision: a\n{lines}\n-- migrate:up\n");
        assert_eq!(parse(&text).unwrap_err(), expected, "{lines}");
    };
    check(
        "-- author: me",
        "m/x.sql:3: unknown key `author`; known keys are `revision`, `revises`, `depends-on`, \
         `branch`, `tag`, `created`, `transaction`, `idempotent`, `lock-timeout`, `reindex`, \
         `allow`, `delegate`; \
         to write prose, begin with a capital",
    );
    let near = |line: &str, key: &str, near: &str| {
        let words = format!(
            "m/x.sql:3: unknown key `{key}`; write `{near}`, or another first word if it is prose"
        );
        check(line, &words);
    };
    near("-- revisoin: b", "revisoin", "revision");
    near("-- revise:b", "revise", "revises");
    near("-- Revises: b", "Revises", "revises");
    near("-- depends_on: b", "depends_on", "depends-on");
    near("-- transactional: no", "transactional", "transaction");
    check("-- tag: 1\n-- tag: 2", "m/x.sql:4: key `tag` is given twice; line 3 has it already");
    check("-- revises: a b", "m/x.sql:3: `revises`: revision id `a b` contains ` `");
    check("-- revises: b,", "m/x.sql:3: `revises`: a revision id is empty");
    check("-- depends-on: b, c-d", "m/x.sql:3: `depends-on`: revision id `c-d` contains `-`");
    check(
        "-- branch: head",
        "m/x.sql:3: `branch`: revision id `head` is a word of the target grammar",
    );
    for tag in ["head", "heads", "base", "a b", "a,b", "a@b", "a+1", "a:b", "-1"] {
        let expected = format!(
            "m/x.sql:3: `tag` is `{tag}`; write a name without white space and `, @ + :`, \
             that does not begin with `-` and is not `head`, `heads` or `base`"
        );
        check(&format!("-- tag: {tag}"), &expected);
    }
    check(
        "-- transaction: none",
        "m/x.sql:3: `transaction` is `none`; write one of `true 1 t y yes on enable enabled` \
         or `false 0 f n no off disable disabled`",
    );
    check(
        "-- lock-timeout: 5 days",
        "m/x.sql:3: `lock-timeout` is `5 days`; \
         write `500ms`, `5s`, `2m`, `1h` or a bare number of seconds, up to a year",
    );
    check(
        "-- reindex: users,",
        "m/x.sql:3: `reindex` is `users,`; write names separated by single commas",
    );
    check(
        "SELECT 1;\nSELECT 2;",
        "m/x.sql:3: only `--` comments may stand before the first section; \
         move this below `-- migrate:up` or `-- migrate:down`",
    );
}

#[test]
fn a_misspelt_key_on_the_first_line_is_no_title() {
    assert_eq!(
        parse("-- revison: a\n-- migrate:up\n").unwrap_err(),
        "m/x.sql:1: unknown key `revison`; write `revision`, or another first word if it is prose\n\
         m/x.sql:1: no `revision` in the header; add a line `-- revision: <id>`"
    );
}

#[test]
fn every_fault_is_reported_in_the_order_of_lines() {
    let text = "-- t\n-- revision:\n-- owner: x\nCREATE\n-- tag: a b\n-- migrate:sideways\nX;\n\
                -- migrate:up mysql\n";
    let faults = parse(text).unwrap_err();
    let places: Vec<_> = faults.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        places,
        ["m/x.sql:2:", "m/x.sql:3:", "m/x.sql:4:", "m/x.sql:5:", "m/x.sql:6:", "m/x.sql:8:"]
    );
    assert!(faults.starts_with("m/x.sql:2: `revision`: a revision id is empty\n"), "{faults}");
}

#[test]
fn a_file_that_is_no_script_is_told_in_two_lines() {
    let none = "m/x.sql:1: no section; write the SQL below a line `-- migrate:up`";
    let id = "m/x.sql:1: no `revision` in the header; add a line `-- revision: <id>`";
    let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap_err(), expected);
    check("", &format!("{none}\n{id}"));
    check("CREATE TABLE t();\n-- note: prose\nSELECT 1;\n", &format!("{none}\n{id}"));
    check("-- t\n-- revision: a\nSELECT 1;\n", none);
}

#[test]
fn what_resembles_a_marker_opens_a_section_or_is_a_fault() {
    let check = |line: &str| {
        assert_eq!(
            parse(&format!("-- revision: a\n-- migrate:up\nA;\n{line}\nB;\n")).unwrap_err(),
            format!(
                "m/x.sql:4: `{}` opens no section; write `-- migrate:up` or `-- migrate:down`, \
                 followed by `postgres` or `sqlite` if it serves only one",
                line.trim()
            )
        );
    };
    check("-- migrate:");
    check("-- migrate: up");
    check("-- migrate :down");
    check("  -- Migrate:Down");
    check("-- migrate:downwards");
    check("-- migrate:down mysql");
    check("-- migrate:down Postgres");
    check("-- migrate:up postgres sqlite");
    check("-- migrate:up transaction:false");
    for line in ["-- migrate up", "-- we migrate: up", "x -- migrate:down", "- migrate:down"] {
        let script = script(&format!("-- migrate:up\n{line}\n"));
        assert_eq!(script.text(Engine::Sqlite, Direction::Up), format!("{line}\n"));
    }
}
