//! Signals as PostgreSQL sees them: what is dropped ends on the server too, directly and behind a
//! PgBouncer, and a server that does not answer holds nobody.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::{
    completes, ended, ended_with, locking, nothing_left, sessions, soon, start,
    work::{
        hold, hold_again, is_in_the_command, is_in_the_statement, let_go, sleeps_on_the_server,
        slow, slow_commit, slow_revision, slow_revision_without_transaction,
    },
};
use crate::{
    cluster::Cluster,
    database::{Database, eventually},
    postgres::Postgres,
    prelaunch::Prelaunch,
    session::Session,
};

/// The start of `super`, through PgBouncer.
fn start_behind_a_pooler(database: &Postgres) -> Prelaunch {
    start(database).env("DATABASE_URL", database.pgbouncer_url())
}

/// That nothing of prelaunch is at work; a pooler keeps its connections, and their names.
#[track_caller]
fn nothing_at_work(database: &Postgres) {
    soon("its sessions rest", || sessions(database, "state <> 'idle'") == "0");
}

#[test]
fn a_poll_that_is_dropped_ends_on_the_server() {
    let database = Postgres::create();
    a_dropped_poll_ends(&database, &start(&database));
}

#[test]
fn a_poll_that_is_dropped_ends_on_the_server_behind_a_pooler() {
    let database = Postgres::create();
    a_dropped_poll_ends(&database, &start_behind_a_pooler(&database));
}

/// Somebody has the lock and runs a command; somebody else keeps the ledger from being read.
fn a_dropped_poll_ends(database: &Postgres, start: &Prelaunch) {
    let hook = "sh -c 'echo $$ >child; exec sleep 60'";
    let first = start.clone().env("AFTER_MIGRATE", hook).spawn();
    is_in_the_command(start);
    let second = start.clone().env("REINDEX_DATASETS", "true").env("REINDEX_COMMAND", "true");
    let second = second.spawn();
    second.wait_for("waits for the lock");
    let other = locking(database);
    let waits = "wait_event_type = 'Lock'";
    eventually("the poll waits", || (sessions(database, waits) == "1").then_some(()));
    ended_with(second, Signal::SIGTERM, "exit CODE in lock: stopped while waiting for the lock");
    soon("the poll has ended", || sessions(database, waits) == "0");
    drop(other);
    ended_with(
        first,
        Signal::SIGTERM,
        "exit CODE in apply: AFTER_MIGRATE failed: `sh` was stopped by SIGNAL",
    );
    nothing_at_work(database);
    let start = start.clone().env("AFTER_MIGRATE", "true");
    start.run().assert_status(0);
}

/// The keeper has the last connection that the pooler had to give.
#[test]
fn the_wait_for_a_second_connection_of_the_pooler() {
    let database = Postgres::create();
    let start = start_behind_a_pooler(&database);
    let mut others: Vec<Session> = Vec::new();
    for _ in 1..5 {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-d", &database.pgbouncer_url()]).stderr(Stdio::null());
        let mut other = Session::start(psql, "\\echo");
        other.execute("begin; select 1");
        others.push(other);
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let running = start.spawn();
        running.wait_for("has the lock");
        soon("it keeps the lock", || sessions(&database, "state = 'idle in transaction'") == "1");
        ended_with(running, signal, "exit CODE in lock: stopped while waiting for the lock");
        nothing_at_work(&database);
    }
    drop(others);
    start.run().assert_status(0);
}

#[test]
fn a_statement_behind_a_pooler() {
    let database = Postgres::create();
    let start = slow_revision(start_behind_a_pooler(&database), &database);
    let running = start.spawn();
    is_in_the_statement(&running, &database);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `b` failed at migrations/b.sql:8:1 and was rolled back: \
         stopped by SIGNAL",
    );
    nothing_at_work(&database);
    let_go(&database);
    start.run().assert_status(0);
    assert_eq!(database.ledger(), ["a", "b"]);
}

#[test]
fn a_statement_outside_of_a_transaction_behind_a_pooler() {
    let database = Postgres::create();
    hold(&database);
    let start = start_behind_a_pooler(&database);
    let start = slow_revision_without_transaction(start, slow(&database));
    let running = start.spawn();
    is_in_the_statement(&running, &database);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `b` stopped at migrations/b.sql:9:1: 1 of its 3 statements \
         have run, and the next start goes on from there: stopped by SIGNAL",
    );
    nothing_at_work(&database);
    let_go(&database);
    start.run().assert_status(0);
    assert_eq!(database.ledger(), ["a", "b"]);
}

/// Nobody is left to cancel anything then.
#[test]
fn what_a_killed_runner_has_running_in_a_transaction_ends_on_the_server() {
    let database = Postgres::create();
    let in_a_statement = slow_revision(start(&database), &database);
    let running = in_a_statement.spawn();
    is_in_the_statement(&running, &database);
    running.signal(Signal::SIGKILL);
    running.wait().assert_killed_by(Signal::SIGKILL);
    nothing_left(&in_a_statement, &database);

    let database = Postgres::create();
    let in_a_commit = slow_commit(start(&database), &database);
    hold_again(&database);
    let running = in_a_commit.spawn();
    sleeps_on_the_server(&database, "commit");
    running.signal(Signal::SIGKILL);
    running.wait().assert_killed_by(Signal::SIGKILL);
    nothing_left(&in_a_commit, &database);
    let_go(&database);
    completes(&in_a_commit, &database, &["a", "b"]);
}

/// What a runner left behind that is gone: a session of its name, which our role may not end.
fn orphan(database: &Postgres) -> Session {
    let lock = database.lock();
    let key: i64 = lock.split_whitespace().nth(2).unwrap().parse().unwrap();
    let name = format!("prelaunch:{}:worker:00000000:gone", &format!("{key:016x}")[..8]);
    let mut session = database.administrator();
    session.execute(&format!("set application_name = '{name}'"));
    session.execute("begin");
    session
}

#[test]
fn the_wait_for_what_an_earlier_runner_left_behind() {
    let database = Postgres::create();
    let start = start(&database);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let orphan = orphan(&database);
        let running = start.spawn();
        running.wait_for("left a session at work");
        ended_with(running, signal, "exit CODE in lock: stopped while waiting for the lock");
        drop(orphan);
        nothing_left(&start, &database);
    }
    completes(&start, &database, &["a"]);
}

#[test]
fn the_look_under_the_lock() {
    let database = Postgres::create();
    let start = start(&database).revision("b", "a", "create table b (x integer);");
    start.clone().env("MIGRATION_TARGET", "a").run().assert_status(0);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // The last poll has passed when it says that it waits for the orphan.
        let orphan = orphan(&database);
        let running = start.spawn();
        running.wait_for("left a session at work");
        let other = locking(&database);
        drop(orphan);
        let waits = "wait_event_type = 'Lock'";
        eventually("the look waits", || (sessions(&database, waits) == "1").then_some(()));
        ended_with(
            running,
            signal,
            "exit CODE in lock: the ledger cannot be used under the lock: stopped by SIGNAL",
        );
        nothing_left(&start, &database);
        drop(other);
    }
    completes(&start, &database, &["a", "b"]);
}

/// A server that stands still, until the value is dropped: nobody could clean up otherwise.
struct Frozen<'a>(&'a Cluster);

impl<'a> Frozen<'a> {
    fn freeze(cluster: &'a Cluster) -> Self {
        cluster.freeze();
        Self(cluster)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

/// It can neither be asked to cancel the statement, nor does it say goodbye.
#[test]
fn a_server_that_does_not_answer_any_more() {
    let cluster = Cluster::start();
    let database = cluster.create();
    let start = slow_revision(start(&database), &database);
    let running = start.spawn();
    is_in_the_statement(&running, &database);
    let frozen = Frozen::freeze(&cluster);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `b` failed at migrations/b.sql:8:1 and was rolled back: \
         stopped by SIGNAL",
    );
    drop(frozen);
    nothing_left(&start, &database);
    let_go(&database);
    completes(&start, &database, &["a", "b"]);
}

/// Nobody can tell then, and nobody says so.
#[test]
fn a_commit_to_which_there_is_no_answer_may_have_happened() {
    let cluster = Cluster::start();
    let database = cluster.create();
    let start = slow_commit(start(&database), &database);
    hold_again(&database);
    let running = start.spawn();
    sleeps_on_the_server(&database, "commit");
    let frozen = Frozen::freeze(&cluster);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: it is not known whether revision `b` was committed; the next start \
         reads it from the ledger: stopped by SIGNAL",
    );
    drop(frozen);
    nothing_left(&start, &database);
    let_go(&database);
    completes(&start, &database, &["a", "b"]);
}

/// A server with a standby that never comes, and a function for triggers that has a commit wait
/// for it. What was written by then stays, whoever breaks off the wait.
fn without_its_standby() -> (Cluster, Postgres) {
    let cluster = Cluster::stopped();
    cluster.setting("synchronous_standby_names = 'nobody'");
    cluster.setting("synchronous_commit = local");
    cluster.start_again();
    let database = cluster.create();
    database.query(
        "create function wait() returns trigger language plpgsql as \
         $$ begin perform set_config('synchronous_commit', 'on', true); return null; end $$",
    );
    (cluster, database)
}

/// Makes transactions wait that insert into a table.
fn waits(table: &str) -> String {
    format!(
        "create constraint trigger waits after insert on {table} deferrable initially deferred \
         for each row execute function wait();"
    )
}

#[track_caller]
fn waits_for_the_standby(database: &Postgres) {
    let waits = "wait_event = 'SyncRep'";
    eventually("the commit waits", || (sessions(database, waits) == "1").then_some(()));
}

#[test]
fn a_commit_that_cannot_be_taken_back_has_happened() {
    let (_cluster, database) = without_its_standby();
    let b = format!("create table b (x integer);\n{}\ninsert into b values (1);", waits("b"));
    let start = start(&database).revision("b", "a", &b).revision("c", "b", "select 1;");
    let running = start.spawn();
    waits_for_the_standby(&database);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `c` failed and was rolled back: stopped by SIGNAL",
    );
    assert_eq!(database.ledger(), ["a", "b"]);
    nothing_left(&start, &database);
    completes(&start, &database, &["a", "b", "c"]);
}

/// Nor is a command started any more when that comes to light.
#[test]
fn a_command_is_not_begun_after_a_signal() {
    let (_cluster, database) = without_its_standby();
    let start = start(&database);
    start.run().assert_status(0);
    database.query(&waits("prelaunch_history"));
    let start = start
        .env("AFTER_MIGRATE", "true")
        .env("REINDEX_DATASETS", "true")
        .env("REINDEX_COMMAND", "true");
    let running = start.spawn();
    waits_for_the_standby(&database);
    ended(running, Signal::SIGTERM).assert_never_said("forwards the signal").assert_last_words(
        "prelaunch: exit 143 in reindex: REINDEX_COMMAND failed: `true` was stopped by SIGTERM",
    );
    nothing_left(&start, &database);
    database.query("drop trigger waits on prelaunch_history");
    completes(&start, &database, &["a"]);
    assert_eq!(database.history(), ["upgrade a", "hook", "reindex *"]);
}

/// That it was to begin had been written down, and no more.
#[test]
fn a_statement_that_was_never_begun_is_not_in_doubt() {
    let (_cluster, database) = without_its_standby();
    let start = slow_revision_without_transaction(start(&database), "select 1");
    start.clone().env("MIGRATION_TARGET", "a").run().assert_status(0);
    database.query(&waits("prelaunch_journal"));
    let running = start.spawn();
    waits_for_the_standby(&database);
    ended_with(
        running,
        Signal::SIGTERM,
        "exit CODE in apply: revision `b` stopped at migrations/b.sql:8:1: 0 of its 3 statements \
         have run, and the next start goes on from there: stopped by SIGNAL",
    );
    nothing_left(&start, &database);
    database.query("drop trigger waits on prelaunch_journal");
    completes(&start, &database, &["a", "b"]);
}
