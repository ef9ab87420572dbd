//! What every engine must hold to when several runners come at once, or one of them dies: one
//! applies, all start, nothing happens twice, nothing is lost.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::{
    database::{Database, Engine, eventually, on_both},
    gate::Gate,
    outcome::Outcome,
    prelaunch::Prelaunch,
    running::Running,
};

/// The demonstration schema, in its order.
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

/// What each of them becomes.
const SERVER: [&str; 2] = ["echo", "the server runs"];

/// What a runner says that has found the lock taken.
const QUEUED: &str = "waits for the lock";

/// A start that migrates, and then says a word as the server.
fn migrating(database: &dyn Database) -> Prelaunch {
    Prelaunch::on(database).env("AUTO_MIGRATION", "true").server(&SERVER)
}

/// One revision with an effect that can be counted, which stops at the gate.
fn gated(database: &dyn Database) -> Prelaunch {
    let up = format!(
        "{}\ncreate table effects (what integer);\ninsert into effects values (1);",
        Gate::statement(database)
    );
    // The gate is no lock that somebody should give way to.
    migrating(database).revision("a000", "", &up).env("DDL_LOCK_TIMEOUT", "60s")
}

fn eight_of(start: &Prelaunch) -> Vec<Running> {
    (0..8).map(|_| start.spawn()).collect()
}

fn all_ended(running: Vec<Running>) -> Vec<Outcome> {
    running.into_iter().map(Running::wait).collect()
}

#[track_caller]
fn all_serve(outcomes: &[Outcome]) {
    for outcome in outcomes {
        outcome.assert_status(0).assert_stdout("the server runs");
    }
}

/// How often all of them together said the words.
fn said(outcomes: &[Outcome], words: &str) -> usize {
    outcomes.iter().map(|outcome| outcome.count(words)).sum()
}

/// A statement that runs for minutes, unless the table `patience` says otherwise.
struct Hold {
    statement: &'static str,
    /// Whether it runs, inside of a transaction that has written.
    runs: fn(&dyn Database) -> bool,
}

fn hold(database: &dyn Database) -> Hold {
    database.query("create table patience (amount integer)");
    match database.engine() {
        Engine::Sqlite => {
            database.query("insert into patience values (2000000000)");
            Hold {
                statement: "with recursive c (n) as (select 1 union all select n + 1 from c, \
                            patience where n < amount) select count(*) from c;",
                runs: |database| {
                    let write = "pragma busy_timeout = 0; begin immediate; rollback";
                    database.try_query(write).is_err()
                },
            }
        }
        Engine::Postgres => {
            database.query("insert into patience values (600)");
            Hold {
                statement: "select pg_sleep(amount) from patience;",
                runs: |database| {
                    let active = "select 1 from pg_stat_activity where state = 'active' \
                                  and query like 'select pg_sleep(%'";
                    database.query(active) == "1"
                },
            }
        }
    }
}

on_both! {
    fn eight_at_once_apply_each_revision_once(database: &dyn Database) {
        let start = migrating(database).migrations_from("demo");
        let outcomes = all_ended(eight_of(&start));
        all_serve(&outcomes);
        for revision in DEMO {
            assert_eq!(said(&outcomes, &format!("applies a revision revision={revision} ")), 1);
        }
        let workers = outcomes.iter().filter(|outcome| outcome.count("applies a revision") > 0);
        assert_eq!(workers.count(), 1, "one of them did all of it");
        assert_eq!(database.upgrades(), DEMO);
        let mut recorded = DEMO;
        recorded.sort_unstable();
        assert_eq!(database.ledger(), recorded);
    }

    fn eight_at_once_run_the_hook_once(database: &dyn Database) {
        let start = migrating(database)
            .migrations_from("demo")
            .env("AFTER_MIGRATE", "sh -c 'echo hook >>hooks'");
        all_serve(&all_ended(eight_of(&start)));
        assert_eq!(start.read("hooks"), "hook\n");
        assert_eq!(database.history().iter().filter(|line| *line == "hook").count(), 1);
    }

    /// `true` asks for a reindex by each run. Those that had looked before somebody did it are
    /// served by it; one that comes later asks anew.
    fn a_reindex_serves_all_who_asked_before_it_was_done(database: &dyn Database) {
        let command = "sh -c 'echo all >>reindexed; until [ -e go ]; do sleep 0.01; done'";
        let start = migrating(database)
            .migrations_from("demo")
            .env("REINDEX_DATASETS", "true")
            .env("REINDEX_COMMAND", command);
        let running = eight_of(&start);
        for runner in &running {
            runner.wait_for("has looked");
        }
        let start = start.file("go", "");
        all_serve(&all_ended(running));
        assert_eq!(start.read("reindexed"), "all\n");
        start.run().assert_status(0);
        assert_eq!(start.read("reindexed"), "all\nall\n");
        assert_eq!(database.history().iter().filter(|line| *line == "reindex *").count(), 2);
    }

    fn after_a_kill_in_a_revision_the_next_run_finishes(database: &dyn Database) {
        let hold = hold(database);
        let start = migrating(database)
            .revision("a000", "", "create table effects (what integer); insert into effects values (1);")
            .revision("b000", "a000", &format!("insert into effects values (2);\n{}", hold.statement))
            .revision("c000", "b000", "insert into effects values (3);");
        let killed = start.spawn();
        killed.wait_for("applies a revision revision=b000");
        eventually("the statement runs", || (hold.runs)(database).then_some(()));
        killed.signal(Signal::SIGKILL);
        killed.wait().assert_killed_by(Signal::SIGKILL);
        assert_eq!(database.ledger(), ["a000"]);

        database.query("update patience set amount = 0");
        start.run().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
        assert_eq!(database.ledger(), ["a000", "b000", "c000"]);
        assert_eq!(database.query("select what from effects order by what"), "1\n2\n3");
    }

    /// What has run of it is not run again; what was running is, since the script says it may be.
    fn after_a_kill_between_transactions_the_next_run_goes_on(database: &dyn Database) {
        let hold = hold(database);
        let script = format!(
            "-- revision: a000\n-- transaction: false\n-- idempotent: true\n-- migrate:up\n\
             insert into effects values (1);\n{}\ninsert into effects values (2);\n",
            hold.statement,
        );
        database.query("create table effects (what integer)");
        let start = migrating(database).script("a000.sql", &script);
        let killed = start.spawn();
        let open = "select statement from prelaunch_journal where done_at is null";
        killed.wait_for("applies a revision");
        eventually("its second statement runs", || {
            (database.try_query(open).is_ok_and(|statement| statement == "2")).then_some(())
        });
        killed.signal(Signal::SIGKILL);
        killed.wait().assert_killed_by(Signal::SIGKILL);
        assert_eq!(database.query("select what from effects"), "1");

        database.query("update patience set amount = 0");
        start.run().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.query("select what from effects order by what"), "1\n2");
        assert_eq!(database.upgrades(), ["a000"]);
        assert_eq!(database.query("select count(*) from prelaunch_journal"), "0");
    }

    fn a_kill_in_the_queue_does_not_hold_up_the_others(database: &dyn Database) {
        let gate = Gate::shut(database);
        let start = gated(database);
        let holder = start.spawn();
        gate.stops(database, &holder);
        let (killed, waiter) = (start.spawn(), start.spawn());
        killed.wait_for(QUEUED);
        waiter.wait_for(QUEUED);
        killed.signal(Signal::SIGKILL);
        killed.wait().assert_killed_by(Signal::SIGKILL);
        gate.open();
        let outcomes = [holder.wait(), waiter.wait()];
        all_serve(&outcomes);
        outcomes[1].assert_said("another runner has done the work");
        assert_eq!(database.query("select what from effects"), "1");
    }

    fn a_waiter_takes_over_from_a_holder_that_is_killed(database: &dyn Database) {
        let gate = Gate::shut(database);
        let start = gated(database);
        let holder = start.spawn();
        gate.stops(database, &holder);
        let waiter = start.spawn();
        waiter.wait_for(QUEUED);
        holder.signal(Signal::SIGKILL);
        holder.wait().assert_killed_by(Signal::SIGKILL);
        waiter.wait_for("has the lock");
        gate.open();
        waiter.wait().assert_status(0).assert_stdout("the server runs");
        assert_eq!(database.upgrades(), ["a000"]);
        assert_eq!(database.query("select what from effects"), "1");
    }

    fn who_only_waits_starts_when_another_has_applied(database: &dyn Database) {
        let start = migrating(database).migrations_from("demo");
        let waiting = start.clone().env("AUTO_MIGRATION", "wait").spawn();
        waiting.wait_for("waits for another runner to migrate");
        start.run().assert_status(0);
        waiting.wait()
            .assert_status(0)
            .assert_stdout("the server runs")
            .assert_said("another runner has migrated the database")
            .assert_never_said("has the lock")
            .assert_never_said("applies a revision");
    }

    fn who_only_waits_gives_up_at_the_deadline(database: &dyn Database) {
        migrating(database)
            .revision("a000", "", "create table a (b integer);")
            .env("AUTO_MIGRATION", "wait")
            .env("LOCK_TIMEOUT", "300ms")
            .run()
            .assert_status(17)
            .assert_last_words(
                "prelaunch: exit 17 in lock: no other runner migrated the database within 300ms: \
                 1 revision is pending: `a000`",
            );
        assert_eq!(database.ledger(), [""; 0]);
    }

    fn the_lock_is_waited_for_until_its_timeout_and_the_holder_named(database: &dyn Database) {
        let gate = Gate::shut(database);
        let start = gated(database);
        let holder = start.spawn();
        gate.stops(database, &holder);
        let began = Instant::now();
        let outcome = start.clone().env("LOCK_TIMEOUT", "1s").run();
        let took = began.elapsed();
        assert!((1..6).contains(&took.as_secs()), "it waited for {took:?}");
        let (lock, by) = match database.engine() {
            Engine::Sqlite => ("lock file DB.prelaunch-lock", "`HOST`, pid PID"),
            Engine::Postgres => (
                "advisory lock -5099229256277813600 of schema `public`",
                "`prelaunch:b93be602:keeper:RUN:HOST`, pid PID, since …, \
                 running `select pg_advisory_xact_lock(…)`",
            ),
        };
        outcome
            .assert_status(13)
            .assert_stdout("")
            .assert_said(&format!("waits for the lock lock=\"{lock}\" holder=\"{by}\" left=…"))
            .assert_last_words(&format!(
                "prelaunch: exit 13 in lock: the {lock} was not had within 1s: held by {by}; if \
                 the holder is alive, raise LOCK_TIMEOUT",
            ));
        gate.open();
        holder.wait().assert_status(0);
    }

    /// The holder goes on to a later target, which is none of the waiter's business.
    fn a_waiter_leaves_as_soon_as_its_own_target_is_reached(database: &dyn Database) {
        let hold = hold(database);
        let gate = Gate::shut(database);
        let start = gated(database).revision("b000", "a000", hold.statement);
        let mut holder = start.spawn();
        gate.stops(database, &holder);
        let waiter = start.clone().env("MIGRATION_TARGET", "a000").spawn();
        waiter.wait_for(QUEUED);
        gate.open();
        waiter.wait()
            .assert_status(0)
            .assert_stdout("the server runs")
            .assert_said("another runner has done the work")
            .assert_never_said("has the lock");
        assert!(!holder.has_ended());
        holder.wait_for("applies a revision revision=b000");
        assert_eq!(database.ledger(), ["a000"]);
    }
}
