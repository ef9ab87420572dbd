//! Signals while the database is being changed, and while commands run.
//!
//! What holds a script is a row in a table: the same script, unchanged, passes once it is gone.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;

use super::{completes, ended, ended_with, nothing_left, sessions, signals, start};
use crate::{
    database::{Database, Engine, eventually, on_both},
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
    sqlite::Sqlite,
};

/// A statement that takes a minute and more while there is a row in `hold`.
pub(super) fn slow(database: &dyn Database) -> &'static str {
    match database.engine() {
        Engine::Sqlite => {
            "with recursive n (i) as (select 1 from hold union all select i + 1 from n)
             select max(i) from n"
        }
        Engine::Postgres => "select pg_sleep(seconds) from hold",
    }
}

/// Adds the table `hold` with its row.
pub(super) fn hold(database: &dyn Database) {
    database.query("create table hold (seconds integer)");
    hold_again(database);
}

pub(super) fn hold_again(database: &dyn Database) {
    database.query("insert into hold values (60)");
}

/// Lets the script pass.
pub(super) fn let_go(database: &dyn Database) {
    database.query("delete from hold");
}

/// A second revision, `b`, with a slow statement between two that leave a table behind.
pub(super) fn slow_revision(start: Prelaunch, database: &dyn Database) -> Prelaunch {
    hold(database);
    start.revision("b", "a", &three_statements(slow(database)))
}

fn three_statements(slow: &str) -> String {
    format!("create table b (x integer);\n{slow};\ncreate table c (x integer);")
}

/// The same, outside of a transaction.
pub(super) fn slow_revision_without_transaction(start: Prelaunch, slow: &str) -> Prelaunch {
    let text = "-- b\n--\n-- revision: b\n-- revises: a\n-- transaction: false\n\n-- migrate:up\n";
    start.script("b.sql", &format!("{text}{}\n", three_statements(slow)))
}

/// Waits until the slow statement runs.
#[track_caller]
pub(super) fn is_in_the_statement(running: &Running, database: &dyn Database) {
    running.wait_for("applies a revision revision=b");
    match database.engine() {
        Engine::Sqlite => keeps_the_processor_busy(running),
        Engine::Postgres => sleeps_on_the_server(database, "pg_sleep"),
    }
}

/// Waits until a session sleeps in `pg_sleep`, in a query with these words.
#[track_caller]
pub(super) fn sleeps_on_the_server(database: &dyn Database, words: &str) {
    let sleeps = format!("wait_event = 'PgSleep' and position('{words}' in query) > 0");
    eventually("a statement sleeps", || (sessions(database, &sleeps) == "1").then_some(()));
}

/// Waits until the process has used a twentieth of a second more: nothing but the slow statement
/// takes that long.
#[track_caller]
fn keeps_the_processor_busy(running: &Running) {
    let used = || {
        let text = fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap();
        let (_, fields) = text.rsplit_once(") ").unwrap();
        // The twelfth field behind the name: hundredths of a second in the process itself.
        fields.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    let before = used();
    eventually("it keeps the processor busy", || (used() >= before + 5).then_some(()));
}

on_both! {
    fn a_statement(database: &dyn Database) {
        let start = slow_revision(start(database), database);
        for signal in signals(database) {
            let running = start.spawn();
            is_in_the_statement(&running, database);
            ended_with(
                running,
                signal,
                "exit CODE in apply: revision `b` failed at migrations/b.sql:8:1 and was rolled \
                 back: stopped by SIGNAL",
            );
            assert_eq!(database.ledger(), ["a"]);
            assert!(!database.tables().contains(&"b".to_owned()), "something of it is left");
            nothing_left(&start, database);
        }
        let_go(database);
        completes(&start, database, &["a", "b"]);
    }

    /// What has run before it stays, and it is known that it has not: nobody need be asked.
    fn a_statement_outside_of_a_transaction(database: &dyn Database) {
        hold(database);
        let start = slow_revision_without_transaction(start(database), slow(database));
        for signal in signals(database) {
            let running = start.spawn();
            is_in_the_statement(&running, database);
            ended_with(
                running,
                signal,
                "exit CODE in apply: revision `b` stopped at migrations/b.sql:9:1: 1 of its 3 \
                 statements have run, and the next start goes on from there: stopped by SIGNAL",
            );
            assert_eq!(database.ledger(), ["a"]);
            assert!(database.tables().contains(&"b".to_owned()), "what has run stays");
            nothing_left(&start, database);
        }
        let_go(database);
        completes(&start, database, &["a", "b"]);
    }
}

/// Nothing in a block of code asks whether somebody wants it to end, but the server does.
#[test]
fn a_block_of_code_outside_of_a_transaction() {
    let database = Postgres::create();
    hold(&database);
    let block = "do $$ begin perform pg_sleep(seconds) from hold; end $$";
    let start = slow_revision_without_transaction(start(&database), block);
    let running = start.spawn();
    sleeps_on_the_server(&database, "perform");
    ended_with(
        running,
        Signal::SIGINT,
        "exit CODE in apply: revision `b` stopped at migrations/b.sql:9:1: 1 of its 3 statements \
         have run, and the next start goes on from there: stopped by SIGNAL",
    );
    nothing_left(&start, &database);
    let_go(&database);
    completes(&start, &database, &["a", "b"]);
}

/// A cancellation can get lost, here in the block itself: it is repeated.
#[test]
fn a_statement_that_survives_its_cancellation() {
    let database = Postgres::create();
    hold(&database);
    let block = "do $$ begin perform pg_sleep(seconds) from hold;
                 exception when query_canceled then perform pg_sleep(seconds) from hold; end $$";
    let start = slow_revision_without_transaction(start(&database), block);
    let running = start.spawn();
    sleeps_on_the_server(&database, "perform");
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `b` stopped at migrations/b.sql:9:1: 1 of its 3 statements \
         have run, and the next start goes on from there: stopped by SIGNAL",
    );
    nothing_left(&start, &database);
    let_go(&database);
    completes(&start, &database, &["a", "b"]);
}

/// Keys that take their time to be computed make a check of all rows as long as a large file does.
#[test]
fn the_check_of_foreign_keys() {
    let database = Sqlite::create();
    let start = start(&database);
    database.query(
        "create table parent (k text primary key);
         create table child (
           i integer, k text as (hex(zeroblob(20000)) || i) references parent
         );
         with recursive n (i) as (select 1 union all select i + 1 from n limit 600000)
         insert into child select i from n",
    );
    for signal in signals(&database) {
        let running = start.spawn();
        running.wait_for("applies a revision revision=a");
        keeps_the_processor_busy(&running);
        ended_with(
            running,
            signal,
            "exit CODE in apply: revision `a` failed and was rolled back: stopped by SIGNAL",
        );
        assert!(!database.tables().contains(&"a".to_owned()), "something of it is left");
        nothing_left(&start, &database);
    }
    database.query("delete from child");
    completes(&start, &database, &["a"]);
}

/// A transaction that somebody else has open keeps the index from being finished.
#[test]
fn an_index_that_is_built_concurrently() {
    let database = Postgres::create();
    let start = start(&database).script(
        "b.sql",
        "
        -- b
        --
        -- revision: b
        -- revises: a
        -- transaction: false

        -- migrate:up
        create index concurrently i on a (x);
        ",
    );
    let valid = "select indisvalid from pg_index where indexrelid = 'i'::regclass";
    start.clone().env("MIGRATION_TARGET", "a").run().assert_status(0);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut other = database.session();
        other.execute("begin");
        other.execute("insert into a values (1)");
        let running = start.spawn();
        // From the second time on it is the invalid index that cannot be dropped.
        let waits = "wait_event_type = 'Lock' and query like '% index concurrently %'";
        eventually("the index waits", || (sessions(&database, waits) == "1").then_some(()));
        ended_with(
            running,
            signal,
            "exit CODE in apply: revision `b` stopped at migrations/b.sql:8:1: 0 of its 1 \
             statements have run, and the next start goes on from there: stopped by SIGNAL",
        );
        nothing_left(&start, &database);
        assert_eq!(database.query(valid), "f");
    }
    start.run().assert_status(0).assert_said("drops the invalid index that an earlier try left");
    assert_eq!(database.query(valid), "t");
    assert_eq!(database.ledger(), ["a", "b"]);
    nothing_left(&start, &database);
}

/// A second revision, `b`, whose checks at the end take a minute.
pub(super) fn slow_commit(start: Prelaunch, database: &dyn Database) -> Prelaunch {
    database.query("create table hold (seconds integer)");
    start.revision(
        "b",
        "a",
        "
        create function sleep() returns trigger language plpgsql as
            $$ begin perform pg_sleep(seconds) from hold; return null; end $$;
        create table b (x integer);
        create constraint trigger sleeps after insert on b deferrable initially deferred
            for each row execute function sleep();
        insert into b values (1);
        ",
    )
}

on_both! {
    fn the_commit(database: &dyn Database) {
        let start = match database.engine() {
            // Somebody reads, and so nobody else can commit.
            Engine::Sqlite => start(database).revision("b", "a", "create table b (x integer);"),
            Engine::Postgres => slow_commit(start(database), database),
        };
        start.clone().env("MIGRATION_TARGET", "a").run().assert_status(0);
        for signal in signals(database) {
            let mut reader = database.session();
            if database.engine() == Engine::Sqlite {
                reader.execute("begin");
                reader.execute("select * from a");
            } else {
                hold_again(database);
            }
            let running = start.spawn();
            match database.engine() {
                Engine::Sqlite => _ = running.wait_for("another process uses the SQLite file"),
                Engine::Postgres => sleeps_on_the_server(database, "commit"),
            }
            ended_with(
                running,
                signal,
                "exit CODE in apply: revision `b` failed and was rolled back: stopped by SIGNAL",
            );
            drop(reader);
            assert_eq!(database.ledger(), ["a"]);
            assert!(!database.tables().contains(&"b".to_owned()), "something of it is left");
            nothing_left(&start, database);
        }
        if database.engine() == Engine::Postgres {
            let_go(database);
        }
        completes(&start, database, &["a", "b"]);
    }
}

/// A command that writes down its process id, and then takes a minute.
const SLOW_COMMAND: &str = "sh -c 'echo $$ >child; exec sleep 60'";

/// Waits until the command runs, and gives the file that tells of it.
#[track_caller]
pub(super) fn is_in_the_command(start: &Prelaunch) -> PathBuf {
    let file = start.directory().join("child");
    eventually("the command runs", || {
        fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')).then_some(())
    });
    file
}

on_both! {
    fn the_hook(database: &dyn Database) {
        let start = start(database);
        for signal in signals(database) {
            let running = start.clone().env("AFTER_MIGRATE", SLOW_COMMAND).spawn();
            fs::remove_file(is_in_the_command(&start)).unwrap();
            ended_with(
                running,
                signal,
                "exit CODE in apply: AFTER_MIGRATE failed: `sh` was stopped by SIGNAL",
            );
            nothing_left(&start, database);
        }
        assert_eq!(database.history(), ["upgrade a"]);
        completes(&start.clone().env("AFTER_MIGRATE", "true"), database, &["a"]);
        assert_eq!(database.history(), ["upgrade a", "hook"]);
    }

    fn the_reindex(database: &dyn Database) {
        let start = start(database).env("REINDEX_DATASETS", "true");
        for signal in signals(database) {
            let running = start.clone().env("REINDEX_COMMAND", SLOW_COMMAND).spawn();
            fs::remove_file(is_in_the_command(&start)).unwrap();
            ended_with(
                running,
                signal,
                "exit CODE in reindex: REINDEX_COMMAND failed: `sh` was stopped by SIGNAL",
            );
            nothing_left(&start, database);
        }
        assert_eq!(database.history(), ["upgrade a"]);
        completes(&start.clone().env("REINDEX_COMMAND", "true"), database, &["a"]);
        assert_eq!(database.history(), ["upgrade a", "reindex *"]);
    }
}

#[test]
fn a_command_that_does_not_listen_is_killed_after_stop_timeout() {
    let database = Sqlite::create();
    let start = start(&database).env("STOP_TIMEOUT", "300ms");
    let deaf = "sh -c 'trap \"\" TERM; echo $$ >child; exec sleep 60'";
    let running = start.clone().env("AFTER_MIGRATE", deaf).spawn();
    is_in_the_command(&start);
    let outcome = ended(running, Signal::SIGTERM);
    outcome.assert_said("the command did not end in time");
    nothing_left(&start, &database);
    completes(&start.clone().env("AFTER_MIGRATE", "true"), &database, &["a"]);
}

/// Although the command itself ends at once.
#[test]
fn what_a_command_has_started_has_ended_before_the_lock_is_given_back() {
    let database = Sqlite::create();
    let start = start(&database).env("STOP_TIMEOUT", "300ms");
    let parent = "sh -c '(trap \"\" TERM; echo $$ >child; sleep 60; true) & wait'";
    let running = start.clone().env("AFTER_MIGRATE", parent).spawn();
    is_in_the_command(&start);
    let outcome = ended(running, Signal::SIGTERM);
    outcome.assert_last_words(
        "prelaunch: exit 143 in apply: AFTER_MIGRATE failed: `sh` was stopped by SIGTERM",
    );
    nothing_left(&start, &database);
}

/// While somebody reads a SQLite file, nothing can be written down at once.
#[test]
fn that_a_statement_has_not_run_is_written_down_beside_a_reader() {
    let database = Sqlite::create();
    hold(&database);
    let start = slow_revision_without_transaction(start(&database), slow(&database));
    let running = start.spawn();
    is_in_the_statement(&running, &database);
    let mut reader = database.session();
    reader.execute("begin");
    reader.execute("select * from a");
    running.signal(Signal::SIGTERM);
    running.wait_for("another process uses the SQLite file");
    drop(reader);
    running.wait().assert_status(143);
    nothing_left(&start, &database);
    let_go(&database);
    completes(&start, &database, &["a", "b"]);
}
