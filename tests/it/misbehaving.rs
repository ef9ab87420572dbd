//! Scripts that do to their session what they should not, or say more than anybody wants to hear.

use nix::sys::signal::Signal;

use crate::{
    database::{Database, eventually, on_both},
    postgres::Postgres,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// More than a start takes, and far less than what the scripts below have to say.
const MOST: u64 = 60_000;

/// Runs a script, and gives how much memory it took at most, in kilobytes.
#[track_caller]
fn memory(database: &dyn Database, script: &str) -> u64 {
    let outcome = Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        .env("AFTER_MIGRATE", "sh -c 'grep VmHWM /proc/$PPID/status'")
        .revision("a000", "", script)
        .run();
    outcome.assert_status(0);
    let most = outcome.raw_stderr.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn a_million_notices_take_no_memory() {
    let script = "do $$ begin for n in 1..1000000 loop \
                  raise notice 'notice % %', n, repeat('x', 100); end loop; end $$;";
    assert!(memory(&Postgres::create(), script) < MOST);
}

/// A gigabyte.
#[test]
fn a_giant_result_takes_no_memory() {
    let script = "select repeat('x', 1000000) from generate_series(1, 1000);";
    assert!(memory(&Postgres::create(), script) < MOST);
    let script = "with recursive n (i) as (select 1 union all select i + 1 from n limit 1000) \
                  select hex(zeroblob(500000)) from n;";
    assert!(memory(&Sqlite::create(), script) < MOST);
}

on_both! {
    fn a_million_rows_take_no_memory(database: &dyn Database) {
        let script = "with recursive n (i) as (select 1 union all select i + 1 from n \
                      where i < 1000000) select i, 'row', i from n;";
        assert!(memory(database, script) < MOST);
    }
}

/// What it says is repeated in the log and in the termination message.
#[test]
fn a_giant_error_is_cut() {
    let database = Postgres::create();
    let script = "do $$ begin raise exception '%', repeat('x', 10000000); end $$;";
    let start = Prelaunch::on(&database).env("AUTO_MIGRATION", "true");
    let outcome = start.revision("a000", "", script).run();
    outcome.assert_status(14);
    assert!(outcome.last_words().len() < 2048, "{} bytes", outcome.last_words().len());
    assert!(outcome.last_words().ends_with("xxx… (SQLSTATE P0001)"), "{}", outcome.last_words());
}

/// Under whatever name, what is to be cancelled is found. A sequence keeps what is rolled back.
#[test]
fn a_script_that_renames_its_session_is_cancelled() {
    let headers = ["", "-- transaction: false\n"];
    for (header, pooled) in headers.into_iter().flat_map(|one| [(one, false), (one, true)]) {
        let database = Postgres::create();
        database.query("create sequence cancelled");
        let url = if pooled { database.pgbouncer_url() } else { database.url() };
        let script = format!(
            "-- revision: a000\n{header}-- migrate:up\n\
             set application_name = 'mine';\n\
             do $$ begin perform pg_sleep(600); exception when query_canceled then \
             perform nextval('cancelled'); raise; end $$;\n"
        );
        let start = Prelaunch::on(&database).env("DATABASE_URL", url).env("AUTO_MIGRATION", "true");
        let runner = start.script("a000.sql", &script).spawn();
        let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' \
                      and datname = current_database()";
        eventually("it sleeps", || (database.query(sleeps) == "1").then_some(()));
        runner.signal(Signal::SIGTERM);
        runner.wait().assert_status(143);
        assert_eq!(database.query("select is_called from cancelled"), "t");
        assert_eq!(database.query(sleeps), "0");
    }
}

/// What a script may change for its session.
const CHANGES: &str = "
    create temp table seen (a integer);
    set search_path = elsewhere;
    set statement_timeout = '1h';
    set lock_timeout = '1h';
    set work_mem = '5MB';
    set session_replication_role = replica;
    set default_transaction_isolation = 'serializable';
    set client_min_messages = error;
    set standard_conforming_strings = off;
    set datestyle = 'German';
    set timezone = 'Asia/Tokyo';
    set application_name = 'mine';
    set row_security = off;
    set my.own = 'here';
";

/// All of that as it is found, in one line.
const FOUND: &str = "
    insert into public.found select concat_ws('|',
        to_regclass('seen')::text,
        current_setting('search_path'), current_user, session_user,
        current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('work_mem'), current_setting('session_replication_role'),
        current_setting('transaction_isolation'), current_setting('client_min_messages'),
        current_setting('standard_conforming_strings'), current_setting('datestyle'),
        current_setting('timezone'), current_setting('application_name'),
        current_setting('row_security'), nullif(current_setting('my.own', true), ''));
";

/// It is put back before the next script, and before its own row is written.
#[test]
fn what_a_script_changes_for_its_session_does_not_reach_the_next() {
    // Outside of a transaction no pooler promises that one statement follows another.
    for (transactional, pooled) in [(true, false), (true, true), (false, false)] {
        let database = Postgres::create();
        let other = format!("{}_other", database.name());
        database.administer(&format!(
            "create role {other}; grant {other} to {0}; alter role {0} superuser",
            database.role(),
        ));
        database.query("create schema elsewhere; create table found (what text)");
        let url = if pooled { database.pgbouncer_url() } else { database.url() };
        let (header, role) = if transactional {
            ("", format!("set role {other};"))
        } else {
            // There it is refused.
            ("-- transaction: false\n", String::new())
        };
        let outcome = Prelaunch::new()
            .knows(&database)
            .env("DATABASE_URL", url)
            .env("AUTO_MIGRATION", "true")
            .revision("a000", "", FOUND)
            .script(
                "b000.sql",
                &format!(
                    "-- revision: b000\n-- revises: a000\n{header}-- migrate:up\n{CHANGES}{role}"
                ),
            )
            .revision("c000", "b000", FOUND)
            .run();
        outcome.assert_status(0);
        let found = database.query("select what from found");
        let (before, after) = found.split_once('\n').unwrap();
        assert_eq!(before, after);
        assert_eq!(database.upgrades(), ["a000", "b000", "c000"]);
        database.administer(&format!("drop role {other}"));
    }
}
