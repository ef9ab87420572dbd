//! Fifty replicas that start at once on an empty database, with two indexes to be built concurrently.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    bouncer::Bouncer,
    database::{Database as _, eventually},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
};

const REPLICAS: usize = 50;

#[test]
fn fifty_replicas_start_at_once() {
    let database = Postgres::create();
    start_at_once("directly", &database, database.url());
}

/// Of the five connections of the pool keeper and worker have two, and all others share the rest.
#[test]
fn fifty_replicas_start_at_once_through_pgbouncer() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("default_pool_size = 5");
    start_at_once("through PgBouncer", &database, bouncer.url(&database));
}

#[track_caller]
fn start_at_once(how: &str, database: &Postgres, url: String) {
    let start = Prelaunch::new()
        .knows(database)
        .env("DATABASE_URL", url)
        .env("AUTO_MIGRATION", "true")
        .revision(
            "a000",
            "",
            "
            create table points (x integer, y integer);
            insert into points select n, n % 7 from generate_series(1, 200) n;
            create function slowly(x integer) returns integer immutable language plpgsql as
                $$ begin perform pg_sleep(0.002); return x; end $$;
            ",
        )
        .script(
            "b000.sql",
            &format!(
                "-- revision: b000\n-- revises: a000\n-- transaction: false\n-- migrate:up\n{}\n\
                 create index concurrently points_x on points (slowly(x));\n\
                 create index concurrently points_y on points (slowly(y));\n",
                Gate::STATEMENT,
            ),
        )
        .revision("c000", "b000", "create table effects (what integer);")
        .server(&["echo", "the server runs"]);

    let over = AtomicBool::new(false);
    let gate = Gate::shut(database);
    thread::scope(|scope| {
        let watching = scope.spawn(|| most_connections(database, &over));
        let began = Instant::now();
        let running: Vec<_> = (0..REPLICAS).map(|_| start.spawn()).collect();
        // One builds once all others are in the queue.
        eventually("all have come", || {
            let met = |one: &&Running| {
                let said = one.raw_stderr_so_far();
                said.contains("waits for the lock") || said.contains("has the lock")
            };
            (running.iter().filter(met).count() == REPLICAS).then_some(())
        });
        let met = began.elapsed();
        gate.open();
        let outcomes: Vec<_> = running.into_iter().map(Running::wait).collect();
        let took = began.elapsed();
        over.store(true, Ordering::SeqCst);
        for outcome in &outcomes {
            outcome.assert_status(0).assert_stdout("the server runs");
            outcome.assert_never_said("deadlock").assert_never_said("gave way");
        }
        for revision in ["a000", "b000", "c000"] {
            let words = format!("applies a revision revision={revision}");
            let applied: usize = outcomes.iter().map(|outcome| outcome.count(&words)).sum();
            assert_eq!(applied, 1, "{revision}");
        }
        println!(
            "{REPLICAS} replicas {how}: {took:.1?} ({met:.1?} of it until all had come), at most {} \
             connections",
            watching.join().unwrap(),
        );
    });
    assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
    let valid = "select count(*) filter (where indisvalid), count(*) from pg_index \
                 where indrelid = 'points'::regclass";
    assert_eq!(database.query(valid), "2|2");
}

/// How many sessions the database had at most, but for our own.
fn most_connections(database: &Postgres, over: &AtomicBool) -> usize {
    let mut session = database.session();
    let count = "select count(*) from pg_stat_activity where datname = current_database() \
                 and usename = current_user and application_name <> 'psql'";
    let mut most = 0;
    while !over.load(Ordering::SeqCst) {
        most = most.max(session.execute(count).parse().unwrap());
        thread::sleep(Duration::from_millis(5));
    }
    most
}
