//! The work under the lock on SQLite: one connection, whose statements can be ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Sqlite, SqliteConnection,
    query::Query,
    raw_sql,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{cell, close, observe, quoted, rows};
use crate::{
    db::{
        DbError, Entry, Event, Journalled, LedgerRow, Observed, Outcome, Runner, Start, TOOL,
        Tables, Terms, WorkError, sql,
    },
    pause::{Pause, spoken},
    stage::Stage,
    sys,
    version_table::VersionTable,
};

/// Instructions of SQLite's machine between two looks at the stop flag: some microseconds.
const PROGRESS: i32 = 10_000;

/// How long after a signal it is tried to write down how a statement ended.
const ENDING: Duration = Duration::from_secs(1);

/// What a script begins with, whatever the one before it has set. Above all no foreign keys: see
/// above in [`super`].
pub(in crate::db) const SETTINGS: &str = "pragma foreign_keys = off; pragma ignore_check_constraints = off; \
                        pragma legacy_alter_table = off; pragma query_only = off; \
                        pragma recursive_triggers = off; pragma synchronous = full; \
                        pragma writable_schema = off";

/// The lock and the connection that works.
#[derive(Debug)]
pub struct Locked {
    runner: Runner,
    versions: Option<VersionTable>,
    pub(crate) terms: Terms,
    lock: File,
    worker: SqliteConnection,
    /// Set to have a running statement end.
    stop: Arc<AtomicBool>,
    tables: Tables,
    /// What `foreign_key_check` said when the last revision was committed.
    violations: Option<Violations>,
}

/// Rows that point at nothing: how many, by child table, parent table and number of the key.
type Violations = BTreeMap<(String, String, i64), usize>;

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bound(sql: String) -> Bound<'static> {
    sqlx::query(AssertSqlSafe(sql)).persistent(false)
}

impl Locked {
    pub(super) async fn new(
        runner: Runner,
        versions: Option<VersionTable>,
        terms: Terms,
        lock: File,
        mut worker: SqliteConnection,
    ) -> Result<Self, DbError> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        worker
            .lock_handle()
            .await
            .map_err(DbError::from_request)?
            .set_progress_handler(PROGRESS, move || !flag.load(Ordering::Relaxed));
        let tables = Tables::default();
        Ok(Self { runner, versions, terms, lock, worker, stop, tables, violations: None })
    }

    pub(crate) async fn look(&mut self) -> Result<Observed, WorkError> {
        let mut pause = self.patience();
        let (observed, tables) = loop {
            let Self { worker, stop, terms, versions, .. } = self;
            match guarded(terms, stop, observe(worker, versions.as_ref())).await {
                Err(WorkError::Db(error)) if error.gave_way() => {
                    self.pause(&mut pause, error).await?;
                }
                looked => break looked?,
            }
        };
        self.tables = tables;
        Ok(observed)
    }

    pub(crate) async fn create_tables(&mut self) -> Result<(), WorkError> {
        if !self.tables.complete() {
            self.patiently("begin immediate").await?;
            self.execute(&sql::create_on_sqlite()).await?;
            self.commit().await?;
            self.look().await?;
        }
        Ok(())
    }

    /// The timeout is PostgreSQL's: SQLite has one lock, and `LOCK_TIMEOUT` is the patience for it.
    pub(crate) async fn begin(&mut self, _ddl_lock_timeout: Duration) -> Result<(), WorkError> {
        self.patiently(SETTINGS).await?;
        self.patiently("begin immediate").await?;
        if self.violations.is_none() {
            self.violations = Some(self.foreign_key_check().await?);
        }
        Ok(())
    }

    /// Runs a statement that another process may block, again and again, until the lock timeout.
    pub(crate) async fn patiently(&mut self, sql: &str) -> Result<(), WorkError> {
        let mut pause = self.patience();
        loop {
            match self.execute(sql).await {
                Err(WorkError::Db(error)) if error.gave_way() => {
                    self.pause(&mut pause, error).await?;
                }
                other => return other,
            }
        }
    }

    fn patience(&self) -> Pause {
        Pause::new(Duration::from_millis(20), Duration::from_millis(500), self.terms.lock_timeout)
    }

    /// Waits for whoever uses the file, or gives the error back once the patience has ended.
    async fn pause(&self, pause: &mut Pause, busy: DbError) -> Result<(), WorkError> {
        let Some(next) = pause.next() else { return Err(busy.into()) };
        report_busy(pause, &busy);
        self.terms.sleep(next).await
    }

    pub(crate) async fn fence(
        &mut self,
        row: &LedgerRow,
        took: Option<Duration>,
    ) -> Result<(), WorkError> {
        let insert = bound(sql::insert_ledger(""))
            .bind(row.revision.clone())
            .bind(row.parents.clone())
            .bind(row.depends_on.clone())
            .bind(row.tag.clone())
            .bind(row.title.clone())
            .bind(row.checksum.clone())
            .bind(row.up.clone())
            .bind(row.down.clone())
            .bind(row.origin.name())
            .bind(took.map(milliseconds))
            .bind(self.runner.host.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    /// See [`super::super::Locked::unfence`].
    pub(crate) async fn unfence(&mut self, revision: &str) -> Result<bool, WorkError> {
        let delete = bound(sql::delete_ledger("")).bind(revision.to_owned());
        Ok(self.counted(delete).await? == 1)
    }

    /// See [`super::super::Locked::mark`].
    pub(crate) async fn mark(&mut self, revision: &str) -> Result<bool, WorkError> {
        let mark = bound(sql::mark_ledger("")).bind(revision.to_owned());
        Ok(self.counted(mark).await? == 1)
    }

    /// Puts another script in the place of the one with that checksum; false if there is none.
    pub(crate) async fn replace(&mut self, row: &LedgerRow, from: &str) -> Result<bool, WorkError> {
        let accept = bound(sql::accept_ledger(""))
            .bind(row.revision.clone())
            .bind(from.to_owned())
            .bind(row.parents.clone())
            .bind(row.depends_on.clone())
            .bind(row.tag.clone())
            .bind(row.title.clone())
            .bind(row.checksum.clone())
            .bind(row.up.clone())
            .bind(row.down.clone())
            .bind(TOOL);
        Ok(self.counted(accept).await? == 1)
    }

    /// Forgets the statements of a revision.
    pub(crate) async fn forget(&mut self, revision: &str) -> Result<(), WorkError> {
        let forget = sql::journal_forget("");
        self.bound(bound(forget).bind(revision.to_owned())).await
    }

    /// Opens a transaction in which only tables of ours are written.
    pub(crate) async fn begin_own(&mut self) -> Result<(), WorkError> {
        self.patiently("begin immediate").await
    }

    pub(crate) async fn recorded(&mut self) -> Result<BTreeSet<String>, WorkError> {
        let found = self.ask(sql::recorded("")).await?;
        Ok(found.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?)
    }

    /// The version table, quoted, and its primary key.
    pub(crate) fn versions(&self) -> Option<(String, String)> {
        let versions = self.versions.as_ref()?;
        Some((quoted(&versions.table), quoted(&versions.primary_key())))
    }

    /// Changes one row of it, and gives the number of those that were changed.
    pub(crate) async fn change_versions(
        &mut self,
        sql: String,
        ids: &[&str],
    ) -> Result<u64, WorkError> {
        let change = ids.iter().fold(bound(sql), |change, id| change.bind((*id).to_owned()));
        self.counted(change).await
    }

    /// All rows of it.
    pub(crate) async fn version_rows(&mut self, sql: String) -> Result<Vec<String>, WorkError> {
        let found = self.ask(sql).await?;
        Ok(found.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), WorkError> {
        let Self { worker, stop, terms, .. } = self;
        let statement = raw_sql(AssertSqlSafe(sql.to_owned()));
        let work = async {
            statement.execute(&mut *worker).await.map(drop).map_err(DbError::from_request)
        };
        let mut ended = guarded(terms, stop, work).await;
        if let Err(WorkError::Db(DbError::Sqlite { position, .. })) = &mut ended {
            *position = error_position(worker, sql).await;
        }
        ended
    }

    async fn bound(&mut self, query: Bound<'_>) -> Result<(), WorkError> {
        self.counted(query).await.map(drop)
    }

    /// Runs it, and gives the number of rows that it changed.
    async fn counted(&mut self, query: Bound<'_>) -> Result<u64, WorkError> {
        let Self { worker, stop, terms, .. } = self;
        let work = async {
            let done = query.execute(worker).await.map_err(DbError::from_request)?;
            Ok(done.rows_affected())
        };
        guarded(terms, stop, work).await
    }

    /// Runs a query of our own; on a large file it may take long.
    async fn ask(&mut self, sql: String) -> Result<Vec<SqliteRow>, WorkError> {
        let Self { worker, stop, terms, .. } = self;
        guarded(terms, stop, rows(worker, sql)).await
    }

    /// See [`super::Locked::check`]: what `foreign_key_check` says now and did not say before.
    pub(crate) async fn check(&mut self) -> Result<(), WorkError> {
        let now = self.foreign_key_check().await?;
        let before = self.violations.take().unwrap_or_default();
        let new = now.iter().filter_map(|(key, &count)| {
            let known = before.get(key).copied().unwrap_or_default();
            (count > known).then(|| (key.0.clone(), count - known))
        });
        let new: Vec<_> = new.collect();
        self.violations = Some(before);
        match new.first() {
            None => {
                self.violations = Some(now);
                Ok(())
            }
            Some((table, _)) => Err(WorkError::ForeignKeys {
                count: new.iter().map(|(_, count)| count).sum(),
                table: table.clone(),
            }),
        }
    }

    async fn foreign_key_check(&mut self) -> Result<Violations, WorkError> {
        let mut violations = Violations::new();
        for row in self.ask("pragma foreign_key_check".to_owned()).await? {
            *violations.entry((cell(&row, 0)?, cell(&row, 2)?, cell(&row, 3)?)).or_default() += 1;
        }
        Ok(violations)
    }

    pub(crate) async fn finish(&mut self, entry: &Entry) -> Result<(), WorkError> {
        if entry.event == Event::Upgrade {
            let time = bound(sql::time_ledger(""))
                .bind(entry.subject.clone())
                .bind(milliseconds(entry.took));
            self.bound(time).await?;
        }
        self.add_entry(entry).await
    }

    pub(crate) async fn add_entry(&mut self, entry: &Entry) -> Result<(), WorkError> {
        let insert = bound(sql::insert_history(""))
            .bind(entry.event.name())
            .bind(entry.subject.clone())
            .bind(entry.heads.clone())
            .bind(milliseconds(entry.took))
            .bind(self.runner.host.clone())
            .bind(self.runner.id.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    /// In rollback-journal mode a reader blocks the commit; the transaction stays open
    /// then, and the commit is tried again.
    pub(crate) async fn commit(&mut self) -> Result<(), WorkError> {
        match self.patiently("commit").await {
            // The signal came too late. Whoever goes on notices it with the next statement.
            Err(WorkError::Stopped { outcome: Outcome::Done, .. }) => Ok(()),
            committed => committed,
        }
    }

    pub(crate) async fn rollback(&mut self) {
        // There may be nothing to roll back any more: some errors end the transaction.
        let _ = raw_sql("rollback").execute(&mut self.worker).await;
        self.violations = None;
    }

    /// SQLite always answers; a commit that failed has not happened.
    pub(crate) async fn settle(&mut self, revision: &str) -> Result<bool, WorkError> {
        Ok(self.recorded().await?.contains(revision))
    }

    pub(crate) async fn record(&mut self, entry: &Entry) -> Result<(), WorkError> {
        self.patiently("begin immediate").await?;
        self.add_entry(entry).await?;
        self.commit().await
    }

    /// Read once, where a script without a transaction begins.
    pub(crate) async fn journal(&mut self, revision: &str) -> Result<Vec<Journalled>, WorkError> {
        self.patiently(SETTINGS).await?;
        let query = bound(sql::journal("")).bind(revision.to_owned());
        let Self { worker, stop, terms, .. } = self;
        let work = async { query.fetch_all(worker).await.map_err(DbError::from_request) };
        let found = guarded(terms, stop, work).await?;
        let line = |row| -> Result<_, DbError> {
            Ok(Journalled {
                statement: cell(row, 0)?,
                checksum: cell(row, 1)?,
                done: cell(row, 2)?,
            })
        };
        Ok(found.iter().map(line).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn started(
        &mut self,
        revision: &str,
        line: &Journalled,
        expected: &BTreeSet<String>,
    ) -> Result<Start, WorkError> {
        let insert = bound(sql::journal_started(""))
            .bind(revision.to_owned())
            .bind(line.statement)
            .bind(line.checksum.clone());
        self.patiently("begin immediate").await?;
        let start = match self.bound(insert).await {
            Ok(()) if self.recorded().await? == *expected => {
                self.commit().await?;
                return Ok(Start::Ours);
            }
            Ok(()) => Start::Overtaken,
            Err(error) if error.is_duplicate() => Start::Anothers,
            Err(error) => return Err(error),
        };
        self.rollback().await;
        Ok(start)
    }

    /// Broken off by no signal: it is how an interrupted statement is written down. Beside a
    /// reader that may take some tries, of which a signal leaves only a few.
    pub(crate) async fn ended(
        &mut self,
        revision: &str,
        statement: i32,
        done: bool,
    ) -> Result<(), WorkError> {
        let sql = if done {
            sql::journal_done("", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
        } else {
            sql::journal_undone("")
        };
        let mut pause = self.patience();
        loop {
            let query = bound(sql.clone()).bind(revision.to_owned()).bind(statement);
            let busy = match query.execute(&mut self.worker).await.map_err(DbError::from_request) {
                Err(error) if error.gave_way() => error,
                ended => return Ok(ended.map(drop)?),
            };
            let late = self.terms.signals.noticed().is_some() && pause.elapsed() >= ENDING;
            let (Some(next), false) = (pause.next(), late) else { return Err(busy.into()) };
            report_busy(&pause, &busy);
            tokio::time::sleep(next.min(ENDING / 10)).await;
        }
    }

    pub(crate) async fn release(self) {
        close(Some(self.worker)).await;
        drop(self.lock);
    }
}

/// Waits for `work`, and has SQLite end it if a signal comes.
async fn guarded<T>(
    terms: &Terms,
    stop: &AtomicBool,
    work: impl Future<Output = Result<T, DbError>>,
) -> Result<T, WorkError> {
    // What has not begun need not be ended.
    if let Some(signal) = terms.signals.noticed() {
        return Err(WorkError::Stopped { signal, outcome: Outcome::Undone });
    }
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done.map_err(WorkError::Db),
        signal = terms.signals.raised() => {
            stop.store(true, Ordering::Relaxed);
            // It ends at the next look at the flag; a write to a slow disk may take longer,
            // and is waited for: the thread that does it would otherwise be killed in it.
            let outcome = if work.await.is_ok() { Outcome::Done } else { Outcome::Undone };
            stop.store(false, Ordering::Relaxed);
            Err(WorkError::Stopped { signal, outcome })
        }
    }
}

/// Says so once for each wait.
fn report_busy(pause: &Pause, busy: &DbError) {
    if pause.tries() == 1 {
        tracing::info!(
            stage = %Stage::Apply, event = "busy", why = busy.to_string(),
            left = spoken(pause.left()), "another process uses the SQLite file; waits for it"
        );
    }
}

fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

/// Where SQLite found the error of the last statement, in characters from 1.
async fn error_position(worker: &mut SqliteConnection, sql: &str) -> Option<usize> {
    let offset = sys::sqlite_error_offset(&mut worker.lock_handle().await.ok()?)?;
    Some(sql.get(..offset)?.chars().count() + 1)
}
