//! The command line: subcommands and flags, no decisions.

use std::{ffi::OsString, fmt::Write as _, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};

use crate::{
    config,
    database::range::Range,
    engine::Engine,
    error::EXIT_CODES,
    graph::{revision::RevisionId, tags::Tagged, target::Target},
    migrate::goal::Goal,
    revision::text::Title,
};

/// Waits for the database, takes a lock, applies pending migrations, reindexes where asked, and
/// becomes the server.
#[derive(Debug, Parser)]
#[command(name = "prelaunch", version, after_long_help = tables(), arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Do what must be done before the server starts, then become the server.
    ///
    /// Without a command it ends when the schema is ready: for init containers and jobs.
    #[command(after_long_help = tables())]
    Run {
        /// The server's command and its arguments.
        #[arg(last = true, value_name = "CMD")]
        server: Vec<OsString>,
    },
    /// Ask about revisions and where the database is; migrate it to anywhere.
    ///
    /// Answers are on stdout, the log on stderr. What steers `run` (`AUTO_MIGRATION`,
    /// `MIGRATION_TARGET`, `DATABASE_AHEAD`, `AFTER_MIGRATE` and the like) does not count here.
    #[command(arg_required_else_help = true, after_long_help = tables())]
    Database {
        /// The chain that is meant, where the configuration file has several; a question is about all
        /// of them without it.
        #[arg(long, global = true, value_name = "NAME")]
        chain: Option<String>,
        /// The question, or what to do.
        #[command(subcommand)]
        verb: Verb,
    },
    /// Write the script of a new revision or of a merge, or examine all scripts.
    ///
    /// No database is asked, and none needs to be named. Answers are on stdout, the log on stderr.
    #[command(arg_required_else_help = true, after_long_help = tables())]
    Revision {
        /// The chain that is meant, where the configuration file has several.
        #[arg(long, global = true, value_name = "NAME")]
        chain: Option<String>,
        /// What to do.
        #[command(subcommand)]
        verb: RevisionVerb,
    },
    /// Copy this binary to a path, and print that: for an image that does not have it.
    ///
    /// Made for an init container that shares a volume with the server's. The file appears at
    /// once and whole, with mode 755; one that is there is replaced. No variable counts.
    Install {
        /// The file; or a directory, where it is called `prelaunch`.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

/// What to do with the scripts.
#[derive(Debug, Subcommand)]
pub enum RevisionVerb {
    /// Write the script of a new revision, and print its path.
    New {
        /// What it does, in one line: the first line of the script, and part of the file's name.
        #[arg(short, long, value_name = "TITLE", value_parser = Title::parse)]
        message: Title,
        /// The parent: any target that names one revision, or `base` for a new root.
        #[arg(long, value_name = "X", default_value = "head", value_parser = Target::parse)]
        head: Target,
        /// Let a branch begin here, and label it.
        #[arg(long, value_name = "LABEL", value_parser = RevisionId::new)]
        branch: Option<RevisionId>,
        /// Allow a parent that has children already: a second branch begins there.
        #[arg(long)]
        splice: bool,
        /// As an object: `revision`, `path`, `parents`.
        #[arg(long)]
        json: bool,
    },
    /// Write the script of a revision that merges heads, and print its path.
    Merge {
        /// The title.
        #[arg(short, long, value_name = "TITLE", value_parser = Title::parse)]
        message: Title,
        /// Which heads; all of them if none is named.
        #[arg(value_name = "HEAD", value_parser = Target::parse)]
        heads: Vec<Target>,
        /// As an object: `revision`, `path`, `parents`.
        #[arg(long)]
        json: bool,
    },
    /// Make scripts of the revisions of Alembic, and print their paths.
    ///
    /// Runs where the Python of the application is, such as a stage of the image's build; the image
    /// needs neither afterwards. Alembic renders each revision in its offline mode. What inspects the
    /// database is run on a throwaway one and written down: a SQLite file, or a database on the server
    /// of --scratch. What decides by rows, connects elsewhere, or sends something else each time is
    /// refused, with exit code 20. See docs/import.md.
    Import(Import),
    /// Print every fault of a directory of scripts, exit code 20 if there is one; and warnings of
    /// what will hurt on a busy database.
    ///
    /// Sections are examined for both engines, up and down. An engine that no script names, and
    /// that not every script serves, is left out.
    ///
    /// A warning is printed as `file:line: warning[rule]: what hurts; what to do instead`. It is
    /// about an up section, and does not change the exit code. A script may break a rule whose name
    /// is in its header: `-- allow: rule, rule`. All rules are in docs/lint.md.
    Lint {
        /// Instead of `MIGRATIONS_DIR`.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        /// Examine what serves this engine only: `postgres` or `sqlite`.
        #[arg(long, value_parser = engine)]
        engine: Option<Engine>,
        /// End with exit code 20 if there is a warning, too.
        #[arg(long)]
        strict: bool,
        /// As an array of objects: `path`, `line`, `severity`, `rule`, `message`.
        #[arg(long)]
        json: bool,
    },
}

/// What to import, and how.
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
#[derive(Debug, Args)]
pub struct Import {
    /// The environment: the directory of `alembic.ini`, of `env.py`, or of the revisions.
    #[arg(long, value_name = "DIR")]
    pub alembic: PathBuf,
    /// The section of the ini.
    #[arg(long, value_name = "SECTION", default_value = "alembic")]
    pub name: String,
    /// Where to write the scripts; by default `MIGRATIONS_DIR`, else `migrations`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// For which engine, `postgres` or `sqlite`; may be repeated. Both by default.
    #[arg(long, value_parser = engine)]
    pub engine: Vec<Engine>,
    /// The release that a revision completes; may be repeated.
    #[arg(long, value_name = "ID=TAG", value_parser = Tagged::parse)]
    pub tag: Vec<Tagged>,
    /// A file with such a pair on each line.
    #[arg(long, value_name = "FILE")]
    pub tags: Option<PathBuf>,
    /// The Python that has Alembic and the application; by default that of `.venv` or `venv` beside
    /// the settings, else `python3`.
    #[arg(long, value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
    /// A PostgreSQL server on which throwaway databases may be created, for revisions that inspect
    /// the database, and for --verify. The database that it names is not touched.
    #[arg(long, value_name = "URL")]
    pub scratch: Option<String>,
    /// Before anything is written, migrate two throwaway databases, by Alembic and by the scripts,
    /// and compare their schemas at each tag and at the end.
    #[arg(long)]
    pub verify: bool,
    /// With --verify: also on the way back.
    #[arg(long, requires = "verify")]
    pub back: bool,
    /// Leave to Alembic, when the scripts are run, what cannot be imported (`refused`), or also what is
    /// not had offline and would be recorded (`recorded`). Such a revision needs Python, and
    /// `VERSION_TABLE`, on each database that has not passed it yet.
    #[arg(
        long, value_name = "WHAT", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "refused"
    )]
    pub delegate: Option<Delegate>,
    /// Write scripts that lack what cannot be imported, for somebody to complete: none of them is
    /// applied before that.
    #[arg(long)]
    pub allow_missing: bool,
    /// As an object: `revisions` with their `sections`, `refused`, `verified`, `figures`.
    #[arg(long)]
    pub json: bool,
}

/// What of an Alembic environment is left to Alembic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Delegate {
    /// What no script can say.
    Refused,
    /// That, and what needs a database to be told.
    Recorded,
}

fn engine(word: &str) -> Result<Engine, &'static str> {
    let known = Engine::ALL.into_iter().find(|engine| engine.name() == word);
    known.ok_or("write `postgres` or `sqlite`")
}

/// What to do with a database.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Change it.
    #[command(flatten)]
    Change(Change),
    /// Ask, and change nothing.
    #[command(flatten)]
    Ask(Question),
}

/// How to change a database.
#[derive(Debug, Subcommand)]
pub enum Change {
    /// Migrate to a target: by default to the head of the scripts here.
    ///
    /// A target is `head`, `heads`, `base`, an id or the beginning of one, a tag, a branch label,
    /// `+n`, `-n`, `NAME+n`, `NAME-n`, `LABEL@head`, `LABEL@base`, `LABEL@+n` or `LABEL@-n`. The
    /// way leads on or back, as the database needs it. Back has to be allowed and confirmed.
    Migrate(Migrate),
    /// Say where the schema is, without running any script.
    ///
    /// The ledger has the revisions up to the target afterwards, and none that follows it. A revision
    /// that had stopped part-way is whole, or gone.
    Stamp {
        /// As for `migrate`.
        #[arg(value_name = "TARGET", allow_hyphen_values = true, value_parser = Target::parse)]
        target: Target,
        /// Forget what the ledger has, be it known here or not, before.
        #[arg(long)]
        purge: bool,
    },
    /// Accept a script that was changed after it had been applied, and show the difference.
    ///
    /// The ledger has its text and checksum afterwards. No statement is run.
    Accept {
        /// Its id, the beginning of that, or its tag.
        #[arg(value_name = "REVISION", value_parser = Target::parse)]
        revision: Target,
    },
}

/// What to ask of a database, or of the revisions for it.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// List tagged revisions, all revisions from head to base, and where the database is.
    Revisions {
        /// Draw how the revisions follow each other.
        #[arg(long, conflicts_with_all = ["json", "format"])]
        graph: bool,
        /// The same as `--format json`.
        #[arg(long, conflicts_with = "format")]
        json: bool,
        /// For machines and documents.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Ask no database.
        #[arg(long)]
        offline: bool,
    },
    /// Show the revisions that the database is at.
    Current {
        /// Their ids as an array.
        #[arg(long)]
        json: bool,
    },
    /// Show the revisions that no other one follows.
    Heads {
        /// Their ids as an array.
        #[arg(long)]
        json: bool,
        /// Ask no database, which it never does.
        #[arg(long)]
        offline: bool,
    },
    /// Say whether anything is pending: exit code 17 if so, 0 if not. Needs SELECT rights only.
    Check {
        /// As an object: `ready`, `pending`, `current`, `why`.
        #[arg(long)]
        json: bool,
    },
    /// List revisions from head to base. Asks no database.
    History {
        /// From A (`base` if left out) to B (`heads`), both included.
        #[arg(value_name = "A:B", value_parser = Range::parse)]
        range: Option<Range>,
        /// The objects of `revisions --json`, parents first.
        #[arg(long)]
        json: bool,
        /// Ask no database, which it never does.
        #[arg(long)]
        offline: bool,
    },
    /// Show all that was ever recorded of this database, oldest first, with who and how long.
    Log {
        /// As an array of objects.
        #[arg(long)]
        json: bool,
    },
}

impl Question {
    /// Whether the answer is for a program that draws.
    #[must_use]
    pub fn is_diagram(&self) -> bool {
        matches!(self, Self::Revisions { format: Some(Format::Mermaid | Format::Dot), .. })
    }

    /// Whether the answer is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        match self {
            Self::Revisions { json, format, .. } => *json || *format == Some(Format::Json),
            Self::Current { json }
            | Self::Heads { json, .. }
            | Self::Check { json }
            | Self::History { json, .. }
            | Self::Log { json } => *json,
        }
    }
}

/// Where to migrate, and how.
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
#[derive(Debug, Args)]
pub struct Migrate {
    /// The target; with --plan or --sql also `A:B`, the way from A to B without a database.
    #[arg(
        long, value_name = "TARGET", default_value = "head", allow_hyphen_values = true,
        value_parser = Goal::parse
    )]
    pub revision: Goal,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub plan: bool,
    /// With --plan, as an object: `from`, `to`, `steps` with `direction` and `revision`.
    #[arg(long, requires = "plan")]
    pub json: bool,
    /// Print what would be done as one script for psql or sqlite3, and do nothing.
    #[arg(long, conflicts_with = "plan")]
    pub sql: bool,
    /// With --plan or --sql: ask no database.
    #[arg(long)]
    pub offline: bool,
    /// With --offline: what is applied, together with all that comes before it; by default nothing.
    #[arg(
        long, value_name = "ID,…", value_delimiter = ',', requires = "offline",
        value_parser = Target::parse
    )]
    pub from: Vec<Target>,
    /// Without a database: the engine that the scripts are for, `postgres` or `sqlite`.
    #[arg(long, value_parser = engine)]
    pub engine: Option<Engine>,
    /// Allow to go back. What that drops is shown, and has to be confirmed.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Confirm it, where there is no terminal to ask at.
    #[arg(long)]
    pub yes: bool,
}

/// The form of a listing, other than for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// One object.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
    /// A digraph for Graphviz.
    Dot,
}

/// Reads the arguments; an error is help that was asked for, or wrong usage.
pub fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse_from(arguments)?;
    if let Command::Run { server } = &cli.command
        && server.is_empty()
        && arguments.last().is_some_and(|last| last == "--")
    {
        return Err(clap::Error::raw(
            ErrorKind::MissingRequiredArgument,
            "`prelaunch run --` has no command behind `--`\n\n\
             An image that sets ENTRYPOINT must repeat its CMD: Docker empties the one that it \
             inherits.\nWithout a server, write `prelaunch run`.\n",
        ));
    }
    if let Command::Database { verb: Verb::Change(Change::Migrate(asked)), .. } = &cli.command
        && !(asked.plan || asked.sql)
        && (asked.offline || asked.revision.from.is_some())
    {
        return Err(clap::Error::raw(
            ErrorKind::MissingRequiredArgument,
            "without a database there is only --plan or --sql\n",
        ));
    }
    Ok(cli)
}

/// The variables and the exit codes, for the long help.
fn tables() -> String {
    let mut text = config::help();
    text.push_str("\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {code:<6} {meaning}");
    }
    text
}
