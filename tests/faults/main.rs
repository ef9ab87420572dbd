//! The campaign of faults: something breaks while a run is at work, a fresh run follows, and then
//! nothing may be lost, nothing done twice, nothing stuck, and no server may have begun on a schema
//! that was not at its target. Run it with `tests/faults/run.sh`.
//!
//! - `chain` what is run, and how its effects are seen; the way out of exit code 15
//! - `trial` one trial: the disturbed run, the fresh one, the judgement
//! - `postgres_faults`, `server_faults`, `sqlite_faults`, `crowd` what happens
//! - `proxy` breaks connections at any byte and any request (`frames`); `shim` spoils clock and
//!   disk; `servers` are restarted, crashed, promoted
//! - `matrix` fault × engine × stage: tried, survived
//! - `random` choices that a seed repeats
//!
//! The rest is the test bed of `tests/it`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a trial that cannot go on says so by a panic"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the campaign is the world around the program: its environment, files and clock"
)]

mod chain;
mod crowd;
mod frames;
mod matrix;
mod postgres_faults;
mod proxy;
mod random;
mod server_faults;
mod servers;
mod shim;
mod sqlite_faults;
mod trial;

macro_rules! bed {
    ($($name:ident $path:literal)*) => {$(
        #[path = $path]
        #[allow(dead_code, unused_imports, unused_macros, reason = "tests/it uses the rest of it")]
        mod $name;
    )*};
}
bed! {
    bouncer "../it/bouncer.rs"
    cluster "../it/cluster.rs"
    database "../it/database.rs"
    log "../it/log.rs"
    outcome "../it/outcome.rs"
    postgres "../it/postgres.rs"
    prelaunch "../it/prelaunch.rs"
    running "../it/running.rs"
    session "../it/session.rs"
    sqlite "../it/sqlite.rs"
    words "../it/words.rs"
}

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    bouncer::Bouncer,
    matrix::{Matrix, Tried},
    random::Random,
    trial::{Hit, Notes},
};

/// How a run reaches the database, and on which side of a pooler things happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Direct,
    /// To PgBouncer, and what happens happens before it.
    Pooled,
    /// To PgBouncer, and it happens between that and the server.
    Behind,
}

/// What can happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Cut,
    Reset,
    Stall,
    KillAtStatement,
    TermAtStatement,
    KillAtRandom,
    TermAtRandom,
    Restart,
    Crash,
    Failover,
    Clock,
    Disk,
    Crowd,
    FileKillAtChange,
    FileTermAtChange,
    FileKillAtRandom,
    FileTermAtRandom,
    FileFull,
    FileReader,
    FileClock,
    FileCrowd,
}

/// Each with its name for `--only`, what the matrix calls it, and how often it comes in a round.
const FAULTS: [(Fault, &str, &str, u64); 21] = [
    (Fault::Cut, "cut", "connections are cut", 8),
    (Fault::Reset, "reset", "connections are reset", 8),
    (Fault::Stall, "stall", "connections go silent", 4),
    (Fault::KillAtStatement, "kill", "SIGKILL at a statement", 10),
    (Fault::TermAtStatement, "term", "SIGTERM at a statement", 8),
    (Fault::KillAtRandom, "kill-random", "SIGKILL at a random moment", 6),
    (Fault::TermAtRandom, "term-random", "SIGTERM at a random moment", 6),
    (Fault::Restart, "restart", "the server restarts", 3),
    (Fault::Crash, "crash", "the server crashes", 4),
    (Fault::Failover, "failover", "a synchronous standby takes over", 1),
    (Fault::Clock, "clock", "the clock jumps", 2),
    (Fault::Disk, "disk", "the disk is full", 3),
    (Fault::Crowd, "crowd", "50 runners at once", 1),
    (Fault::FileKillAtChange, "sqlite-kill", "SIGKILL at a change of a file", 12),
    (Fault::FileTermAtChange, "sqlite-term", "SIGTERM at a change of a file", 8),
    (Fault::FileKillAtRandom, "sqlite-kill-random", "SIGKILL at a random moment", 4),
    (Fault::FileTermAtRandom, "sqlite-term-random", "SIGTERM at a random moment", 4),
    (Fault::FileFull, "sqlite-disk", "the disk is full", 8),
    (Fault::FileReader, "sqlite-busy", "others use the file", 3),
    (Fault::FileClock, "sqlite-clock", "the clock jumps", 2),
    (Fault::FileCrowd, "sqlite-crowd", "20 runners at once", 1),
];

/// How many faults without `--long`, and how long at most.
const BOUNDED: (u64, Duration) = (600, Duration::from_secs(170));

/// How long with it.
const LONG: Duration = Duration::from_secs(3600);

/// What all trials share.
struct Setting {
    bouncer: Bouncer,
    measured: postgres_faults::Measured,
    file: sqlite_faults::Measured,
    /// `PostgreSQL 15`.
    server: String,
}

/// What was asked for.
struct Asked {
    count: u64,
    limit: Duration,
    seed: u64,
    only: Vec<&'static (Fault, &'static str, &'static str, u64)>,
    /// One case alone.
    case: Option<u64>,
    jobs: u64,
    write: bool,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!(
                "{why}\nusage: tests/faults/run.sh [--long | N] [--seed S] [--on postgres|sqlite] \
                 [--only FAULT]… [--case K] [--jobs J] [--write]"
            );
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let bouncer = Bouncer::start("max_client_conn = 2000\ndefault_pool_size = 5");
    let version = postgres::Server::shared()
        .administer("postgres", &["select current_setting('server_version_num')::int / 10000"]);
    let setting = Setting {
        measured: postgres_faults::measure(&bouncer),
        file: sqlite_faults::measure(),
        bouncer,
        server: format!("PostgreSQL {}", version.unwrap()),
    };
    println!("seed {}, {}", asked.seed, setting.server);
    println!(
        "undisturbed: {:?} and {:?} through PgBouncer",
        setting.measured.direct, setting.measured.pooled
    );
    // What a trial says is shown if it fails.
    std::panic::set_hook(Box::new(|_| ()));
    let campaign = Campaign::default();
    thread::scope(|scope| {
        for _ in 0..asked.jobs {
            scope.spawn(|| campaign.work(&asked, &setting, started));
        }
    });
    let _ = std::panic::take_hook();
    campaign.report(&asked, started)
}

/// Reads the arguments.
fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut on = None;
    let mut asked = Asked {
        count: BOUNDED.0,
        limit: BOUNDED.1,
        seed: u64::from(now.subsec_nanos()),
        only: Vec::new(),
        case: None,
        jobs: 6,
        write: false,
    };
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or_else(|| format!("`{word}` needs a number"))?;
            value.parse().map_err(|_| format!("`{value}` is no number"))
        };
        match word.as_str() {
            "--long" => (asked.count, asked.limit) = (u64::MAX, LONG),
            "--seed" => asked.seed = number()?,
            "--case" => asked.case = Some(number()?),
            "--jobs" => asked.jobs = number()?,
            "--write" => asked.write = true,
            "--on" => match words.next().as_deref() {
                Some("postgres") => on = Some(false),
                Some("sqlite") => on = Some(true),
                _ => return Err("`--on` needs `postgres` or `sqlite`".to_owned()),
            },
            "--only" => {
                let name = words.next().unwrap_or_default();
                let found = FAULTS.iter().find(|fault| fault.1 == name).ok_or_else(|| {
                    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.1).collect();
                    format!("no fault `{name}`; there are {}", names.join(", "))
                })?;
                asked.only.push(found);
            }
            count => {
                asked.count = count.parse().map_err(|_| format!("`{count}` is no number"))?;
                asked.limit = LONG;
            }
        }
    }
    if asked.only.is_empty() {
        asked.only = FAULTS.iter().collect();
    }
    if let Some(file) = on {
        asked.only.retain(|fault| fault.1.starts_with("sqlite") == file);
    }
    if asked.case.is_some() {
        (asked.count, asked.jobs) = (1, 1);
    }
    Ok(asked)
}

/// What has been tried so far.
#[derive(Default)]
struct Campaign {
    next: AtomicU64,
    counted: AtomicU64,
    matrix: Mutex<Matrix>,
    codes: Mutex<BTreeMap<(&'static str, i32), u32>>,
    failed: Mutex<Vec<String>>,
    /// A crowd needs most connections of the server.
    crowd: Mutex<()>,
}

impl Campaign {
    /// Tries one after the other until there are enough.
    fn work(&self, asked: &Asked, setting: &Setting, started: Instant) {
        let round: Vec<_> = rounds(&asked.only);
        while self.counted.load(Ordering::SeqCst) < asked.count && started.elapsed() < asked.limit {
            let next = self.next.fetch_add(1, Ordering::SeqCst);
            if asked.case.is_some() && next > 0 {
                return;
            }
            let at = usize::try_from(next).unwrap() % round.len();
            let (fault, name, called, _) = round[at];
            self.one(asked, setting, (*fault, name, called), asked.case.unwrap_or(next));
        }
    }

    fn one(
        &self,
        asked: &Asked,
        setting: &Setting,
        (fault, name, called): (Fault, &'static str, &'static str),
        case: u64,
    ) {
        let mut random = Random::of(asked.seed, name, case);
        let notes = Notes::default();
        let file = name.starts_with("sqlite");
        // The server's own faults are tried on servers that no pooler is in front of.
        let own = matches!(
            fault,
            Fault::Restart | Fault::Crash | Fault::Failover | Fault::Clock | Fault::Disk
        );
        let network = matches!(fault, Fault::Cut | Fault::Reset | Fault::Stall);
        let way = match random.below(6) {
            0 if network => Way::Behind,
            0..=2 if !file && !own => Way::Pooled,
            _ => Way::Direct,
        };
        let tried = catch_unwind(AssertUnwindSafe(|| -> Option<Hit> {
            match fault {
                Fault::Crowd | Fault::FileCrowd => {
                    let _alone = self.crowd.lock().unwrap_or_else(|held| held.into_inner());
                    Some(crowd::attempt(fault, setting, &mut random, way, &notes))
                }
                _ if file => sqlite_faults::attempt(fault, setting, &mut random, &notes),
                _ => postgres_faults::attempt(fault, setting, &mut random, way, &notes),
            }
        }));
        let (hit, why) = match tried {
            Ok(None) => return,
            Ok(Some(hit)) => (hit.stage, None),
            Err(panic) => ("exec".to_owned(), Some(said(&*panic))),
        };
        let engine = match way {
            _ if file => "SQLite".to_owned(),
            Way::Direct => setting.server.clone(),
            Way::Pooled => format!("{}, through PgBouncer", setting.server),
            Way::Behind => format!("{}, behind PgBouncer", setting.server),
        };
        let counted = self.counted.fetch_add(1, Ordering::SeqCst) + 1;
        let tried = Tried { fault: called, engine, stage: hit, survived: why.is_none() };
        self.matrix.lock().unwrap().add(&tried);
        for code in notes.codes() {
            *self.codes.lock().unwrap().entry((name, code)).or_default() += 1;
        }
        if let Some(why) = why {
            let again =
                format!("tests/faults/run.sh --seed {} --only {name} --case {case}", asked.seed);
            println!("NOT SURVIVED: {called}: {why}\n{}\nagain: {again}\n", notes.text());
            self.failed.lock().unwrap().push(again);
        }
        if asked.case.is_some() {
            println!("{}", notes.text());
        }
        if counted.is_multiple_of(100) {
            println!("{counted} tried");
        }
    }

    fn report(&self, asked: &Asked, started: Instant) -> ExitCode {
        let matrix = self.matrix.lock().unwrap();
        println!("{}\nhow the disturbed runs ended", matrix.text());
        let codes = self.codes.lock().unwrap();
        for (_, name, ..) in &FAULTS {
            let of = codes.iter().filter(|((fault, _), _)| fault == name);
            let of: Vec<String> = of.map(|((_, code), count)| format!("{code}: {count}")).collect();
            if !of.is_empty() {
                println!("  {name:<20} {}", of.join(", "));
            }
        }
        let (tried, survived) = matrix.total();
        println!(
            "\n{tried} faults tried, {survived} survived, in {} s, with seed {} on {}",
            started.elapsed().as_secs(),
            asked.seed,
            matrix.servers().into_iter().collect::<Vec<_>>().join(" and ")
        );
        if asked.write {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guarantees.md");
            let mut words: Vec<String> = std::env::args().skip(1).collect();
            words.retain(|word| word != "--write");
            matrix.write(&page, &format!("tests/faults/run.sh {}", words.join(" ")));
        }
        let failed = self.failed.lock().unwrap();
        for again in &*failed {
            println!("not survived; again: {again}");
        }
        if failed.is_empty() && tried > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The faults in the order in which they are tried: each as often as it should come, spread out.
fn rounds<'f>(
    faults: &[&'f (Fault, &'static str, &'static str, u64)],
) -> Vec<&'f (Fault, &'static str, &'static str, u64)> {
    let most = faults.iter().map(|fault| fault.3).max().unwrap_or(1);
    let mut round = Vec::new();
    for lap in 0..most {
        for fault in faults {
            // So many of `most` laps, evenly.
            if (lap + 1) * fault.3 / most > lap * fault.3 / most {
                round.push(*fault);
            }
        }
    }
    round
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
