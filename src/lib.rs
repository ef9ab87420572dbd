//! What a container must do before its server starts: wait, lock, migrate, reindex, become the
//! server.
//!
//! prelaunch is a program; this library is the program without its `main`, so that tests reach its
//! parts. The README is for those who run it, this page for those who read or change it.
//!
//! # The story of a run
//!
//! ```text
//! configure → wait → look → lock → plan → apply → reindex → exec
//! ```
//!
//! `main` hands the environment to [`config::read`], which gives a [`config::Config`] or every
//! fault at once, and calls [`run::run`]. There the stages follow each other on one screen:
//!
//! 1. [`files::load`] reads the scripts of each chain into a [`files::Chain`]: a sound graph, and a
//!    target in it. Mostly there is one; where there are several, each stage below is for all. Where
//!    the files of an Alembic environment do not say enough, [`alembic::asking`] asks its Python.
//! 2. [`wait::until_ready`] tries the database and all else until each answers, and gives a
//!    [`db::Database`], which can only look.
//! 3. [`db::Database::look`] brings back what the database remembers, in one query.
//!    [`look::Look::judge`] says what of it makes a run necessary, and [`plan::decide`] what this
//!    run does about it. Mostly nothing is due, and the run goes on at 6.
//! 4. [`lock::acquire`] queues. At each poll it takes the same look, and leaves as soon as another
//!    runner has done the work. Otherwise it ends with a [`db::Locked`].
//! 5. Under the lock the look is taken once more, since only a plan that was made here may be
//!    acted on. [`apply::apply`] runs one revision after the other, [`reindex`] the commands that
//!    come after them, and the lock is given back.
//! 6. [`exec::exec`] becomes the server. Without one, the run ends with 0.
//!
//! Where a stage fails, its own error goes up as [`error::Error`]; `main` turns it into the last
//! line on stderr, the termination message and the exit code. There is no second flow: each mode
//! of `AUTO_MIGRATION` is this one, stopped earlier.
//!
//! # The code, in reading order
//!
//! | module | what it is |
//! |---|---|
//! | [`run`] | the flow, one call for each stage; `run/work.rs`: what happens under the locks |
//! | [`stage`], [`error`] | the names of the stages; the table of exit codes |
//! | [`link`] | the chains of a run, with their scripts and what makes an error one of theirs |
//! | [`wait`] | until everything answers; what passes by itself, and what is a refusal |
//! | [`look`] | everything that can make a run necessary, as one value |
//! | [`lock`] | the queue, polled; and the wait for another runner's work |
//! | [`plan`] | how the database stands to the image, and the table of modes |
//! | [`apply`] | revisions with their ledger rows: fenced, or statement by statement |
//! | [`reindex`] | hook and reindex, each success a line of the history |
//! | [`exec`] | the server: `execve`, `SUPERVISE`, `RUN_AS` |
//! | [`database`] | the verbs of the terminal that read: where the database is, what there is |
//! | [`migrate`] | the verbs of the terminal that change a database: to any target, and back |
//! | [`revision`] | the verbs of the terminal that write and examine scripts |
//! | [`install`] | the binary as a file, for an image that does not have it |
//! | `pause` | how long until the next try, and when to stop trying |
//! | [`graph`] | revisions, order, targets |
//! | [`script`] | a file of SQL: header, sections, statements, checksum |
//! | [`config`] | environment and configuration file as one checked value; URLs, commands, misspelt names |
//! | [`engine`], [`values`] | PostgreSQL or SQLite; truth words and durations |
//! | [`version_table`] | the name of the table in which Alembic keeps what is applied |
//! | [`db`] | both engines: connecting, looking, the lock, the work; all SQL of our own |
//! | [`files`] | directories of scripts, and small files with values |
//! | [`alembic`] | Alembic environments: read without Python; imported as scripts with it |
//! | [`signals`], [`child`] | what asks us to end; commands that run for a while |
//! | [`report`], [`cli`] | log lines and last words; arguments and help |
//! | [`signs`] | signs of life: the listener, the files, systemd |
//! | [`progress`] | the bar at a terminal, and log lines above it |
//! | `sys` | the calls that have no safe form |
//!
//! From `run` to `pause` is the spine, one verb a file. From `graph` to `values` is the core, the
//! nouns. The rest is the edge. [`look`] and [`plan`] stand in the spine and are as pure as the
//! core.
//!
//! # Invariants
//!
//! Most of them say what is absent, which no single file can show.
//!
//! - **No I/O in the core**, nor in `look` and `plan`: no file, environment, network, process or
//!   clock. They are given texts and values, and decide.
//! - **Nobody changes a database without a [`db::Locked`]**, which only the queue gives out. And
//!   the lock is not relied upon: the first statement of each revision's transaction inserts its
//!   ledger row, on which a second runner of the same revision blocks and fails.
//! - **A plan that was made without the lock is only reported.** With several chains nothing is
//!   changed before each of them was looked at under the locks of all.
//! - **Nobody but `exec` becomes another process**, and only `child`, `exec` and, at the terminal,
//!   [`alembic::import`] start one. Signal handlers stay from the start of `main` until `execve` resets them.
//! - **No wait without a bound, and none that a signal does not end.** Pauses come from `pause`
//!   alone, and each has a deadline. Only work that is under way, a statement or a command, may
//!   take as long as it takes.
//! - **Nobody queues inside the database**, neither in `pg_advisory_lock` nor in an open
//!   transaction: an index that is built concurrently would wait for that transaction.
//! - **Nothing of ours outlives its transaction in a session**: no `SET`, no named prepared
//!   statement, for the sake of transaction-pooling PgBouncer. What a script sets is put back.
//! - **No run goes back.** It applies or refuses; only [`migrate`] runs a down section, once that was
//!   allowed and confirmed.
//! - **A transient failure is told from a permanent one by step, SQLSTATE, result code and the
//!   system's error**, never by the text of a message.
//! - **No secret in a message.** What may hold one (URL, password, command) has a type whose
//!   `Debug` and `Display` leave it out.
//! - **Nothing of a run on stdout**, which belongs to the server. What somebody asked for goes
//!   there, and nothing else: help, and the answers of [`database`], [`revision`] and
//!   [`install`].
//! - **The environment is read in `main` alone**; nobody sets a variable of this process.
//! - **Unsafe code is in `sys` alone**, each call with its reason.

// In reading order, which the formatter is told to keep.

// The spine.
pub mod run;
pub mod stage;
pub mod error;
pub mod link;
pub mod wait;
pub mod look;
pub mod lock;
pub mod plan;
pub mod apply;
pub mod reindex;
pub mod exec;
pub mod database;
pub mod migrate;
pub mod revision;
pub mod install;
mod pause;

// The core.
pub mod graph;
pub mod script;
pub mod config;
pub mod engine;
pub mod values;
pub mod version_table;

// The edge.
pub mod db;
pub mod files;
pub mod alembic;
pub mod signals;
pub mod child;
pub mod progress;
pub mod report;
pub mod signs;
pub mod cli;
mod sys;
