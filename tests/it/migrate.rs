//! `database migrate`, `stamp` and `accept`: to anywhere and back on both engines, what is refused,
//! what is asked, and that nothing but the ledger remembers is needed to go back.

use std::{
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    database::{Database, Engine, eventually, on_both},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    shape::shape,
    sqlite::Sqlite,
};

/// The twelve revisions of the demonstration schema, oldest first.
const DEMO: [&str; 12] = [
    "74694870197c",
    "82a5a88a3fa5",
    "1769ee58fbb4",
    "b9099dc08489",
    "3a8e2f9b5dea",
    "8be56284dac0",
    "e402e9d9245e",
    "ae5522b4c674",
    "3ff6484f8b37",
    "8c574ada5e5f",
    "3fc3c0839959",
    "1e629a913727",
];

on_both! {
    fn every_revision_goes_back_and_comes_again_as_it_was(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        let mut shapes = vec![String::new()];
        for id in DEMO {
            migrate(&start, &["--revision", id]).assert_status(0);
            shapes.push(shape(database));
        }
        shapes[0] = String::new();
        // One by one from the head, and each time all the way up again.
        for (left, id) in DEMO.iter().enumerate().rev() {
            let target = if left == 0 { "base" } else { DEMO[left - 1] };
            migrate(&start, &["--revision", target, "--allow-downgrade", "--yes"]).assert_status(0);
            assert_eq!(shape(database), shapes[left], "before {id}");
            assert_eq!(database.ledger().len(), left, "before {id}");
            migrate(&start, &[]).assert_status(0);
            assert_eq!(shape(database), shapes[12], "again from before {id}");
        }
    }

    fn going_back_is_refused_with_what_would_be_lost(database: &dyn Database) {
        let start = at_head(database);
        let before = shape(database);
        let refused = migrate(&start, &["--revision", "1.7"]);
        refused.assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: going to `1.7` reverts 9 revisions, which drops tables `suggestions`, `fields`, `responses`, `records`, `questions` and `datasets`, and column `records.metadata`; to do that, add --allow-downgrade",
        );
        let rebuilt = |table: &str| match database.engine() {
            Engine::Sqlite => format!("      rebuilds table `{table}`\n"),
            Engine::Postgres => String::new(),
        };
        refused.assert_stdout(&format!(
            "\
down  3fc3c0839959 -> 1e629a913727 (head), fix suggestions type enum values
{}down  8c574ada5e5f -> 3fc3c0839959, create suggestions table
      drops table `suggestions`
down  3ff6484f8b37 -> 8c574ada5e5f, update_enum_columns
{}{}{}down  ae5522b4c674 -> 3ff6484f8b37, add record metadata column
      drops column `records.metadata`
down  e402e9d9245e -> ae5522b4c674, create fields table
      drops table `fields`
down  8be56284dac0 -> e402e9d9245e, create responses table
      drops table `responses`
down  3a8e2f9b5dea -> 8be56284dac0, create records table
      drops table `records`
down  b9099dc08489 -> 3a8e2f9b5dea, create questions table
      drops table `questions`
down  1769ee58fbb4 -> b9099dc08489, create datasets table
      drops table `datasets`
",
            rebuilt("suggestions"), rebuilt("users"), rebuilt("datasets"), rebuilt("responses"),
        ));
        migrate(&start, &["--revision", "1.7", "--yes"]).assert_status(16)
            .assert_last_words(&refused.last_words());
        let allowed = migrate(&start, &["--revision", "1.7", "--allow-downgrade"]);
        allowed.assert_status(16).assert_stdout(&refused.stdout()).assert_last_words(
            "prelaunch: exit 16 in plan: reverting 9 revisions has to be confirmed, and there is no terminal to ask at; add --yes",
        );
        assert_eq!((shape(database), database.ledger().len()), (before, 12));
    }

    fn a_plan_is_told_and_not_acted_on(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        let plan = migrate(&start, &["--revision", "1.7", "--plan"]);
        plan.assert_status(0).assert_stdout(
            "
            up    <base> -> 74694870197c, create users table
            up    74694870197c -> 82a5a88a3fa5, create workspaces table
            up    82a5a88a3fa5 -> 1769ee58fbb4, create workspaces_users table
            ",
        );
        assert_eq!(database.tables(), [""; 0]);
        migrate(&start, &["--revision", "1.8"]).assert_status(0);
        let steps = |arguments: &[&str]| -> Value {
            let plan = migrate(&start, &[arguments, &["--plan", "--json"]].concat());
            plan.assert_status(0);
            serde_json::from_str(&plan.raw_stdout).unwrap()
        };
        assert_eq!(
            steps(&["--revision", "1.11"]),
            json!({"from": ["ae5522b4c674"], "to": ["3ff6484f8b37"],
                   "steps": [{"direction": "up", "revision": "3ff6484f8b37"}]}),
        );
        assert_eq!(
            steps(&["--revision", "-1"]),
            json!({"from": ["ae5522b4c674"], "to": ["e402e9d9245e"],
                   "steps": [{"direction": "down", "revision": "ae5522b4c674"}]}),
        );
        assert_eq!(
            steps(&["--revision", "1.8"]),
            json!({"from": ["ae5522b4c674"], "to": ["ae5522b4c674"], "steps": []}),
        );
        assert_eq!(steps(&["--revision", "base"])["to"], json!([]));
        assert_eq!(database.ledger().len(), 8);
    }

    fn what_is_there_already_is_said(database: &dyn Database) {
        let start = at_head(database);
        for target in ["head", "heads", "1.13", "1e62"] {
            let there = migrate(&start, &["--revision", target]);
            there.assert_status(0).assert_stdout("");
            there.assert_said("INFO plan: the database is there; nothing to do at=`1e629a913727`");
        }
    }

    fn every_form_of_a_target_is_understood(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        let current = |arguments: &[&str], expected: &str| {
            migrate(&start, &[arguments, &["--allow-downgrade", "--yes"]].concat()).assert_status(0);
            start.clone().args(&["database", "current"]).run().assert_stdout(expected);
        };
        current(&["--revision", "+2"], "82a5a88a3fa5");
        current(&["--revision", "+1"], "1769ee58fbb4");
        current(&["--revision", "1.8-1"], "e402e9d9245e");
        current(&["--revision", "1.8+1"], "3ff6484f8b37");
        current(&["--revision=-2"], "e402e9d9245e");
        current(&["--revision", "3fc3"], "3fc3c0839959");
        current(&["--revision", "heads"], "1e629a913727 (head)");
        current(&["--revision", "base"], "");
        // To the very ends, from where the same count leads nowhere.
        current(&["--revision", "+1"], "74694870197c");
        current(&["--revision", "-1"], "");
        current(&["--revision", "+12"], "1e629a913727 (head)");
        current(&["--revision", "-12"], "");
        for (target, words) in [
            ("v1.8", "no revision, tag or label here is called `v1.8`; the nearest is `1.8`"),
            ("2.0", "no revision here has the tag `2.0`; the newest tag is `1.13`"),
        ] {
            let unknown = migrate(&start, &["--revision", target]);
            unknown.assert_status(21).assert_stdout("");
            assert!(unknown.last_words().contains(words), "{}", unknown.transcript());
        }
    }

    fn two_revisions_on_one_parent_are_merged_as_the_refusal_says(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .revision("c01", "", "create table c01 (n integer);")
            .revision("c02", "c01", "create table c02 (n integer);")
            .revision("c03", "c01", "create table c03 (n integer);");
        let refused = migrate(&start, &[]);
        refused.assert_status(21).assert_last_words(
            "prelaunch: exit 21 in plan: the graph has 2 heads, `c02` and `c03`; merge them with `prelaunch revision merge -m TITLE c02 c03`, or name one of them, or `heads` for all",
        );
        let merge = start.clone().args(&["revision", "merge", "-m", "both", "c02", "c03"]).run();
        merge.assert_status(0);
        migrate(&start, &[]).assert_status(0);
        assert_eq!(database.upgrades()[..3], ["c01", "c02", "c03"]);
        assert_eq!(database.ledger().len(), 4);
        // And apart again: back over a merge needs the revision to be named.
        migrate(&start, &["--revision", "c02", "--allow-downgrade", "--yes"]).assert_status(0);
        start.clone().args(&["database", "heads"]).run().assert_status(0);
        assert_eq!(database.ledger(), ["c01", "c02", "c03"]);
    }

    fn a_script_for_the_program_of_the_engine_does_the_same(database: &dyn Database) {
        let chain = |start: Prelaunch| {
            start.migrations_from("demo").script("c01.sql", C01)
        };
        let by_hand = another(database);
        let (ours, theirs) = (chain(Prelaunch::on(database)), chain(Prelaunch::on(&*by_hand)));
        let compare = |arguments: &[&str]| {
            let script = migrate(&theirs, &[arguments, &["--sql"]].concat());
            script.assert_status(0);
            pipe(&*by_hand, &script.raw_stdout).unwrap();
            migrate(&ours, &[arguments, &["--allow-downgrade", "--yes"]].concat()).assert_status(0);
            assert_eq!(shape(&*by_hand), shape(database), "{arguments:?}");
            assert_eq!(remembered(&*by_hand), remembered(database), "{arguments:?}");
            // It is for the state that it was made for.
            let twice = pipe(&*by_hand, &script.raw_stdout).unwrap_err();
            assert!(twice.contains("another state of the ledger than it is in"), "{twice}");
            assert_eq!(remembered(&*by_hand), remembered(database), "{arguments:?} twice");
        };
        compare(&["--revision", "1.8"]);
        compare(&["--revision", "head"]);
        compare(&["--revision", "1.7"]);
        compare(&["--revision", "+4"]);
        compare(&["--revision", "base"]);
    }

    fn a_script_is_had_without_a_database(database: &dyn Database) {
        let start = Prelaunch::new().knows(database).migrations_from("demo");
        let engine = match database.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        };
        let offline = |range: &str| {
            let script = migrate(&start, &["--sql", "--revision", range, "--engine", engine]);
            script.assert_status(0).assert_stderr("");
            script.raw_stdout
        };
        pipe(database, &offline(":1.8")).unwrap();
        assert_eq!(database.ledger().len(), 8);
        pipe(database, &offline("1.8:1.13")).unwrap();
        let online = Prelaunch::on(database).migrations_from("demo");
        online.clone().args(&["database", "check"]).run().assert_status(0);
        let head = shape(database);
        pipe(database, &offline("1.13:1.7")).unwrap();
        assert_eq!(database.ledger().len(), 3);
        migrate(&online, &[]).assert_status(0);
        assert_eq!(shape(database), head);
        migrate(&start, &["--sql", "--revision", ":1.8"]).assert_status(10).assert_last_words(
            "prelaunch: exit 10 in plan: set DATABASE_URL, or say --engine postgres or --engine sqlite",
        );
    }

    /// What an image cannot know of newer ones is in the ledger, with how to run it.
    fn an_older_image_takes_back_what_a_newer_one_brought(database: &dyn Database) {
        let older = Prelaunch::on(database).revision("a01", "", "create table a01 (n integer);");
        let newer = Prelaunch::on(database)
            .revision("a01", "", "create table a01 (n integer);")
            .script("b01.sql", "
                -- b01
                -- revision: b01
                -- revises: a01
                -- migrate:up
                create table b01 (n integer);
                -- migrate:down
                drop table b01;
            ")
            .script("x01.sql", "
                -- x01
                -- revision: x01
                -- branch: x
                -- depends-on: b01
                -- transaction: false
                -- migrate:up
                create table x01 (n integer);
                -- migrate:down
                drop table x01;
            ");
        migrate(&older, &[]).assert_status(0);
        let before = shape(database);
        migrate(&newer, &["--revision", "heads"]).assert_status(0);

        older.clone().env("AUTO_MIGRATION", "true").run().assert_status(16);
        older.clone().args(&["database", "check"]).run().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database is ahead: this image lacks revisions `b01` and `x01`; use the image that brought them, or let this one revert them with `prelaunch database migrate --allow-downgrade`",
        );
        let refused = migrate(&older, &[]);
        refused.assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: going to `head` reverts 2 revisions, which drops tables `x01` and `b01`; to do that, add --allow-downgrade",
        );
        let back = migrate(&older, &["--allow-downgrade", "--yes"]);
        back.assert_status(0).assert_said(
            "INFO plan: its script is not here as it was applied; takes the way back from the ledger revision=x01",
        );
        assert_eq!(shape(database), before);
        assert_eq!(database.ledger(), ["a01"]);
        assert_eq!(database.history()[3..], ["downgrade x01", "downgrade b01"]);
        older.clone().env("AUTO_MIGRATION", "true").run().assert_status(0);
        migrate(&newer, &["--revision", "heads"]).assert_status(0);
    }

    fn nothing_is_applied_above_what_is_not_known(database: &dyn Database) {
        let newer = Prelaunch::on(database)
            .revision("a01", "", "create table a01 (n integer);")
            .revision("b01", "a01", "create table b01 (n integer);");
        migrate(&newer, &[]).assert_status(0);
        let other = Prelaunch::on(database)
            .revision("a01", "", "create table a01 (n integer);")
            .revision("c01", "a01", "create table c01 (n integer);");
        migrate(&other, &[]).assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database has a revision that no script here has: `b01`; use the image that brought it",
        );
        migrate(&newer, &["--revision", "a01", "--allow-downgrade", "--yes"]).assert_status(20)
            .assert_last_words("prelaunch: exit 20 in plan: migrations/b01.sql:3: revision `b01` has no down section for ENGINE; write one, or restore a backup"
                .replace("ENGINE", if database.engine() == Engine::Sqlite { "sqlite" } else { "postgres" }).as_str());
        let foreign = migrate(&other.without_script("c01.sql"), &["--allow-downgrade", "--yes"]);
        foreign.assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: revision `b01` has no script here as it was applied, and the ledger keeps no down section of it; use the image that brought it",
        );
    }

    fn a_changed_script_is_reverted_as_it_was_applied(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- migrate:up
            create table a01 (n integer);
            -- migrate:down
            drop table a01;
        ");
        migrate(&start, &[]).assert_status(0);
        let changed = start.script("a01.sql", "
            -- a01
            -- revision: a01
            -- migrate:up
            create table a02 (n integer);
            -- migrate:down
            drop table a02;
        ");
        migrate(&changed, &["--revision", "base", "--allow-downgrade", "--yes"]).assert_status(0);
        migrate(&changed, &[]).assert_status(0);
        assert!(database.tables().contains(&"a02".to_owned()));
        assert!(!database.tables().contains(&"a01".to_owned()));
    }

    fn a_changed_script_can_be_accepted(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .revision("a01", "", "create table a01 (n integer);")
            .revision("a02", "a01", "create table a02 (n integer);");
        migrate(&start, &["--revision", "a01"]).assert_status(0);
        let unchanged = accept(&start, "a01");
        unchanged.assert_status(0).assert_stdout("").assert_said("nothing to accept");
        accept(&start, "a02").assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: revision `a02` is not applied; there is nothing to accept",
        );
        accept(&start, "a09").assert_status(21);
        let changed = start.revision("a01", "", "create table a01 (n integer not null);");
        migrate(&changed, &[]).assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: a script was changed after it was applied: `migrations/a01.sql`; put the text back that was applied and write a new revision for what shall be different, or accept it with `prelaunch database accept`",
        );
        accept(&changed, "a01").assert_status(0).assert_stdout(
            "\
--- as it was applied
+++ migrations/a01.sql
@@ -1 +1 @@
-create table a01 (n integer);
+create table a01 (n integer not null);
",
        );
        migrate(&changed, &[]).assert_status(0);
        assert_eq!(database.history(), ["upgrade a01", "accept a01", "upgrade a02"]);
    }

    fn what_is_accepted_is_what_was_compared(database: &dyn Database) {
        let start = Prelaunch::on(database).revision("a01", "", "create table a01 (n integer);");
        migrate(&start, &[]).assert_status(0);
        let changed = start.revision("a01", "", "create table a01 (n integer not null);");
        let mut other = database.session();
        other.execute(match database.engine() {
            Engine::Postgres => "begin; lock table prelaunch_ledger in share row exclusive mode",
            Engine::Sqlite => "begin immediate",
        });
        let running = changed.args(&["database", "accept", "a01"]).spawn();
        running.wait_for("has the lock");
        other.execute("update prelaunch_ledger set checksum = 'another'");
        other.execute("commit");
        running.wait().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: somebody else changed the ledger meanwhile; look again, and repeat the command",
        );
        assert_eq!(database.query("select checksum from prelaunch_ledger"), "another");
        assert_eq!(database.history(), ["upgrade a01"]);
    }

    fn a_stamp_says_where_the_schema_is_and_runs_nothing(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        let stamp = |arguments: &[&str]| {
            start.clone().args(&[&["database", "stamp"], arguments].concat()).run()
        };
        stamp(&["1.8"]).assert_status(0).assert_stdout("");
        assert_eq!(shape(database), "");
        assert_eq!(database.ledger().len(), 8);
        stamp(&["1.8"]).assert_status(0).assert_said("the ledger says so already; nothing to do");
        stamp(&["+1"]).assert_status(0);
        stamp(&["1.7"]).assert_status(0);
        assert_eq!(database.ledger().len(), 3);
        assert_eq!(
            database.history(),
            ["stamp ae5522b4c674", "stamp 3ff6484f8b37", "stamp 1769ee58fbb4"],
        );
        let origins = database.query("select distinct origin from prelaunch_ledger");
        assert_eq!(origins, "stamp");
        // What was stamped has a way back like what was applied.
        stamp(&["base"]).assert_status(0);
        migrate(&start, &["--revision", "1.7"]).assert_status(0);
        stamp(&["base"]).assert_status(0);
        stamp(&["1.7"]).assert_status(0);
        migrate(&start, &["--revision", "base", "--allow-downgrade", "--yes"]).assert_status(0);
        assert_eq!(shape(database), "");

        let foreign = start.revision("c01", "1e629a913727", "select 1;");
        foreign.clone().args(&["database", "stamp", "head"]).run().assert_status(0);
        let without = foreign.without_script("c01.sql").revision("d01", "1e629a913727", "select 1;");
        without.clone().args(&["database", "stamp", "head"]).run().assert_status(16);
        without.clone().args(&["database", "stamp", "head", "--purge"]).run().assert_status(0);
        without.args(&["database", "current"]).run().assert_stdout("d01 (head)");
    }

    /// A way back outside of a transaction may stop in the middle; then no server starts before it
    /// has come to its end.
    fn no_server_starts_on_a_revision_that_is_half_gone(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- transaction: false
            -- migrate:up
            create table a01 (n integer);
            create table a02 (n integer);
            -- migrate:down
            drop table a01;
            drop table a03;
        ");
        migrate(&start, &[]).assert_status(0);
        let stopped = migrate(&start, &["--revision", "base", "--allow-downgrade", "--yes"]);
        stopped.assert_status(15);
        assert!(
            stopped.last_words().starts_with("prelaunch: exit 15 in apply: revision `a01` stopped at migrations/a01.sql:9:1: 1 of its 2 statements have run, and the same command goes on from there: ")
                || stopped.last_words().starts_with("prelaunch: exit 15 in apply: revision `a01` stopped at migrations/a01.sql:9:12: 1 of its 2 statements have run, and the same command goes on from there: "),
            "{}", stopped.transcript()
        );
        let half = "revision `a01` is half reverted; end that with `prelaunch database migrate --revision TARGET --allow-downgrade`, to the target that was meant";
        for mode in ["true", "check", "wait"] {
            let refused = start.clone().env("AUTO_MIGRATION", mode).server(&["echo", "server"]).run();
            refused.assert_status(16).assert_stdout("")
                .assert_last_words(&format!("prelaunch: exit 16 in plan: {half}"));
        }
        migrate(&start, &[]).assert_status(16)
            .assert_last_words(&format!("prelaunch: exit 16 in plan: {half}"));
        let listed = start.clone().args(&["database", "revisions"]).run();
        assert!(listed.raw_stdout.contains(", half reverted\n"), "{}", listed.transcript());
        database.query("create table a03 (n integer)");
        migrate(&start, &["--revision", "base", "--allow-downgrade", "--yes"]).assert_status(0);
        assert_eq!((database.ledger(), database.history()), (vec![], vec!["upgrade a01".into(), "downgrade a01".into()]));
        assert_eq!(database.recorded("select revision from prelaunch_journal"), [""; 0]);
        start.clone().env("AUTO_MIGRATION", "check").run().assert_status(17);
    }

    /// Whoever puts right by hand what stopped part-way says so with a stamp, and nothing of what the
    /// journal had is taken for done afterwards.
    fn a_stamp_ends_what_stopped_part_way(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- transaction: false
            -- migrate:up
            create table a01 (n integer);
            create table a02 as select n from a03;
            -- migrate:down
            drop table a01;
            drop table a02;
        ");
        let back = ["--revision", "base", "--allow-downgrade", "--yes"];
        let stamp = |target: &str| {
            start.clone().args(&["database", "stamp", target]).run().assert_status(0);
        };
        migrate(&start, &[]).assert_status(15);
        database.query("create table a02 (n integer)");
        stamp("a01");
        assert_eq!(database.recorded("select revision from prelaunch_journal"), [""; 0]);
        migrate(&start, &back).assert_status(0);
        assert_eq!(shape(database), "");

        // The way back stops, too; first it is put right to what was before it.
        database.query("create table a01 (n integer)");
        stamp("a01");
        migrate(&start, &back).assert_status(15);
        database.query("create table a01 (n integer)");
        database.query("create table a02 (n integer)");
        stamp("a01");
        assert_eq!(database.recorded("select origin from prelaunch_ledger"), ["stamp"]);
        start.clone().env("AUTO_MIGRATION", "check").run().assert_status(0);
        migrate(&start, &back).assert_status(0);
        assert_eq!(shape(database), "");

        // And then to what is behind it.
        database.query("create table a01 (n integer)");
        stamp("a01");
        migrate(&start, &back).assert_status(15);
        stamp("base");
        assert_eq!(database.ledger(), [""; 0]);
        database.query("create table a03 (n integer)");
        migrate(&start, &[]).assert_status(0);
    }

    /// A line of the journal that its revision has outlived, however it came there.
    fn a_leftover_of_the_journal_does_not_stop_a_way_back(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- transaction: false
            -- migrate:up
            create table a01 (n integer);
            -- migrate:down
            drop table a01;
        ");
        migrate(&start, &[]).assert_status(0);
        database.query("insert into prelaunch_journal (revision, statement, checksum) values ('a01', 1, 'x')");
        migrate(&start, &["--revision", "base", "--allow-downgrade", "--yes"]).assert_status(0);
        assert_eq!(shape(database), "");
    }

    fn a_way_back_that_fails_leaves_its_revision_whole(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- migrate:up
            create table a01 (n integer);
            create table a02 (n integer);
            -- migrate:down
            drop table a01;
            drop table a03;
        ");
        migrate(&start, &[]).assert_status(0);
        let before = shape(database);
        migrate(&start, &["--revision", "base", "--allow-downgrade", "--yes"]).assert_status(14);
        assert_eq!((shape(database), database.ledger()), (before, vec!["a01".to_owned()]));
        start.env("AUTO_MIGRATION", "true").server(&["echo", "server"]).run()
            .assert_status(0).assert_stdout("server");
    }

    fn a_question_is_asked_at_a_terminal_and_no_is_the_default(database: &dyn Database) {
        let start = at_head(database);
        let asked = |answer: &str| {
            let terminal = Terminal::with(answer);
            let start = start.clone().changed(move |command| { command.stdin(terminal.stdin()); });
            migrate(&start, &["--revision", "-1", "--allow-downgrade"])
        };
        for answer in ["\n", "n\n", "perhaps\n"] {
            let declined = asked(answer);
            declined.assert_status(16);
            assert!(declined.raw_stderr.ends_with("Revert this revision? [y/N] prelaunch: exit 16 in plan: nothing was reverted, since it was not confirmed\n"), "{}", declined.transcript());
            assert_eq!(database.ledger().len(), 12);
        }
        asked("y\n").assert_status(0);
        assert_eq!(database.ledger().len(), 11);
    }

    fn whoever_is_asked_can_leave(database: &dyn Database) {
        let start = at_head(database);
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let terminal = Terminal::with("");
            let stdin = std::sync::Mutex::new(Some(terminal.stdin()));
            let asked = start
                .clone()
                .args(&["database", "migrate", "--revision", "-1", "--allow-downgrade"])
                .changed(move |command| { command.stdin(stdin.lock().unwrap().take().unwrap()); })
                .spawn();
            eventually("the question", || {
                asked.raw_stderr_so_far().contains("Revert this revision?").then_some(())
            });
            asked.signal(signal);
            asked.wait().assert_status(128 + signal as i32);
            assert_eq!(database.ledger().len(), 12);
        }
    }

    fn nothing_is_reverted_but_what_was_shown(database: &dyn Database) {
        let start = at_head(database);
        let mut terminal = Terminal::with("");
        let (stdin, waiting) = (terminal.stdin(), start.clone());
        let stdin = std::sync::Mutex::new(Some(stdin));
        let waiting = waiting
            .args(&["database", "migrate", "--revision", "-1", "--allow-downgrade"])
            .changed(move |command| { command.stdin(stdin.lock().unwrap().take().unwrap()); })
            .spawn();
        waiting.wait_for_stdout("down  3fc3c0839959 -> 1e629a913727");
        // What was counted from then has another meaning now.
        migrate(&start, &["--revision", "-1", "--allow-downgrade", "--yes"]).assert_status(0);
        terminal.say("y\n");
        waiting.wait().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: somebody else changed the ledger meanwhile; look again, and repeat the command",
        );
        assert_eq!(database.ledger().len(), 11);
    }
}

/// The whole of a graph in one plan, without any database.
#[test]
fn a_plan_needs_no_database() {
    let start = Prelaunch::new().migrations_from("demo");
    let plan =
        migrate(&start, &["--plan", "--json", "--offline", "--from", "1.11", "--revision", "1.13"]);
    plan.assert_status(0).assert_stderr("").assert_stdout(
        "{\"from\":[\"3ff6484f8b37\"],\"to\":[\"1e629a913727\"],\"steps\":[{\"direction\":\"up\",\"revision\":\"8c574ada5e5f\"},{\"direction\":\"up\",\"revision\":\"3fc3c0839959\"},{\"direction\":\"up\",\"revision\":\"1e629a913727\"}]}",
    );
    let down = migrate(&start, &["--plan", "--revision", "1.8:1.7"]);
    down.assert_status(0).assert_stderr("");
    assert_eq!(down.raw_stdout.lines().count(), 5, "{}", down.transcript());
    assert!(
        down.raw_stdout.starts_with("down  e402e9d9245e -> ae5522b4c674, create fields table\n")
    );
    migrate(&start, &["--offline"]).assert_status(2);
    migrate(&start, &["--revision", "1.7:1.8"]).assert_status(2);
    migrate(&start, &["--from", "1.7", "--plan"]).assert_status(2);
    migrate(&start, &["--json"]).assert_status(2);
    migrate(&start, &[]).assert_status(10);
}

#[test]
fn a_bar_is_shown_at_a_terminal_and_nowhere_else() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database).migrations_from("demo").args(&["database", "migrate"]);
    let quiet = start.clone().run();
    quiet.assert_status(0);
    assert!(!quiet.raw_stderr.contains("12/12") && !quiet.raw_stderr.contains('\r'));
    let database = Sqlite::create();
    let shown = start
        .env("DATABASE_URL", database.url())
        .env("TERM", "xterm")
        .under(&["sh", "-c", "exec script -qefc \"$0 $*\" /dev/null"])
        .run();
    shown.assert_status(0);
    let screen = &shown.raw_stdout;
    assert!(screen.contains(" 11/12 ") && screen.contains("1e629a913727 fix sugg"), "{screen}");
    let line = "number=12 total=12 took=";
    assert!(screen.lines().any(|one| one.contains(line) && one.ends_with("ms")), "{screen}");
    assert_eq!(database.ledger().len(), 12);
}

/// A file of SQL whose revision cannot run in a transaction on PostgreSQL.
const C01: &str = "
    -- it's an index, built beside writers
    -- revision: c01
    -- revises: 1e629a913727
    -- transaction: false

    -- migrate:up postgres
    create index concurrently c01_users on users (display_name);
    -- migrate:down postgres
    drop index concurrently c01_users;
    -- migrate:up sqlite
    create index c01_users on users (display_name);
    -- migrate:down sqlite
    drop index c01_users;
";

pub(crate) fn migrate(start: &Prelaunch, arguments: &[&str]) -> Outcome {
    start.clone().args(&[&["database", "migrate"], arguments].concat()).run()
}

fn accept(start: &Prelaunch, revision: &str) -> Outcome {
    start.clone().args(&["database", "accept", revision]).run()
}

fn at_head(database: &dyn Database) -> Prelaunch {
    let start = Prelaunch::on(database).migrations_from("demo");
    migrate(&start, &[]).assert_status(0);
    start
}

/// Another empty database of the same engine.
pub(crate) fn another(database: &dyn Database) -> Box<dyn Database> {
    match database.engine() {
        Engine::Sqlite => Box::new(Sqlite::create()),
        Engine::Postgres => Box::new(Postgres::create()),
    }
}

/// The ledger and the history, less when, by whom, and how long.
pub(crate) fn remembered(database: &dyn Database) -> String {
    database.query(
        "select revision, parents, depends_on, tag, title, checksum, up, down, origin, tool \
         from prelaunch_ledger order by revision",
    ) + &database.query("select event, subject, heads, tool from prelaunch_history order by seq")
}

/// Runs a script with `psql` or `sqlite3`, as it stands and with no flag that it does not set itself.
pub(crate) fn pipe(database: &dyn Database, script: &str) -> Result<(), String> {
    pipe_to(database, &database.url(), script)
}

/// The same with another URL of the database.
pub(crate) fn pipe_to(database: &dyn Database, url: &str, script: &str) -> Result<(), String> {
    let mut command = match database.engine() {
        Engine::Sqlite => {
            let mut command = Command::new("sqlite3");
            command.arg(url.strip_prefix("sqlite:").unwrap());
            command
        }
        Engine::Postgres => {
            let mut command = Command::new("psql");
            command.args(["-X", "-q", url]);
            command
        }
    };
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, script) = (child.stdin.take().unwrap(), script.to_owned());
    // It may end before it has read all of it.
    let writer = std::thread::spawn(move || _ = stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(()) } else { Err(words) }
}

/// A terminal at which somebody has typed something.
struct Terminal {
    keyboard: File,
    stdin: OwnedFd,
}

impl Terminal {
    fn with(typed: &str) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut terminal = Self { keyboard: pty.master.into(), stdin: pty.slave };
        terminal.say(typed);
        terminal
    }

    fn say(&mut self, typed: &str) {
        self.keyboard.write_all(typed.as_bytes()).unwrap();
    }

    fn stdin(&self) -> OwnedFd {
        self.stdin.try_clone().unwrap()
    }
}
