//! Locks on tables that others hold: a revision gives way, is tried again whole, and says at last
//! what it did not get.

use std::time::Instant;

use crate::{
    database::{Database as _, eventually},
    postgres::Postgres,
    prelaunch::Prelaunch,
    session::Session,
};

/// A table that somebody uses, and a revision that wants it for itself.
fn contested(database: &Postgres, header: &str) -> (Session, Prelaunch) {
    database.query("create table contested (a integer)");
    let mut other = database.session();
    other.execute("begin; insert into contested values (1)");
    let script = format!(
        "-- revision: a000\n{header}-- migrate:up\n\
         create table before_it (a integer);\n\n  alter table contested add b integer;\n",
    );
    let start = Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        .script("a000.sql", &script)
        .server(&["echo", "the server runs"]);
    (other, start)
}

const GAVE_WAY: &str = "WARN apply: gave way to a lock, rolled back, tries again revision=a000";

/// While it pauses, it stands in nobody's way.
#[test]
fn a_revision_gives_way_until_the_lock_is_free() {
    for pooled in [false, true] {
        let database = Postgres::create();
        let (mut other, start) = contested(&database, "");
        let url = if pooled { database.pgbouncer_url() } else { database.url() };
        let start = start.env("DATABASE_URL", url).env("DDL_LOCK_TIMEOUT", "100ms");
        let runner = start.spawn();
        runner.wait_for_nth("gave way to a lock", 2);
        other.execute("commit");
        let outcome = runner.wait();
        outcome.assert_status(0).assert_stdout("the server runs").assert_said(&format!(
            "{GAVE_WAY} at=migrations/a000.sql:5:3 why=\"canceling statement due to lock timeout \
             (SQLSTATE 55P03)\" try=2 next=… left=…"
        ));
        assert_eq!(outcome.count("applies a revision"), 1);
        assert_eq!(database.upgrades(), ["a000"]);
        assert_eq!(database.query("select a, b from contested"), "1|");
    }
}

#[test]
fn patience_ends_with_the_lock_timeout() {
    let database = Postgres::create();
    let (_other, start) = contested(&database, "");
    let start = start.env("DDL_LOCK_TIMEOUT", "100ms").env("LOCK_TIMEOUT", "1s");
    let began = Instant::now();
    start.run().assert_status(14).assert_stdout("").assert_last_words(
        "prelaunch: exit 14 in apply: revision `a000` did not get its locks in … tries within 1s, \
         the last time at migrations/a000.sql:5:3; it was rolled back; end what blocks it, or raise \
         DDL_LOCK_TIMEOUT or LOCK_TIMEOUT: canceling statement due to lock timeout (SQLSTATE 55P03)",
    );
    assert!((1..6).contains(&began.elapsed().as_secs()), "it took {:?}", began.elapsed());
    assert_eq!(database.ledger(), [""; 0]);
    assert!(!database.tables().contains(&"before_it".to_owned()));
}

/// The script knows better than the variable.
#[test]
fn a_script_may_have_its_own_lock_timeout() {
    let database = Postgres::create();
    let (mut other, start) = contested(&database, "-- lock-timeout: 100ms\n");
    let runner = start.env("DDL_LOCK_TIMEOUT", "1h").spawn();
    runner.wait_for("gave way to a lock");
    other.execute("commit");
    runner.wait().assert_status(0);
    assert_eq!(database.upgrades(), ["a000"]);
}

/// Of two that wait for each other the server ends one; it is ours, since the other is patient.
#[test]
fn a_deadlock_is_given_way_to() {
    let database = Postgres::create();
    database.query("create table one (a integer); create table two (a integer)");
    let mut other = database.administrator();
    other.execute("set deadlock_timeout = '60s'; begin; lock table one");
    let up = "lock table two;\nlock table one;\ncreate table three (a integer);";
    let runner = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("DDL_LOCK_TIMEOUT", "60s")
        .revision("a000", "", up)
        .spawn();
    eventually("it waits for the other's table", || {
        let waits = "select 1 from pg_locks where relation = 'one'::regclass and not granted";
        (database.query(waits) == "1").then_some(())
    });
    other.execute("lock table two");
    runner.wait_for("(SQLSTATE 40P01)");
    other.execute("commit");
    let outcome = runner.wait();
    outcome.assert_status(0).assert_said(&format!(
        "{GAVE_WAY} at=migrations/a000.sql:8:1 why=\"deadlock detected (SQLSTATE 40P01)\" try=1"
    ));
    assert_eq!(database.upgrades(), ["a000"]);
}
