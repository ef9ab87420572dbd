//! Why prelaunch ends without a server: one enum for each stage, wrapped here, and the table of
//! exit codes.
//!
//! [`Error::stage`] and [`Error::exit_code`] only delegate. `Display` says one level; whoever
//! prints an error prints its chain, once.

use std::{error::Error as StdError, io};

use crate::{
    alembic::import::error::ImportError,
    apply::ApplyError,
    config::{ConfigErrors, DatabaseUrl, WhichChain, url::Address},
    database::range::RangeError,
    db::{Database, DbError, WorkError},
    exec::{ExecError, run_as::RunAsError},
    files::{Chain, ChainError},
    install::InstallError,
    lock::LockError,
    look::Look,
    migrate::error::MigrateError,
    plan::{Plan, Refusal, count},
    reindex::DelegateError,
    revision::error::RevisionError,
    signals::Signal,
    stage::Stage,
    wait::WaitError,
};

/// The table of exit codes; the README and `--help` are held against it.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "ready"),
    ("1", "unexpected: a bug, please report it"),
    ("2", "usage"),
    ("10", "configuration"),
    ("11", "a dependency did not answer in time, or was lost"),
    (
        "12",
        "the database refused us (authentication, missing database, rights), or is corrupt, full or read-only",
    ),
    ("13", "the lock was not had in time"),
    ("14", "a revision failed and was rolled back, or the target was not reached"),
    ("15", "a non-transactional revision stopped part-way; the next start goes on from there"),
    ("16", "refused: the database is ahead, a script was changed, or the target lies behind"),
    ("17", "revisions are pending (`check`), or were not applied in time (`wait`)"),
    ("18", "the reindex failed"),
    ("19", "the hook, or the command that migrates, failed (its own code is logged)"),
    ("20", "the graph or a script is unsound"),
    ("21", "multiple heads, or the target is unknown"),
    ("126", "the server, or the user of `RUN_AS`, cannot be run"),
    ("127", "the server is not found"),
    ("128+n", "ended by signal n (143 for SIGTERM)"),
];

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Variables that say what cannot be meant.
    #[error(transparent)]
    Config(ConfigErrors),
    /// A verb of the terminal has to ask a database, and none is named.
    #[error("no database is named; set DATABASE_URL{}", if *.offline { ", or ask none with --offline" } else { "" })]
    NoDatabase {
        /// Whether the verb can do without.
        offline: bool,
    },
    /// A part of the graph that was asked for is not there.
    #[error(transparent)]
    Range(RangeError),
    /// The database is not migrated as it was asked for at the terminal.
    #[error(transparent)]
    Migrate(MigrateError),
    /// A script that is not written, or a directory with faults.
    #[error(transparent)]
    Revision(RevisionError),
    /// An Alembic environment that is not imported.
    #[error(transparent)]
    Import(ImportError),
    /// The binary is not copied.
    #[error(transparent)]
    Install(InstallError),
    /// What was asked for cannot be written to stdout.
    #[error("cannot write to stdout")]
    Output(#[source] io::Error),
    /// Another user could not be had.
    #[error(transparent)]
    RunAs(RunAsError),
    /// Scripts that cannot be used.
    #[error(transparent)]
    Chain(ChainError),
    /// Something of one chain, where there are several.
    #[error("chain `{chain}`")]
    InChain {
        /// Which.
        chain: String,
        /// What.
        source: Box<Error>,
    },
    /// Two chains that would take each other's records for their own.
    #[error(
        "chains `{first}` and `{second}` would keep what is applied in the same table, `{table}`; \
         correct the `database_url` of one, or name another `version_table`"
    )]
    SamePlace {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The table.
        table: String,
    },
    /// A chain was to be named, or is none.
    #[error(transparent)]
    WhichChain(WhichChain),
    /// Something does not answer.
    #[error(transparent)]
    Wait(WaitError),
    /// The ledger may not be read.
    #[error(
        "role `{role}` may not read the ledger; as its owner: \
         grant usage on schema {schemas} to {role}; \
         grant select on {schema}.prelaunch_ledger, {schema}.prelaunch_history, \
         {schema}.prelaunch_journal{more} to {role}"
    )]
    Forbidden {
        /// As whom we came.
        role: String,
        /// Where the ledger is.
        schema: String,
        /// That schema, and the one of the version table.
        schemas: String,
        /// The version table, if one is named, with a comma before it.
        more: String,
        /// What the database said.
        source: DbError,
    },
    /// The ledger cannot be read.
    #[error("cannot read the ledger")]
    Look(#[source] DbError),
    /// No lock.
    #[error(transparent)]
    Lock(LockError),
    /// What was looked at is a reason to stop.
    #[error(transparent)]
    Refused(Refusal),
    /// A look under the lock failed.
    #[error("the ledger cannot be used under the lock")]
    Locked(#[source] WorkError),
    /// A revision was not applied.
    #[error(transparent)]
    Apply(ApplyError),
    /// All revisions were applied, and yet the target is not reached.
    #[error(
        "the target `{target}` was not reached: {} pending although each was applied; does \
         something else write to `prelaunch_ledger`?",
        count(*pending, "revision is", "revisions are")
    )]
    Unreached {
        /// How the target was named.
        target: String,
        /// How many are left.
        pending: usize,
    },
    /// The command that was to migrate succeeded, and the target is not reached.
    #[error(
        "the command succeeded, but the target `{target}` is not reached: {} still pending, and \
         table `{table}` {}; does the command use another database, or another version table \
         (VERSION_TABLE)?",
        count(*pending, "revision is", "revisions are"),
        if at.is_empty() { "has no row".to_owned() } else { format!("says `{at}`") }
    )]
    Elsewhere {
        /// How the target was named.
        target: String,
        /// The version table.
        table: String,
        /// What it says.
        at: String,
        /// How many are left.
        pending: usize,
    },
    /// The command that was to migrate failed.
    #[error(transparent)]
    Migration(DelegateError),
    /// The hook failed.
    #[error(transparent)]
    Hook(DelegateError),
    /// The reindex failed.
    #[error(transparent)]
    Reindex(DelegateError),
    /// No server.
    #[error(transparent)]
    Exec(ExecError),
    /// A signal came while nothing had to be undone.
    #[error("stopped by {}", .signal.name())]
    Stopped {
        /// In which stage.
        stage: Stage,
        /// Which.
        signal: Signal,
    },
    /// The operating system denies what no program can do without.
    #[error("cannot set up signals and timers")]
    Setup(#[source] io::Error),
}

impl Error {
    /// A look that failed: where rights are missing, with the words that grant them.
    pub(crate) fn unreadable(source: DbError, url: &DatabaseUrl, database: &Database) -> Self {
        match (url.address(), source.is_forbidden()) {
            (Address::Postgres(url), true) => {
                let (schema, versions) = (database.schema(), database.version_table());
                let more = versions.map(|table| format!(", {table}")).unwrap_or_default();
                let other = versions.and_then(|table| table.schema.as_deref());
                let other = other.filter(|other| *other != schema);
                let schemas = [schema.as_str()].into_iter().chain(other);
                let schemas = schemas.collect::<Vec<_>>().join(", ");
                Self::Forbidden { role: url.user.clone(), schema, schemas, more, source }
            }
            _ => Self::Look(source),
        }
    }

    /// What a chain lacks although everything that was to be applied was.
    pub(crate) fn unreached(chain: &Chain, look: &Look, plan: &Plan) -> Self {
        let (target, pending) = (chain.target_text.clone(), plan.steps.len());
        match &chain.alembic {
            None => Self::Unreached { target, pending },
            Some(alembic) => {
                let (at, table) = (look.heads_text(), alembic.versions.to_string());
                Self::Elsewhere { target, table, at, pending }
            }
        }
    }

    /// It and its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut words = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            // Some libraries repeat their source in their own words.
            if !words.ends_with(&next) {
                words.push_str(": ");
                words.push_str(&next);
            }
            cause = error.source();
        }
        words.replace(['\n', '\r'], " ")
    }

    /// In which stage it happened.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Config(_)
            | Self::RunAs(_)
            | Self::Chain(_)
            | Self::Setup(_)
            | Self::Install(_)
            | Self::SamePlace { .. }
            | Self::WhichChain(_)
            | Self::NoDatabase { .. } => Stage::Configure,
            Self::InChain { source, .. } => source.stage(),
            Self::Wait(_) => Stage::Wait,
            Self::Forbidden { .. } | Self::Look(_) => Stage::Look,
            Self::Lock(_) | Self::Locked(_) => Stage::Lock,
            Self::Refused(_)
            | Self::Migrate(_)
            | Self::Range(_)
            | Self::Revision(_)
            | Self::Import(_)
            | Self::Output(_) => Stage::Plan,
            Self::Apply(_)
            | Self::Unreached { .. }
            | Self::Elsewhere { .. }
            | Self::Migration(_)
            | Self::Hook(_) => Stage::Apply,
            Self::Reindex(_) => Stage::Reindex,
            Self::Exec(_) => Stage::Exec,
            Self::Stopped { stage, .. } => *stage,
        }
    }

    /// What to exit with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::NoDatabase { .. }
            | Self::SamePlace { .. }
            | Self::Install(_) => 10,
            Self::WhichChain(_) => 2,
            Self::InChain { source, .. } => source.exit_code(),
            Self::Range(_) => 21,
            Self::Migrate(error) => error.exit_code(),
            Self::Revision(error) => error.exit_code(),
            Self::Import(error) => error.exit_code(),
            Self::RunAs(_) => 126,
            Self::Chain(error) => error.exit_code(),
            Self::Wait(error) => error.exit_code(),
            Self::Look(error) if error.is_unanswered() || error.gave_way() => 11,
            Self::Forbidden { .. } | Self::Look(_) => 12,
            Self::Lock(error) => error.exit_code(),
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Locked(error) => error.exit_code_of_ours(),
            Self::Apply(error) => error.exit_code(),
            Self::Unreached { .. } | Self::Elsewhere { .. } => 14,
            Self::Migration(error) | Self::Hook(error) => error.exit_code(19),
            Self::Reindex(error) => error.exit_code(18),
            Self::Exec(error) => error.exit_code(),
            Self::Stopped { signal, .. } => signal.exit_code(),
            Self::Setup(_) | Self::Output(_) => 1,
        }
    }
}
