//! What stops two who would turn the same row: a second runner that has another lock and another
//! ledger, and Alembic, which has none of either. PostgreSQL alone lets two write at the same time.

use std::thread;

use nix::sys::signal::Signal;

use super::{LINE, ROWS, ask, both, made, theirs};
use crate::{
    database::{Database, eventually},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
};

/// Two that share nothing but the version table: other schemas, other ledgers, other locks.
fn beside(database: &Postgres, start: &Prelaunch) -> Prelaunch {
    database.query("create schema s2");
    let url = format!("{}?options=-c%20search_path%3Ds2", database.url());
    start.clone().env("DATABASE_URL", url)
}

fn two_at_one_row(before: &[&str], last: &str) {
    let database = Postgres::create();
    let start = both(Prelaunch::on(&database), &LINE[..2])
        .env("DDL_LOCK_TIMEOUT", "60s")
        .env("VERSION_TABLE", "public.alembic_version");
    database.query("create table effects (what text)");
    let start = if before.is_empty() {
        start.without_migrations()
    } else {
        start.run().assert_status(0);
        start
    };
    let body = format!("insert into public.effects values ('once');\n{}", Gate::STATEMENT);
    let start = start.revision("n9", last, &body);
    let other = beside(&database, &start);
    if before.is_empty() {
        // The table has to be there: who creates it is another matter.
        database.query("create table alembic_version (version_num varchar(32) primary key)");
    } else {
        ask(&other, &["stamp", last]).assert_status(0);
    }
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    let second = other.spawn();
    eventually("the second stands at the row", || {
        let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                     where l.locktype = 'transactionid' and not l.granted \
                     and a.datname = current_database() \
                     and a.query like '%\"public\".\"alembic_version\"%'";
        (database.query(waits) == "1").then_some(())
    });
    gate.open();
    first.wait().assert_status(0).assert_said("has applied it");
    let second = second.wait();
    second.assert_status(0).assert_said("somebody works beside us past the lock; looks again");
    second.assert_never_said("has applied it").assert_said("at=n9 applied=1 reverted=0");
    assert_eq!(database.query("select what from effects"), "once");
    assert_eq!(database.query(ROWS), "n9");
    let origins = "select (select origin from public.prelaunch_ledger where revision = 'n9'), \
                   (select origin from s2.prelaunch_ledger where revision = 'n9')";
    assert_eq!(database.query(origins), "upgrade|external");
}

#[test]
fn the_row_that_is_updated_is_a_fence() {
    two_at_one_row(&["a1", "b2"], "b2");
}

#[test]
fn the_row_that_is_inserted_is_a_fence() {
    two_at_one_row(&[], "");
}

/// Alembic turns the row last, and finds another one there.
#[test]
fn the_row_is_alembics_fence_too() {
    let database = Postgres::create();
    database.query("create table effects (what text)");
    let start = both(Prelaunch::on(&database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
    start.run().assert_status(0);
    let body = format!("insert into effects values ('ours');\n{}", Gate::STATEMENT);
    let python = "revision = 'd4'\ndown_revision = 'c3'\nfrom alembic import op\n\n\
                  def upgrade():\n    op.execute(\"insert into effects values ('theirs')\")\n";
    let start = start.revision("d4", "c3", &body).file("app/versions/d4.py", python);
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    thread::scope(|scope| {
        let alembic = scope.spawn(|| theirs(&start, &database, &["upgrade", "head"]));
        eventually("Alembic stands at the row", || {
            let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                         where l.locktype = 'transactionid' and not l.granted \
                         and a.datname = current_database() \
                         and a.query like 'UPDATE alembic_version%'";
            (database.query(waits) == "1").then_some(())
        });
        gate.open();
        first.wait().assert_status(0);
        let alembic = alembic.join().unwrap();
        assert_ne!(alembic.code(), 0);
        let said = format!("{}{}", alembic.raw_stdout, alembic.raw_stderr);
        assert!(said.contains("expected to match one row"), "{said}");
    });
    assert_eq!(database.query("select what from effects"), "ours");
    assert_eq!(database.query(ROWS), "d4");
}

/// What is written down of its statements is forgotten with the row that turns, and not before.
#[test]
fn killed_between_statements_it_goes_on_where_the_version_table_is() {
    let database = Postgres::create();
    let start = both(Prelaunch::on(&database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
    start.run().assert_status(0);
    let text = format!(
        "-- revision: d4\n-- revises: c3\n-- transaction: false\n-- idempotent: true\n-- migrate:up\n\
         create table if not exists t_d4 (n integer);\n{}\ncreate table t_d5 (n integer);\n",
        Gate::STATEMENT
    );
    let start = start.file("migrations/d4.sql", text);
    let gate = Gate::shut(&database);
    let running = start.spawn();
    gate.stops(&database, &running);
    running.signal(Signal::SIGKILL);
    running.wait().assert_killed_by(Signal::SIGKILL);
    assert_eq!((database.query(ROWS), database.ledger().len()), ("c3".to_owned(), 3));
    gate.open();
    start.run().assert_status(0);
    assert_eq!((database.query(ROWS), database.ledger().len()), ("d4".to_owned(), 4));
}

/// Of statements without a transaction none is run on what somebody else has begun to change.
#[test]
fn no_statement_runs_on_rows_that_moved() {
    let database = Postgres::create();
    let start = both(Prelaunch::on(&database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
    let text = "-- revision: e5\n-- revises: d4\n-- transaction: false\n-- migrate:up\n\
                create table t_e5 (n integer);\n";
    start.run().assert_status(0);
    let start = start.revision("d4", "c3", Gate::STATEMENT).file("migrations/e5.sql", text);
    let gate = Gate::shut(&database);
    let running = start.spawn();
    gate.stops(&database, &running);
    database.query("insert into alembic_version values ('x1')");
    gate.open();
    running.wait().assert_status(16).assert_said("looks again");
    assert_eq!(made(&database), ["t_a1", "t_b2", "t_c3"]);
    assert_eq!((database.query(ROWS), database.ledger().len()), ("d4\nx1".to_owned(), 4));
}

/// A row that is there twice can be turned by nobody, and does not go round for ever.
#[test]
fn a_row_that_is_there_twice_is_told() {
    let database = Postgres::create();
    let start = both(Prelaunch::on(&database), LINE);
    start.clone().env("MIGRATION_TARGET", "b2").run().assert_status(0);
    database.query("alter table alembic_version drop constraint alembic_version_pkc");
    database.query("insert into alembic_version values ('b2')");
    start.run().assert_status(14).assert_last_words(
        "prelaunch: exit 14 in apply: the ledger and table `alembic_version` do not come into step; has \
         the table a row twice, or does something else write to it all the time?",
    );
    assert_eq!(database.ledger(), ["a1", "b2"]);
}
