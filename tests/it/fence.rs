//! Two runners past the lock cannot apply a revision twice: what each writes down before it works
//! stops the other.
//!
//! The lock is got around on purpose. On PostgreSQL its key comes from the schema, and a second
//! runner finds the same tables through views in another one. On SQLite the lock file is removed
//! while the first runner holds it.

use std::fs;

use nix::sys::signal::Signal;

use crate::{
    database::{Database, Engine, eventually, on_both},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
    session::Session,
    sqlite::Sqlite,
};

/// What a runner says that finds another one beside it.
const BESIDE: &str = "somebody works beside us past the lock; looks again";

/// Everything that scripts here do, in the order in which it was done.
const EFFECTS: &str = "select what from effects";

on_both! {
    fn two_past_the_lock_apply_a_revision_once(database: &dyn Database) {
        let start = begun(database).revision("b000", "a000", &effect_at_gate(database));
        let gate = Gate::shut(database);
        let first = start.spawn();
        gate.stops(database, &first);
        let second = past_the_lock(database, &start).spawn();
        stands_at_the_fence(database, &second);
        gate.open();
        let outcomes = [first.wait(), second.wait()];
        for outcome in &outcomes {
            outcome.assert_status(0);
        }
        assert_eq!(outcomes[0].count(BESIDE) + outcomes[1].count(BESIDE), 1);
        assert_eq!(database.query(EFFECTS), "b");
        assert_eq!(database.upgrades(), ["a000", "b000"]);
    }

    fn what_the_first_rolls_back_the_second_applies(database: &dyn Database) {
        let effect = effect_at_gate(database);
        let start = begun(database).revision("b000", "a000", &effect);
        let broken = begun(database)
            .revision("b000", "a000", &format!("{effect} insert into nowhere values (1);"));
        let gate = Gate::shut(database);
        let first = broken.spawn();
        gate.stops(database, &first);
        let second = past_the_lock(database, &start).spawn();
        stands_at_the_fence(database, &second);
        // SQLite does not say who comes next.
        second.signal(Signal::SIGSTOP);
        gate.open();
        first.wait().assert_status(14).assert_said("revision `b000` failed at");
        assert_eq!(database.query(EFFECTS), "");
        second.signal(Signal::SIGCONT);
        second.wait().assert_status(0).assert_never_said(BESIDE);
        assert_eq!(database.query(EFFECTS), "b");
        assert_eq!(database.upgrades(), ["a000", "b000"]);
    }
}

on_both! {
    /// Another revision than ours: the fence alone would let it pass.
    fn a_ledger_that_moved_since_the_plan_is_looked_at_again(database: &dyn Database) {
        let start = begun(database).revision("b000", "a000", "insert into effects values ('b');");
        let mut other = database.session();
        other.execute(match database.engine() {
            Engine::Postgres => "begin; lock table prelaunch_ledger in share row exclusive mode",
            Engine::Sqlite => "begin immediate",
        });
        let running = start.spawn();
        running.wait_for("applies a revision");
        other.execute(
            "insert into prelaunch_ledger (revision, parents, title, origin, applied_by, tool) \
             values ('c000', 'a000', 'c', 'upgrade', 'another', 'another')",
        );
        other.execute("commit");
        let outcome = running.wait();
        assert_eq!(outcome.count(BESIDE), 1);
        outcome.assert_status(16).assert_said("diverged");
        assert_eq!(database.query(EFFECTS), "");
        assert_eq!(database.ledger(), ["a000", "c000"]);
    }
}

/// Nobody can tell whether the other one is still at work, or has died over it.
#[test]
fn a_statement_that_another_has_begun_is_not_run_again() {
    let database = Postgres::create();
    let start =
        begun(&database).script("b000.sql", &by_statement("", "insert into effects values ('2')"));
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    past_the_lock(&database, &start).run().assert_status(15).assert_last_words(
        "prelaunch: exit 15 in apply: revision `b000` was interrupted while the statement at \
         migrations/b000.sql:6:1 ran, and it cannot be told whether it has; if it may run \
         twice, write `idempotent: true` into the header; if it has run, set `done_at` in the row \
         ('b000', 2) of `prelaunch_journal`, if it has not, delete that row",
    );
    gate.open();
    first.wait().assert_status(0);
    assert_eq!(database.query(EFFECTS), "1\n2");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

/// By the time the second one reads which statements have run, that has been forgotten.
#[test]
fn a_plan_that_was_overtaken_runs_no_statement() {
    let database = Postgres::create();
    let start =
        begun(&database).script("b000.sql", &by_statement("", "insert into effects values ('2')"));
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    let second = past_the_lock(&database, &start);
    let (second, turnstile) = before_the_journal(&database, &second);
    gate.open();
    first.wait().assert_status(0);
    drop(turnstile);
    second.wait().assert_status(0).assert_said(BESIDE);
    assert_eq!(database.query(EFFECTS), "1\n2");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

#[test]
fn where_the_first_stopped_part_way_the_second_goes_on() {
    let database = Postgres::create();
    let start =
        begun(&database).script("b000.sql", &by_statement("", "insert into effects values ('2')"));
    let broken =
        begun(&database).script("b000.sql", &by_statement("", "insert into nowhere values ('2')"));
    let gate = Gate::shut(&database);
    let first = broken.spawn();
    gate.stops(&database, &first);
    let second = past_the_lock(&database, &start);
    let (second, turnstile) = before_the_journal(&database, &second);
    gate.open();
    first.wait().assert_status(15).assert_said("2 of its 3 statements have run");
    drop(turnstile);
    second.wait().assert_status(0).assert_never_said(BESIDE);
    assert_eq!(database.query(EFFECTS), "1\n2");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

#[test]
fn two_may_run_what_may_run_twice_and_record_it_once() {
    let database = Postgres::create();
    database.query("create table once (what text primary key)");
    let last = "insert into once values ('2') on conflict do nothing";
    let start = begun(&database).script("b000.sql", &by_statement("-- idempotent: true\n", last));
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    let second = past_the_lock(&database, &start).spawn();
    eventually("both stand at the gate", || {
        let stopped = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                       and database = \
                       (select oid from pg_database where datname = current_database())";
        (database.query(stopped) == "2").then_some(())
    });
    gate.open();
    let outcomes = [first.wait(), second.wait()];
    for outcome in &outcomes {
        outcome.assert_status(0);
    }
    assert_eq!(database.query(EFFECTS), "1");
    assert_eq!(database.query("select what from once"), "2");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
    assert_eq!(database.query("select count(*) from prelaunch_journal"), "0");
}

/// Both are about to write down that they begin with the first statement. Whoever comes second
/// finds either that, or the whole revision recorded.
#[test]
fn two_on_a_file_run_each_statement_once() {
    let database = Sqlite::create();
    let script = "-- revision: b000\n-- revises: a000\n-- transaction: false\n-- migrate:up\n\
                  insert into effects values ('1');\ninsert into effects values ('2');\n";
    let start = begun(&database).script("b000.sql", script);
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    let second = past_the_lock(&database, &start).spawn();
    stands_at_the_fence(&database, &second);
    gate.open();
    let outcomes = [first.wait(), second.wait()];
    let applied: usize = outcomes.iter().map(|outcome| outcome.count("has applied it")).sum();
    assert_eq!(applied, 1, "one has applied it");
    for outcome in outcomes.iter().filter(|outcome| outcome.code() != 0) {
        outcome.assert_status(15).assert_said("was interrupted while the statement at");
    }
    assert_eq!(database.query(EFFECTS), "1\n2");
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

/// A database with a first revision, and the start that it came from.
fn begun(database: &dyn Database) -> Prelaunch {
    let start = Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        // The gate is no lock that somebody should give way to.
        .env("DDL_LOCK_TIMEOUT", "60s")
        .revision("a000", "", "create table effects (what text);");
    start.run().assert_status(0);
    start
}

fn effect_at_gate(database: &dyn Database) -> String {
    let gate = Gate::statement(database);
    format!("insert into {}effects values ('b'); {gate}", schema(database))
}

/// The second runner has another search path.
fn schema(database: &dyn Database) -> &'static str {
    match database.engine() {
        Engine::Sqlite => "",
        Engine::Postgres => "public.",
    }
}

/// Three statements without a transaction, the second at the gate.
fn by_statement(header: &str, last: &str) -> String {
    let last = last.replace("into ", "into public.");
    format!(
        "-- revision: b000\n-- revises: a000\n-- transaction: false\n{header}-- migrate:up\n\
         insert into public.effects values ('1');\n{}\n{last};\n",
        Gate::STATEMENT,
    )
}

/// The same start with another lock.
fn past_the_lock(database: &dyn Database, start: &Prelaunch) -> Prelaunch {
    match database.engine() {
        Engine::Sqlite => {
            let path = database.url().replacen("sqlite:", "", 1);
            fs::remove_file(format!("{path}.prelaunch-lock")).unwrap();
            start.clone()
        }
        Engine::Postgres => {
            let view = |table| {
                format!(
                    "create view s2.prelaunch_{table} as select * from public.prelaunch_{table}"
                )
            };
            let views = ["ledger", "history", "journal"].map(view).join("; ");
            database.query(&format!("create schema s2; {views}"));
            let url = format!("{}?options=-c%20search_path%3Ds2", database.url());
            start.clone().env("DATABASE_URL", url)
        }
    }
}

/// Waits until the second runner waits for the first one's transaction.
#[track_caller]
fn stands_at_the_fence(database: &dyn Database, second: &Running) {
    match database.engine() {
        Engine::Sqlite => drop(second.wait_for("another process uses the SQLite file")),
        Engine::Postgres => eventually("the second stands at the fence", || {
            let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                         where l.locktype = 'transactionid' and not l.granted \
                         and a.datname = current_database() \
                         and a.query like 'insert into \"s2\".prelaunch_ledger%'";
            (database.query(waits) == "1").then_some(())
        }),
    }
}

/// Starts the second runner, and stops it after it has planned, and before it reads the journal;
/// what comes with it lets it go on when it is dropped.
fn before_the_journal(database: &Postgres, second: &Prelaunch) -> (Running, Session) {
    let mut turnstile = database.session();
    turnstile.execute("begin; alter view s2.prelaunch_journal set (security_barrier = true)");
    let second = second.spawn();
    eventually("the second is about to read the journal", || {
        let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                     where l.locktype = 'relation' and not l.granted \
                     and l.relation = 's2.prelaunch_journal'::regclass \
                     and a.query like '%prelaunch_journal%'";
        (database.query(waits) == "1").then_some(())
    });
    (second, turnstile)
}
