//! Many runners at once on an empty database: one applies, all of them become their server.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};

use crate::{
    Fault, Setting,
    database::Database,
    postgres::Postgres,
    random::Random,
    running::Running,
    sqlite_faults,
    trial::{Hit, Notes, Reference, Trial},
};

/// Tries it: 50 on PostgreSQL, directly or through PgBouncer, or 20 on a file.
pub(crate) fn attempt(
    fault: Fault,
    setting: &Setting,
    random: &mut Random,
    pooled: bool,
    notes: &Notes,
) -> Hit {
    match fault {
        Fault::FileCrowd => {
            let database = sqlite_faults::file(random.pick(&["delete", "wal"]));
            crowd(&database, &database.url(), 20, &setting.file.reference, random, notes);
        }
        _ => {
            let database = Postgres::create();
            let url = if pooled { setting.bouncer.url(&database) } else { database.url() };
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
    let began = Instant::now();
    let runners: Vec<Running> = (0..count).map(|_| start.spawn()).collect();
    // Half of the time somebody dies: whoever works at that moment, so that others take over.
    let deaths = if random.once_in(2) { random.between(1, 4) } else { 0 };
    notes.add(&format!("{count} at once, {deaths} of those who work are killed"));
    let mut killed = 0;
    let mut at_work = 0;
    while killed < deaths && at_work < count && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(random.between(5, 60)));
        let working = runners[at_work..]
            .iter()
            .position(|runner| runner.raw_stderr_so_far().contains("applies a revision"));
        if let Some(working) = working {
            // Whoever has said so and is dead already is not counted twice.
            let _ = kill(runners[at_work + working].pid(), Signal::SIGKILL);
            killed += 1;
            if working > 0 {
                continue;
            }
        }
        at_work = if working == Some(0) { at_work + 1 } else { at_work };
        if runners.iter().any(|runner| runner.raw_stderr_so_far().contains("becomes the server")) {
            break;
        }
    }
    let mut codes: Vec<i32> = Vec::new();
    for (number, runner) in (1..).zip(runners) {
        codes.push(trial.ended(&format!("runner {number}"), runner).code());
    }
    if deaths == 0 {
        assert!(codes.iter().all(|code| *code == 0), "not all became their server: {codes:?}");
        notes.add(&format!("{count} servers in {:?}", began.elapsed()));
    }
    trial.recover();
    trial.judge(reference);
}
