//! One trial: a run that something happens to, a fresh run after it, and the judgement.
//!
//! The server that a run becomes is a script that looks at the database itself and writes down what
//! it saw: so each process that became its server has left a line, right or wrong.

use std::{
    fs,
    path::PathBuf,
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    chain,
    database::{Database, Engine},
    outcome::Outcome,
    prelaunch::Prelaunch,
    running::Running,
};

/// How often the way out of exit code 15 may be needed: each statement that may be left open once.
const WAYS_OUT: usize = 4;

/// Exit codes that no fault may lead to: bugs, usage, refusals, unsound scripts, Rust's panics.
const NEVER: [i32; 12] = [1, 2, 10, 16, 18, 20, 21, 101, 126, 127, 134, 139];

/// What an undisturbed run leaves behind.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) snapshot: String,
    /// The line of a server.
    pub(crate) seen: String,
    /// How long it took until the server had ended.
    pub(crate) took: Duration,
}

/// What happened to a run.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// In which stage it was.
    pub(crate) stage: String,
}

/// A trial in a database of its own.
pub(crate) struct Trial<'d> {
    pub(crate) database: &'d dyn Database,
    /// Undisturbed; its clones share a directory.
    pub(crate) start: Prelaunch,
    /// What to tell if it is not survived.
    notes: &'d Notes,
}

/// What is known of a trial that goes on.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    log: Mutex<String>,
    /// How the disturbed runs ended.
    codes: Mutex<Vec<i32>>,
}

impl Notes {
    pub(crate) fn add(&self, text: &str) {
        let mut log = self.log.lock().unwrap();
        log.push_str(text);
        log.push('\n');
    }

    pub(crate) fn text(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn codes(&self) -> Vec<i32> {
        self.codes.lock().unwrap().clone()
    }
}

impl<'d> Trial<'d> {
    /// The chain, and servers that ask this database.
    pub(crate) fn of(database: &'d dyn Database, notes: &'d Notes) -> Self {
        Self::asking(database, &database.url(), notes)
    }

    /// The same where servers ask somewhere else.
    pub(crate) fn asking(database: &'d dyn Database, url: &str, notes: &'d Notes) -> Self {
        let ask = match database.engine() {
            Engine::Postgres => format!("psql -XAtq -v ON_ERROR_STOP=1 -d '{url}' -c"),
            Engine::Sqlite => {
                let path = url.strip_prefix("sqlite:").unwrap();
                format!("sqlite3 -batch -bail -init /dev/null -cmd '.timeout 10000' '{path}'")
            }
        };
        let server = format!(
            "for i in $(seq 100); do \
               if line=$({ask} \"$SEEN\" 2>/dev/null); then echo \"$line\" >>seen; exit; fi; \
               sleep 0.1; \
             done; echo unreadable >>seen"
        );
        let start = Prelaunch::on(database)
            .env("AUTO_MIGRATION", "true")
            .env("LOCK_TIMEOUT", "30s")
            .env("WAIT_TIMEOUT", "30s")
            .env("LOG_LEVEL", "debug")
            // Its rows are to be what the ledger says, whatever happens.
            .env("VERSION_TABLE", "alembic_version")
            .env("AFTER_MIGRATE", "sh -c 'echo hook >>hooks'")
            .env("SEEN", chain::seen_by_servers(database.engine()))
            .server(&["sh", "-c", &server]);
        Self { database, start: chain::write(start), notes }
    }

    /// A start that something will happen to: less patient than an undisturbed one.
    pub(crate) fn disturbed(&self, url: &str) -> Prelaunch {
        self.start
            .clone()
            .env("DATABASE_URL", url)
            .env("LOCK_TIMEOUT", "8s")
            .env("WAIT_TIMEOUT", "10s")
    }

    /// Runs it undisturbed, and takes down what it leaves.
    pub(crate) fn reference(&self) -> Reference {
        let started = Instant::now();
        self.start.run().assert_status(0);
        let took = started.elapsed();
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one server, one line: {seen:?}");
        let snapshot = chain::snapshot(self.database);
        let applied = snapshot.lines().filter(|line| line.starts_with("ledger ")).count();
        assert_eq!(applied, chain::REVISIONS, "the reference is not at its target\n{snapshot}");
        Reference { snapshot, seen: seen[0].clone(), took }
    }

    fn seen(&self) -> Vec<String> {
        let seen = fs::read_to_string(self.path("seen")).unwrap_or_default();
        seen.lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.start.directory().join(name)
    }

    /// Waits for the end of a run, and takes down how it ended.
    pub(crate) fn ended(&self, who: &str, running: Running) -> Outcome {
        let outcome = running.wait();
        self.notes.add(&format!("--- {who}: {}\n{}", outcome.status, outcome.raw_stderr));
        self.notes.codes.lock().unwrap().push(outcome.code());
        assert!(
            !NEVER.contains(&outcome.code()),
            "{who} ended with {}, which no fault may lead to",
            outcome.code()
        );
        outcome
    }

    /// Has fresh runs follow, which nothing happens to: they end with 0, or with 15 as it is
    /// documented, and then the documented way out leads on.
    pub(crate) fn recover(&self) {
        for _ in 0..=WAYS_OUT {
            let outcome = self.start.run();
            self.notes.add(&format!("--- fresh: {}\n{}", outcome.status, outcome.raw_stderr));
            match outcome.code() {
                0 => return,
                15 => {
                    let last = outcome.last_words();
                    chain::way_out(self.database, &last).unwrap_or_else(|why| panic!("{why}"));
                }
                code => panic!("stuck: a fresh run ended with {code}"),
            }
        }
        panic!("stuck: the way out does not lead out");
    }

    /// That nothing was lost, nothing done twice, and that no server began too early.
    pub(crate) fn judge(&self, reference: &Reference) {
        let seen = self.seen();
        for line in &seen {
            assert!(
                *line == reference.seen,
                "a server began on a schema that is not at its target: {line}"
            );
        }
        assert!(!seen.is_empty(), "no server began");
        let hooks = fs::read_to_string(self.path("hooks")).unwrap_or_default();
        assert!(!hooks.is_empty(), "the hook was not run");
        let snapshot = chain::snapshot(self.database);
        if snapshot != reference.snapshot {
            let lacks = minus(&reference.snapshot, &snapshot);
            let more = minus(&snapshot, &reference.snapshot);
            panic!("not as undisturbed\nit lacks\n{lacks}\nit has\n{more}");
        }
    }
}

/// The lines of one that the other lacks, as often as they are there.
fn minus(one: &str, other: &str) -> String {
    let mut left: Vec<&str> = other.lines().collect();
    let mut lines = Vec::new();
    for line in one.lines() {
        match left.iter().position(|known| *known == line) {
            Some(at) => drop(left.swap_remove(at)),
            None => lines.push(format!("  {line}")),
        }
    }
    lines.join("\n")
}

/// Waits until a run has ended or something else has come to pass; true if it has ended.
pub(crate) fn wait_until(running: &mut Running, enough: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + crate::running::END;
    loop {
        if running.has_ended() {
            return true;
        }
        if enough() {
            return false;
        }
        assert!(
            Instant::now() < deadline,
            "stuck: it does not end\n{}",
            running.raw_stderr_so_far()
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The stage of the last line that was logged by then.
pub(crate) fn stage_at(stderr: &str, then: SystemTime) -> String {
    let day = 24 * 60 * 60 * 1_000_000_u128;
    let then = then.duration_since(UNIX_EPOCH).unwrap().as_micros() % day;
    let mut stage = "configure".to_owned();
    for line in stderr.lines() {
        let Some((time, named)) = logged(line) else { continue };
        // A clock that was turned shows by a line that is much later or earlier.
        if (then + day - time) % day > day / 2 {
            break;
        }
        named.clone_into(&mut stage);
    }
    stage
}

/// The stage of the last line.
pub(crate) fn last_stage(stderr: &str) -> String {
    let last = stderr.lines().filter_map(logged).last();
    last.map_or("configure", |(_, stage)| stage).to_owned()
}

/// The time of day of a log line in microseconds, and its stage.
fn logged(line: &str) -> Option<(u128, &str)> {
    let (stamp, rest) = line.split_once("Z ")?;
    let (_, time) = stamp.split_once('T')?;
    let mut parts = time.split([':', '.']).map(|part| part.parse::<u128>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let (seconds, micros) = (parts.next()??, parts.next()??);
    let (_, rest) = rest.trim_start().split_once(' ')?;
    let (stage, _) = rest.trim_start().split_once(':')?;
    Some((((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros, stage))
}
