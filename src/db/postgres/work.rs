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
    Address, Facts, cell, client_check, facts, goodbye, guard::guarded, keepalives, keeper::Keeper,
    limit::untimed, literal, lock::Key, observe, quoted, rows, run, watch::Watch,
};
use crate::db::{
    Blocker, DbError, Entry, Event, IndexState, Journalled, LedgerRow, Observed, Outcome, Start,
    TOOL, Terms, WorkError, sql,
};

/// How long a rollback may take before it is left to the server.
const ROLLBACK: Duration = Duration::from_millis(200);

/// The lock and the worker.
#[derive(Debug)]
pub struct Locked {
    pub(super) address: Address,
    pub(super) facts: Facts,
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
            if !facts.are_final() {
                *facts = super::facts(worker, facts.versions.clone()).await?;
            }
            Ok(observe(worker, facts, None).await?.0)
        };
        guarded(address, *key, terms, keeper, look).await
    }

    pub(crate) async fn create_tables(&mut self) -> Result<(), WorkError> {
        // `if not exists` asks for the right to create even where it creates nothing.
        if !self.facts.tables.complete() {
            let create = sql::create_on_postgres(&self.facts.prefix());
            let untimed = untimed(self.facts.version);
            let begin = "begin isolation level read committed read write";
            let request = format!("{begin}; {untimed}set local lock_timeout = 0; {create}; commit");
            if let Err(error) = self.execute(&request).await {
                self.rollback().await;
                return Err(error);
            }
            let Self { address, key, terms, keeper, worker, .. } = self;
            let asked = facts(worker, self.facts.versions.clone());
            self.facts = guarded(address, *key, terms, keeper, asked).await?;
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
            "{}{}{}set local lock_timeout = {}; \
             set local idle_in_transaction_session_timeout = 60000",
            client_check(self.facts.version),
            keepalives(self.facts.version),
            untimed(self.facts.version),
            // 0 would be no bound at all; the setting is a number of 31 bits.
            lock_timeout.as_millis().clamp(1, 0x7fff_ffff),
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

    /// Puts another script in the place of the one with that checksum; false if there is none.
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

    /// Forgets the statements of a revision.
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

    /// The version table, quoted, and its primary key.
    pub(crate) fn versions(&self) -> Option<(String, String)> {
        let versions = self.facts.versions.as_ref()?;
        Some((super::table(versions), quoted(&versions.primary_key())))
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
        let found = self.rows(sql).await?;
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
        let Self { address, key, terms, keeper, worker, watch, .. } = self;
        let work = async {
            let done = query.execute(worker).await.map_err(DbError::from_request)?;
            Ok(done.rows_affected())
        };
        guarded(address, *key, terms, keeper, watch.beside(address, *key, work)).await
    }

    /// Puts back what a script may have changed for its session: its role may not write the
    /// ledger, and the next script expects what it would find in a session of its own.
    ///
    /// What the client named when it connected is a default of the session only without a pooler:
    /// PgBouncer sets it like anybody, and without its name the worker could not be cancelled.
    fn reset_text(&self) -> String {
        let name = self.address.application_name(&self.key.short(), "worker");
        format!(
            "reset session authorization; reset role; reset all; \
             set application_name = {}; set client_encoding = 'UTF8'; \
             set datestyle = 'ISO, MDY'; set timezone = 'UTC'",
            literal(&name)
        )
    }

    pub(crate) async fn reset(&mut self) -> Result<(), WorkError> {
        self.execute(&self.reset_text()).await
    }

    pub(crate) async fn finish(&mut self, entry: &Entry) -> Result<(), WorkError> {
        // That puts back what this transaction had set, too, and the commit is still to come, with
        // all that was deferred to it. As one request: the role's limits count from the first.
        let lock_timeout = self.watch.lock_timeout().unwrap_or(self.terms.lock_timeout);
        self.execute(&format!("{}; {}", self.reset_text(), self.settings(lock_timeout))).await?;
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
