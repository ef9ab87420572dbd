//! What a runner leaves at work on PostgreSQL when it dies, or when its lock does: nobody works
//! beside it.

use std::time::Instant;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cluster::Cluster,
    database::{Database as _, eventually},
    postgres::Postgres,
    prelaunch::Prelaunch,
};

/// A revision that sleeps for as long as `patience` says, and notes who else is at work then.
fn sleeping(database: &Postgres, header: &str) -> Prelaunch {
    database.query("create table patience (amount integer); insert into patience values (600)");
    database.query("create table beside (workers bigint)");
    let script = format!(
        "-- revision: a000\n{header}-- migrate:up\n\
         insert into beside select count(*) from pg_stat_activity where state = 'active' \
         and application_name like 'prelaunch:%:worker:%' and pid <> pg_backend_pid() \
         and datname = current_database();\n\
         select pg_sleep(amount) from patience;\n",
    );
    Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        .script("a000.sql", &script)
        .server(&["echo", "the server runs"])
}

/// The backend that sleeps.
fn sleeper(database: &Postgres) -> Pid {
    let sleeps = "select pid from pg_stat_activity where state = 'active' \
                  and query like 'select pg_sleep(%' and datname = current_database()";
    let pid = eventually("it sleeps", || database.query(sleeps).parse().ok());
    Pid::from_raw(pid)
}

/// A backend that does not come to notice that its client is gone.
struct Frozen(Pid);

impl Frozen {
    fn new(backend: Pid) -> Self {
        kill(backend, Signal::SIGSTOP).unwrap();
        Self(backend)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

const CANCELS: &str = "a runner that is gone left a session at work; cancelling it";

#[test]
fn the_statement_of_a_dead_runner_ends_before_its_successor_begins() {
    for header in ["", "-- transaction: false\n-- idempotent: true\n"] {
        let database = Postgres::create();
        let start = sleeping(&database, header);
        let killed = start.spawn();
        let orphan = Frozen::new(sleeper(&database));
        killed.signal(Signal::SIGKILL);
        killed.wait().assert_killed_by(Signal::SIGKILL);
        database.query("update patience set amount = 0");
        let runner = start.spawn();
        runner.wait_for(CANCELS);
        assert!(!runner.stderr_so_far().contains("applies a revision"));
        drop(orphan);
        runner.wait().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.upgrades(), ["a000"]);
        // By statement the first one has run already, and stays so.
        assert_eq!(database.query("select workers from beside"), "0");
    }
}

#[test]
fn an_orphan_that_does_not_end_is_named() {
    let database = Postgres::create();
    let start = sleeping(&database, "");
    let killed = start.spawn();
    let orphan = Frozen::new(sleeper(&database));
    killed.signal(Signal::SIGKILL);
    killed.wait().assert_killed_by(Signal::SIGKILL);
    let start = start.stand(format!("backend({})", orphan.0), "backend(BACKEND)");
    start.env("LOCK_TIMEOUT", "500ms").run().assert_status(13).assert_last_words(
        "prelaunch: exit 13 in lock: cannot take the lock: session \
         `prelaunch:b93be602:worker:RUN:HOST` of an earlier run is still at work; end it with \
         `select pg_terminate_backend(BACKEND)`",
    );
    drop(orphan);
}

/// The application beside us has the same role and the same schema, as two with `postgres` and
/// `public` have.
#[test]
fn another_database_of_the_server_is_left_alone() {
    let database = Postgres::create();
    let start = sleeping(&database, "");
    let mut beside = start.spawn();
    sleeper(&database);
    let other = format!("{}_other", database.name());
    let administer = |sql: &str| database.server().administer("postgres", &[sql]).unwrap();
    administer(&format!("create database {other} owner {}", database.role()));
    Prelaunch::new()
        .knows(&database)
        .env("DATABASE_URL", database.url_of(&other))
        .env("AUTO_MIGRATION", "true")
        .migrations_from("demo")
        .run()
        .assert_status(0)
        .assert_never_said(CANCELS);
    administer(&format!("drop database {other}"));
    sleeper(&database);
    assert!(!beside.has_ended());
}

/// Somebody else may have it by then.
#[test]
fn a_runner_that_loses_its_lock_stops_its_work() {
    let database = Postgres::create();
    let start = sleeping(&database, "").env("LOCK_BEAT", "50ms");
    let runner = start.spawn();
    sleeper(&database);
    let terminated = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                      where application_name like 'prelaunch:%:keeper:%' \
                      and datname = current_database()";
    assert_eq!(database.query(terminated), "1");
    let outcome = runner.wait();
    outcome.assert_status(11).assert_stdout("");
    let words = "prelaunch: exit 11 in apply: revision `a000` failed at migrations/a000.sql:4:1 and \
                 was rolled back: the lock was lost: ";
    assert!(outcome.last_words().starts_with(words), "{}", outcome.transcript());
    let at_work = "select count(*) from pg_stat_activity where state <> 'idle' \
                   and application_name like 'prelaunch:%' and datname = current_database()";
    assert_eq!(database.query(at_work), "0");
    assert_eq!(database.ledger(), [""; 0]);

    database.query("update patience set amount = 0");
    start.run().assert_status(0).assert_stdout("the server runs");
}

/// As many sessions as the keeper and the worker are, and not one more.
#[test]
fn two_connections_are_enough() {
    let database = Postgres::create();
    database.administer(&format!("alter role {} connection limit 2", database.role()));
    let start = Prelaunch::on(&database).env("AUTO_MIGRATION", "true").migrations_from("demo");
    start.run().assert_status(0);
    assert_eq!(database.upgrades().len(), 12);
}

#[test]
fn one_connection_is_not_and_it_is_said_so() {
    let database = Postgres::create();
    database.administer(&format!("alter role {} connection limit 1", database.role()));
    Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("LOCK_TIMEOUT", "1s")
        .migrations_from("demo")
        .run()
        .assert_status(11)
        .assert_said("INFO lock: has the lock, and no connection to work on yet")
        .assert_last_words(
            "prelaunch: exit 11 in lock: cannot take the lock: too many connections for role \
             \"ROLE\" (SQLSTATE 53300)",
        );
}

/// A poll that is never answered is given up, and the deadline is kept.
#[test]
fn a_server_that_goes_silent_does_not_hold_up_the_queue() {
    let cluster = Cluster::start();
    let database = cluster.create();
    let start = sleeping(&database, "");
    let holder = start.spawn();
    sleeper(&database);
    let waiting = start.clone().env("AUTO_MIGRATION", "wait").env("LOCK_TIMEOUT", "2s").spawn();
    let queued = start.env("LOCK_TIMEOUT", "2s").spawn();
    waiting.wait_for("waits for another runner");
    queued.wait_for("waits for the lock");
    cluster.freeze();
    let began = Instant::now();
    let queued = queued.wait();
    queued.assert_status(13);
    let words = "within 2s; if the holder is alive, raise LOCK_TIMEOUT: no answer within";
    assert!(queued.last_words().contains(words), "{}", queued.transcript());
    let waiting = waiting.wait();
    waiting.assert_status(17).assert_said("INFO lock: cannot look; goes on trying why=\"no answer");
    let words = "prelaunch: exit 17 in lock: no other runner migrated the database within 2s: \
                 1 revision is pending: `a000`: no answer within";
    assert!(waiting.last_words().starts_with(words), "{}", waiting.transcript());
    assert!(began.elapsed().as_secs() < 6, "it took {:?}", began.elapsed());
    cluster.thaw();
    drop(holder);
}

/// An orphan is found under whatever name its script gave it.
#[test]
fn an_orphan_that_was_renamed_is_waited_for() {
    let database = Postgres::create();
    database.query("create table patience (amount integer); insert into patience values (600)");
    let up = "set application_name = 'mine';\nselect pg_sleep(amount) from patience;";
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .revision("a000", "", up)
        .server(&["echo", "the server runs"]);
    let killed = start.spawn();
    let orphan = Frozen::new(sleeper(&database));
    killed.signal(Signal::SIGKILL);
    killed.wait().assert_killed_by(Signal::SIGKILL);
    database.query("update patience set amount = 0");
    let runner = start.spawn();
    runner.wait_for(CANCELS);
    assert!(!runner.stderr_so_far().contains("applies a revision"));
    drop(orphan);
    runner.wait().assert_status(0).assert_said("name=mine").assert_stdout("the server runs");
    assert_eq!(database.upgrades(), ["a000"]);
}

/// Of a runner whose machine was lost between two statements: nothing runs that could be cancelled.
#[test]
fn an_orphan_that_idles_in_its_transaction_is_ended() {
    let database = Postgres::create();
    database.query("create table patience (amount integer)");
    let mut orphan = database.session();
    orphan.execute("set application_name = 'prelaunch:b93be602:worker:00000001:gone'");
    orphan.execute("begin; lock table patience");
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("LOCK_TIMEOUT", "10s")
        .revision("a000", "", "alter table patience add more integer;")
        .server(&["echo", "the server runs"]);
    start.run().assert_status(0).assert_said(CANCELS).assert_stdout("the server runs");
}

/// A statement that swallows its cancellation does not go on for ever.
#[test]
fn an_orphan_that_survives_its_cancellation_is_ended() {
    let database = Postgres::create();
    let mut orphan = database.session();
    orphan.execute("set application_name = 'prelaunch:b93be602:worker:00000001:gone'");
    orphan.send(
        "do $$ begin loop begin perform pg_sleep(600); \
         exception when query_canceled then null; end; end loop; end $$",
    );
    eventually("it sleeps", || {
        let sleeps = "select 1 from pg_stat_activity where wait_event = 'PgSleep' \
                      and datname = current_database()";
        (database.query(sleeps) == "1").then_some(())
    });
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("LOCK_TIMEOUT", "10s")
        .revision("a000", "", "create table a (x integer);");
    start.run().assert_status(0).assert_said(CANCELS);
}

/// As one whose machine is gone: its connections are open, and nothing comes from there.
#[test]
fn a_runner_that_stands_still_loses_its_lock() {
    for pooled in [false, true] {
        let database = Postgres::create();
        let start = sleeping(&database, "").env("LOCK_BEAT", "100ms");
        let url = if pooled { database.pgbouncer_url() } else { database.url() };
        let start = start.env("DATABASE_URL", url);
        let still = start.spawn();
        sleeper(&database);
        still.signal(Signal::SIGSTOP);
        database.query("update patience set amount = 0");
        let began = Instant::now();
        let outcome = start.run();
        assert!(began.elapsed().as_secs() < 10, "it took {:?}", began.elapsed());
        outcome.assert_status(0).assert_said(CANCELS).assert_stdout("the server runs");
        still.signal(Signal::SIGCONT);
        still.wait().assert_status(11).assert_stdout("");
        assert_eq!(database.upgrades(), ["a000"]);
        assert_eq!(database.query("select workers from beside"), "0");
    }
}

/// Who waits in the queue takes over at once, and so does who comes only then.
#[test]
fn a_successor_is_at_work_two_seconds_after_a_kill() {
    for (header, queued) in
        [("", true), ("", false), ("-- transaction: false\n-- idempotent: true\n", true)]
    {
        let database = Postgres::create();
        let start = sleeping(&database, header);
        database.query("update patience set amount = 20");
        let killed = start.spawn();
        sleeper(&database);
        database.query("update patience set amount = 0");
        let waiter = queued.then(|| start.spawn());
        if let Some(waiter) = &waiter {
            waiter.wait_for("waits for the lock");
        }
        let began = Instant::now();
        killed.signal(Signal::SIGKILL);
        let successor = waiter.unwrap_or_else(|| start.spawn());
        successor.wait_for("applies a revision");
        let took = began.elapsed();
        assert!(took.as_millis() < 2000, "it took {took:?}");
        successor.wait().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.query("select workers from beside"), "0");
        killed.wait().assert_killed_by(Signal::SIGKILL);
        let orphans = "select count(*) from pg_stat_activity where query like 'select pg_sleep(%' \
                       and state <> 'idle' and datname = current_database()";
        assert_eq!(database.query(orphans), "0");
    }
}

/// The statement was cancelled and has said so: there is nothing that nobody knows.
#[test]
fn a_statement_that_ended_with_the_lock_is_not_unknown() {
    let database = Postgres::create();
    let start = sleeping(&database, "-- transaction: false\n").env("LOCK_BEAT", "50ms");
    let runner = start.spawn();
    sleeper(&database);
    let terminated = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                      where application_name like 'prelaunch:%:keeper:%' \
                      and datname = current_database()";
    assert_eq!(database.query(terminated), "1");
    let outcome = runner.wait();
    let words = "prelaunch: exit 11 in apply: revision `a000` stopped at migrations/a000.sql:5:1: \
                 1 of its 2 statements have run, and the next start goes on from there: the lock \
                 was lost: ";
    assert!(outcome.last_words().starts_with(words), "{}", outcome.transcript());
    database.query("update patience set amount = 0");
    start.run().assert_status(0).assert_stdout("the server runs");
    assert_eq!(database.query("select count(*) from beside"), "1");
}
