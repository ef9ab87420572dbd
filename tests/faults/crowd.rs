//! Many runners at once on an empty database: one applies, all of them become their server.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};

use crate::{
    Fault, Setting, Way,
    database::{Database, Engine},
    postgres::Postgres,
    random::Random,
    running::{self, Running},
    sqlite_faults,
    trial::{Hit, Notes, Reference, Trial},
};

/// Tries it: 50 on PostgreSQL, directly or through PgBouncer, or 20 on a file.
pub(crate) fn attempt(
    fault: Fault,
    setting: &Setting,
    random: &mut Random,
    way: Way,
    notes: &Notes,
) -> Hit {
    match fault {
        Fault::FileCrowd => {
            let database = sqlite_faults::file(random.pick(&["delete", "wal"]));
            crowd(&database, &database.url(), 20, &setting.file.reference, random, notes);
        }
        _ => {
            let database = Postgres::create();
            let url = match way {
                Way::Direct => database.url(),
                Way::Pooled | Way::Behind => setting.bouncer.url(&database),
            };
            crowd(&database, &url, 50, &setting.measured.reference, random, notes);
        }
    }
    Hit { stage: "lock".to_owned() }
}

fn crowd(
    database: &dyn Database,
    url: &str,
    count: usize,
    reference: &Reference,
    random: &mut Random,
    notes: &Notes,
) {
    let trial = Trial::of(database, notes);
    let start = trial.disturbed(url).env("LOCK_TIMEOUT", "35s").env("WAIT_TIMEOUT", "35s");
    // Half of the time those who work die, so that others take over.
    let deaths = if random.once_in(2) { usize::try_from(random.between(1, 4)).unwrap() } else { 0 };
    notes.add(&format!("{count} at once, {deaths} of those who work are killed"));
    let began = Instant::now();
    let (mut runners, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..count {
        runners.push(start.spawn());
        slay(&runners, &mut killed, deaths);
    }
    while killed.len() < deaths && began.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(random.between(2, 30)));
        slay(&runners, &mut killed, deaths);
    }
    let most = busiest(database, &mut runners);
    let took = began.elapsed();
    let mut codes: Vec<i32> = Vec::new();
    for (number, runner) in (1..).zip(runners) {
        codes.push(trial.ended(&format!("runner {number}"), runner).code());
    }
    if killed.is_empty() {
        assert!(codes.iter().all(|code| *code == 0), "not all became their server: {codes:?}");
        let on = match database.engine() {
            Engine::Postgres => format!(", at most {most} connections to the server"),
            Engine::Sqlite => String::new(),
        };
        println!("{count} runners at once, {count} servers in {took:.1?}{on}");
    }
    trial.recover();
    trial.judge(reference);
}

/// Kills whoever is at work, unless enough have been killed.
fn slay(runners: &[Running], killed: &mut Vec<usize>, deaths: usize) {
    if killed.len() >= deaths {
        return;
    }
    let at_work = runners.iter().enumerate().find(|(number, runner)| {
        let said = runner.raw_stderr_so_far();
        !killed.contains(number) && said.contains("applies a revision") && !said.contains("becomes")
    });
    if let Some((number, runner)) = at_work {
        // It may have ended just now.
        let _ = kill(runner.pid(), Signal::SIGKILL);
        killed.push(number);
    }
}

/// Waits until all have ended, and gives how many connections there were at most: of the server on
/// PostgreSQL, where that counts.
fn busiest(database: &dyn Database, runners: &mut [Running]) -> u64 {
    let connections = "select count(*) from pg_stat_activity \
                       where datname = current_database() and pid <> pg_backend_pid() \
                       and application_name <> 'psql'";
    let (mut most, deadline) = (0, Instant::now() + running::END);
    while runners.iter_mut().any(|runner| !runner.has_ended()) && Instant::now() < deadline {
        match database.engine() {
            Engine::Postgres => most = most.max(database.query(connections).parse().unwrap()),
            Engine::Sqlite => thread::sleep(Duration::from_millis(5)),
        }
    }
    most
}
