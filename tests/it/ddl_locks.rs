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

/// As which the other one is named, whose transaction began with an insert.
const WRITER: &str = "pid PID, `psql` of role `ROLE`, idle in transaction since …, having run \
                      `insert into contested values (…)`";

const GAVE_WAY: &str = "WARN apply: gave way to a lock, rolled back, tries again revision=a000";

/// While it pauses, it stands in nobody's way.
#[test]
fn a_revision_gives_way_until_the_lock_is_free() {
    for pooled in [false, true] {
        let database = Postgres::create();
        let (mut other, start) = contested(&database, "");
        let url = if pooled { database.pgbouncer_url() } else { database.url() };
        let start = start.env("DATABASE_URL", url).env("DDL_LOCK_TIMEOUT", "1s");
        let runner = start.spawn();
        runner.wait_for_nth("gave way to a lock", 2);
        other.execute("commit");
        let outcome = runner.wait();
        outcome.assert_status(0).assert_stdout("the server runs").assert_said(&format!(
            "{GAVE_WAY} at=migrations/a000.sql:5:3 blocker=\"{WRITER}\" why=\"canceling statement due to lock timeout \
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
    let start = start.env("DDL_LOCK_TIMEOUT", "1s").env("LOCK_TIMEOUT", "1500ms");
    let began = Instant::now();
    start.run().assert_status(14).assert_stdout("").assert_last_words(&format!(
        "prelaunch: exit 14 in apply: revision `a000` did not get its locks in … tries within 1.5s, \
         the last time at migrations/a000.sql:5:3, blocked by {WRITER}; it was rolled back; end \
         what blocks it, or raise DDL_LOCK_TIMEOUT or LOCK_TIMEOUT: canceling statement due to \
         lock timeout (SQLSTATE 55P03)",
    ));
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
        "{GAVE_WAY} at=migrations/a000.sql:8:1 blocker=\"pid PID, `psql` of role `postgres`; what it \
         does is shown to its own role and to members of `pg_read_all_stats`\" why=\"deadlock detected (SQLSTATE 40P01)\" try=1"
    ));
    assert_eq!(database.upgrades(), ["a000"]);
}

/// What is shown of the statement of a blocker: enough to find it, and nothing that is in it.
#[test]
fn a_blocker_is_named_without_its_constants() {
    let gaps = "update contested\n    set a = a where a is  not\tnull";
    let wide = format!("select {} from contested", ["contested.a"; 40].join(", "));
    let cases = [
        ("update contested set a = 4111 where a <> 5", "update contested set a = … where a <> …"),
        ("select a, 'my secret' from contested", "select a, …"),
        ("select a, $$my secret$$ from contested", "select a, …"),
        (gaps, "update contested set a = a where a is not null"),
        (&wide, &wide[..200]),
    ];
    for (statement, shown) in cases {
        let database = Postgres::create();
        let (mut other, start) = contested(&database, "");
        other.execute("rollback; insert into contested values (1); begin");
        other.execute(&format!("set application_name = 'the application'; {statement}"));
        let start = start.env("DDL_LOCK_TIMEOUT", "2s").env("LOCK_TIMEOUT", "0");
        start.run().assert_status(14).assert_said(&format!(
            ", blocked by pid PID, `the application` of role `ROLE`, idle in transaction since …, \
             having run `{shown}`; it was rolled back",
        ));
    }
}

/// Of several the one whose transaction is the oldest.
#[test]
fn the_oldest_of_several_blockers_is_named() {
    let database = Postgres::create();
    let (_other, start) = contested(&database, "");
    let mut next = database.session();
    next.execute("set application_name = 'next'; begin; select a from contested");
    let mut last = database.session();
    last.execute("set application_name = 'last'; begin; select a from contested");
    let start = start.env("DDL_LOCK_TIMEOUT", "2s").env("LOCK_TIMEOUT", "0");
    start
        .run()
        .assert_status(14)
        .assert_said(&format!(", blocked by {WRITER}; and 2 more; it was"));
}

/// To ask who it is takes a third session. Without one the work is the same.
#[test]
fn without_a_third_session_nobody_is_named() {
    let database = Postgres::create();
    let (mut other, start) = contested(&database, "");
    // The other one's session, the keeper's, the worker's.
    database.administer(&format!("alter role {} connection limit 3", database.role()));
    let runner = start.env("DDL_LOCK_TIMEOUT", "2s").spawn();
    runner.wait_for("gave way to a lock");
    other.execute("commit");
    let outcome = runner.wait();
    outcome.assert_status(0).assert_never_said("blocker=").assert_stdout("the server runs");
}

/// What is deferred to the commit waits for locks there.
#[test]
fn a_commit_that_gives_way_is_tried_again_whole() {
    let database = Postgres::create();
    database.query(
        "create table contested (a integer); create table effects (a integer); \
         create function waits() returns trigger language plpgsql as \
         $$begin lock table contested; return null; end$$; \
         create constraint trigger waits after insert on effects deferrable initially deferred \
         for each row execute function waits()",
    );
    let mut other = database.session();
    other.execute("begin; insert into contested values (1)");
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("DDL_LOCK_TIMEOUT", "2s")
        .revision("a000", "", "insert into effects values (1);")
        .server(&["echo", "the server runs"]);
    start.clone().env("LOCK_TIMEOUT", "0").run().assert_status(14).assert_last_words(&format!(
        "prelaunch: exit 14 in apply: revision `a000` did not get its locks in … tries within 0ms, \
         the last time at the commit, blocked by {WRITER}; it was rolled back; end what blocks it, \
         or raise DDL_LOCK_TIMEOUT or LOCK_TIMEOUT: canceling statement due to lock timeout \
         (SQLSTATE 55P03)",
    ));
    let runner = start.spawn();
    runner.wait_for("gave way to a lock");
    other.execute("commit");
    let outcome = runner.wait();
    outcome.assert_status(0).assert_stdout("the server runs").assert_said(&format!(
        "{GAVE_WAY} at=\"the commit\" blocker=\"{WRITER}\" why=\"canceling statement due to lock \
         timeout (SQLSTATE 55P03)\" try=1",
    ));
    assert_eq!(database.upgrades(), ["a000"]);
    assert_eq!(database.query("select count(*) from effects"), "1");
}
