//! What can be wrong with a script.
//!
//! Every fault names its file and line. Nothing here is a source of something else: a fault is
//! found in the text itself, so its message says all that there is.

use std::path::Path;

use super::Direction;
use crate::{
    engine::Engine,
    graph::revision::{Place, RevisionIdError},
    values::DURATIONS,
};

/// Something wrong with a script, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct ScriptFault {
    /// The file and the line.
    pub place: Place,
    /// What is wrong there.
    pub kind: ScriptFaultKind,
}

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScriptFaultKind {
    /// A line of the header that is so like a known key that it can be no prose.
    #[error("unknown key `{key}`; write `{near}`, or another first word if it is prose")]
    NearKey {
        /// The word before the colon.
        key: String,
        /// The known key that it is close to.
        near: &'static str,
    },
    /// A line of the header that looks like a key.
    #[error("unknown key `{key}`; known keys are {known}; to write prose, begin with a capital")]
    UnknownKey {
        /// The word before the colon.
        key: String,
        /// The known ones, separated by commas.
        known: String,
    },
    /// A key that an earlier line gives already.
    #[error("key `{key}` is given twice; line {first} has it already")]
    KeyTwice {
        /// The key.
        key: &'static str,
        /// The line that has it already.
        first: usize,
    },
    /// The header names no revision.
    #[error("no `revision` in the header; add a line `-- revision: <id>`")]
    MissingRevision,
    /// An id or a label that cannot be one.
    #[error("`{key}`: {error}")]
    Id {
        /// The key.
        key: &'static str,
        /// Why it cannot be one; part of this message, hence no source.
        error: RevisionIdError,
    },
    /// A tag that a target could not name.
    #[error(
        "`tag` is `{tag}`; write a name without white space and `, @ + :`, \
         that does not begin with `-` and is not `head`, `heads` or `base`"
    )]
    Tag {
        /// The value as given.
        tag: String,
    },
    /// A value that is neither true nor false.
    #[error(
        "`{key}` is `{value}`; write one of `true 1 t y yes on enable enabled` \
         or `false 0 f n no off disable disabled`"
    )]
    Truth {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
    },
    /// Somebody to leave a revision to who is not known.
    #[error("`delegate` is `{value}`; write `alembic`")]
    Delegate {
        /// The value as given.
        value: String,
    },
    /// A value that is no duration.
    #[error("`{key}` is `{value}`; write {DURATIONS}")]
    Duration {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
    },
    /// A list of names with nothing between two commas.
    #[error("`{key}` is `{value}`; write names separated by single commas")]
    EmptyName {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
    },
    /// Text above the first section.
    #[error(
        "only `--` comments may stand before the first section; \
         move this below `-- migrate:up` or `-- migrate:down`"
    )]
    TextBeforeSections,
    /// A line that begins as a section marker does, and is none.
    #[error(
        "`{line}` opens no section; write `-- migrate:up` or `-- migrate:down`, \
         followed by `postgres` or `sqlite` if it serves only one"
    )]
    Marker {
        /// The line, trimmed.
        line: String,
    },
    /// A file without any section.
    #[error("no section; write the SQL below a line `-- migrate:up`")]
    NoSection,
    /// No section for the engine in use: found by who knows it, see `Script::missing_section`.
    #[error(
        "no {direction} section for {engine}; \
         add `-- migrate:{direction} {engine}`, or `-- migrate:{direction}` to serve each engine"
    )]
    MissingSection {
        /// The engine in use.
        engine: Engine,
        /// The direction that is wanted.
        direction: Direction,
    },
    /// A string, quoted identifier or comment without an end.
    #[error("the {what} that opens here is not closed; end it with `{end}`")]
    Unclosed {
        /// What it is, in words.
        what: &'static str,
        /// What would close it.
        end: String,
    },
    /// A statement of a transactional script that opens a transaction itself.
    #[error("`{statement}` opens a transaction inside of the one that prelaunch opened; remove it")]
    OpensTransaction {
        /// Its leading words.
        statement: String,
    },
    /// A statement of a transactional script that ends the transaction.
    #[error("`{statement}` ends the transaction that prelaunch opened; remove it")]
    EndsTransaction {
        /// Its leading words.
        statement: String,
    },
    /// A statement of a non-transactional script that opens or ends a transaction: what stands
    /// between would be written down as done before it is.
    #[error(
        "`{statement}` spans several statements, and with `transaction: false` each runs by itself; \
         remove it, or move what belongs together to a revision with a transaction"
    )]
    SpansStatements {
        /// Its leading words.
        statement: String,
    },
    /// A statement of a transactional script that the engine runs outside of transactions only.
    #[error(
        "`{statement}` cannot run inside a transaction; set `transaction: false` in the header"
    )]
    NotInTransaction {
        /// Its leading words.
        statement: String,
    },
    /// A command of psql's own.
    #[error("`{command}` is a command of psql, which prelaunch is not; write SQL instead")]
    MetaCommand {
        /// The command, with its backslash.
        command: String,
    },
    /// Rows that psql would send after the statement.
    #[error(
        "the rows of `COPY … FROM STDIN` are sent by psql, which prelaunch is not; \
         write `INSERT` instead"
    )]
    CopyFromStdin,
}

/// The faults of one file, as they are found.
pub(super) struct Faults<'a> {
    path: &'a Path,
    found: Vec<ScriptFault>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, found: Vec::new() }
    }

    pub(super) fn add(&mut self, line: usize, kind: ScriptFaultKind) {
        let place = Place { path: self.path.to_owned(), line };
        self.found.push(ScriptFault { place, kind });
    }

    /// By line; those of one line as they were found.
    pub(super) fn into_sorted(mut self) -> Vec<ScriptFault> {
        self.found.sort_by_key(|fault| fault.place.line);
        self.found
    }
}
