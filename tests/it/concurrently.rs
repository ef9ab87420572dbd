//! `CREATE INDEX CONCURRENTLY` beside a queue of runners.
//!
//! It waits for the transaction of every session that it catches with a snapshot. A keeper or a
//! waiter that kept one would be waited for by the statement that it waits for, and PostgreSQL sees
//! no deadlock in that: it hangs. So they are watched while it runs, and it is run often.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    database::{Database as _, eventually},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
};

#[test]
fn an_index_is_built_beside_a_queue() {
    let database = Postgres::create();
    watched(&database, &database.url(), true);
}

#[test]
fn an_index_is_built_beside_a_queue_through_pgbouncer() {
    let database = Postgres::create();
    watched(&database, &database.pgbouncer_url(), true);
}

/// With nothing in the way, so that everything meets everything at its own pace.
#[test]
fn indices_are_built_beside_a_queue_again_and_again() {
    for _ in 0..5 {
        let database = Postgres::create();
        watched(&database, &database.url(), false);
    }
}

#[test]
fn indices_are_built_beside_a_queue_through_pgbouncer_again_and_again() {
    for _ in 0..5 {
        let database = Postgres::create();
        watched(&database, &database.pgbouncer_url(), false);
    }
}

/// Eight runners build an index while keepers and waiters are watched. `slowly`: each of the two
/// waits of a concurrent build lasts until enough has been seen of it.
fn watched(database: &Postgres, url: &str, slowly: bool) {
    const ENOUGH: usize = 100;
    let indices = if slowly { 1..2 } else { 1..5 };
    let indices = indices.map(|n| format!("create index concurrently i{n} on points (x, y);"));
    let start = Prelaunch::new()
        .knows(database)
        .env("DATABASE_URL", url)
        .env("AUTO_MIGRATION", "true")
        .env("LOCK_BEAT", "10ms")
        .revision("a000", "", "create table other (a integer);")
        .script(
            "b000.sql",
            &format!(
                "-- revision: b000\n-- revises: a000\n-- transaction: false\n-- migrate:up\n{}\n",
                indices.collect::<Vec<_>>().join("\n"),
            ),
        )
        .revision("c000", "b000", "create table another (a integer);")
        .server(&["echo", "the server runs"]);
    database.query(
        "create table points (x integer, y integer); \
         insert into points select n, n % 7 from generate_series(1, 5000) n",
    );
    // What a role has as its default would keep a snapshot in every transaction.
    database.administer(&format!(
        "alter role {} set default_transaction_isolation = 'repeatable read'",
        database.role(),
    ));
    // A writer is waited for before the build, an old snapshot after it.
    let mut writer = database.session();
    let mut reader = database.session();
    if slowly {
        writer.execute("begin; insert into points values (0, 0)");
        reader.execute("begin isolation level repeatable read; select count(*) from points");
    }

    let watch = Watch::default();
    thread::scope(|scope| {
        let over = Over(&watch);
        let watching = scope.spawn(|| watch.keep(database));
        let running: Vec<_> = (0..8).map(|_| start.spawn()).collect();
        if slowly {
            builds(database, "waiting for writers before build");
            watch.sees(ENOUGH);
            writer.execute("commit");
            builds(database, "waiting for old snapshots");
            watch.sees(ENOUGH);
            reader.execute("commit");
        }
        let outcomes: Vec<_> = running.into_iter().map(Running::wait).collect();
        drop(over);
        watching.join().unwrap();

        for outcome in &outcomes {
            outcome.assert_status(0).assert_stdout("the server runs");
        }
        let built: usize = outcomes.iter().map(applied_it).sum();
        assert_eq!(built, 1, "the index is built by one of them");
    });
    assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
    let invalid = "select count(*) from pg_index where not indisvalid";
    assert_eq!(database.query(invalid), "0");
}

fn applied_it(outcome: &Outcome) -> usize {
    outcome.count("applies a revision revision=b000")
}

/// Waits until the concurrent build has come to a phase.
#[track_caller]
fn builds(database: &Postgres, phase: &str) {
    let query = format!(
        "select 1 from pg_stat_progress_create_index where phase = '{phase}' \
         and datname = current_database()",
    );
    eventually(phase, || (database.query(&query) == "1").then_some(()));
}

/// Looks at keepers and waiters every few milliseconds.
#[derive(Default)]
struct Watch {
    over: AtomicBool,
    samples: AtomicUsize,
}

/// Ends the watch, also where the test fails before its end.
struct Over<'w>(&'w Watch);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

impl Watch {
    /// Looks until it is over. The lock is looked for before and after, since it may change hands
    /// while the sessions are read.
    fn keep(&self, database: &Postgres) {
        let mut session = database.session();
        let locked = "select pid from pg_locks where locktype = 'advisory' and granted \
                      and database = (select oid from pg_database where datname = current_database())";
        let sessions = "select pid, state, backend_xmin is not null, \
                        position('pg_try_advisory_xact_lock' in query) > 0, application_name \
                        from pg_stat_activity where datname = current_database() \
                        and application_name like 'prelaunch:%:keeper:%'";
        while !self.over.load(Ordering::SeqCst) {
            let mut holders = session.execute(locked);
            let seen = session.execute(sessions);
            holders.push('\n');
            holders.push_str(&session.execute(locked));
            let seen: Vec<Vec<&str>> = seen.lines().map(|line| line.split('|').collect()).collect();
            for session in &seen {
                let [pid, state, snapshot, took, ..] = session[..] else { panic!("{session:?}") };
                let idle = state.starts_with("idle in transaction");
                assert!(!(idle && snapshot == "t"), "a snapshot is kept: {session:?}");
                let holds = holders.lines().any(|holder| holder == pid);
                assert!(!idle || holds, "waits in a transaction: {session:?}");
                // The beat is no query: a build would wait for one that it catches.
                assert!(!idle || took == "t", "ran a query with the lock: {session:?}");
            }
            // One that waits counts: with the keeper alone there is nothing to be seen.
            if seen.len() > 1 {
                self.samples.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for so many more samples.
    #[track_caller]
    fn sees(&self, count: usize) {
        let before = self.samples.load(Ordering::SeqCst);
        eventually("enough is seen", || {
            (self.samples.load(Ordering::SeqCst) >= before + count).then_some(())
        });
    }
}
