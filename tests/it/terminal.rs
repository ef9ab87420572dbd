//! What the verbs of the terminal answer: the listing of the demonstration schema in full, exit codes,
//! that stdout is the answer and nothing else, that nothing is changed.

use serde_json::Value;

use crate::{
    database::{Database, Engine, on_both},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

on_both! {
    fn the_listing_shows_tags_all_revisions_and_the_current_one(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo").env("AUTO_MIGRATION", "true");
        start.run().assert_status(0);
        let listing = start.args(&["database", "revisions"]).run();
        listing.assert_status(0).assert_stderr(&ready(database));
        assert_eq!(
            without_when(&listing),
            "\
Tagged revisions
----------------
1.7   1769ee58fbb4  applied
1.8   ae5522b4c674  applied
1.11  3ff6484f8b37  applied
1.13  1e629a913727  applied

All revisions
-------------
3fc3c0839959 -> 1e629a913727 (head), fix suggestions type enum values  applied …
8c574ada5e5f -> 3fc3c0839959, create suggestions table                 applied …
3ff6484f8b37 -> 8c574ada5e5f, update_enum_columns                      applied …
ae5522b4c674 -> 3ff6484f8b37, add record metadata column               applied …
e402e9d9245e -> ae5522b4c674, create fields table                      applied …
8be56284dac0 -> e402e9d9245e, create responses table                   applied …
3a8e2f9b5dea -> 8be56284dac0, create records table                     applied …
b9099dc08489 -> 3a8e2f9b5dea, create questions table                   applied …
1769ee58fbb4 -> b9099dc08489, create datasets table                    applied …
82a5a88a3fa5 -> 1769ee58fbb4, create workspaces_users table            applied …
74694870197c -> 82a5a88a3fa5, create workspaces table                  applied …
<base> -> 74694870197c, create users table                             applied …

Current revision
----------------
1e629a913727 (head), fix suggestions type enum values
  migrations/20230724_1e629a913727_fix_suggestions_type_enum_values.sql
"
        );
    }

    fn a_database_part_way_is_told_from_the_image(database: &dyn Database) {
        let start = upgraded_to(database, "1.8");
        let current = start.clone().args(&["database", "current"]).run();
        current.assert_status(0).assert_stdout("ae5522b4c674");
        let current = start.clone().args(&["database", "current", "--json"]).run();
        current.assert_status(0).assert_stdout("[\"ae5522b4c674\"]");

        let listing = start.args(&["database", "revisions", "--json"]).run();
        listing.assert_status(0);
        let listing: Value = serde_json::from_str(&listing.raw_stdout).unwrap();
        assert_eq!(listing["heads"], serde_json::json!(["1e629a913727"]));
        assert_eq!(listing["current"], serde_json::json!(["ae5522b4c674"]));
        let revisions = listing["revisions"].as_array().unwrap();
        assert_eq!(revisions.len(), 12);
        assert_eq!(revisions[0]["parents"], serde_json::json!([]));
        let tagged = revisions.iter().find(|one| one["tag"] == "1.8").unwrap();
        assert_eq!(tagged["applied"], true);
        let (at, now) = (tagged["applied_at"].as_str().unwrap(), now(database));
        assert_eq!(at.len(), "2026-01-02T03:04:05.678Z".len(), "{at}");
        assert!(at.ends_with('Z') && at <= now.as_str() && at[..11] >= *"2026-01-01T", "{at} {now}");
        assert_eq!(tagged["applied_by"], database.query("select max(applied_by) from prelaunch_ledger"));
        let pending: Vec<&Value> =
            revisions.iter().filter(|one| one["applied"] == false).map(|one| &one["revision"]).collect();
        assert_eq!(pending, ["3ff6484f8b37", "8c574ada5e5f", "3fc3c0839959", "1e629a913727"]);
    }

    fn check_says_what_is_pending_in_the_words_of_a_start(database: &dyn Database) {
        let start = upgraded_to(database, "1.11");
        let checked = start.clone().args(&["database", "check"]).run();
        let run = start.clone().env("AUTO_MIGRATION", "check").env_remove("MIGRATION_TARGET").run();
        run.assert_status(17);
        assert_eq!(checked.last_words(), run.last_words());
        checked.assert_status(17).assert_stdout(
            "
            3ff6484f8b37 -> 8c574ada5e5f, update_enum_columns
            8c574ada5e5f -> 3fc3c0839959, create suggestions table
            3fc3c0839959 -> 1e629a913727 (head), fix suggestions type enum values
            ",
        );
        start.clone().args(&["database", "check", "--json"]).run().assert_status(17).assert_stdout(
            "
            {\"ready\":false,\"pending\":[\"8c574ada5e5f\",\"3fc3c0839959\",\"1e629a913727\"],\"current\":[\"3ff6484f8b37\"],\"why\":\"3 revisions are pending: `8c574ada5e5f`, `3fc3c0839959` and `1e629a913727`\"}
            ",
        );
        start.clone().env_remove("MIGRATION_TARGET").run().assert_status(0);
        let ready_now = start.clone().args(&["database", "check"]).run();
        ready_now.assert_status(0).assert_stdout("").assert_stderr(&ready(database));
        start.args(&["database", "check", "--json"]).run().assert_status(0).assert_stdout(
            "{\"ready\":true,\"pending\":[],\"current\":[\"1e629a913727\"],\"why\":null}",
        );
    }

    fn a_database_that_is_ahead_is_refused_by_check_and_listed(database: &dyn Database) {
        let start = Prelaunch::on(database).env("AUTO_MIGRATION", "true");
        let newer = start
            .revision("c01", "", "create table c01 (n integer);")
            .revision("c02", "c01", "create table c02 (n integer);");
        newer.run().assert_status(0);
        let older = newer.without_script("c02.sql");
        older.clone().args(&["database", "check"]).env("DATABASE_AHEAD", "allow").run().assert_status(16)
            .assert_last_words("prelaunch: exit 16 in plan: the database is ahead: this image lacks revision `c02`; use the image that brought it, or let this one revert it with `prelaunch database migrate --allow-downgrade`");
        older.clone().args(&["database", "current"]).run().assert_status(0).assert_stdout("c02");
        let listing = older.args(&["database", "revisions"]).run();
        assert_eq!(
            without_when(&listing),
            "\
Tagged revisions
----------------
none

All revisions
-------------
c01 -> c02, c02            applied …, not in this image
<base> -> c01 (head), c01  applied …

Current revision
----------------
c02, c02
  not in this image
"
        );
    }

    fn a_question_changes_nothing(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        let questions: [(&[&str], i32); 6] = [
            (&["revisions"], 0),
            (&["current"], 0),
            (&["heads"], 0),
            (&["check"], 17),
            (&["history"], 0),
            (&["log"], 0),
        ];
        for (question, code) in questions {
            start.clone().args(&[&["database"], question].concat()).run().assert_status(code);
        }
        assert_eq!(database.tables(), [""; 0]);
    }

    fn the_log_has_every_line_with_who_and_how_long(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .revision("c01", "", "create table c01 (n integer);")
            .env("AUTO_MIGRATION", "true")
            .env("AFTER_MIGRATE", "true");
        start.run().assert_status(0);
        let log = start.clone().args(&["database", "log", "--json"]).run();
        log.assert_status(0).assert_stderr(&ready(database));
        let lines: Vec<Value> = serde_json::from_str(&log.raw_stdout).unwrap();
        let said: Vec<(&Value, &Value)> =
            lines.iter().map(|line| (&line["event"], &line["subject"])).collect();
        assert_eq!(said, [(&"upgrade".into(), &"c01".into()), (&"hook".into(), &Value::Null)]);
        for line in &lines {
            assert!(line["seq"].is_i64() && line["duration_ms"].is_i64(), "{line}");
            assert_eq!(line["heads"], serde_json::json!(["c01"]));
            assert!(line["recorded_at"].as_str().unwrap().ends_with('Z'), "{line}");
            for key in ["recorded_by", "run", "tool"] {
                assert!(!line[key].as_str().unwrap().is_empty(), "{key} in {line}");
            }
        }
        let table = start.args(&["database", "log"]).run();
        table.assert_status(0);
        assert_eq!(table.raw_stdout.lines().count(), 2);
        assert!(table.raw_stdout.lines().next().unwrap().contains("Z  upgrade  c01  "));
    }

    /// Nobody who asks wants to be told that the start would have been faulty.
    fn what_steers_a_run_does_not_count_at_the_terminal(database: &dyn Database) {
        let start = upgraded_to(database, "1.13")
            .env("AUTO_MIGRATION", "perhaps")
            .env("PRELAUNCH_MIGRATION_TARGET", "-1")
            .env("DATABASE_AHEAD", "perhaps")
            .env("REINDEX_DATASETS", "true")
            .env("WAIT_FOR", "tcp://127.0.0.1:1")
            .env("WAIT_TIMEOUT", "soon");
        let faulty = start.clone().args(&["database", "check"]).run();
        faulty.assert_status(10).assert_last_words(
            "prelaunch: exit 10 in configure: `WAIT_TIMEOUT`: `soon` is not understood; accepted: `500ms`, `5s`, `2m`, `1h` or a bare number of seconds, up to a year",
        );
        start.env_remove("WAIT_TIMEOUT").args(&["database", "check"]).run().assert_status(0);
    }

    fn scripts_are_not_needed_to_say_where_the_database_is(database: &dyn Database) {
        let start = upgraded_to(database, "1.8").without_migrations();
        start
            .clone()
            .args(&["database", "current"])
            .run()
            .assert_status(0)
            .assert_stdout("ae5522b4c674")
            .assert_said("cannot compare the database with the scripts");
        start.clone().args(&["database", "log"]).run().assert_status(0);
        start.args(&["database", "revisions"]).run().assert_status(10);
    }
}

#[test]
fn revisions_are_listed_without_a_database() {
    let start = Prelaunch::new().migrations_from("demo");
    let listing = start.clone().args(&["database", "revisions", "--offline"]).run();
    listing.assert_status(0).assert_stderr("");
    let stdout = listing.stdout();
    assert!(
        stdout
            .contains("\n3fc3c0839959 -> 1e629a913727 (head), fix suggestions type enum values\n")
    );
    assert!(stdout.contains("\n1.13  1e629a913727\n"), "{stdout}");
    assert!(stdout.ends_with("not asked: --offline\n"), "{stdout}");

    let json = start.clone().args(&["database", "revisions", "--offline", "--json"]).run();
    let json: Value = serde_json::from_str(&json.raw_stdout).unwrap();
    assert_eq!(json["current"], Value::Null);
    assert_eq!(json["revisions"][0]["applied"], Value::Null);

    let heads = start.clone().args(&["database", "heads", "--offline"]).run();
    heads.assert_status(0).assert_stdout("1e629a913727 (head)").assert_stderr("");
    let heads = start.clone().args(&["database", "heads", "--json"]).run();
    heads.assert_status(0).assert_stdout("[\"1e629a913727\"]");

    let history = start.clone().args(&["database", "history", "1.8:1.11"]).run();
    history.assert_status(0).assert_stderr("").assert_stdout(
        "
        ae5522b4c674 -> 3ff6484f8b37, add record metadata column
        e402e9d9245e -> ae5522b4c674, create fields table
        ",
    );
    let backwards = start.clone().args(&["database", "history", "1.11:1.8"]).run();
    backwards.assert_status(21).assert_stdout("").assert_last_words(
        "prelaunch: exit 21 in plan: `1.11` is no ancestor of `1.8`; the older revision comes first: `1.8:1.11`",
    );
    start.args(&["database", "history", "1.8"]).run().assert_status(2);
}

#[test]
fn the_graph_is_drawn_and_exported() {
    let start = Prelaunch::new()
        .revision("c01", "", "select 1;")
        .revision("c02", "c01", "select 1;")
        .revision("c03", "c01", "select 1;")
        .revision("c04", "c02, c03", "select 1;");
    let asked = |arguments: &[&str]| {
        start.clone().args(&[&["database", "revisions", "--offline"], arguments].concat()).run()
    };
    asked(&["--graph"]).assert_status(0).assert_stdout(
        "
        *   c04 (head) (mergepoint), c04
        |\\
        | * c03, c03
        * | c02, c02
        |/
        * c01 (branchpoint), c01
        ",
    );
    asked(&["--format", "mermaid"]).assert_status(0).assert_stdout(
        "
        flowchart TB
            r0[\"c01<br/>c01\"]
            r1[\"c02<br/>c02\"]
            r2[\"c03<br/>c03\"]
            r3[\"c04<br/>c04\"]
            r0 --> r1
            r0 --> r2
            r1 --> r3
            r2 --> r3
        ",
    );
    asked(&["--format", "dot"]).assert_status(0).assert_stdout(
        "
        digraph revisions {
            node [shape=box];
            \"c01\" [label=\"c01\\nc01\"];
            \"c02\" [label=\"c02\\nc02\"];
            \"c03\" [label=\"c03\\nc03\"];
            \"c04\" [label=\"c04\\nc04\"];
            \"c01\" -> \"c02\";
            \"c01\" -> \"c03\";
            \"c02\" -> \"c04\";
            \"c03\" -> \"c04\";
        }
        ",
    );
    let both = asked(&["--json"]);
    assert_eq!(both.raw_stdout, asked(&["--format", "json"]).raw_stdout);
    asked(&["--json", "--graph"]).assert_status(2).assert_stdout("");
}

#[test]
fn a_question_to_no_database_names_the_variable() {
    let start = Prelaunch::new().migrations_from("demo");
    for verb in ["current", "check", "log"] {
        start
            .clone()
            .args(&["database", verb])
            .run()
            .assert_status(10)
            .assert_stdout("")
            .assert_stderr(
                "prelaunch: exit 10 in configure: no database is named; set DATABASE_URL",
            );
    }
    start.args(&["database", "revisions"]).run().assert_status(10).assert_stderr(
        "prelaunch: exit 10 in configure: no database is named; set DATABASE_URL, or ask none with --offline",
    );
}

#[test]
fn a_database_that_does_not_answer_is_11_and_leaves_stdout_empty() {
    let start = Prelaunch::new()
        .migrations_from("demo")
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
        .env("WAIT_TIMEOUT", "0");
    for verb in ["revisions", "current", "check", "log"] {
        start.clone().args(&["database", verb]).run().assert_status(11).assert_stdout("");
    }
}

#[test]
fn an_unsound_graph_is_20() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database).revision("c02", "c01", "select 1;");
    for verb in ["revisions", "heads", "history", "check"] {
        start.clone().args(&["database", verb]).run().assert_status(20).assert_stdout("");
    }
}

#[test]
fn the_right_to_select_suffices() {
    let database = Postgres::create();
    let _ = upgraded_to(&database, "1.8");
    let reader = format!("{}_asks", database.name());
    database.administer(&format!("create role {reader} login password 'secret-asks'"));
    let start = Prelaunch::on(&database)
        .migrations_from("demo")
        .stand("DB_asks", "READER")
        .env("DATABASE_URL", database.server().url(&reader, "secret-asks", database.name()));
    for verb in ["revisions", "check", "current", "log"] {
        let refused = start.clone().args(&["database", verb]).run();
        refused
            .assert_status(12)
            .assert_stdout("")
            .assert_said("role `READER` may not read the ledger");
    }
    database.administer(&format!(
        "grant usage on schema public to {reader}; grant select on public.prelaunch_ledger, \
         public.prelaunch_history, public.prelaunch_journal to {reader}"
    ));
    for (verb, code) in [("revisions", 0), ("check", 17), ("current", 0), ("log", 0)] {
        start.clone().args(&["database", verb]).run().assert_status(code);
    }
    database.administer(&format!("drop owned by {reader}; drop role {reader}"));
}

/// A database that has the demonstration schema up to a tag, and the start that made it.
fn upgraded_to(database: &dyn Database, tag: &str) -> Prelaunch {
    let start = Prelaunch::on(database)
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .env("MIGRATION_TARGET", tag);
    start.run().assert_status(0);
    start
}

/// All that a question says on stderr where all is well.
fn ready(database: &dyn Database) -> String {
    let address = match database.engine() {
        Engine::Sqlite => "sqlite:DB",
        Engine::Postgres => "postgres://ROLE@127.0.0.1:PORT/DB",
    };
    format!("INFO wait: answers what={address} tries=1 took=…\n")
}

/// What a listing says, less when and by whom.
fn without_when(outcome: &Outcome) -> String {
    let mut text = String::new();
    for line in outcome.stdout().lines() {
        match line.split_once("  applied 2") {
            Some((before, when)) => {
                let after =
                    when.split_once(',').map_or_else(String::new, |(_, more)| format!(",{more}"));
                assert!(when.contains("Z by "), "{line}");
                text.extend([before, "  applied …", &after, "\n"]);
            }
            None => text.extend([line, "\n"]),
        }
    }
    text
}

/// The database's own time, as answers have it.
fn now(database: &dyn Database) -> String {
    database.query(match database.engine() {
        Engine::Sqlite => "select strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        Engine::Postgres => {
            "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        }
    })
}
