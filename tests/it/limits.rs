//! Timeouts that a role has as its defaults, far too low for what a start does: they are for the
//! application, and end no start.

use crate::{
    bouncer::Bouncer, database::Database as _, outcome::Outcome, postgres::Postgres,
    prelaunch::Prelaunch, running::Running,
};

/// A database whose owner may do nothing for longer than 50 milliseconds.
fn limited() -> Postgres {
    let database = Postgres::create();
    let mut limits =
        vec!["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    if has_transaction_timeout(&database) {
        limits.push("transaction_timeout");
    }
    for limit in limits {
        database.administer(&format!("alter role {} set {limit} = '50ms'", database.role()));
    }
    database
}

fn has_transaction_timeout(database: &Postgres) -> bool {
    database.query("show server_version_num").parse::<u32>().unwrap() >= 170_000
}

/// A revision and a hook that take longer, and a function that makes anything take longer.
fn slow(database: &Postgres, url: String) -> Prelaunch {
    Prelaunch::new()
        .knows(database)
        .env("DATABASE_URL", url)
        .env("AUTO_MIGRATION", "true")
        .env("AFTER_MIGRATE", "sleep 0.3")
        .revision(
            "a000",
            "",
            "
            create table points (x integer);
            insert into points select generate_series(1, 10);
            create function slowly(x integer) returns integer immutable language plpgsql as
                $$ begin perform pg_sleep(0.02); return x; end $$;
            select pg_sleep(0.3);
            ",
        )
        .server(&["echo", "the server runs"])
}

/// A second revision, whose index takes longer to be built.
fn with_index(start: Prelaunch) -> Prelaunch {
    start.script(
        "b000.sql",
        "
        -- revision: b000
        -- revises: a000
        -- transaction: false
        -- migrate:up
        create index concurrently points_x on points (slowly(x));
        ",
    )
}

const INDEX: &str = "select indisvalid from pg_index where indexrelid = 'points_x'::regclass";

/// The second one waits for longer, too.
#[track_caller]
fn two_start(start: &Prelaunch) {
    let running = [start.spawn(), start.spawn()];
    let outcomes = running.map(Running::wait);
    for outcome in &outcomes {
        outcome.assert_status(0).assert_stdout("the server runs");
    }
    let said = |words| outcomes.iter().map(|outcome: &Outcome| outcome.count(words)).sum::<usize>();
    assert_eq!(said("applies a revision revision=a000"), 1);
    assert_eq!(said("another runner has done the work"), 1);
}

#[test]
fn the_limits_of_a_role_end_no_start() {
    let database = limited();
    two_start(&with_index(slow(&database, database.url())));
    assert_eq!(database.upgrades(), ["a000", "b000"]);
    assert_eq!(database.query(INDEX), "t");
}

#[test]
fn the_limits_of_a_role_end_no_start_through_a_pooler() {
    for mode in ["transaction", "session"] {
        let database = limited();
        let bouncer = Bouncer::start(&format!("pool_mode = {mode}"));
        two_start(&slow(&database, bouncer.url(&database)));
        assert_eq!(database.upgrades(), ["a000"]);
    }
}

/// Nothing may be set around a statement that cannot run in a transaction: it would stay for the
/// pooler's next client.
#[test]
fn where_a_pooler_keeps_a_limit_in_force_it_is_said_what_to_do() {
    for mode in ["transaction", "session"] {
        let database = limited();
        let bouncer = Bouncer::start(&format!("pool_mode = {mode}"));
        let start = with_index(slow(&database, bouncer.url(&database)));
        // Of two that are as long, it is the one that ends the session.
        let (limit, said) = if has_transaction_timeout(&database) {
            (
                "transaction_timeout",
                "terminating connection due to transaction timeout (SQLSTATE 25P04)",
            )
        } else {
            ("statement_timeout", "canceling statement due to statement timeout (SQLSTATE 57014)")
        };
        start.run().assert_status(15).assert_stdout("").assert_last_words(&format!(
            "prelaunch: exit 15 in apply: revision `b000` stopped at migrations/b000.sql:5:1: 0 of \
             its 1 statements have run, and the next start goes on from there: the default \
             `{limit}` of 50ms ended it, and outside of a transaction a pooler does not let it be \
             set aside; give MIGRATION_DATABASE_URL the direct address, or `alter role ROLE set \
             {limit} = 0`: {said}",
        ));
        let start = start.env("MIGRATION_DATABASE_URL", database.url());
        start.run().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.upgrades(), ["a000", "b000"]);
        assert_eq!(database.query(INDEX), "t");
    }
}
