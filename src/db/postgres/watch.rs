//! Who blocks the worker: asked from beside it, because it cannot ask itself while it waits, and
//! by the time it has given way nobody knows any more.
//!
//! A session of its own does it, made when the first statement takes long, and kept for the tries
//! that follow. It is not the keeper's work, who may run nothing that takes a snapshot. And it is
//! never needed: where no third session is to be had, the work goes on without.

use std::{convert::Infallible, future::Future, time::Duration};

use sqlx::{PgConnection, postgres::PgRow};
use tokio::time::{sleep, timeout};

use super::{Address, cell, goodbye, lock::Key, rows, shown};
use crate::db::{Blocker, DbError};

/// How often is asked at most, and at least; in between it depends on how soon the worker gives way.
/// The longer one is below the second after which a server looks for deadlocks.
const EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long a connection, or an answer, may take.
const ANSWER: Duration = Duration::from_secs(1);

/// The session that looks, and what it saw.
#[derive(Debug, Default)]
pub(super) struct Watch {
    connection: Option<PgConnection>,
    /// Whether one is not to be had. Once is enough: the server may write each refusal down.
    refused: bool,
    /// How long statements wait for locks; only set inside of a transaction.
    lock_timeout: Option<Duration>,
    seen: Option<Blocker>,
}

impl Watch {
    /// A transaction begins whose statements wait for locks so long.
    pub(super) fn begins(&mut self, lock_timeout: Duration) {
        self.lock_timeout = Some(lock_timeout);
        self.seen = None;
    }

    /// The transaction is over; what was seen is kept.
    pub(super) fn ends(&mut self) {
        self.lock_timeout = None;
    }

    /// How long the statements of the transaction wait for locks, if one has begun.
    pub(super) fn lock_timeout(&self) -> Option<Duration> {
        self.lock_timeout
    }

    /// Who was in the way last.
    pub(super) fn seen(&self) -> Option<&Blocker> {
        self.seen.as_ref()
    }

    /// Does `work`, and looks meanwhile.
    pub(super) async fn beside<T>(
        &mut self,
        address: &Address,
        key: Key,
        work: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let Some(lock_timeout) = self.lock_timeout else { return work.await };
        let every = (lock_timeout / 4).clamp(EVERY.0, EVERY.1);
        // On the heap: a connection is large, and this is around every statement.
        let looks = Box::pin(self.look(address, key, every));
        let done = tokio::select! {
            biased;
            done = work => done,
            never = looks => match never {},
        };
        if self.seen.is_none() && done.as_ref().is_err_and(DbError::gave_way) {
            // There was no time to connect. The next try is seen from its beginning.
            let connection = Box::pin(self.connected(address, key)).await;
            self.connection = connection;
        }
        done
    }

    /// The session, if there is one to be had. It is taken, so that one whose answer nobody waits
    /// for any more is not used again.
    async fn connected(&mut self, address: &Address, key: Key) -> Option<PgConnection> {
        if self.refused || self.connection.is_some() {
            return self.connection.take();
        }
        let connected = timeout(ANSWER, address.connect(&key.short(), "watch")).await;
        self.refused = !matches!(connected, Ok(Ok(_)));
        connected.ok()?.ok()
    }

    async fn look(&mut self, address: &Address, key: Key, every: Duration) -> Infallible {
        let query = blockers(&key.marked(address));
        loop {
            sleep(every).await;
            let Some(mut connection) = self.connected(address, key).await else { break };
            let Ok(Ok(found)) = timeout(ANSWER, rows(&mut connection, query.clone())).await else {
                self.refused = true;
                break;
            };
            self.connection = Some(connection);
            if let Some(Ok(blocker)) = found.first().map(read) {
                self.seen = Some(blocker);
            }
        }
        std::future::pending().await
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            goodbye(connection).await;
        }
    }
}

/// The query for whoever blocks the session in this condition on `pg_locks l`, of several the one
/// whose transaction is the oldest.
fn blockers(marked: &str) -> String {
    format!(
        "select b.pid::bigint, coalesce(nullif(a.application_name, ''), \
           nullif(a.backend_type, 'client backend'), ''), a.usename::text, \
           to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), a.state, \
           case when a.state is not null then {} end, count(*) over () - 1 \
         from pg_locks l \
         cross join unnest(array(select distinct unnest(pg_blocking_pids(l.pid)))) as b (pid) \
         left join pg_stat_activity a on a.pid = b.pid \
         where {marked} order by a.xact_start nulls last, b.pid limit 1",
        shown("a.query"),
    )
}

fn read(row: &PgRow) -> Result<Blocker, DbError> {
    Ok(Blocker {
        pid: cell(row, 0)?,
        name: cell(row, 1)?,
        role: cell(row, 2)?,
        since: cell(row, 3)?,
        state: cell(row, 4)?,
        statement: cell(row, 5)?,
        others: cell(row, 6)?,
    })
}
