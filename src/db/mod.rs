//! The databases: connecting, looking, queueing for the lock, and working under it.
//!
//! Two engines with methods of the same names, chosen by `match`: no trait, because nobody
//! will ever bring a third one from outside. All SQL text of prelaunch's own lives below here.
//!
//! The types carry the order. A [`Database`] can only look. [`Queue`] polls for the lock, and
//! only a [`Locked`] can change anything, so that the lock cannot be forgotten.

pub mod blocker;
pub mod error;
pub mod ledger;
pub mod offline;
pub mod postgres;
pub mod scratch;
mod sql;
pub mod sqlite;
pub mod versions;

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use self::{
    blocker::Blocker,
    error::{Class, DbError, Outcome, WorkError},
    ledger::{
        AppliedRow, Correction, Entry, Event, HistoryLine, Holder, IndexState, Journalled, Kept,
        LedgerRow, Observed, Origin, Recorded, Runner, Start, Success, TOOL, Tables,
    },
    versions::Turn,
};

use crate::{
    config::url::{Address, DatabaseUrl},
    engine::Engine,
    signals::Signals,
    version_table::VersionTable,
};

/// How work under the lock is to be done.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long to wait for the lock, and for what a dead runner left behind.
    pub lock_timeout: Duration,
    /// How often to see whether the lock is still held; never more often than once a millisecond.
    pub beat: Duration,
    /// Where a signal is noticed.
    pub signals: Arc<Signals>,
}

impl Terms {
    /// Sleeps, unless a signal comes.
    pub(crate) async fn sleep(&self, pause: Duration) -> Result<(), WorkError> {
        self.signals.or(tokio::time::sleep(pause)).await.map_err(WorkError::stopped)
    }
}

/// A database that answers, and can be looked at.
#[derive(Debug)]
pub enum Database {
    /// A session on a PostgreSQL server.
    Postgres(postgres::Session),
    /// A SQLite file, or its absence.
    Sqlite(sqlite::Session),
}

/// A place in the queue for the lock.
#[derive(Debug)]
pub enum Queue {
    /// Polls the advisory lock.
    Postgres(Box<postgres::Queue>),
    /// Polls the file lock.
    Sqlite(sqlite::Queue),
}

/// The lock, and the connection that may change the database.
#[derive(Debug)]
pub enum Locked {
    /// Keeper and worker.
    Postgres(Box<postgres::Locked>),
    /// The lock file and one connection.
    Sqlite(Box<sqlite::Locked>),
}

/// Where a URL leads, for the log: of a SQLite file the path that is meant in the end.
#[must_use]
pub fn address(url: &DatabaseUrl) -> String {
    match url.address() {
        Address::Postgres(_) => url.to_string(),
        Address::Sqlite(url) => format!("sqlite:{}", sqlite::resolved(&url.path).display()),
    }
}

/// Calls the method of the engine at hand.
macro_rules! each {
    ($enum:ident, $value:expr, $inner:ident => $call:expr) => {
        match $value {
            $enum::Postgres($inner) => $call,
            $enum::Sqlite($inner) => $call,
        }
    };
}

impl Database {
    /// One try to connect; the address must answer as something that can be written to. `versions`
    /// is a table to be looked at besides our own.
    pub async fn connect(
        url: &DatabaseUrl,
        runner: &Runner,
        versions: Option<&VersionTable>,
    ) -> Result<Self, DbError> {
        let versions = versions.cloned();
        match url.address() {
            Address::Postgres(url) => {
                postgres::Session::connect(url, runner, versions).await.map(Self::Postgres)
            }
            Address::Sqlite(url) => {
                sqlite::Session::connect(url, runner, versions).await.map(Self::Sqlite)
            }
        }
    }

    /// Which engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Reads what the database remembers; connects anew if the connection broke before.
    pub async fn look(&mut self) -> Result<Observed, DbError> {
        each!(Self, self, session => session.look().await)
    }

    /// Reads the ledger for people, in the order in which revisions were applied. Like
    /// [`Database::history`], it counts on a look before it to have found the tables.
    pub async fn applied(&mut self) -> Result<Vec<AppliedRow>, DbError> {
        each!(Self, self, session => session.applied().await)
    }

    /// What the ledger keeps of some revisions, in the order in which they were applied.
    pub async fn kept(&mut self, revisions: &[String]) -> Result<Vec<Kept>, DbError> {
        let literals: Vec<String> = revisions.iter().map(|id| sql::literal(id)).collect();
        if literals.is_empty() {
            return Ok(Vec::new());
        }
        each!(Self, self, session => session.kept(&literals).await)
    }

    /// Reads the whole history, oldest line first.
    pub async fn history(&mut self) -> Result<Vec<HistoryLine>, DbError> {
        each!(Self, self, session => session.history().await)
    }

    /// The table that is looked at besides our own, on PostgreSQL.
    #[must_use]
    pub fn version_table(&self) -> Option<&VersionTable> {
        match self {
            Self::Postgres(session) => session.version_table(),
            Self::Sqlite(_) => None,
        }
    }

    /// The schema of the ledger; empty on SQLite.
    #[must_use]
    pub fn schema(&self) -> String {
        match self {
            Self::Postgres(session) => session.schema().to_owned(),
            Self::Sqlite(_) => String::new(),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        each!(Self, self, session => session.close().await);
    }

    /// Gets in line for the lock.
    pub async fn queue(self, terms: Terms) -> Queue {
        match self {
            Self::Postgres(session) => Queue::Postgres(Box::new(session.queue(terms).await)),
            Self::Sqlite(session) => Queue::Sqlite(session.queue(terms).await),
        }
    }
}

impl Queue {
    /// What the lock is called in the log.
    #[must_use]
    pub fn name(&self) -> String {
        each!(Self, self, queue => queue.name())
    }

    /// What the database remembers now, and who holds the lock.
    pub async fn poll(&mut self) -> Result<(Observed, Option<Holder>), DbError> {
        each!(Self, self, queue => queue.poll().await)
    }

    /// Whether the holder is this very run, for the sake of another chain. On SQLite a file has one
    /// path, and two chains in it are known to be so before.
    #[must_use]
    pub fn is_own(&self, holder: &Holder) -> bool {
        match self {
            Self::Postgres(queue) => queue.is_own(holder),
            Self::Sqlite(_) => false,
        }
    }

    /// One try to have the lock, without waiting; true if it is ours.
    pub async fn take(&mut self) -> Result<bool, DbError> {
        match self {
            Self::Postgres(queue) => queue.take().await,
            Self::Sqlite(queue) => queue.take(),
        }
    }

    /// Turns the lock that was taken into the right to work. Waits until nothing that an
    /// earlier runner left behind is running.
    pub async fn enter(self) -> Result<Locked, WorkError> {
        match self {
            Self::Postgres(queue) => queue.enter().await.map(Box::new).map(Locked::Postgres),
            Self::Sqlite(queue) => queue.enter().await.map(Box::new).map(Locked::Sqlite),
        }
    }

    /// Leaves the queue.
    pub async fn leave(self) {
        match self {
            Self::Postgres(queue) => queue.leave().await,
            Self::Sqlite(queue) => queue.leave(),
        }
    }
}

impl Locked {
    /// Which engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The same look as without the lock.
    pub async fn look(&mut self) -> Result<Observed, WorkError> {
        each!(Self, self, locked => locked.look().await)
    }

    /// Creates the tables that are missing.
    pub async fn create_tables(&mut self) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.create_tables().await)
    }

    /// Opens the transaction of a revision. `ddl_lock_timeout` bounds each wait for a lock on
    /// PostgreSQL; SQLite has the one lock, which this takes.
    pub async fn begin(&mut self, ddl_lock_timeout: Duration) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.begin(ddl_lock_timeout).await)
    }

    /// Adds the ledger row, so that a second runner of the same revision blocks here and fails.
    pub async fn fence(
        &mut self,
        row: &LedgerRow,
        took: Option<Duration>,
    ) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.fence(row, took).await)
    }

    /// Takes the ledger row out, so that a second runner of the same way back blocks here; false
    /// if there is none.
    pub async fn unfence(&mut self, revision: &str) -> Result<bool, WorkError> {
        each!(Self, self, locked => locked.unfence(revision).await)
    }

    /// The ids in the ledger, as this transaction sees them.
    pub async fn recorded(&mut self) -> Result<BTreeSet<String>, WorkError> {
        each!(Self, self, locked => locked.recorded().await)
    }

    /// Runs one statement of a script.
    pub async fn execute(&mut self, sql: &str) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.execute(sql).await)
    }

    /// Runs one statement of a script that has no transaction. Where another process uses a SQLite
    /// file the statement has had no effect, and is run again until `LOCK_TIMEOUT` has passed.
    pub async fn execute_alone(&mut self, sql: &str) -> Result<(), WorkError> {
        match self {
            Self::Postgres(locked) => locked.execute(sql).await,
            Self::Sqlite(locked) => locked.patiently(sql).await,
        }
    }

    /// What must hold before the revision may be committed.
    pub async fn check(&mut self) -> Result<(), WorkError> {
        match self {
            // PostgreSQL checks its constraints itself.
            Self::Postgres(_) => Ok(()),
            Self::Sqlite(locked) => locked.check().await,
        }
    }

    /// Notes how long the revision took, and adds the line to the history.
    pub async fn finish(&mut self, entry: &Entry) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.finish(entry).await)
    }

    /// Commits. An error that [`DbError::is_unanswered`] leaves the outcome open: see
    /// [`Locked::settle`].
    pub async fn commit(&mut self) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.commit().await)
    }

    /// Rolls back what is open. Never fails: where the connection is gone, so is the transaction.
    pub async fn rollback(&mut self) {
        each!(Self, self, locked => locked.rollback().await);
    }

    /// Who was in the way when a statement gave way to a lock, if that could be seen.
    #[must_use]
    pub fn blocker(&self) -> Option<&Blocker> {
        match self {
            Self::Postgres(locked) => locked.blocker(),
            // The one lock there is has no name on it.
            Self::Sqlite(_) => None,
        }
    }

    /// After a commit without an answer: connects anew, waits until the session that was
    /// asked to commit is gone, and reads whether the revision is recorded.
    pub async fn settle(&mut self, revision: &str) -> Result<bool, WorkError> {
        each!(Self, self, locked => locked.settle(revision).await)
    }

    /// Adds a line to the history, in a transaction of its own.
    pub async fn record(&mut self, entry: &Entry) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.record(entry).await)
    }

    /// What is known of the statements of a non-transactional revision, in order.
    pub async fn journal(&mut self, revision: &str) -> Result<Vec<Journalled>, WorkError> {
        each!(Self, self, locked => locked.journal(revision).await)
    }

    /// Writes down that a statement is about to run, if the ledger still is as it is `expected`
    /// to be: whoever completes a revision forgets its statements.
    pub async fn started(
        &mut self,
        revision: &str,
        line: &Journalled,
        expected: &BTreeSet<String>,
    ) -> Result<Start, WorkError> {
        each!(Self, self, locked => locked.started(revision, line, expected).await)
    }

    /// Writes down how a statement ended: it has run, or it certainly has not.
    pub async fn ended(
        &mut self,
        revision: &str,
        statement: i32,
        done: bool,
    ) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.ended(revision, statement, done).await)
    }

    /// Records a non-transactional revision whose statements have all run; false if the version table
    /// is not as the turn begins.
    pub async fn complete(
        &mut self,
        row: &LedgerRow,
        turn: Option<&Turn>,
        entry: &Entry,
    ) -> Result<bool, WorkError> {
        if let Self::Postgres(locked) = self {
            locked.reset().await?;
        }
        each!(Self, self, locked => locked.begin_own().await)?;
        self.fence(row, Some(entry.took)).await?;
        if !self.turned(turn).await? {
            self.rollback().await;
            return Ok(false);
        }
        each!(Self, self, locked => locked.forget(&row.revision).await)?;
        each!(Self, self, locked => locked.add_entry(entry).await)?;
        self.commit().await.map(|()| true)
    }

    /// Notes, in a transaction of its own, that a revision is about to go statement by statement:
    /// until it is gone, no server starts. False if the ledger is not as it is `expected` to be.
    pub async fn mark(
        &mut self,
        revision: &str,
        expected: &BTreeSet<String>,
    ) -> Result<bool, WorkError> {
        each!(Self, self, locked => locked.begin_own().await)?;
        // What the journal has of a revision that is whole is a leftover of its way up.
        let begins = each!(Self, self, locked => locked.mark(revision).await)?;
        if begins {
            each!(Self, self, locked => locked.forget(revision).await)?;
        }
        if self.recorded().await? == *expected {
            self.commit().await?;
            return Ok(true);
        }
        self.rollback().await;
        Ok(false)
    }

    /// Takes out a non-transactional revision, all of whose down statements have run; false if
    /// another one did.
    pub async fn complete_back(
        &mut self,
        revision: &str,
        turn: Option<&Turn>,
        entry: &Entry,
    ) -> Result<bool, WorkError> {
        if let Self::Postgres(locked) = self {
            locked.reset().await?;
        }
        each!(Self, self, locked => locked.begin_own().await)?;
        if !(self.unfence(revision).await? && self.turned(turn).await?) {
            self.rollback().await;
            return Ok(false);
        }
        each!(Self, self, locked => locked.forget(revision).await)?;
        each!(Self, self, locked => locked.add_entry(entry).await)?;
        self.commit().await.map(|()| true)
    }

    /// Changes the ledger without any script, in one transaction; false, and nothing is changed, if
    /// the ledger is not as it is expected to be, or the version table as it turns from.
    pub async fn correct(
        &mut self,
        correction: &Correction,
        entries: &[Entry],
    ) -> Result<bool, WorkError> {
        each!(Self, self, locked => locked.begin_own().await)?;
        let corrected = self.corrected(correction).await;
        let fits = corrected.as_ref().is_ok_and(|fits| *fits);
        if fits {
            for entry in entries {
                each!(Self, self, locked => locked.add_entry(entry).await)?;
            }
            self.commit().await?;
        } else {
            self.rollback().await;
        }
        corrected
    }

    async fn corrected(&mut self, correction: &Correction) -> Result<bool, WorkError> {
        match correction {
            Correction::Accept { row, from } => {
                each!(Self, self, locked => locked.replace(row, from).await)
            }
            Correction::Stamp { expected, gone, come, turn } => {
                // The rows that come are the fence: another one who adds one of them waits here.
                for row in come.iter().filter(|row| !expected.contains(&row.revision)) {
                    match self.fence(row, None).await {
                        Err(error) if error.is_duplicate() => return Ok(false),
                        fenced => fenced?,
                    }
                    // It may have been stopped part-way, and ended by hand.
                    each!(Self, self, locked => locked.forget(&row.revision).await)?;
                }
                for revision in gone {
                    if !self.unfence(revision).await? {
                        return Ok(false);
                    }
                    each!(Self, self, locked => locked.forget(revision).await)?;
                }
                // Purged, and stamped again.
                for row in come.iter().filter(|row| expected.contains(&row.revision)) {
                    self.fence(row, None).await?;
                }
                // Last, since what was waited for above may have changed it.
                let left = expected.iter().filter(|id| !gone.contains(id)).cloned();
                let now: BTreeSet<String> =
                    left.chain(come.iter().map(|row| row.revision.clone())).collect();
                if self.recorded().await? != now {
                    return Ok(false);
                }
                self.turned(turn.as_ref()).await
            }
        }
    }

    /// Whether an index is there and serves.
    pub async fn index_state(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<IndexState, WorkError> {
        match self {
            Self::Postgres(locked) => locked.index_state(schema, table, name).await,
            // Nothing is built concurrently there.
            Self::Sqlite(_) => Ok(IndexState::Absent),
        }
    }

    /// Drops an index that a concurrent build left invalid.
    pub async fn drop_index(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<(), WorkError> {
        match self {
            Self::Postgres(locked) => locked.drop_index(schema, table, name).await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Sleeps, unless a signal comes.
    pub async fn sleep(&mut self, pause: Duration) -> Result<(), WorkError> {
        each!(Self, self, locked => locked.terms.sleep(pause).await)
    }

    /// Does `work` (a child process) unless the lock is lost first.
    pub async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Result<T, WorkError> {
        match self {
            Self::Postgres(locked) => locked.unless_lost(work).await,
            // A file lock is ours until we let it go.
            Self::Sqlite(_) => Ok(work.await),
        }
    }

    /// The same for several locks at once.
    pub async fn unless_any_lost<T>(
        locked: &mut [Self],
        work: Pin<Box<dyn Future<Output = T> + '_>>,
    ) -> Result<T, WorkError> {
        match locked.split_first_mut() {
            None => Ok(work.await),
            Some((first, rest)) => {
                let unless = Box::pin(Self::unless_any_lost(rest, work));
                first.unless_lost(unless).await?
            }
        }
    }

    /// From now on this is how long to be patient, whatever the queue has left of it.
    pub fn be_patient(&mut self, lock_timeout: Duration) {
        each!(Self, self, locked => locked.terms.lock_timeout = lock_timeout);
    }

    /// Gives the lock back and says goodbye.
    pub async fn release(self) {
        each!(Self, self, locked => locked.release().await);
    }
}
