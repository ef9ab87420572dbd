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
    Address, Facts, UNTIMED, cell, client_check, facts, goodbye, guard::guarded, keepalives,
    keeper::Keeper, literal, lock::Key, observe, quoted, rows, run, watch::Watch,
};
use crate::db::{
    Blocker, Class, DbError, Entry, IndexState, Journalled, LedgerRow, Observed, Outcome, Start,
    TOOL, Terms, WorkError, sql,
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
    watch: Watch,
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
        Self { address, facts, terms, key, keeper, worker, watch: Watch::default() }
    }

    pub(crate) async fn look(&mut self) -> Result<Observed, WorkError> {
        let Self { address, facts, key, terms, keeper, worker, .. } = self;
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
            let create = sql::create_on_postgres(&self.facts.prefix());
            self.execute(&format!("{UNTIMED}set local lock_timeout = 0; {create}")).await?;
            let Self { address, key, terms, keeper, worker, .. } = self;
            self.facts = guarded(address, *key, terms, keeper, facts(worker)).await?;
        }
        Ok(())
    }

    pub(crate) async fn begin(&mut self, ddl_lock_timeout: Duration) -> Result<(), WorkError> {
        let begin = format!(
            "begin isolation level read committed read write; {}; {}; discard temp",
            self.settings(ddl_lock_timeout),
            self.key.leave_mark(&self.address),
        );
        self.execute(&begin).await?;
        self.watch.begins(ddl_lock_timeout);
        Ok(())
    }

    /// What each transaction of ours sets for itself: no timeouts but our own. Between its
    /// statements there are moments only; where it is longer, we are gone.
    fn settings(&self, lock_timeout: Duration) -> String {
        format!(
            "{}{}{UNTIMED}set local lock_timeout = {}; set local idle_in_transaction_session_timeout = 60000{}",
            client_check(self.facts.version),
            keepalives(self.facts.version),
            // 0 would be no bound at all; the setting is a number of 31 bits.
            lock_timeout.as_millis().clamp(1, 0x7fff_ffff),
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
            .bind(row.tag.clone())
            .bind(row.title.clone())
            .bind(row.checksum.clone())
            .bind(row.up.clone())
            .bind(row.down.clone())
            .bind("upgrade")
            .bind(took.map(milliseconds))
            .bind(self.address.runner.host.clone())
            .bind(TOOL);
        self.bound(insert).await
    }

    pub(crate) async fn recorded(&mut self) -> Result<BTreeSet<String>, WorkError> {
        let found = self.rows(sql::recorded(&self.facts.prefix())).await?;
        Ok(found.iter().map(|row| cell(row, 0)).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), WorkError> {
        let Self { address, key, terms, keeper, worker, watch, .. } = self;
        let work = watch.beside(address, *key, run(worker, sql.to_owned()));
        match guarded(address, *key, terms, keeper, work).await {
            // In a transaction there is no limit but our own.
            Err(WorkError::Db(error)) if watch.lock_timeout().is_none() => {
                Err(self.explained(error).await.into())
            }
            done => done,
        }
    }

    /// An error with its reason, if that is a limit that role or database impose.
    async fn explained(&mut self, error: DbError) -> DbError {
        let Some(setting) = error.limit() else { return error };
        let query = format!(
            "select reset_val::bigint from pg_settings where name = {} and reset_val <> '0'",
            literal(setting)
        );
        let ask = async {
            if let Ok(found) = rows(&mut self.worker, query.clone()).await {
                return Ok(found);
            }
            // Some limits end the session, too.
            let mut connection = self.address.connect(&self.key.short(), "look").await?;
            let found = rows(&mut connection, query).await;
            goodbye(connection).await;
            found
        };
        let asked = Box::pin(tokio::time::timeout(HURRIED, ask)).await;
        let found = asked.ok().and_then(Result::ok).unwrap_or_default();
        match found.first().map(|row| cell::<i64>(row, 0)) {
            Some(Ok(limit)) => DbError::Imposed {
                setting,
                limit: Duration::from_millis(limit.unsigned_abs()),
                role: self.address.url.user.clone(),
                source: Box::new(error),
            },
            Some(Err(_)) | None => error,
        }
    }

    /// The rows of a query by the simple protocol.
    pub(super) async fn rows(&mut self, sql: String) -> Result<Vec<PgRow>, WorkError> {
        let Self { address, key, terms, keeper, worker, .. } = self;
        guarded(address, *key, terms, keeper, rows(worker, sql)).await
    }

    async fn bound(&mut self, query: Bound<'_>) -> Result<(), WorkError> {
        let Self { address, key, terms, keeper, worker, watch, .. } = self;
        let work = async { query.execute(worker).await.map(drop).map_err(DbError::from_request) };
        guarded(address, *key, terms, keeper, watch.beside(address, *key, work)).await
    }

    /// Puts back what a script may have changed for its session: its role may not write the
    /// ledger, and the next script expects what it would find in a session of its own.
    ///
    /// What the client named when it connected is a default of the session only without a pooler:
    /// PgBouncer sets it like anybody, and without its name the worker could not be cancelled.
    async fn reset(&mut self) -> Result<(), WorkError> {
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
        // It has put back what this transaction had set, too, and the commit is still to come,
        // with all that was deferred to it.
        let lock_timeout = self.watch.lock_timeout().unwrap_or(self.terms.lock_timeout);
        self.execute(&self.settings(lock_timeout)).await?;
        let prefix = self.facts.prefix();
        let time = bound(sql::time_ledger(&prefix))
            .bind(entry.subject.clone())
            .bind(milliseconds(entry.took));
        self.bound(time).await?;
        self.add_entry(entry).await
    }

    async fn add_entry(&mut self, entry: &Entry) -> Result<(), WorkError> {
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
        let committed = self.execute("commit").await;
        self.watch.ends();
        match committed {
            // The signal came too late, or the loss of the lock. Whoever goes on notices it with
            // the next statement.
            Err(
                WorkError::Stopped { outcome: Outcome::Done, .. }
                | WorkError::LockLost { outcome: Outcome::Done, .. },
            ) => Ok(()),
            committed => committed,
        }
    }

    pub(crate) fn blocker(&self) -> Option<&Blocker> {
        self.watch.seen()
    }

    pub(crate) async fn rollback(&mut self) {
        self.watch.ends();
        // A connection that does not answer is gone, and its transaction with it.
        let _ = tokio::time::timeout(ROLLBACK, run(&mut self.worker, "rollback".to_owned())).await;
    }

    pub(crate) async fn settle(&mut self, revision: &str) -> Result<bool, WorkError> {
        let evidence = format!(
            "exists (select from {}{} where revision = {})",
            self.facts.prefix(),
            sql::LEDGER,
            literal(revision),
        );
        self.settled(&evidence).await
    }

    /// Connects a new worker once the old one is gone, and gives whether what it was asked to
    /// commit is there, which is what `evidence` asks: an expression.
    async fn settled(&mut self, evidence: &str) -> Result<bool, WorkError> {
        let worker = self.key.worker(&self.address);
        let mut pause = crate::pause::Pause::new(
            Duration::from_millis(100),
            Duration::from_secs(2),
            self.terms.lock_timeout,
        );
        loop {
            let asked = async {
                let mut connection = self.address.connect(&self.key.short(), "settle").await?;
                let query = format!(
                    "select count(*), {evidence} \
                     from pg_stat_activity a where {worker} and exists (\
                       select from pg_locks l where l.pid = a.pid \
                       and l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock')",
                );
                let found = rows(&mut connection, query).await?;
                goodbye(connection).await;
                let row = found.first().ok_or_else(|| DbError::Ledger("no answer".to_owned()))?;
                let (at_work, recorded): (i64, bool) = (cell(row, 0)?, cell(row, 1)?);
                if at_work > 0 {
                    return Ok(None);
                }
                // The old connection is of no use for what comes next.
                let (key, version) = (self.key.short(), self.facts.version);
                let worker = self.address.connect_worker(&key, version).await?;
                Ok::<_, DbError>(Some((recorded, worker)))
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
                Ok(Err(error)) if error.class() == Class::Permanent => return Err(error.into()),
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
        // Of two that write the same line it tells ours.
        let when = "to_char(started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')";
        let prefix = self.facts.prefix();
        let insert = bound(format!("{} returning {when}", sql::journal_started(&prefix)))
            .bind(revision.to_owned())
            .bind(line.statement)
            .bind(line.checksum.clone());
        let Self { address, key, terms, keeper, worker, watch, .. } = self;
        let insert = async {
            let row = insert.fetch_one(worker).await.map_err(DbError::from_request)?;
            cell::<String>(&row, 0)
        };
        let insert = watch.beside(address, *key, insert);
        let start = match guarded(address, *key, terms, keeper, insert).await {
            // Behind another's row that goes with its commit, the ledger is read anew.
            Ok(at) if self.recorded().await? == *expected => {
                let unanswered = match self.commit().await {
                    Err(WorkError::Db(error)) if error.is_unanswered() => error,
                    committed => return committed.map(|()| Start::Ours),
                };
                let evidence = format!(
                    "exists (select from {prefix}{} where revision = {} and statement = {} \
                     and {when} = {})",
                    sql::JOURNAL,
                    literal(revision),
                    line.statement,
                    literal(&at),
                );
                // What is not written down has not begun, and may begin another time.
                return if self.settled(&evidence).await? {
                    Ok(Start::Ours)
                } else {
                    Err(unanswered.into())
                };
            }
            Ok(_) => Start::Overtaken,
            Err(error) if error.is_duplicate() => Start::Anothers,
            Err(error) => return Err(error),
        };
        self.rollback().await;
        Ok(start)
    }

    /// One request that no signal breaks off: it is how an interrupted statement is written down.
    ///
    /// It may be repeated, and is where the connection broke: what is known must not be forgotten.
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
        match self.note(&sql).await {
            Err(error) if error.is_unanswered() && self.terms.signals.noticed().is_none() => {
                self.settled("false").await?;
                Ok(self.note(&sql).await?)
            }
            noted => Ok(noted?),
        }
    }

    async fn note(&mut self, sql: &str) -> Result<(), DbError> {
        // The statement may have given the session another name, under which nobody finds it.
        let name = self.address.application_name(&self.key.short(), "worker");
        let sql = format!("{UNTIMED}{sql}; set application_name = {}", literal(&name));
        // Without a signal nobody is in a hurry, and a pooler may have others in front of us.
        let longest = if self.terms.signals.noticed().is_some() { HURRIED } else { NOTE };
        match tokio::time::timeout(longest, run(&mut self.worker, sql)).await {
            Ok(answer) => answer,
            Err(_) => Err(DbError::Slow(longest)),
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
        let forget = sql::journal_forget(&self.facts.prefix());
        self.bound(bound(forget).bind(row.revision.clone())).await?;
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
            why = self.keeper.lost() => Err(WorkError::lock_lost(why)),
        }
    }

    pub(crate) async fn release(self) {
        tokio::join!(goodbye(self.worker), self.watch.close(), self.keeper.release());
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
