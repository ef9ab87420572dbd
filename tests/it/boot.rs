//! What a start promises beyond its words: that nothing pending takes no lock, that a look leaves no
//! trace, that JSON is JSON, that no password shows, that missing rights are named.

use std::{fs::File, path::Path};

use serde_json::Value;

use crate::{
    database::{Database, Engine, eventually, on_both},
    postgres::Postgres,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

on_both! {
    fn nothing_pending_starts_past_a_lock_that_somebody_holds(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo").env("AUTO_MIGRATION", "true");
        start.run().assert_status(0);
        let _held = hold_lock(database);
        start
            .env("LOCK_TIMEOUT", "0")
            .server(&["echo", "the server runs"])
            .run()
            .assert_status(0)
            .assert_stdout("the server runs")
            .assert_never_said("lock");
    }

    /// The counterpart of the test before: what it holds is the lock that a runner asks for.
    fn what_is_pending_waits_for_a_lock_that_somebody_holds(database: &dyn Database) {
        let start = Prelaunch::on(database).revision("c01", "", "create table c01 (n integer);");
        let start = start.env("AUTO_MIGRATION", "true");
        start.run().assert_status(0);
        let held = hold_lock(database);
        let start = start.revision("c02", "c01", "create table c02 (n integer);");
        let refused = start.clone().env("LOCK_TIMEOUT", "0").run();
        refused.assert_status(13).assert_said(&format!("the {} was not had", stand(database)));
        drop(held);
        start.run().assert_status(0);
        assert_eq!(database.ledger(), ["c01", "c02"]);
    }

    fn every_line_is_json_where_json_is_asked_for(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .migrations_from("demo")
            .env("LOG_FORMAT", "json")
            .env("AUTO_MIGRATIONS", "true");
        let failed = start.clone().env("AUTO_MIGRATION", "check").run();
        failed.assert_status(17);
        let applied = start.env("AUTO_MIGRATION", "true").run();
        applied.assert_status(0);
        for line in failed.raw_stderr.lines().chain(applied.raw_stderr.lines()) {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for field in ["timestamp", "level", "stage", "event", "message"] {
                assert!(event[field].is_string(), "no {field} in {line}");
            }
        }
        let last: Value = serde_json::from_str(failed.raw_stderr.lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "failed");
        assert_eq!(last["level"], "ERROR");
        assert_eq!(last["stage"], "plan");
        assert_eq!(last["code"], 17);
        let applied: Vec<Value> =
            applied.raw_stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let looked = applied.iter().find(|event| event["event"] == "looked").unwrap();
        assert_eq!(looked["pending"], 12, "numbers are numbers");
        let revisions = applied.iter().filter(|event| event["event"] == "applied");
        assert_eq!(revisions.count(), 12);
    }
}

#[test]
fn nothing_pending_makes_no_lock_file() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database).migrations_from("demo").env("AUTO_MIGRATION", "true");
    start.run().assert_status(0);
    std::fs::remove_file(database.lock_file()).unwrap();
    start.run().assert_status(0);
    assert!(!database.lock_file().exists());
}

#[test]
fn only_mode_true_makes_a_sqlite_file() {
    for (mode, code) in [("check", 17), ("wait", 17), ("false", 0)] {
        let database = Sqlite::create();
        let start = Prelaunch::on(&database).migrations_from("demo").env("AUTO_MIGRATION", mode);
        start.env("LOCK_TIMEOUT", "0").run().assert_status(code);
        assert!(!database.path().exists(), "made by `{mode}`");
        assert!(!database.lock_file().exists(), "the lock file was made by `{mode}`");
    }
}

/// Each of these fails, in another stage and with another error, and is told in every format at the
/// chattiest level.
#[test]
fn no_password_shows_whatever_fails() {
    let database = Postgres::create();
    let password = database.secrets().remove(0);
    let (name, role, port) = (database.name(), database.role(), database.server().port);
    let faulty = [
        (12, database.url_with_password("hunter2-not-so-secret")),
        (12, database.url_of("no_such_database")),
        (11, format!("postgres://{role}:{password}@127.0.0.1:1/{name}")),
        (11, format!("postgres://{role}:{password}@no-such-host.invalid:{port}/{name}")),
        (12, format!("postgres://{role}:{password}@127.0.0.1:{port}/{name}?sslmode=require")),
        (10, format!("postgres://{role}:{password}@127.0.0.1:nowhere/{name}")),
        (10, format!("postgres://{role}:{password}@127.0.0.1:{port}/{name}?sslmode=perhaps")),
        (10, format!("mysql://{role}:{password}@127.0.0.1:{port}/{name}")),
        (10, format!("{role}:{password}@127.0.0.1:{port}/{name}")),
        (10, format!("sqlite://{password}@127.0.0.1/{name}")),
        (14, database.url()),
    ];
    for (code, url) in faulty {
        for format in ["text", "json"] {
            let start = Prelaunch::on(&database)
                .secret("hunter2-not-so-secret")
                .revision("c01", "", "insert into nowhere values (1);")
                .file("termination-log", "")
                .env("TERMINATION_LOG", "termination-log")
                .env("AUTO_MIGRATION", "true")
                .env("WAIT_TIMEOUT", "0")
                .env("LOG_LEVEL", "trace")
                .env("LOG_FORMAT", format)
                .env("DATABASE_URL", &url);
            // That none is on stderr is asserted for every run of every test.
            start.run().assert_status(code).assert_stdout("");
            let words = std::fs::read_to_string(start.directory().join("termination-log")).unwrap();
            assert!(!words.is_empty(), "{url}");
            assert!(!words.contains(&password) && !words.contains("hunter2"), "{words}");
        }
    }
}

#[test]
fn a_role_that_may_not_look_is_told_which_rights_it_needs() {
    let database = Postgres::create();
    let start = Prelaunch::on(&database).migrations_from("demo");
    start.clone().env("AUTO_MIGRATION", "true").run().assert_status(0);

    let reader = format!("{}_reader", database.name());
    database.administer(&format!("create role {reader} login password 'secret-reader'"));
    let server = database.server();
    let start = start
        .stand("DB_reader", "READER")
        .env("DATABASE_URL", server.url(&reader, "secret-reader", database.name()))
        .env("AUTO_MIGRATION", "check");
    let refused = start.run();
    refused.assert_status(12).assert_stderr(
        "
        INFO wait: answers what=postgres://READER@127.0.0.1:PORT/DB tries=1 took=…
        prelaunch: exit 12 in look: role `READER` may not read the ledger; as its owner: grant usage on schema public to READER; grant select on public.prelaunch_ledger, public.prelaunch_history, public.prelaunch_journal to READER: permission denied for table prelaunch_ledger (SQLSTATE 42501)
        ",
    );
    let told = refused.raw_stderr.split_once("as its owner: ").unwrap().1;
    let grants = told.split_once(": permission denied").unwrap().0;
    database.query(grants);
    start.run().assert_status(0);
    database.administer(&format!("drop owned by {reader}; drop role {reader}"));
}

/// Two applications on one server have the same key in two databases, and nothing else in common.
#[test]
fn a_runner_in_another_database_is_not_taken_for_an_orphan() {
    let (theirs, ours) = (Postgres::create(), Postgres::create());
    let start = |database: &Postgres| Prelaunch::on(database).env("AUTO_MIGRATION", "true");
    let working = start(&theirs).revision("c01", "", "select pg_sleep(600);").spawn();
    working.wait_for("applies a revision");
    eventually("their worker works", || {
        let query = "select 1 from pg_stat_activity \
                     where datname = current_database() and query like 'select pg_sleep%'";
        (theirs.query(query) == "1").then_some(())
    });
    let outcome = start(&ours).revision("c01", "", "create table c01 (n integer);").run();
    outcome.assert_status(0).assert_never_said("left a session at work");
}

/// Holds the lock of a database in another session, until it is dropped.
fn hold_lock(database: &dyn Database) -> Box<dyn std::any::Any> {
    match database.engine() {
        Engine::Sqlite => {
            let path = database.lock();
            let file = File::open(Path::new(path.strip_prefix("lock file ").unwrap())).unwrap();
            file.lock().unwrap();
            Box::new(file)
        }
        Engine::Postgres => {
            let lock = database.lock();
            let key = lock.split(' ').nth(2).unwrap();
            let mut session = database.session();
            session.execute(&format!("begin; select pg_advisory_xact_lock({key})"));
            Box::new(session)
        }
    }
}

/// How the lock is called in normalised output.
fn stand(database: &dyn Database) -> String {
    match database.engine() {
        Engine::Sqlite => "lock file DB.prelaunch-lock".to_owned(),
        Engine::Postgres => database.lock(),
    }
}

/// What a script set for its session is gone with it, and what follows counts on it.
#[test]
fn a_script_that_goes_on_has_its_settings_again() {
    let database = Postgres::create();
    database.query("create schema other");
    let start = Prelaunch::on(&database).env("AUTO_MIGRATION", "true");
    let script = |last: &str| {
        format!(
            "-- a01\n-- revision: a01\n-- transaction: false\n-- migrate:up\nset search_path = other;\n\
             create table first (n integer);\n{last}\n"
        )
    };
    let stopped = start.script("a01.sql", &script("create table second (n nonsense);"));
    stopped.run().assert_status(15);
    stopped.script("a01.sql", &script("create table second (n integer);")).run().assert_status(0);
    let tables = "select string_agg(relname, ' ' order by relname) from pg_class \
                  where relkind = 'r' and relnamespace = 'other'::regnamespace";
    assert_eq!(database.query(tables), "first second");
}
