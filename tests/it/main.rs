//! The tests of prelaunch: the real binary against real databases. Run them with `./test.sh`.
//!
//! The test bed:
//!
//! - `prelaunch` builds one start of the binary and follows it: [`Prelaunch`](prelaunch::Prelaunch)
//!   → [`Running`](running::Running) → [`Outcome`](outcome::Outcome)
//! - `running` a process that has been started: its log lines, signals, its end
//! - `outcome` how it ended, and what it said, compared in full
//! - `words` texts as the tests write them: indented literals, and output without what differs from
//!   run to run
//! - `database` one empty database for a test, of either engine; `on_both!` runs a test on each
//! - `postgres`, `sqlite` the engines
//! - `cluster` a PostgreSQL server of its own, for tests that start, stop or crash it
//! - `scenario` a whole start, or several in turn, written down as a directory
//! - `bouncer` a PgBouncer with settings of its own
//! - `proxy` a TCP proxy that breaks off where it hurts
//! - `gate` stops runners under the lock, and lets them go on
//! - `session` a database client that stays connected: holds locks, counts as somebody else
//! - `layouts` environments of Alembic as Agenta and OpenRAG have them
//! - `shape` a schema as text
//! - `log` what the lines of the log may be
//! - `process` a process as `/proc` shows it from outside
//!
//! The tests, by what they claim:
//!
//! - `bed` that the test bed itself does what the others take for granted
//! - `boot` what a start promises beyond its words: no lock, no trace, no password
//! - `cases` whole starts and their words in full, as directories in `tests/cases/`
//! - `alembic` starts of images whose revisions are Alembic's
//! - `asking` when Python is asked for them, and when not; `traps` what public histories have
//! - `chains` several chains behind one command, as in Agenta; `merges` a chain that branches, as in
//!   OpenRAG
//! - `in_turn` scripts and Alembic on one database in turn; `mixed` scripts that leave revisions to it
//! - `chains_at_once` that several chains hold to each other when others come at once
//! - `terminal` what the verbs of the terminal answer
//! - `migrate` how they change a database; `piped` how scripts of `--sql` do
//! - `back` that a way back holds when something comes between
//! - `docs` that what the documentation tells people to type works
//! - `revision` what they write and examine; `lint` what they warn about
//! - `import` what `revision import` promises whatever Alembic is
//! - `pages` shell completions and manual pages
//! - `install` the binary as a file, for an image that does not have it
//! - `supply` what the binary is made of
//! - `tidy` what lints cannot say about this repository
//! - `conformance` what each engine holds to when several runners come at once, or one dies
//! - `concurrently` that no index that is built concurrently waits for a runner in the queue
//! - `fence` that two runners past the lock do nothing twice
//! - `sqlite_faults` what becomes of a SQLite file when others use it, the disk is full, or it is broken
//! - `orphans` what a dead runner leaves at work on PostgreSQL
//! - `commit` what becomes of a COMMIT without an answer
//! - `ddl_locks` what becomes of a revision that does not get its locks
//! - `limits` that timeouts which a role has as its defaults end no start
//! - `misbehaving` what scripts do to their session, and to us, and cannot
//! - `pooler` what is different behind PgBouncer
//! - `replicas` that many start at once
//! - `wait`, `tls` what is waited for, and what is told from it
//! - `busy` that others who use a SQLite file are waited for
//! - `rights` what each mode may do with which rights
//! - `exec` becoming the server: everything as it was found, or a shell's exit code
//! - `supervise` staying as the init: signals, orphans, exit codes, the terminal
//! - `children` hooks and delegated commands: what they are given, and how they end
//! - `run_as` becoming another user
//! - `signs` what those are told who watch from outside
//! - `otel` what a collector of OpenTelemetry is sent, with the feature of that name
//! - `signals` that a signal ends every kind of wait, and what is left then
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by a panic"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are the world around the program: its environment, files and clock"
)]

mod alembic;
mod asking;
mod back;
mod bed;
mod boot;
mod busy;
mod cases;
mod chains_at_once;
mod chains;
mod children;
mod bouncer;
mod cluster;
mod commit;
mod concurrently;
mod conformance;
mod database;
mod docs;
mod exec;
mod ddl_locks;
mod fence;
mod gate;
mod import;
mod in_turn;
mod limits;
mod misbehaving;
mod log;
mod install;
mod migrate;
mod mixed;
#[cfg(feature = "otel")]
mod otel;
mod piped;
mod orphans;
mod outcome;
mod pages;
mod pooler;
mod postgres;
mod prelaunch;
mod process;
mod revision;
mod layouts;
mod lint;
mod merges;
mod run_as;
mod proxy;
mod replicas;
mod rights;
mod running;
mod scenario;
mod session;
mod shape;
mod signals;
mod signs;
mod sqlite;
mod sqlite_faults;
mod terminal;
mod tidy;
mod supply;
mod supervise;
mod tls;
mod traps;
mod wait;
mod words;
