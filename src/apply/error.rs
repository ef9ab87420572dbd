//! Why a revision was not applied, and where in its script that came to light.

use std::{fmt, time::Duration};

use crate::{
    db::{Blocker, WorkError},
    graph::revision::{Place, RevisionId},
    pause::spoken,
    reindex::DelegateError,
    script::Direction,
    signals::Signal,
};

/// A position in a script, as editors understand it: `file:line:column`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spot {
    /// The file and the line.
    pub place: Place,
    /// The column, in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place, self.column)
    }
}

/// Who goes on where this one ended.
fn next(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "the next start",
        Direction::Down => "the same command",
    }
}

/// Why a revision was not applied, or not reverted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A statement failed; nothing of the revision is left.
    #[error("revision `{revision}` failed at {spot} and was rolled back")]
    Script {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// What the database said.
        source: WorkError,
    },
    /// The revision as a whole could not be committed; nothing of it is left.
    #[error("revision `{revision}` failed and was rolled back")]
    Revision {
        /// Which.
        revision: RevisionId,
        /// What the database said.
        source: WorkError,
    },
    /// It gave way to other sessions' locks until the patience ended.
    #[error(
        "revision `{revision}` did not get its locks in {tries} tries within {}, the last time at {}{}; \
         it was rolled back; end what blocks it, or raise DDL_LOCK_TIMEOUT or LOCK_TIMEOUT",
        spoken(*.limit),
        .spot.as_ref().map_or_else(|| "the commit".to_owned(), ToString::to_string),
        .blocker.as_ref().map(|blocker| format!(", blocked by {blocker}")).unwrap_or_default()
    )]
    GaveWay {
        /// Which.
        revision: RevisionId,
        /// Where it gave way; none is the commit.
        spot: Option<Spot>,
        /// How many times.
        tries: u32,
        /// `LOCK_TIMEOUT`.
        limit: Duration,
        /// Who was in the way, if that could be seen.
        blocker: Option<Blocker>,
        /// What the database said.
        source: WorkError,
    },
    /// A statement of a non-transactional revision failed; what ran before it stays.
    #[error(
        "revision `{revision}` stopped at {spot}: {done} of its {total} statements have run, and \
         {} goes on from there",
        next(*.direction)
    )]
    PartWay {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// How many statements have run.
        done: usize,
        /// How many it has.
        total: usize,
        /// Whether it was on its way there or back.
        direction: Direction,
        /// What the database said.
        source: WorkError,
    },
    /// A COMMIT was sent, and no answer to it can be had.
    #[error(
        "it is not known whether revision `{revision}` was committed; {} reads it from the ledger",
        next(*.direction)
    )]
    Open {
        /// Which.
        revision: RevisionId,
        /// Whether it was on its way there or back.
        direction: Direction,
        /// Why there was no answer.
        source: WorkError,
    },
    /// A statement of a non-transactional revision may or may not have run.
    #[error(
        "revision `{revision}` was interrupted while the statement at {spot} ran, and it cannot be \
         told whether it has; if it may run twice, write `idempotent: true` into the header; if \
         it has run, set `done_at` in the row ('{revision}', {statement}) of `prelaunch_journal`, if \
         it has not, delete that row"
    )]
    Unknown {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// Which statement, counted from 1.
        statement: i32,
    },
    /// The script was changed between two tries.
    #[error(
        "the statement at {spot} has run with another text in an earlier try of revision \
         `{revision}`; put the text back, and write a new revision for what shall be different"
    )]
    ChangedPartWay {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
    },
    /// The tables of prelaunch could not be created or read.
    #[error(
        "cannot create the tables `prelaunch_ledger`, `prelaunch_history` and `prelaunch_journal`{}",
        if is_forbidden(.0) { "; the migrating role must be allowed to create tables" } else { "" }
    )]
    Tables(#[source] WorkError),
    /// What the version table says could not be recorded.
    #[error("cannot bring the ledger and table `{table}` into step")]
    Disagrees {
        /// The version table.
        table: String,
        /// Why.
        source: WorkError,
    },
    /// It was tried, and nothing is as it should be.
    #[error(
        "the ledger and table `{table}` do not come into step; has the table a row twice, or does \
         something else write to it all the time?"
    )]
    Restless {
        /// The version table.
        table: String,
    },
    /// Alembic's command failed over a revision that is left to it.
    #[error("revision `{revision}`, which is left to Alembic, was not applied")]
    Delegated {
        /// Which.
        revision: RevisionId,
        /// How.
        source: DelegateError,
    },
    /// The command succeeded, and the version table does not have it.
    #[error(
        "the command succeeded, but revision `{revision}` is not applied: table `{table}` says `{at}`; \
         does the command use another database, or another version table (VERSION_TABLE)?"
    )]
    NotDelegated {
        /// Which.
        revision: RevisionId,
        /// The version table.
        table: String,
        /// What it says.
        at: String,
    },
    /// Another runner applied the same revision beside us, past the lock: not an end, a reason
    /// to look again.
    #[error("revision `{revision}` was recorded or reverted by another runner meanwhile")]
    Overtaken {
        /// Which.
        revision: RevisionId,
    },
}

/// Whether it is rights that are missing, and not a disk that is full or a server that is gone.
fn is_forbidden(source: &WorkError) -> bool {
    matches!(source, WorkError::Db(error) if error.is_forbidden())
}

impl ApplyError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Script { source, .. } | Self::Revision { source, .. } => source.exit_code(),
            Self::Tables(source) | Self::Open { source, .. } | Self::Disagrees { source, .. } => {
                source.exit_code_of_ours()
            }
            Self::Delegated { source, .. } => source.exit_code(19),
            Self::GaveWay { .. }
            | Self::Overtaken { .. }
            | Self::Restless { .. }
            | Self::NotDelegated { .. } => 14,
            Self::PartWay { source, .. } => match source.exit_code() {
                14 => 15,
                other => other,
            },
            Self::Unknown { .. } | Self::ChangedPartWay { .. } => 15,
        }
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Script { source, .. }
            | Self::Revision { source, .. }
            | Self::GaveWay { source, .. }
            | Self::PartWay { source, .. }
            | Self::Open { source, .. }
            | Self::Disagrees { source, .. }
            | Self::Tables(source) => source.signal(),
            Self::Delegated { source, .. } => source.signal(),
            Self::Unknown { .. }
            | Self::ChangedPartWay { .. }
            | Self::Restless { .. }
            | Self::NotDelegated { .. }
            | Self::Overtaken { .. } => None,
        }
    }
}
