//! Faults around a SQLite file: the run, its disk, its clock, and others who use the file.
//!
//! What is a request on PostgreSQL is a change of a file here: each write, truncation, sync and
//! removal that SQLite asks for is a point of its own.

use std::{
    fs, thread,
    time::{Duration, Instant, SystemTime},
};

use nix::sys::signal::{Signal, kill};

use crate::{
    Fault, Setting,
    database::Database as _,
    random::Random,
    running::Running,
    shim::{self, Levers},
    sqlite::Sqlite,
    trial::{Hit, Notes, Reference, Trial, last_stage, stage_at, wait_until},
};

/// How SQLite keeps its journal.
const MODES: [&str; 2] = ["delete", "wal"];

/// How undisturbed runs went: one for each of [`MODES`].
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) reference: Reference,
    changes: [u64; 2],
}

/// Runs it once in each mode.
pub(crate) fn measure() -> Measured {
    let notes = Notes::default();
    let [delete, wal] = MODES.map(|mode| {
        let database = file(mode);
        let mut trial = Trial::of(&database, &notes);
        // What becomes the server does not come to its end.
        let counted = trial.start.directory().join("changes");
        let counting = [("SHIM_COUNT", counted.to_str().unwrap())];
        let alone = shim::preloaded(trial.start.clone(), &counting).server::<&str>(&[]);
        alone.run().assert_status(0);
        let changes = fs::read_to_string(&counted).unwrap().trim().parse().unwrap();
        let database = file(mode);
        trial = Trial::of(&database, &notes);
        (trial.reference(), changes)
    });
    assert_eq!(delete.0.snapshot, wal.0.snapshot, "two undisturbed runs leave the same");
    Measured { reference: delete.0, changes: [delete.1, wal.1] }
}

/// A file whose journal is kept in this way.
pub(crate) fn file(mode: &str) -> Sqlite {
    let database = Sqlite::create();
    if mode == "wal" {
        database.query("pragma journal_mode = wal");
    }
    database
}

/// Tries one fault. None if the run was over before it came to it.
pub(crate) fn attempt(
    fault: Fault,
    setting: &Setting,
    random: &mut Random,
    notes: &Notes,
) -> Option<Hit> {
    let mode = usize::try_from(random.below(2)).unwrap();
    let database = file(MODES[mode]);
    let trial = Trial::of(&database, notes);
    let measured = &setting.file;
    let start = trial.disturbed(&database.url());
    notes.add(&format!("journal mode {}", MODES[mode]));
    let hit = match fault {
        Fault::FileKillAtChange | Fault::FileTermAtChange | Fault::FileFull => {
            let what = match fault {
                Fault::FileKillAtChange => "kill",
                Fault::FileTermAtChange => "term",
                _ => random.pick(&["full", "fulls"]),
            };
            let at = (1 + random.below(measured.changes[mode])).to_string();
            notes.add(&format!("{what} at change {at} of {}", measured.changes[mode]));
            let running = shim::preloaded(start, &[("SHIM_AT", &at), ("SHIM_DO", what)]).spawn();
            let beside = beside(&trial, random);
            let outcome = trial.ended("the run", running);
            ended(&trial, beside);
            let expected = if what == "kill" { outcome.code() == 137 } else { true };
            expected.then(|| last_stage(&outcome.raw_stderr))
        }
        _ => {
            let levers = Levers(trial.start.directory().join("levers"));
            fs::create_dir(&levers.0).unwrap();
            let directory = levers.0.to_str().unwrap().to_owned();
            let start = match fault {
                Fault::FileClock => shim::preloaded(start, &[("SHIM_DIR", &directory)]),
                _ => start,
            };
            let longest = u64::try_from(measured.reference.took.as_micros()).unwrap();
            let after = Duration::from_micros(random.below(longest));
            notes.add(&format!("after {after:?}"));
            let mut running = start.spawn();
            let began = Instant::now();
            let beside = beside(&trial, random);
            thread::sleep(after.saturating_sub(began.elapsed()));
            let (fired, late) = (SystemTime::now(), running.has_ended());
            let so_far = running.raw_stderr_so_far();
            if !late {
                happen(fault, &database, random, &running, &levers, notes);
            }
            wait_until(&mut running, || false);
            let outcome = trial.ended("the run", running);
            ended(&trial, beside);
            // The times of a wrong clock tell nothing.
            let told = if fault == Fault::FileClock { &so_far } else { &outcome.raw_stderr };
            (!late).then(|| stage_at(told, fired))
        }
    };
    trial.recover();
    trial.judge(&measured.reference);
    hit.map(|stage| Hit { stage })
}

fn happen(
    fault: Fault,
    database: &Sqlite,
    random: &mut Random,
    running: &Running,
    levers: &Levers,
    notes: &Notes,
) {
    match fault {
        Fault::FileClock => {
            let seconds = random.pick(&[-400_000_000, -3_600, -7, 7, 3_600, 400_000_000]);
            notes.add(&format!("the clock jumps by {seconds} s"));
            levers.clock(seconds);
        }
        Fault::FileReader => {
            let (what, lasts) = (random.pick(&["", "immediate"]), random.pick(&[10, 100, 700]));
            notes.add(&format!("somebody has the file for {lasts} ms: begin {what}"));
            let mut session = database.session();
            session.execute(&format!("begin {what}; select count(*) from sqlite_schema"));
            thread::sleep(Duration::from_millis(lasts));
            session.execute("rollback");
        }
        _ => {
            let term = fault == Fault::FileTermAtRandom;
            let signal = if term { Signal::SIGTERM } else { Signal::SIGKILL };
            // It may have ended just now.
            let _ = kill(running.pid(), signal);
        }
    }
}

/// Now and then somebody else is there, whom nothing happens to.
fn beside(trial: &Trial<'_>, random: &mut Random) -> Option<Running> {
    random.once_in(4).then(|| {
        let mode = random.pick(&["true", "wait", "check"]);
        let start = trial.disturbed(&trial.database.url());
        start.env("AUTO_MIGRATION", mode).env("LOCK_TIMEOUT", "3s").spawn()
    })
}

fn ended(trial: &Trial<'_>, beside: Option<Running>) {
    if let Some(beside) = beside {
        let _ = trial.ended("beside it", beside);
    }
}
