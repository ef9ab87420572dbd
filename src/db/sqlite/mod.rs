//! SQLite: a file, a lock file beside it, and one connection.
//!
//! The lock is an advisory lock of the operating system on `<database>.prelaunch-lock`, or on
//! `<database>.<version table>.prelaunch-lock` for a chain that has such a table: it ends with the
//! process, whatever ended it. The lock file is never deleted, since a runner that had just opened
//! it would then hold a lock on a file that nobody else finds. Its text says who holds it, for
//! people and for those who wait.
//!
//! SQLite's own waits are cut short (`busy_timeout`) and repeated by the callers, who can be
//! stopped; a running statement is ended through its progress handler, because dropping the
//! future does not stop the thread that runs it.
//!
//! Foreign keys are off on the worker, for every revision: inside of a transaction the
//! pragma does nothing, and `DROP TABLE` in a table rebuild would cascade. A script that runs
//! outside of transactions may set it and others, so each begins with what is set anew.
#![expect(clippy::disallowed_methods, reason = "this file is the edge to SQLite's files")]

pub(super) mod scratch;
mod work;

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions, TryLockError},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection,
    raw_sql,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

pub use self::work::Locked;
pub(super) use self::work::SETTINGS;
use super::{
    AppliedRow, DbError, HistoryLine, Holder, Kept, Observed, Runner, Tables, Terms, WorkError,
    ledger::ids, sql,
};
use crate::{config::url::SqliteUrl, version_table::VersionTable};

/// How long SQLite itself waits for another process while we work; the callers repeat.
const BUSY: Duration = Duration::from_millis(50);

/// How long in a look that is repeated. Shorter than the shortest try, so that what is heard is
/// SQLite's `database is locked`, and not that there was no answer.
const BUSY_TRY: Duration = Duration::from_millis(500);

/// How long in a look that is not repeated, likewise shorter than what bounds it. Dropping a look
/// that waits costs nothing but its thread.
const BUSY_LOOK: Duration = Duration::from_secs(4);

/// How many rows SQLite may be ahead of whoever reads them. Those of a script are thrown away, and
/// each may be large.
const ROWS: usize = 4;

/// A file that looks.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    runner: Runner,
    versions: Option<VersionTable>,
    /// How long SQLite waits for another process.
    busy: Duration,
    /// None while there is no file.
    connection: Option<SqliteConnection>,
}

impl Session {
    pub(super) async fn connect(
        url: &SqliteUrl,
        runner: &Runner,
        versions: Option<VersionTable>,
    ) -> Result<Self, DbError> {
        let (path, runner) = (resolved(&url.path), runner.clone());
        let mut session = Self { path, runner, versions, busy: BUSY_TRY, connection: None };
        // The file is opened lazily by SQLite; only a read says whether it is a database.
        session.look().await?;
        session.busy = BUSY_LOOK;
        if let Some(connection) = &mut session.connection {
            let patience = format!("pragma busy_timeout = {}", BUSY_LOOK.as_millis());
            rows(connection, patience).await?;
        }
        Ok(session)
    }

    /// A file that does not exist is an empty database, and stays absent.
    pub(super) async fn look(&mut self) -> Result<Observed, DbError> {
        if self.connection.is_none() && self.path.try_exists().unwrap_or(true) {
            self.connection = Some(open(&self.path, false, self.busy).await?);
        }
        match &mut self.connection {
            None => Ok(Observed::default()),
            Some(connection) => {
                observe(connection, self.versions.as_ref()).await.map(|(observed, _)| observed)
            }
        }
    }

    /// See [`super::Database::applied`].
    pub(super) async fn applied(&mut self) -> Result<Vec<AppliedRow>, DbError> {
        let query = sql::applied("", str::to_owned);
        self.read(sql::LEDGER, query).await?.iter().map(applied_row).collect()
    }

    /// See [`super::Database::kept`].
    pub(super) async fn kept(&mut self, revisions: &[String]) -> Result<Vec<Kept>, DbError> {
        self.read(sql::LEDGER, sql::kept("", revisions)).await?.iter().map(kept).collect()
    }

    /// See [`super::Database::history`].
    pub(super) async fn history(&mut self) -> Result<Vec<HistoryLine>, DbError> {
        let query = sql::history("", str::to_owned);
        self.read(sql::HISTORY, query).await?.iter().map(history_line).collect()
    }

    /// The rows of a query on one table; none where there is no such table, or no file.
    async fn read(&mut self, table: &str, query: String) -> Result<Vec<SqliteRow>, DbError> {
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let exists = format!(
            "select name from sqlite_master where type in ('table', 'view') and name = '{table}'"
        );
        if rows(connection, exists).await?.is_empty() {
            return Ok(Vec::new());
        }
        rows(connection, query).await
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }

    /// The connection is closed here: a queue that waits must not keep the file open, since
    /// the last one to close a database in WAL mode is the one that tidies up.
    pub(super) async fn queue(self, terms: Terms) -> Queue {
        close(self.connection).await;
        Queue { path: self.path, runner: self.runner, versions: self.versions, terms, lock: None }
    }
}

/// A place in the queue.
#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    runner: Runner,
    versions: Option<VersionTable>,
    terms: Terms,
    lock: Option<File>,
}

impl Queue {
    pub(crate) fn name(&self) -> String {
        format!("lock file {}", lock_path(&self.path, self.versions.as_ref()).display())
    }

    pub(crate) async fn poll(&mut self) -> Result<(Observed, Option<Holder>), DbError> {
        let (path, runner) = (self.path.clone(), self.runner.clone());
        let versions = self.versions.clone();
        let mut session = Session { path, runner, versions, busy: BUSY_TRY, connection: None };
        let observed = session.look().await;
        session.close().await;
        let holder = if self.take()? { None } else { Some(self.holder()) };
        Ok((observed?, holder))
    }

    fn holder(&self) -> Holder {
        // Another process is writing it perhaps: what cannot be read is not worth an error.
        let text = std::fs::read_to_string(lock_path(&self.path, self.versions.as_ref()))
            .unwrap_or_default();
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
        let path = lock_path(&self.path, self.versions.as_ref());
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
            return Err(WorkError::lock_lost("it was never taken".to_owned()));
        };
        let worker = open(&self.path, true, BUSY).await?;
        Ok(Locked::new(self.runner, self.versions, self.terms, lock, worker).await?)
    }
}

async fn open(path: &Path, create: bool, busy: Duration) -> Result<SqliteConnection, DbError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .foreign_keys(false)
        .busy_timeout(busy)
        .statement_cache_capacity(0)
        .row_buffer_size(ROWS)
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
async fn observe(
    connection: &mut SqliteConnection,
    versions: Option<&VersionTable>,
) -> Result<(Observed, Tables), DbError> {
    rows(connection, "begin".to_owned()).await?;
    let seen = observe_within(connection, versions).await;
    // A transaction that only read has nothing to lose; the error that matters is the first.
    let ended = rows(connection, "rollback".to_owned()).await;
    let seen = seen?;
    ended?;
    Ok(seen)
}

async fn observe_within(
    connection: &mut SqliteConnection,
    versions: Option<&VersionTable>,
) -> Result<(Observed, Tables), DbError> {
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
        versions: versions.is_some_and(|versions| names.contains(&versions.table)),
    };
    let table = versions.map(|one| quoted(&one.table));
    let mut observed = Observed { has_versions: tables.versions, ..Observed::default() };
    for row in rows(connection, sql::look("", tables, table.as_deref(), None)).await? {
        let (what, name): (String, String) = (cell(&row, 0)?, cell(&row, 1)?);
        let (detail, extra): (Option<String>, Option<String>) = (cell(&row, 2)?, cell(&row, 3)?);
        observed.add(&what, name, &detail.unwrap_or_default(), extra, cell(&row, 4)?)?;
    }
    Ok((observed, tables))
}

/// An identifier in quotes.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
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

/// A row of [`sql::applied`].
fn applied_row(row: &SqliteRow) -> Result<AppliedRow, DbError> {
    Ok(AppliedRow {
        revision: cell(row, 0)?,
        parents: ids(cell(row, 1)?),
        tag: cell(row, 2)?,
        title: cell(row, 3)?,
        at: cell(row, 4)?,
        by: cell(row, 5)?,
    })
}

/// A row of [`sql::kept`].
fn kept(row: &SqliteRow) -> Result<Kept, DbError> {
    Ok(Kept {
        revision: cell(row, 0)?,
        parents: ids(cell(row, 1)?),
        depends_on: ids(cell(row, 2)?),
        tag: cell(row, 3)?,
        title: cell(row, 4)?,
        up: cell(row, 5)?,
        down: cell(row, 6)?,
    })
}

/// A row of [`sql::history`].
fn history_line(row: &SqliteRow) -> Result<HistoryLine, DbError> {
    let took: Option<i64> = cell(row, 5)?;
    Ok(HistoryLine {
        seq: cell(row, 0)?,
        event: cell(row, 1)?,
        subject: cell(row, 2)?,
        heads: ids(cell(row, 3)?),
        at: cell(row, 4)?,
        took: took.and_then(|took| u64::try_from(took).ok()).map(Duration::from_millis),
        by: cell(row, 6)?,
        run: cell(row, 7)?,
        tool: cell(row, 8)?,
    })
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

/// The lock file of a database, or of one version table in it.
fn lock_path(path: &Path, versions: Option<&VersionTable>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if let Some(versions) = versions {
        name.push(format!(".{}", versions.table));
    }
    name.push(".prelaunch-lock");
    PathBuf::from(name)
}
