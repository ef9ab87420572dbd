//! SQLite: a file, a lock file beside it, and one connection.
//!
//! The lock is an advisory lock of the operating system on `<database>.prelaunch-lock`: it
//! ends with the process, whatever ended it. The lock file is never deleted, since a runner that
//! had just opened it would then hold a lock on a file that nobody else finds. Its text says who
//! holds it, for people and for those who wait.
//!
//! SQLite's own waits are cut short (`busy_timeout`) and repeated by the callers, who can be
//! stopped; a running statement is ended through its progress handler, because dropping the
//! future does not stop the thread that runs it.
//!
//! Foreign keys are off on the worker, for every revision: inside of a transaction the
//! pragma does nothing, and `DROP TABLE` in a table rebuild would cascade.
#![expect(clippy::disallowed_methods, reason = "this file is the edge to SQLite's files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions, TryLockError},
    future::Future,
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection,
    query::Query,
    raw_sql,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow},
};

use super::{
    DbError, Entry, Holder, Journalled, LedgerRow, Observed, Outcome, Runner, TOOL, Tables, Terms,
    WorkError, sql,
};
use crate::{
    config::url::SqliteUrl,
    pause::{Pause, spoken},
    stage::Stage,
};

/// How long SQLite itself waits for another process while we work; the callers repeat.
const BUSY: Duration = Duration::from_millis(50);

/// How long while we only look: dropping a look that waits costs nothing but its thread.
const BUSY_LOOK: Duration = Duration::from_secs(5);

/// Instructions of SQLite's machine between two looks at the stop flag: some microseconds.
const PROGRESS: i32 = 10_000;

/// A file that looks.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    runner: Runner,
    /// None while there is no file.
    connection: Option<SqliteConnection>,
}

impl Session {
    pub(super) async fn connect(url: &SqliteUrl, runner: &Runner) -> Result<Self, DbError> {
        let path = resolved(&url.path);
        let mut session = Self { path, runner: runner.clone(), connection: None };
        // The file is opened lazily by SQLite; only a read says whether it is a database.
        session.look().await?;
        Ok(session)
    }

    /// A file that does not exist is an empty database, and stays absent.
    pub(super) async fn look(&mut self) -> Result<Observed, DbError> {
        if self.connection.is_none() && self.path.try_exists().unwrap_or(true) {
            self.connection = Some(open(&self.path, false, BUSY_LOOK).await?);
        }
        match &mut self.connection {
            None => Ok(Observed::default()),
            Some(connection) => observe(connection).await.map(|(observed, _)| observed),
        }
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }

    /// The connection is closed here: a queue that waits must not keep the file open, since
    /// the last one to close a database in WAL mode is the one that tidies up.
    pub(super) async fn queue(self, terms: Terms) -> Queue {
        close(self.connection).await;
        Queue { path: self.path, runner: self.runner, terms, lock: None }
    }
}

/// A place in the queue.
#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    runner: Runner,
    terms: Terms,
    lock: Option<File>,
}

impl Queue {
    pub(crate) fn name(&self) -> String {
        format!("lock file {}", lock_path(&self.path).display())
    }

    pub(crate) async fn poll(&mut self) -> Result<(Observed, Option<Holder>), DbError> {
        let mut session =
            Session { path: self.path.clone(), runner: self.runner.clone(), connection: None };
        let observed = session.look().await;
        session.close().await;
        let holder = if self.take()? { None } else { Some(self.holder()) };
        Ok((observed?, holder))
    }

    fn holder(&self) -> Holder {
        // Another process is writing it perhaps: what cannot be read is not worth an error.
        let text = std::fs::read_to_string(lock_path(&self.path)).unwrap_or_default();
        let mut words = text.split_whitespace();
        Holder {
            name: words.next().unwrap_or("another process").to_owned(),
            pid: words.next().and_then(|pid| pid.parse().ok()),
            since: None,
            statement: None,
        }
    }

    /// The lock of a file is had or not had at once, and polling has taken it already.
    pub(crate) fn take(&mut self) -> Result<bool, DbError> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let path = lock_path(&self.path);
        let failed = |source| DbError::File { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let who =
                    format!("{} {} {}\n", self.runner.host, std::process::id(), self.runner.id);
                file.set_len(0).map_err(failed)?;
                file.rewind().map_err(failed)?;
                file.write_all(who.as_bytes()).map_err(failed)?;
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(crate) fn leave(self) {
        drop(self.lock);
    }

    pub(crate) async fn enter(self) -> Result<Locked, WorkError> {
        let Some(lock) = self.lock else {
            return Err(WorkError::LockLost("it was never taken".to_owned()));
        };
        let mut worker = open(&self.path, true, BUSY).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        worker
            .lock_handle()
            .await
            .map_err(DbError::from_request)?
            .set_progress_handler(PROGRESS, move || !flag.load(Ordering::Relaxed));
        let Self { runner, terms, .. } = self;
        Ok(Locked {
            runner,
            terms,
            lock,
            worker,
            stop,
            tables: Tables::default(),
            violations: None,
        })
    }
}

/// The lock and the connection that works.
#[derive(Debug)]
pub struct Locked {
    runner: Runner,
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
    pub(crate) async fn look(&mut self) -> Result<Observed, WorkError> {
        let mut pause = self.patience();
        let (observed, tables) = loop {
            match observe(&mut self.worker).await {
                Err(error) if error.gave_way() => self.pause(&mut pause, error).await?,
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
        self.patiently("begin immediate").await?;
        if self.violations.is_none() {
            self.violations = Some(self.foreign_key_check().await?);
        }
        Ok(())
    }

    /// Runs a statement that another process may block, again and again, until the lock timeout.
    async fn patiently(&mut self, sql: &str) -> Result<(), WorkError> {
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
        if pause.tries() == 1 {
            tracing::info!(
                stage = %Stage::Apply, event = "busy", why = busy.to_string(),
                left = spoken(pause.left()), "another process uses the SQLite file; waits for it"
            );
        }
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
            .bind(row.tag.clone())
            .bind(row.title.clone())
            .bind(row.checksum.clone())
            .bind(row.up.clone())
            .bind(row.down.clone())
            .bind("upgrade")
            .bind(took.map(milliseconds))
            .bind(self.runner.host.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    pub(crate) async fn recorded(&mut self) -> Result<BTreeSet<String>, WorkError> {
        let found = rows(&mut self.worker, sql::recorded("")).await?;
        Ok(found.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), WorkError> {
        let Self { worker, stop, terms, .. } = self;
        let work = async { raw_sql(AssertSqlSafe(sql.to_owned())).execute(worker).await.map(drop) };
        guarded(terms, stop, work).await
    }

    async fn bound(&mut self, query: Bound<'_>) -> Result<(), WorkError> {
        let Self { worker, stop, terms, .. } = self;
        guarded(terms, stop, async { query.execute(worker).await.map(drop) }).await
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
        for row in rows(&mut self.worker, "pragma foreign_key_check".to_owned()).await? {
            *violations.entry((cell(&row, 0)?, cell(&row, 2)?, cell(&row, 3)?)).or_default() += 1;
        }
        Ok(violations)
    }

    pub(crate) async fn finish(&mut self, entry: &Entry) -> Result<(), WorkError> {
        let time =
            bound(sql::time_ledger("")).bind(entry.subject.clone()).bind(milliseconds(entry.took));
        self.bound(time).await?;
        self.add_entry(entry).await
    }

    async fn add_entry(&mut self, entry: &Entry) -> Result<(), WorkError> {
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
        self.patiently("commit").await
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

    pub(crate) async fn journal(&mut self, revision: &str) -> Result<Vec<Journalled>, WorkError> {
        let query = bound(sql::journal("")).bind(revision.to_owned());
        let found = query.fetch_all(&mut self.worker).await.map_err(DbError::from_request)?;
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
    ) -> Result<(), WorkError> {
        let insert = bound(sql::journal_started(""))
            .bind(revision.to_owned())
            .bind(line.statement)
            .bind(line.checksum.clone());
        self.patiently("begin immediate").await?;
        self.bound(insert).await?;
        self.commit().await
    }

    /// Broken off by no signal: it is how an interrupted statement is written down.
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
        let query = bound(sql).bind(revision.to_owned()).bind(statement);
        query.execute(&mut self.worker).await.map_err(DbError::from_request)?;
        Ok(())
    }

    pub(crate) async fn complete(
        &mut self,
        row: &LedgerRow,
        entry: &Entry,
    ) -> Result<(), WorkError> {
        self.patiently("begin immediate").await?;
        self.fence(row, Some(entry.took)).await?;
        self.bound(bound(sql::journal_forget("")).bind(row.revision.clone())).await?;
        self.add_entry(entry).await?;
        self.commit().await
    }

    pub(crate) async fn release(self) {
        close(Some(self.worker)).await;
        drop(self.lock);
    }
}

/// Waits for `work`, and has SQLite end it if a signal comes.
async fn guarded(
    terms: &Terms,
    stop: &AtomicBool,
    work: impl Future<Output = Result<(), sqlx::Error>>,
) -> Result<(), WorkError> {
    // What has not begun need not be ended.
    if let Some(signal) = terms.signals.noticed() {
        return Err(WorkError::Stopped { signal, outcome: Outcome::Undone });
    }
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done.map_err(|error| WorkError::Db(DbError::from_request(error))),
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

async fn open(path: &Path, create: bool, busy: Duration) -> Result<SqliteConnection, DbError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .foreign_keys(false)
        .busy_timeout(busy)
        .statement_cache_capacity(0)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| DbError::from_connect(error, &path.display().to_string()))
}

async fn close(connection: Option<SqliteConnection>) {
    if let Some(connection) = connection {
        // Closing can only fail where nothing is left to lose.
        let _ = connection.close().await;
    }
}

/// Which tables there are, and then the look itself, in one transaction.
async fn observe(connection: &mut SqliteConnection) -> Result<(Observed, Tables), DbError> {
    rows(connection, "begin".to_owned()).await?;
    let seen = observe_within(connection).await;
    // A transaction that only read has nothing to lose; the error that matters is the first.
    let ended = rows(connection, "rollback".to_owned()).await;
    let seen = seen?;
    ended?;
    Ok(seen)
}

async fn observe_within(connection: &mut SqliteConnection) -> Result<(Observed, Tables), DbError> {
    let names = rows(
        connection,
        "select name from sqlite_master where type in ('table', 'view')".to_owned(),
    )
    .await?;
    let names: BTreeSet<String> = names.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?;
    let tables = Tables {
        ledger: names.contains(sql::LEDGER),
        history: names.contains(sql::HISTORY),
        journal: names.contains(sql::JOURNAL),
    };
    let mut observed = Observed::default();
    for row in rows(connection, sql::look("", tables, None)).await? {
        let (what, name): (String, String) = (cell(&row, 0)?, cell(&row, 1)?);
        let (detail, extra): (Option<String>, Option<String>) = (cell(&row, 2)?, cell(&row, 3)?);
        observed.add(&what, name, &detail.unwrap_or_default(), extra, cell(&row, 4)?)?;
    }
    Ok((observed, tables))
}

async fn rows(connection: &mut SqliteConnection, sql: String) -> Result<Vec<SqliteRow>, DbError> {
    raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(DbError::from_request)
}

fn cell<'row, T>(row: &'row SqliteRow, column: usize) -> Result<T, DbError>
where
    T: sqlx::Decode<'row, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column).map_err(|error| DbError::Ledger(error.to_string()))
}

/// The absolute path with links followed, so that everybody who means this file has the same
/// lock file; where the file does not exist yet, its directory is what can be followed.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if let Ok(followed) = std::fs::canonicalize(&absolute) {
        return followed;
    }
    match (absolute.parent().map(std::fs::canonicalize), absolute.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => absolute,
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".prelaunch-lock");
    PathBuf::from(name)
}

fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}
