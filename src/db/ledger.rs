//! What the database remembers, and what is written into it: the nouns of ledger, history and
//! journal, the same on both engines.

use std::{collections::BTreeSet, fmt, hash::BuildHasher as _, time::Duration};

use super::{DbError, versions::Turn};

/// Who runs: in application names, in the lock file, in the ledger and in the log.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Eight hexadecimal digits, new for each run.
    pub id: String,
    /// The name of the host: in Kubernetes, the pod.
    pub host: String,
}

impl Runner {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        // The seed of a hash map is the randomness that std has; it need not be secret.
        let random = std::hash::RandomState::new().hash_one(std::process::id());
        let host = nix::unistd::gethostname()
            .ok()
            .and_then(|host| host.into_string().ok())
            .unwrap_or_else(|| "unknown".to_owned());
        Self { id: format!("{:08x}", random & 0xffff_ffff), host }
    }
}

/// What is written as `tool`: name and version.
pub const TOOL: &str = concat!("prelaunch ", env!("CARGO_PKG_VERSION"));

/// Which of the tables exist.
#[expect(clippy::struct_excessive_bools, reason = "one for each table")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tables {
    /// `prelaunch_ledger`.
    pub ledger: bool,
    /// `prelaunch_history`.
    pub history: bool,
    /// `prelaunch_journal`, which only non-transactional scripts need.
    pub journal: bool,
    /// The version table, if one was named.
    pub versions: bool,
}

impl Tables {
    /// Whether nothing needs to be created.
    #[must_use]
    pub fn complete(self) -> bool {
        self.ledger && self.history && self.journal
    }
}

/// A row of the ledger, as far as a look needs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// Its id, as text: what stands there need not be one that a script could have.
    pub revision: String,
    /// The ids of its parents when it was applied.
    pub parents: Vec<String>,
    /// What else had to be applied before it.
    pub depends_on: Vec<String>,
    /// The checksum of the script that was run; none where no script was.
    pub checksum: Option<String>,
    /// The newest line of the history that says it was applied.
    pub upgraded: Option<i64>,
    /// Whether a way back stopped part-way in it: some of it is gone.
    pub reverting: bool,
}

/// How a row came into the ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Its script was run.
    Upgrade,
    /// Somebody said that it is there.
    Stamp,
    /// Its down section has begun to run, outside of a transaction.
    Reverting,
    /// The version table says that it is there: another tool applied it.
    External,
}

impl Origin {
    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Stamp => "stamp",
            Self::Reverting => "reverting",
            Self::External => "external",
        }
    }
}

/// A hook or a reindex that succeeded, once for each subject and set of heads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Success {
    /// What it was.
    pub event: Event,
    /// The name that was reindexed, or the empty text.
    pub subject: String,
    /// The heads of the database at that time, sorted, with commas.
    pub heads: String,
    /// The newest line of the history that says so.
    pub seq: i64,
}

/// What a look found, before anybody judges it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// All applied revisions, in no order.
    pub ledger: Vec<Recorded>,
    /// The rows of the version table, where one was named: heads, with all that comes before them
    /// left to the graph.
    pub versions: Vec<Recorded>,
    /// Whether there is such a table: one that is not there is not the same as one without a row.
    pub has_versions: bool,
    /// Whether what is in `ledger` has been put together from both, and holds a row that nobody here
    /// knows: see [`crate::plan::applied`].
    pub opaque: bool,
    /// Successes of hooks and reindexing.
    pub successes: Vec<Success>,
    /// The newest line of the history, 0 where there is none: the time of this look, on a
    /// clock that no administrator sets.
    pub last: i64,
}

/// What a line of the history records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A revision was applied.
    Upgrade,
    /// A revision was reverted.
    Downgrade,
    /// A revision was found to have been applied by another tool.
    External,
    /// A revision was found to have been reverted by another tool.
    Retracted,
    /// The ledger was set to where the schema was said to be.
    Stamp,
    /// A script that was changed after it had been applied was accepted.
    Accept,
    /// The command of `AFTER_MIGRATE` succeeded.
    Hook,
    /// A reindex succeeded.
    Reindex,
}

impl Event {
    /// The word in the history.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::External => "external",
            Self::Retracted => "retracted",
            Self::Stamp => "stamp",
            Self::Accept => "accept",
            Self::Hook => "hook",
            Self::Reindex => "reindex",
        }
    }
}

/// A line for the history.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// To what: a revision, a name that was reindexed.
    pub subject: String,
    /// The heads of the database after it, sorted, with commas.
    pub heads: String,
    /// How long it took.
    pub took: Duration,
}

/// A row for the ledger.
#[derive(Clone, Debug)]
pub struct LedgerRow {
    /// Its id.
    pub revision: String,
    /// Its parents, with commas.
    pub parents: String,
    /// What else had to be applied before it, with commas.
    pub depends_on: String,
    /// Its tag.
    pub tag: Option<String>,
    /// Its title.
    pub title: String,
    /// The checksum of its up sections; none where it was not they that were run.
    pub checksum: Option<String>,
    /// The text of its up sections on this engine, likewise.
    pub up: Option<String>,
    /// What [`Script::kept_down`](crate::script::Script::kept_down) gives: the way back.
    pub down: Option<String>,
    /// How it came there.
    pub origin: Origin,
}

/// What the ledger keeps of a revision whose script is gone or was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its id.
    pub revision: String,
    /// Its parents when it was applied.
    pub parents: Vec<String>,
    /// What else had to be applied before it.
    pub depends_on: Vec<String>,
    /// Its tag when it was applied.
    pub tag: Option<String>,
    /// Its title when it was applied.
    pub title: String,
    /// The text that was run.
    pub up: Option<String>,
    /// The way back from it.
    pub down: Option<String>,
}

/// What changes in the ledger without any script.
#[derive(Clone, Debug)]
pub enum Correction {
    /// Rows come and go, from a ledger that holds this.
    Stamp {
        /// What must be recorded before.
        expected: BTreeSet<String>,
        /// What goes.
        gone: Vec<String>,
        /// What comes.
        come: Vec<LedgerRow>,
        /// How a version table that is kept in step turns with it.
        turn: Option<Turn>,
    },
    /// A row takes the text of another script of the same revision.
    Accept {
        /// The row as it shall be.
        row: LedgerRow,
        /// The checksum that it must have before.
        from: String,
    },
}

/// A row of the ledger as people ask for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppliedRow {
    /// Its id.
    pub revision: String,
    /// Its parents when it was applied.
    pub parents: Vec<String>,
    /// Its tag when it was applied.
    pub tag: Option<String>,
    /// Its title when it was applied.
    pub title: String,
    /// When it was applied: ISO 8601 in UTC with milliseconds.
    pub at: String,
    /// On which host or pod.
    pub by: String,
}

/// A line of the history as it was recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryLine {
    /// Its number: later lines have higher ones.
    pub seq: i64,
    /// The word for what happened, which a newer prelaunch may have written.
    pub event: String,
    /// To what it happened.
    pub subject: String,
    /// The heads of the database after it, sorted.
    pub heads: Vec<String>,
    /// When: ISO 8601 in UTC with milliseconds.
    pub at: String,
    /// How long it took.
    pub took: Option<Duration>,
    /// On which host or pod.
    pub by: String,
    /// In which run.
    pub run: String,
    /// The name and version of what recorded it.
    pub tool: String,
}

/// The ids in a text with commas.
pub(super) fn ids(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// A statement of a non-transactional revision, as the journal knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Journalled {
    /// Which one, counted from 1.
    pub statement: i32,
    /// The SHA-256 of its text when it was started.
    pub checksum: String,
    /// Whether it is known to have succeeded.
    pub done: bool,
}

/// Whose a statement of a non-transactional revision is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// It is written down, and nobody else runs it.
    Ours,
    /// Another runner wrote it down since we read the journal.
    Anothers,
    /// The ledger is not what the plan was made from any more.
    Overtaken,
}

/// Whether an index is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IndexState {
    /// No index has this name.
    Absent,
    /// A concurrent build left it half-way.
    Invalid,
    /// It serves.
    Valid,
}

/// Who has the lock that we wait for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// The application name, or what the lock file says.
    pub name: String,
    /// The process: of the server's backend on PostgreSQL, of the runner on SQLite.
    pub pid: Option<i64>,
    /// Since when, as the database prints it.
    pub since: Option<String>,
    /// What it runs at the moment, shortened and without its literals.
    pub statement: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if let Some(pid) = self.pid {
            write!(f, ", pid {pid}")?;
        }
        if let Some(since) = &self.since {
            write!(f, ", since {since}")?;
        }
        if let Some(statement) = &self.statement {
            write!(f, ", running `{statement}`")?;
        }
        Ok(())
    }
}

impl Observed {
    /// Takes in one row of the look.
    pub(super) fn add(
        &mut self,
        what: &str,
        name: String,
        detail: &str,
        extra: Option<String>,
        seq: Option<i64>,
    ) -> Result<(), DbError> {
        let success = |event| Success {
            event,
            subject: name.clone(),
            heads: detail.to_owned(),
            seq: seq.unwrap_or_default(),
        };
        match what {
            "revision" | "reverting" => {
                // No id has a colon.
                let (parents, depends_on) = detail.split_once(':').unwrap_or((detail, ""));
                self.ledger.push(Recorded {
                    parents: ids(parents),
                    depends_on: ids(depends_on),
                    revision: name,
                    checksum: extra,
                    upgraded: seq,
                    reverting: what == "reverting",
                });
            }
            "version" => self.versions.push(Recorded {
                revision: name,
                parents: Vec::new(),
                depends_on: Vec::new(),
                checksum: None,
                upgraded: seq,
                reverting: false,
            }),
            "hook" => self.successes.push(success(Event::Hook)),
            "reindex" => self.successes.push(success(Event::Reindex)),
            "last" => self.last = seq.unwrap_or_default(),
            other => return Err(DbError::Ledger(format!("unknown line `{other}`"))),
        }
        Ok(())
    }
}
