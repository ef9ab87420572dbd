//! What becomes known late: a commit without an answer, and how a statement ended whose note broke.

use std::time::Duration;

use super::{Locked, cell, goodbye, limit::untimed, literal, rows, run};
use crate::db::{Class, DbError, Outcome, WorkError, sql};

/// How long it may take to write down how a statement ended; the second, after a signal.
const NOTE: Duration = Duration::from_secs(10);
const HURRIED: Duration = Duration::from_millis(500);

/// How long one try to settle a COMMIT may take.
const SETTLE: Duration = Duration::from_secs(5);

impl Locked {
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
    pub(super) async fn settled(&mut self, evidence: &str) -> Result<bool, WorkError> {
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
        let untimed = untimed(self.facts.version);
        let sql = format!("{untimed}{sql}; set application_name = {}", literal(&name));
        // Without a signal nobody is in a hurry, and a pooler may have others in front of us.
        let longest = if self.terms.signals.noticed().is_some() { HURRIED } else { NOTE };
        match tokio::time::timeout(longest, run(&mut self.worker, sql)).await {
            Ok(answer) => answer,
            Err(_) => Err(DbError::Slow(longest)),
        }
    }
}
