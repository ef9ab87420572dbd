//! A COMMIT without an answer: what became of it is read from the ledger, and nothing is done twice.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nix::sys::signal::Signal;

use crate::{
    database::{Database as _, eventually},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
    proxy::{Fate, Proxy},
};

/// What is said of it.
const UNANSWERED: &str = "the commit was not answered; reads the ledger";

/// A start behind a proxy.
struct Broken {
    _proxy: Proxy,
    start: Prelaunch,
    /// How often it was asked what became of a commit.
    asked: Arc<AtomicUsize>,
}

/// Three revisions with an effect each, through a proxy that does this to the `nth` COMMIT.
fn broken_at(database: &Postgres, nth: usize, fate: Fate) -> Broken {
    let (port, commits) = (database.server().port, AtomicUsize::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let proxy = Proxy::to(port, move |said| {
        if said.text.contains("virtualxid") && said.text.contains("prelaunch_ledger") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let nth_commit = said.text == "commit" && commits.fetch_add(1, Ordering::SeqCst) + 1 == nth;
        if nth_commit { fate } else { Fate::Pass }
    });
    database.query("create table effects (what text)");
    let start = Prelaunch::new()
        .knows(database)
        .env("DATABASE_URL", proxy.url(&database.url(), port))
        .env("AUTO_MIGRATION", "true")
        .revision("a000", "", "insert into effects values ('a');")
        .revision("b000", "a000", "insert into effects values ('b');")
        .revision("c000", "b000", "insert into effects values ('c');")
        .server(&["echo", "the server runs"]);
    Broken { _proxy: proxy, start, asked }
}

fn happened(database: &Postgres) -> String {
    database.query("select string_agg(what, ' ' order by what) from effects")
}

#[test]
fn a_commit_whose_answer_was_lost_has_happened() {
    let database = Postgres::create();
    for nth in 1..=3 {
        let tables = "effects, prelaunch_ledger, prelaunch_history, prelaunch_journal";
        database.query(&format!("drop table if exists {tables}"));
        let broken = broken_at(&database, nth, Fate::Unanswered);
        let outcome = broken.start.run();
        outcome.assert_status(0).assert_stdout("the server runs").assert_said(UNANSWERED);
        assert_eq!(outcome.count("has applied it"), 3);
        assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
        assert_eq!(happened(&database), "a b c");
    }
}

#[test]
fn a_commit_that_was_lost_has_not_happened() {
    let database = Postgres::create();
    let broken = broken_at(&database, 2, Fate::Lost);
    let outcome = broken.start.run();
    outcome.assert_status(11).assert_stdout("").assert_said(UNANSWERED);
    let words = "prelaunch: exit 11 in apply: revision `b000` failed and was rolled back: \
                 the connection was lost: ";
    assert!(outcome.last_words().starts_with(words), "{}", outcome.transcript());
    assert_eq!(database.upgrades(), ["a000"]);
    assert_eq!(happened(&database), "a");

    // Only the one was lost.
    broken.start.run().assert_status(0).assert_stdout("the server runs");
    assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
    assert_eq!(happened(&database), "a b c");
}

/// It is no sign of a failure that the ledger does not have the revision yet.
#[test]
fn a_commit_that_is_still_at_work_is_waited_for() {
    let database = Postgres::create();
    let broken = broken_at(&database, 2, Fate::Unanswered);
    deferred_to(&database, Gate::STATEMENT);
    let gate = Gate::shut(&database);
    let runner = broken.start.spawn();
    gate.stops(&database, &runner);
    runner.wait_for(UNANSWERED);
    eventually("it has asked and asks again", || {
        (broken.asked.load(Ordering::SeqCst) > 1).then_some(())
    });
    assert_eq!(database.ledger(), ["a000"]);
    gate.open();
    runner.wait().assert_status(0).assert_stdout("the server runs");
    assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
    assert_eq!(happened(&database), "a b c");
}

/// Whoever has to go before it is known says no more than is known.
#[test]
fn a_commit_that_is_given_up_is_left_to_the_next_start() {
    let database = Postgres::create();
    let broken = broken_at(&database, 2, Fate::Unanswered);
    deferred_to(&database, Gate::STATEMENT);
    let gate = Gate::shut(&database);
    let runner = broken.start.spawn();
    gate.stops(&database, &runner);
    runner.wait_for(UNANSWERED);
    runner.signal(Signal::SIGTERM);
    runner.wait().assert_status(143).assert_last_words(
        "prelaunch: exit 143 in apply: it is not known whether revision `b000` was committed; the \
         next start reads it from the ledger: stopped by SIGTERM",
    );
    gate.open();
    broken.start.run().assert_status(0);
    assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
    assert_eq!(happened(&database), "a b c");
}

/// The last transaction of a revision that runs by statement is no other.
#[test]
fn a_record_whose_answer_was_lost_has_been_made() {
    let database = Postgres::create();
    // The first one writes down that the statement begins, the second one is the record.
    let broken = broken_at(&database, 2, Fate::Unanswered);
    let start = broken.start.clone().without_script("a000.sql").without_script("b000.sql").script(
        "c000.sql",
        "-- revision: c000\n-- transaction: false\n-- migrate:up\n\
         insert into effects values ('c');\n",
    );
    start.run().assert_status(0).assert_stdout("the server runs").assert_said(UNANSWERED);
    assert_eq!(database.upgrades(), ["c000"]);
    assert_eq!(happened(&database), "c");
}

/// What is written down of each statement is settled too: nobody is asked what nobody need know.
#[test]
fn the_journal_is_settled_where_its_answers_were_lost() {
    for note in ["commit", "done_at = clock_timestamp()"] {
        for fate in [Fate::Unanswered, Fate::Lost] {
            let database = Postgres::create();
            database.query("create table effects (what text)");
            let (port, seen) = (database.server().port, AtomicUsize::new(0));
            let proxy = Proxy::to(port, move |said| {
                let this = said.text == note || (note != "commit" && said.text.contains(note));
                if this && seen.fetch_add(1, Ordering::SeqCst) == 0 { fate } else { Fate::Pass }
            });
            let start = Prelaunch::new()
                .knows(&database)
                .env("DATABASE_URL", proxy.url(&database.url(), port))
                .env("AUTO_MIGRATION", "true")
                .script(
                    "a000.sql",
                    "-- revision: a000\n-- transaction: false\n-- migrate:up\n\
                     insert into effects values ('a');\n",
                );
            let outcome = start.run();
            if (note, fate) == ("commit", Fate::Lost) {
                // Nothing has begun.
                outcome.assert_status(11);
                start.run().assert_status(0);
            } else {
                outcome.assert_status(0);
            }
            assert_eq!(happened(&database), "a");
            assert_eq!(database.upgrades(), ["a000"]);
        }
    }
}

/// A server that crashes takes the lock and everything else with it.
#[test]
fn after_a_crash_of_the_server_the_next_run_finishes() {
    let cluster = crate::cluster::Cluster::start();
    let database = cluster.create();
    database.query("create table effects (what text); create table patience (amount integer)");
    database.query("insert into patience values (600)");
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .revision("a000", "", "insert into effects values ('a');")
        .revision(
            "b000",
            "a000",
            "insert into effects values ('b');\nselect pg_sleep(amount) from patience;",
        )
        .server(&["echo", "the server runs"]);
    let runner = start.spawn();
    sleeps(&database);
    cluster.kill();
    runner.wait().assert_status(11).assert_stdout("");
    cluster.start_again();
    assert_eq!(happened(&database), "a");
    database.query("update patience set amount = 0");
    start.run().assert_status(0).assert_stdout("the server runs");
    assert_eq!(happened(&database), "a b");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

/// Has each COMMIT that added an effect `b` run a statement first.
fn deferred_to(database: &Postgres, statement: &str) {
    let perform = statement.replacen("select", "perform", 1);
    database.query(&format!(
        "create function slowly() returns trigger language plpgsql as \
         $$begin {perform} return null; end$$; \
         create constraint trigger slowly after insert on effects deferrable initially deferred \
         for each row when (new.what = 'b') execute function slowly()",
    ));
}

fn sleeps(database: &Postgres) {
    let sleeps = "select 1 from pg_stat_activity where state = 'active' \
                  and query like 'select pg_sleep(%' and datname = current_database()";
    eventually("it sleeps", || (database.query(sleeps) == "1").then_some(()));
}
