//! The work under the lock on PostgreSQL: the worker.
//!
//! Nothing is waited for unguarded: while a statement runs, a signal or a lost keeper has the
//! server cancel it, and only then does the future end.

use std::{collections::BTreeSet, future::Future, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    Address, Facts, KEEPALIVES, cell, client_check, facts, goodbye,
    guard::guarded,
    literal,
    lock::{Keeper, Key},
    observe, quoted, rows, run,
};
use crate::db::{
    DbError, Entry, Event, IndexState, Journalled, LedgerRow, Observed, Outcome, Start, TOOL,
    Terms, WorkError, sql,
};

/// How long it may take to write down how a statement ended; the second, after a signal.
const NOTE: Duration = Duration::from_secs(10);
const HURRIED: Duration = Duration::from_millis(500);

/// How long one try to settle a COMMIT may take.
const SETTLE: Duration = Duration::from_secs(5);

/// How long a rollback may take before it is left to the server.
const ROLLBACK: Duration = Duration::from_millis(200);

/// The lock and the worker.
#[derive(Debug)]
pub struct Locked {
    pub(super) address: Address,
    facts: Facts,
    pub(crate) terms: Terms,
    pub(super) key: Key,
    keeper: Keeper,
    pub(super) worker: PgConnection,
}

/// A statement with its parameters; only inside a transaction, and never kept by a name.
type Bound<'q> = Query<'q, Postgres, PgArguments>;

fn bound(sql: String) -> Bound<'static> {
    sqlx::query(AssertSqlSafe(sql)).persistent(false)
}

impl Locked {
    pub(super) fn new(
        address: Address,
        facts: Facts,
        terms: Terms,
        key: Key,
        keeper: Keeper,
        worker: PgConnection,
    ) -> Self {
        Self { address, facts, terms, key, keeper, worker }
    }

    pub(crate) async fn look(&mut self) -> Result<Observed, WorkError> {
        let Self { address, facts, key, terms, keeper, worker } = self;
        let look = async {
            if !facts.tables.complete() {
                *facts = super::facts(worker).await?;
            }
            Ok(observe(worker, facts, None).await?.0)
        };
        guarded(address, *key, terms, keeper, look).await
    }

    pub(crate) async fn create_tables(&mut self) -> Result<(), WorkError> {
        // `if not exists` asks for the right to create even where it creates nothing.
        if !self.facts.tables.complete() {
            self.execute(&sql::create_on_postgres(&self.facts.prefix())).await?;
            let Self { address, key, terms, keeper, worker, .. } = self;
            self.facts = guarded(address, *key, terms, keeper, facts(worker)).await?;
        }
        Ok(())
    }

    pub(crate) async fn begin(&mut self, ddl_lock_timeout: Duration) -> Result<(), WorkError> {
        let begin = format!(
            "begin isolation level read committed read write; {}; set local lock_timeout = {}",
            self.settings(),
            // 0 would be no bound at all; the setting is a number of 31 bits.
            ddl_lock_timeout.as_millis().clamp(1, 0x7fff_ffff),
        );
        self.execute(&begin).await
    }

    /// What each transaction of ours sets for itself: no timeouts but our own.
    fn settings(&self) -> String {
        format!(
            "{}{KEEPALIVES}set local statement_timeout = 0; \
             set local idle_in_transaction_session_timeout = 0{}",
            client_check(self.facts.version),
            if self.facts.version >= 170_000 { "; set local transaction_timeout = 0" } else { "" },
        )
    }

    pub(crate) async fn fence(
        &mut self,
        row: &LedgerRow,
        took: Option<Duration>,
    ) -> Result<(), WorkError> {
        let insert = bound(sql::insert_ledger(&self.facts.prefix()))
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
            .bind(self.address.runner.host.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    /// See [`super::super::Locked::unfence`].
    pub(crate) async fn unfence(&mut self, revision: &str) -> Result<bool, WorkError> {
        let delete = bound(sql::delete_ledger(&self.facts.prefix())).bind(revision.to_owned());
        Ok(self.counted(delete).await? == 1)
    }

    /// See [`super::super::Locked::mark`].
    pub(crate) async fn mark(&mut self, revision: &str) -> Result<bool, WorkError> {
        let mark = bound(sql::mark_ledger(&self.facts.prefix())).bind(revision.to_owned());
        Ok(self.counted(mark).await? == 1)
    }

    /// See [`super::super::Locked::replace`].
    pub(crate) async fn replace(&mut self, row: &LedgerRow, from: &str) -> Result<bool, WorkError> {
        let accept = bound(sql::accept_ledger(&self.facts.prefix()))
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

    /// See [`super::super::Locked::forget`].
    pub(crate) async fn forget(&mut self, revision: &str) -> Result<(), WorkError> {
        let forget = sql::journal_forget(&self.facts.prefix());
        self.bound(bound(forget).bind(revision.to_owned())).await
    }

    /// Opens a transaction in which only tables of ours are written.
    pub(crate) async fn begin_own(&mut self) -> Result<(), WorkError> {
        self.begin(self.terms.lock_timeout).await
    }

    pub(crate) async fn recorded(&mut self) -> Result<BTreeSet<String>, WorkError> {
        let found = self.rows(sql::recorded(&self.facts.prefix())).await?;
        Ok(found.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), WorkError> {
        let Self { address, key, terms, keeper, worker, .. } = self;
        let work = run(worker, sql.to_owned());
        guarded(address, *key, terms, keeper, work).await
    }

    /// The rows of a query by the simple protocol.
    pub(super) async fn rows(&mut self, sql: String) -> Result<Vec<PgRow>, WorkError> {
        let Self { address, key, terms, keeper, worker, .. } = self;
        guarded(address, *key, terms, keeper, rows(worker, sql)).await
    }

    async fn bound(&mut self, query: Bound<'_>) -> Result<(), WorkError> {
        self.counted(query).await.map(drop)
    }

    /// Runs it, and gives the number of rows that it changed.
    async fn counted(&mut self, query: Bound<'_>) -> Result<u64, WorkError> {
        let Self { address, key, terms, keeper, worker, .. } = self;
        let work = async {
            let done = query.execute(worker).await.map_err(DbError::from_request)?;
            Ok(done.rows_affected())
        };
        guarded(address, *key, terms, keeper, work).await
    }

    /// Puts back what a script may have changed for its session: its role may not write the
    /// ledger, and the next script expects what it would find in a session of its own.
    ///
    /// What the client named when it connected is a default of the session only without a pooler:
    /// PgBouncer sets it like anybody, and without its name the worker could not be cancelled.
    pub(crate) async fn reset(&mut self) -> Result<(), WorkError> {
        let name = self.address.application_name(&self.key.short(), "worker");
        let reset = format!(
            "reset session authorization; reset role; reset all; \
             set application_name = {}; set client_encoding = 'UTF8'; \
             set datestyle = 'ISO, MDY'; set timezone = 'UTC'",
            literal(&name)
        );
        self.execute(&reset).await
    }

    pub(crate) async fn finish(&mut self, entry: &Entry) -> Result<(), WorkError> {
        self.reset().await?;
        // It has put back what this transaction had set, too, and the commit is still to come.
        self.execute(&self.settings()).await?;
        if entry.event == Event::Upgrade {
            let time = bound(sql::time_ledger(&self.facts.prefix()))
                .bind(entry.subject.clone())
                .bind(milliseconds(entry.took));
            self.bound(time).await?;
        }
        self.add_entry(entry).await
    }

    pub(crate) async fn add_entry(&mut self, entry: &Entry) -> Result<(), WorkError> {
        let insert = bound(sql::insert_history(&self.facts.prefix()))
            .bind(entry.event.name())
            .bind(entry.subject.clone())
            .bind(entry.heads.clone())
            .bind(milliseconds(entry.took))
            .bind(self.address.runner.host.clone())
            .bind(self.address.runner.id.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    pub(crate) async fn commit(&mut self) -> Result<(), WorkError> {
        match self.execute("commit").await {
            // The signal came too late. Whoever goes on notices it with the next statement.
            Err(WorkError::Stopped { outcome: Outcome::Done, .. }) => Ok(()),
            committed => committed,
        }
    }

    pub(crate) async fn rollback(&mut self) {
        // A connection that does not answer is gone, and its transaction with it.
        let _ = tokio::time::timeout(ROLLBACK, run(&mut self.worker, "rollback".to_owned())).await;
    }

    pub(crate) async fn settle(&mut self, revision: &str) -> Result<bool, WorkError> {
        let workers = self.address.sessions_of(&self.key.short(), "worker");
        let mut pause = crate::pause::Pause::new(
            Duration::from_millis(100),
            Duration::from_secs(2),
            self.terms.lock_timeout,
        );
        loop {
            let asked = async {
                let mut connection = self.address.connect(&self.key.short(), "settle").await?;
                let query = format!(
                    "select count(*), (select count(*) from {}{} where revision = {}) \
                     from pg_stat_activity a where {workers} and exists (\
                       select from pg_locks l where l.pid = a.pid \
                       and l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock')",
                    self.facts.prefix(),
                    sql::LEDGER,
                    literal(revision),
                );
                let found = rows(&mut connection, query).await?;
                goodbye(connection).await;
                let row = found.first().ok_or_else(|| DbError::Ledger("no answer".to_owned()))?;
                let (at_work, recorded): (i64, i64) = (cell(row, 0)?, cell(row, 1)?);
                if at_work > 0 {
                    return Ok(None);
                }
                // The old connection is of no use for what comes next.
                let worker = self.address.connect(&self.key.short(), "worker").await?;
                Ok::<_, DbError>(Some((recorded > 0, worker)))
            };
            // Two connections: too much to keep in each future around this one.
            let asked = Box::pin(tokio::time::timeout(SETTLE, asked));
            let stopped = |signal| WorkError::Stopped { signal, outcome: Outcome::Open };
            let error = match self.terms.signals.or(asked).await.map_err(stopped)? {
                Ok(Ok(Some((recorded, worker)))) => {
                    self.worker = worker;
                    return Ok(recorded);
                }
                Ok(Ok(None)) => DbError::Slow(pause.elapsed()),
                Ok(Err(error)) => error,
                Err(_) => DbError::Slow(SETTLE),
            };
            let Some(next) = pause.next() else { return Err(error.into()) };
            self.terms.sleep(next).await?;
        }
    }

    pub(crate) async fn record(&mut self, entry: &Entry) -> Result<(), WorkError> {
        self.begin(self.terms.lock_timeout).await?;
        self.add_entry(entry).await?;
        self.commit().await
    }

    pub(crate) async fn journal(&mut self, revision: &str) -> Result<Vec<Journalled>, WorkError> {
        let query = sql::journal(&self.facts.prefix()).replace("$1", &literal(revision));
        let found = self.rows(query).await?;
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
        self.begin(self.terms.lock_timeout).await?;
        let insert = bound(sql::journal_started(&self.facts.prefix()))
            .bind(revision.to_owned())
            .bind(line.statement)
            .bind(line.checksum.clone());
        let start = match self.bound(insert).await {
            // Behind another's row that goes with its commit, the ledger is read anew.
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

    /// One request that no signal breaks off: it is how an interrupted statement is written down.
    pub(crate) async fn ended(
        &mut self,
        revision: &str,
        statement: i32,
        done: bool,
    ) -> Result<(), WorkError> {
        let prefix = self.facts.prefix();
        let sql = if done {
            sql::journal_done(&prefix, "clock_timestamp()")
        } else {
            sql::journal_undone(&prefix)
        };
        let sql = sql.replace("$1", &literal(revision)).replace("$2", &statement.to_string());
        // Without a signal nobody is in a hurry, and a pooler may have others in front of us.
        let longest = if self.terms.signals.noticed().is_some() { HURRIED } else { NOTE };
        match tokio::time::timeout(longest, run(&mut self.worker, sql)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(DbError::Slow(longest).into()),
        }
    }

    pub(crate) async fn complete(
        &mut self,
        row: &LedgerRow,
        entry: &Entry,
    ) -> Result<(), WorkError> {
        self.reset().await?;
        self.begin(self.terms.lock_timeout).await?;
        self.fence(row, Some(entry.took)).await?;
        self.forget(&row.revision).await?;
        self.add_entry(entry).await?;
        self.commit().await
    }

    pub(crate) async fn index_state(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<IndexState, WorkError> {
        let query = format!(
            "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid \
             join pg_class t on t.oid = i.indrelid \
             where c.relname = {} and t.oid = to_regclass({})",
            literal(name),
            literal(&qualified(schema, table)),
        );
        Ok(match self.rows(query).await?.first() {
            None => IndexState::Absent,
            Some(row) if cell(row, 0)? => IndexState::Valid,
            Some(_) => IndexState::Invalid,
        })
    }

    pub(crate) async fn drop_index(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
    ) -> Result<(), WorkError> {
        // An index lives in the schema of its table, which the search path decides where the
        // script does not.
        let query = format!(
            "select n.nspname::text from pg_class t join pg_namespace n on n.oid = t.relnamespace \
             where t.oid = to_regclass({})",
            literal(&qualified(schema, table)),
        );
        let found = self.rows(query).await?;
        let Some(row) = found.first() else { return Ok(()) };
        let schema: String = cell(row, 0)?;
        self.execute(&format!("drop index concurrently {}", qualified(Some(&schema), name))).await
    }

    pub(crate) async fn unless_lost<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, WorkError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = self.keeper.lost() => Err(WorkError::LockLost(why)),
        }
    }

    pub(crate) async fn release(self) {
        tokio::join!(goodbye(self.worker), self.keeper.release());
    }
}

fn qualified(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(name),
    }
}

fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}
