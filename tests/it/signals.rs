//! That a signal ends prelaunch wherever it waits: soon, with its exit code and its words, with
//! nothing left behind, and so that the next start completes.
//!
//! Each test holds prelaunch in one kind of wait, sees by the state of the system that it is there
//! (a session that waits, a query that nobody answers, a descriptor), sends the signal and takes
//! everything back that held it. SIGTERM is sent in each of them, SIGINT on SQLite and SIGHUP on
//! PostgreSQL.
//!
//! - here: name look-up, connecting, looking, queueing
//! - `work`: statements, commits, hooks, reindexing
//! - `far`: what a PostgreSQL server, or a PgBouncer in between, makes of it
//! - `edges`: the configuration before the work, the instant before the server, a second
//!   signal, a signal that is ignored
//! - `held`: the holds that are neither a database nor a command

mod edges;
mod far;
mod held;
mod work;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::held::{Full, Gate, Silent};
use crate::{
    database::{Database, Engine, on_both},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
    session::Session,
    sqlite::Sqlite,
};

/// How long an end may take.
const SOON: Duration = Duration::from_secs(2);

/// A start that has one revision to apply, and a server.
fn start(database: &dyn Database) -> Prelaunch {
    Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        .revision("a", "", "create table a (x integer);")
        .server(&["sh", "-c", "echo the server runs"])
}

/// SIGTERM, and one of the two others.
fn signals(database: &dyn Database) -> [Signal; 2] {
    match database.engine() {
        Engine::Sqlite => [Signal::SIGTERM, Signal::SIGINT],
        Engine::Postgres => [Signal::SIGTERM, Signal::SIGHUP],
    }
}

/// Asks until it is so, for as long as an end may take.
#[track_caller]
fn soon(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !ask() {
        assert!(Instant::now() < deadline, "not soon: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends the signal, and sees that it ends soon and by itself, with the signal's exit code
/// and without a server.
#[track_caller]
fn ended(mut running: Running, signal: Signal) -> Outcome {
    running.signal(signal);
    soon("it ends", || running.has_ended());
    let outcome = running.wait();
    outcome.assert_status(128 + signal as i32).assert_stdout("");
    outcome
}

/// The same, with its last words; in them `CODE` stands for the exit code, and `SIGNAL` for the
/// name of the signal.
#[track_caller]
fn ended_with(running: Running, signal: Signal, words: &str) {
    ended(running, signal).assert_last_words(&told(signal, words));
}

fn told(signal: Signal, words: &str) -> String {
    let words = words.replace("CODE", &(128 + signal as i32).to_string());
    format!("prelaunch: {}", words.replace("SIGNAL", signal.as_str()))
}

/// That no process of this start is left, and nothing of it at work in the database.
#[track_caller]
fn nothing_left(start: &Prelaunch, database: &dyn Database) {
    soon("its processes are gone", || processes_in(&start.directory()).is_empty());
    match database.engine() {
        Engine::Sqlite => free(database),
        Engine::Postgres => soon("its sessions are gone", || sessions(database, "true") == "0"),
    }
}

/// How many sessions of prelaunch there are, of which something is true.
fn sessions(database: &dyn Database, which: &str) -> String {
    database.query(&format!(
        "select count(*) from pg_stat_activity where datname = current_database() \
         and application_name like 'prelaunch:%' and {which}"
    ))
}

/// That a SQLite file can be written to, and its lock can be had.
#[track_caller]
fn free(database: &dyn Database) {
    let path = database.url().replacen("sqlite:", "", 1);
    if let Ok(lock) = fs::File::open(format!("{path}.prelaunch-lock")) {
        lock.try_lock().expect("nobody holds the lock");
    }
    if Path::new(&path).exists() {
        assert!(!Path::new(&format!("{path}-journal")).exists(), "a transaction is left open");
        database.query("begin immediate; rollback");
    }
}

/// The processes whose working directory it is.
fn processes_in(directory: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|one| fs::read_link(one.path().join("cwd")).is_ok_and(|cwd| cwd == directory))
        .map(|one| one.file_name().to_string_lossy().into_owned())
        .collect()
}

/// That a start which nobody disturbs completes.
#[track_caller]
fn completes(start: &Prelaunch, database: &dyn Database, ledger: &[&str]) {
    start.run().assert_status(0).assert_stdout("the server runs");
    assert_eq!(database.ledger(), ledger);
    nothing_left(start, database);
}

on_both! {
    /// On SQLite it is the name of another dependency.
    fn the_look_up_of_a_name(database: &dyn Database) {
        let start = start(database);
        let held = held::in_a_network_without_answers(start.clone());
        let held = match database.engine() {
            Engine::Sqlite => held.env("WAIT_FOR", "tcp://db.prelaunch.test:1"),
            Engine::Postgres => held.env("DATABASE_URL", "postgres://me@db.prelaunch.test/db"),
        };
        for signal in signals(database) {
            let running = held.spawn();
            held::asks_for_a_name(&running);
            ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");
            nothing_left(&start, database);
        }
        completes(&start, database, &["a"]);
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing() {
    let database = Postgres::create();
    let start = start(&database);
    for signal in signals(&database) {
        let silent = Silent::listen();
        let url = format!("postgres://me@127.0.0.1:{}/db", silent.port());
        let running = start.clone().env("DATABASE_URL", url).spawn();
        let _connection = silent.accept();
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");
        nothing_left(&start, &database);
    }
    completes(&start, &database, &["a"]);
}

#[test]
fn a_server_that_does_not_even_accept() {
    let database = Postgres::create();
    let start = start(&database);
    let full = Full::listen();
    for signal in signals(&database) {
        let url = format!("postgres://me@127.0.0.1:{}/db", full.port());
        let running = start.clone().env("DATABASE_URL", url).spawn();
        full.is_knocked_at();
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");
        nothing_left(&start, &database);
    }
    completes(&start, &database, &["a"]);
}

/// A file that somebody has for himself does not answer either.
#[test]
fn a_file_that_is_in_use_at_the_first_try() {
    let database = Sqlite::create();
    let start = start(&database);
    for signal in signals(&database) {
        let mut other = database.session();
        other.execute("begin exclusive");
        let running = start.spawn();
        held::has_open(&running, &database.path());
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");
        other.execute("rollback");
        nothing_left(&start, &database);
    }
    completes(&start, &database, &["a"]);
}

on_both! {
    fn the_look(database: &dyn Database) {
        let start = start(database).revision("b", "a", "create table b (x integer);");
        start.clone().env("MIGRATION_TARGET", "a").run().assert_status(0);
        for signal in signals(database) {
            match database.engine() {
                Engine::Sqlite => the_look_at_a_file(&start, database, signal),
                Engine::Postgres => the_look_at_a_table(&start, database, signal),
            }
            nothing_left(&start, database);
        }
        completes(&start, database, &["a", "b"]);
    }
}

/// Nobody but the server itself sees that the client is gone whose query waits for a lock.
fn the_look_at_a_table(start: &Prelaunch, database: &dyn Database, signal: Signal) {
    let mut other = locking(database);
    let running = start.spawn();
    soon("the look waits", || sessions(database, "wait_event_type = 'Lock'") == "1");
    ended_with(running, signal, "exit CODE in look: stopped by SIGNAL");
    soon("the look has ended", || sessions(database, "true") == "0");
    other.execute("rollback");
}

/// Connecting has read the file once, so that it must become busy after that: prelaunch is held at
/// the line that says so.
fn the_look_at_a_file(start: &Prelaunch, database: &dyn Database, signal: Signal) {
    let mut gate = Gate::with_room(start, 0);
    let running = start.clone().under(Gate::UNDER).spawn();
    Gate::holds(&running);
    let mut other = database.session();
    other.execute("begin exclusive");
    gate.open();
    let mut outcome = ended(running, signal);
    outcome.raw_stderr = gate.heard();
    outcome.assert_said("answers").assert_never_said("has looked");
    outcome.assert_last_words(&told(signal, "exit CODE in look: stopped by SIGNAL"));
}

/// Somebody who lets nobody read the ledger.
fn locking(database: &dyn Database) -> Session {
    let mut session = database.session();
    session.execute("begin");
    session.execute("lock table prelaunch_ledger in access exclusive mode");
    session
}

on_both! {
    /// And whoever has the lock does not notice.
    fn the_queue_for_the_lock(database: &dyn Database) {
        let start = work::slow_revision(start(database), database);
        let mut first = start.spawn();
        work::is_in_the_statement(&first, database);
        for signal in signals(database) {
            let second = start.spawn();
            second.wait_for("waits for the lock");
            ended_with(second, signal, "exit CODE in lock: stopped while waiting for the lock");
            assert!(!first.has_ended());
        }
        ended_with(
            first,
            Signal::SIGTERM,
            "exit CODE in apply: revision `b` failed at migrations/b.sql:8:1 and was rolled back: \
             stopped by SIGNAL",
        );
        nothing_left(&start, database);
        work::let_go(database);
        completes(&start, database, &["a", "b"]);
    }

    /// The mode `wait`, in which another runner is waited for without a lock.
    fn the_wait_for_another_runner(database: &dyn Database) {
        let start = start(database);
        for signal in signals(database) {
            let running = start.clone().env("AUTO_MIGRATION", "wait").spawn();
            running.wait_for("waits for another runner to migrate");
            ended_with(running, signal, "exit CODE in lock: stopped while waiting for the lock");
            nothing_left(&start, database);
        }
        completes(&start, database, &["a"]);
    }
}

#[test]
fn a_dependency_that_is_waited_for() {
    let (full, silent) = (Full::listen(), Silent::listen());
    let nobody = Silent::listen().port();
    let start = Prelaunch::new().server(&["sh", "-c", "echo the server runs"]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // A connection that does not come about.
        let url = format!("tcp://127.0.0.1:{}", full.port());
        let running = start.clone().env("WAIT_FOR", url).spawn();
        full.is_knocked_at();
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");

        // A request without an answer.
        let url = format!("http://127.0.0.1:{}/", silent.port());
        let running = start.clone().env("WAIT_FOR", url).spawn();
        let _connection = silent.accept();
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");

        // The pause between two tries.
        let url = format!("tcp://127.0.0.1:{nobody}");
        let running = start.clone().env("WAIT_FOR", url).spawn();
        running.wait_for("no answer yet");
        ended_with(running, signal, "exit CODE in wait: stopped by SIGNAL");
    }
    start.run().assert_status(0).assert_stdout("the server runs");
}
