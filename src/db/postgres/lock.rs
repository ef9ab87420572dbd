//! The lock on PostgreSQL: a queue that polls, and a keeper that holds.
//!
//! The keeper is a connection with `pg_try_advisory_xact_lock` in an idle READ COMMITTED
//! transaction. That excludes through a transaction-pooling PgBouncer, and ends with the session.
//!
//! `CREATE INDEX CONCURRENTLY` waits for the *transaction* of every session that it catches with
//! a snapshot. So nobody waits inside a transaction: a poll is one autocommitted query,
//! a try that fails ends its transaction in the same request, and once the keeper has the lock it
//! runs nothing that takes a snapshot: its beat is a bare Sync.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{Address, DbError, Facts, KEEPALIVES, Locked, facts, goodbye, literal, observe, run};
use crate::{
    db::{Class, Holder, Observed, Terms, WorkError, postgres::cell, sql},
    pause::{Pause, spoken},
    stage::Stage,
};

/// How long the keeper's beat may stay without an answer.
const BEAT_ANSWER: Duration = Duration::from_secs(10);

/// How long one try to connect the worker may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the keeper may take to give the lock back.
const RELEASE: Duration = Duration::from_millis(200);

/// The key of the advisory lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(i64);

impl Key {
    /// From the schema and the table that says what is applied: the first eight bytes of a
    /// SHA-256, so that two applications in one database meet only by a chance of 2⁻⁶⁴.
    fn of(schema: &str, table: &str) -> Self {
        let digest = Sha256::digest(format!("prelaunch\0{schema}\0{table}"));
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(i64::from_be_bytes(first))
    }

    /// The first eight hexadecimal digits, as they stand in application names.
    pub(super) fn short(self) -> String {
        format!("{:016x}", self.0)[..8].to_owned()
    }

    /// The `select` that names the holder, in the columns of the look.
    ///
    /// `pg_locks` shows a key of 64 bits as two halves, and `objsubid` 1. The statement that
    /// is shown is what the worker of the same run executes of its script, up to the first
    /// constant: that may be a secret.
    fn holder(self) -> String {
        format!(
            "select 'holder', k.application_name, \
               left(regexp_replace(regexp_replace(w.query, '[[:space:]]+', ' ', 'g'), \
                                   '[''$].*', '…'), 200), \
               to_char(k.xact_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
               k.pid::bigint \
             from pg_locks l join pg_stat_activity k on k.pid = l.pid \
             left join lateral (\
               select a.query from pg_stat_activity a \
               where a.state <> 'idle' and position('prelaunch_' in a.query) = 0 \
                 and a.datname = k.datname and a.application_name like 'prelaunch:%' \
                 and split_part(a.application_name, ':', 3) = 'worker' \
                 and split_part(a.application_name, ':', 4) = \
                     split_part(k.application_name, ':', 4) limit 1\
             ) w on true \
             where l.locktype = 'advisory' and l.granted and l.objsubid = 1 \
               and l.database = (select oid from pg_database where datname = current_database()) \
               and ((l.classid::bigint << 32) | l.objid::bigint) = {}",
            self.0
        )
    }

    /// One try, as one request.
    ///
    /// Statements of one simple query form a transaction; an error in them ends it at once, so
    /// that a try that fails is never seen idle in a transaction, not even for the moment
    /// that a ROLLBACK would take. `BEGIN` at the end turns the same transaction into one that
    /// stays open. The isolation level comes first: a role may have another default, and
    /// anything above READ COMMITTED would keep a snapshot.
    fn take(self, version: u32) -> String {
        let transaction_timeout =
            if version >= 170_000 { "set local transaction_timeout = 0; " } else { "" };
        format!(
            "set transaction isolation level read committed; \
             set local idle_in_transaction_session_timeout = 0; {transaction_timeout}\
             {KEEPALIVES}\
             select case when pg_try_advisory_xact_lock({}) then 1 else \
               cast('prelaunch: another runner was faster to the lock, '\
                    || pg_backend_pid() || ' goes on waiting' as integer) end; \
             begin",
            self.0
        )
    }
}

/// What `cast` says of the sentence above when the lock is not to be had.
const NOT_AN_INTEGER: &str = "22P02";

/// A place in the queue.
#[derive(Debug)]
pub struct Queue {
    address: Address,
    facts: Facts,
    terms: Terms,
    key: Key,
    connection: Option<PgConnection>,
}

impl Queue {
    pub(super) fn new(address: Address, facts: Facts, terms: Terms) -> Self {
        let key = Key::of(&facts.schema, sql::LEDGER);
        Self { address, facts, terms, key, connection: None }
    }

    /// See [`crate::db::Queue::name`].
    pub(crate) fn name(&self) -> String {
        format!("advisory lock {} of schema `{}`", self.key.0, self.facts.schema)
    }

    async fn connected(&mut self) -> Result<PgConnection, DbError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.address.connect(&self.key.short(), "keeper").await,
        }
    }

    /// See [`crate::db::Queue::poll`].
    pub(crate) async fn poll(&mut self) -> Result<(Observed, Option<Holder>), DbError> {
        let mut connection = self.connected().await?;
        if !self.facts.tables.complete() {
            // Whoever has the lock creates them.
            self.facts = facts(&mut connection).await?;
        }
        let holder = self.key.holder();
        let polled = observe(&mut connection, &mut self.facts, Some(&holder)).await?;
        self.connection = Some(connection);
        Ok(polled)
    }

    /// See [`crate::db::Queue::take`].
    pub(crate) async fn take(&mut self) -> Result<bool, DbError> {
        let mut connection = self.connected().await?;
        let taken = match run(&mut connection, self.key.take(self.facts.version)).await {
            Ok(()) => true,
            Err(DbError::Server { sqlstate, .. }) if sqlstate == NOT_AN_INTEGER => false,
            Err(error) => return Err(error),
        };
        self.connection = Some(connection);
        Ok(taken)
    }

    /// See [`crate::db::Queue::leave`].
    pub(crate) async fn leave(self) {
        if let Some(connection) = self.connection {
            goodbye(connection).await;
        }
    }

    /// See [`crate::db::Queue::enter`].
    pub(crate) async fn enter(self) -> Result<Locked, WorkError> {
        let Some(connection) = self.connection else {
            return Err(WorkError::LockLost("it was never taken".to_owned()));
        };
        let short = self.key.short();
        let workers = self.address.sessions_of(&short, "worker");
        let keeper = Keeper::start(connection, &self.terms, workers);
        let worker = match connect_worker(&self.address, &short, &self.terms, &keeper).await {
            Ok(worker) => worker,
            Err(error) => {
                keeper.release().await;
                return Err(error);
            }
        };
        let mut locked =
            Locked::new(self.address, self.facts, self.terms, self.key, keeper, worker);
        match locked.clear_orphans().await {
            Ok(()) => Ok(locked),
            Err(error) => {
                locked.release().await;
                Err(error)
            }
        }
    }
}

/// Connects the worker, which may take as long as the lock may: the queue behind us has sessions
/// too, and the server perhaps no more.
async fn connect_worker(
    address: &Address,
    short: &str,
    terms: &Terms,
    keeper: &Keeper,
) -> Result<PgConnection, WorkError> {
    let mut pause =
        Pause::new(Duration::from_millis(50), Duration::from_secs(1), terms.lock_timeout);
    loop {
        let connected = async {
            match tokio::time::timeout(CONNECT, address.connect(short, "worker")).await {
                Ok(connected) => connected,
                Err(_) => Err(DbError::Slow(CONNECT)),
            }
        };
        let error = tokio::select! {
            biased;
            signal = terms.signals.raised() => return Err(WorkError::stopped(signal)),
            why = keeper.lost() => return Err(WorkError::LockLost(why)),
            connected = connected => match connected {
                Ok(worker) => return Ok(worker),
                Err(error) if error.is_pooler_full() => DbError::Pooler(Box::new(error)),
                Err(error) => error,
            },
        };
        if error.class() != Class::Transient {
            return Err(error.into());
        }
        let Some(next) = pause.next() else { return Err(error.into()) };
        if pause.tries() == 1 {
            tracing::info!(
                stage = %Stage::Lock, event = "no_worker", why = error.to_string(),
                left = spoken(pause.left()), "has the lock, and no connection to work on yet"
            );
        }
        terms.sleep(next).await?;
    }
}

/// What the keeper can be asked to do.
#[derive(Debug)]
enum Request {
    /// Cancel what the worker runs.
    Cancel(oneshot::Sender<()>),
    /// Give the lock back.
    Release(oneshot::Sender<()>),
}

/// The connection that holds the lock, in a task that beats.
#[derive(Debug)]
pub(super) struct Keeper {
    requests: mpsc::Sender<Request>,
    lost: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl Keeper {
    fn start(connection: PgConnection, terms: &Terms, workers: String) -> Self {
        let (requests, inbox) = mpsc::channel(1);
        let (lost, lost_at) = watch::channel(None);
        let task = tokio::spawn(keep(
            connection,
            terms.beat.max(Duration::from_millis(1)),
            workers,
            inbox,
            lost,
        ));
        Self { requests, lost: lost_at, task }
    }

    /// Waits until the lock is lost, and says why. Never returns while it is held.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "its connection has ended".to_owned(),
        }
    }

    /// Has the server cancel what the worker runs; true if the request got through.
    pub(super) async fn cancel(&self) -> bool {
        let (done, answer) = oneshot::channel();
        self.requests.send(Request::Cancel(done)).await.is_ok() && answer.await.is_ok()
    }

    /// Ends the transaction, and with it the lock.
    pub(super) async fn release(self) {
        let (done, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(Request::Release(done)).await.is_ok() && answer.await.is_ok()
        };
        // A keeper that does not answer is dropped, and the server sees its socket close.
        let _ = tokio::time::timeout(RELEASE, asked).await;
        self.task.abort();
    }
}

/// The keeper's life.
async fn keep(
    mut connection: PgConnection,
    beat: Duration,
    workers: String,
    mut inbox: mpsc::Receiver<Request>,
    lost: watch::Sender<Option<String>>,
) {
    loop {
        tokio::select! {
            request = inbox.recv() => match request {
                Some(Request::Cancel(done)) => {
                    // Now the snapshot does not matter any more: what could wait for it is
                    // what is being cancelled.
                    if run(&mut connection, cancel(&workers)).await.is_ok() {
                        // Whoever asked may have stopped listening.
                        let _ = done.send(());
                    }
                }
                Some(Request::Release(done)) => {
                    let _ = run(&mut connection, "rollback".to_owned()).await;
                    goodbye(connection).await;
                    let _ = done.send(());
                    return;
                }
                None => return,
            },
            () = tokio::time::sleep(beat) => {
                let why = match tokio::time::timeout(BEAT_ANSWER, connection.ping()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "its connection does not answer".to_owned(),
                };
                let _ = lost.send(Some(why));
                return;
            }
        }
    }
}

/// Cancels what these sessions run. By name and not by pid: behind a pooler each statement may
/// run in another backend, and the name travels with it.
pub(super) fn cancel(sessions: &str) -> String {
    format!(
        "select pg_cancel_backend(a.pid) from pg_stat_activity a \
         where {sessions} and a.pid <> pg_backend_pid()",
    )
}

impl Locked {
    /// Cancels what workers of other runs of the same key still execute, and waits for their end.
    ///
    /// Only sessions inside a transaction count, seen by the lock that each transaction has on
    /// its own virtual id: everybody may read that, and a pooled connection that
    /// merely kept the name of a runner long gone has none. The key is the same in all databases
    /// of a server, and other ones are none of our business.
    async fn clear_orphans(&mut self) -> Result<(), WorkError> {
        let ours = self.address.sessions_of(&self.key.short(), "worker");
        let query = format!(
            "select a.pid::bigint, a.application_name from pg_stat_activity a \
             where a.datname = current_database() \
               and a.application_name like {} and not ({ours}) \
               and exists (select from pg_locks l \
                           where l.pid = a.pid and l.locktype = 'virtualxid' \
                             and l.mode = 'ExclusiveLock')",
            literal(&format!("prelaunch:{}:worker:%", self.key.short())),
        );
        let mut pause =
            Pause::new(Duration::from_millis(20), Duration::from_secs(1), self.terms.lock_timeout);
        loop {
            let found = match self.rows(query.clone()).await {
                Err(WorkError::Db(error)) if error.is_pooler_full() => {
                    return Err(DbError::Pooler(Box::new(error)).into());
                }
                found => found?,
            };
            let Some(first) = found.first() else { return Ok(()) };
            let (pid, name): (i64, String) = (cell(first, 0)?, cell(first, 1)?);
            if pause.tries() == 0 {
                tracing::warn!(
                    stage = %Stage::Lock,
                    event = "orphan",
                    pid,
                    name = name.as_str(),
                    "a runner that is gone left a session at work; cancelling it"
                );
            }
            // Without the right to cancel there is still the waiting.
            let _ = self.rows(format!("select pg_cancel_backend({pid})")).await;
            let Some(next) = pause.next() else {
                return Err(WorkError::Orphan { name, pid });
            };
            self.terms.sleep(next).await?;
        }
    }
}
