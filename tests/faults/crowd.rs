//! Many runners at once on an empty database: one applies, all of them become their server.

use std::{
    sync::atomic::{AtomicBool, Ordering},
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
    let over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watched = scope.spawn(|| busiest(database, &over));
        for _ in 0..count {
            runners.push(start.spawn());
            slay(&runners, &mut killed, deaths);
        }
        let late = || began.elapsed() > running::END;
        while runners.iter_mut().any(|runner| !runner.has_ended()) && !late() {
            thread::sleep(Duration::from_millis(random.between(2, 10)));
            slay(&runners, &mut killed, deaths);
        }
        over.store(true, Ordering::SeqCst);
        watched.join().unwrap()
    });
    let took = began.elapsed();
    let mut codes: Vec<i32> = Vec::new();
    for (number, runner) in (1..).zip(runners) {
        codes.push(trial.ended(&format!("runner {number}"), runner).code());
    }
    if killed.is_empty() {
        assert!(codes.iter().all(|code| *code == 0), "not all became their server: {codes:?}");
        let on = match database.engine() {
            Engine::Postgres => {
                let way = if url == database.url() { "directly" } else { "through PgBouncer" };
                format!(" {way}, at most {most} connections to the server")
            }
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

/// How many connections the server has at most until it is over; on SQLite none count.
fn busiest(database: &dyn Database, over: &AtomicBool) -> u64 {
    if database.engine() == Engine::Sqlite {
        return 0;
    }
    let mut session = database.session();
    let mut most = 0;
    while !over.load(Ordering::SeqCst) {
        let count = session.execute(
            "select count(*) from pg_stat_activity where datname = current_database() \
             and application_name <> 'psql'",
        );
        most = most.max(count.parse().unwrap());
        thread::sleep(Duration::from_millis(2));
    }
    most
}
