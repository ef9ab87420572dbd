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
use sqlx::PgConnection;

use super::{
    Address, DbError, Facts, Locked, facts, goodbye, keepalives, keeper::Keeper, limit::untimed,
    literal, observe, run, shown,
};
use crate::{
    db::{Class, Holder, Observed, Terms, WorkError, postgres::cell, sql},
    pause::{Pause, spoken},
    stage::Stage,
};

/// How long one try to connect the worker may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How many beats may be missed before the server takes the lock away, and how long that is at least
/// and at most: numbers there have 31 bits.
const BEATS: u32 = 30;
const LEASE: Duration = Duration::from_secs(5);
const FOREVER: Duration = Duration::from_millis(0x7fff_ffff);

/// How long an orphan may take to end after it was cancelled, before it is terminated.
const CANCELLED: Duration = Duration::from_secs(1);

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
               {}, \
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
            shown("w.query"),
            self.0
        )
    }

    /// The two numbers of the advisory lock that marks a transaction as one of this run's worker:
    /// the first half of the key, and the run.
    fn mark(self, address: &Address) -> (u32, u32) {
        let digits = self.short();
        let number = |digits| u32::from_str_radix(digits, 16).unwrap_or_default();
        (number(&digits), number(&address.runner.id))
    }

    /// Marks the transaction that is open. A script may call its session what it likes, and would
    /// be nobody's; of this it can not get rid. It is shared, and so never waited for.
    pub(super) fn leave_mark(self, address: &Address) -> String {
        let (key, run) = self.mark(address);
        format!("select pg_advisory_xact_lock_shared({}, {})", key.cast_signed(), run.cast_signed())
    }

    /// A condition on `pg_locks l`: the mark of this run's worker.
    pub(super) fn marked(self, address: &Address) -> String {
        let (key, run) = self.mark(address);
        format!("{} and l.objid = {run}", marks(key))
    }

    /// A condition on `pg_stat_activity a`: the worker of this run, by its name or by its mark.
    pub(super) fn worker(self, address: &Address) -> String {
        format!(
            "(({}) or a.pid in (select l.pid from pg_locks l where {}))",
            address.sessions_of(&self.short(), "worker"),
            self.marked(address),
        )
    }

    /// The same for the workers of other runs that are inside of a transaction.
    ///
    /// That is seen by the lock that each transaction has on its own virtual id: everybody may read
    /// it, and a pooled connection that merely kept the name of a runner long gone has none. The
    /// key is the same in all databases of a server, and other ones are none of our business.
    fn orphan(self, address: &Address) -> String {
        let (key, run) = self.mark(address);
        format!(
            "a.datname = current_database() and not {} and (\
               a.pid in (select l.pid from pg_locks l where {} and l.objid <> {run}) \
               or a.application_name like {} \
                  and exists (select from pg_locks l \
                              where l.pid = a.pid and l.locktype = 'virtualxid' \
                                and l.mode = 'ExclusiveLock'))",
            self.worker(address),
            marks(key),
            literal(&format!("prelaunch:{}:worker:%", self.short())),
        )
    }

    /// One try, as one request.
    ///
    /// Statements of one simple query form a transaction; an error in them ends it at once, so
    /// that a try that fails is never seen idle in a transaction, not even for the moment
    /// that a ROLLBACK would take. `BEGIN` at the end turns the same transaction into one that
    /// stays open. The isolation level comes first: a role may have another default, and
    /// anything above READ COMMITTED would keep a snapshot.
    ///
    /// The keeper's beat starts its idle time anew. Behind a pooler nothing else tells the
    /// server that a client is gone without a goodbye.
    fn take(self, version: u32, beat: Duration) -> String {
        let lease = beat.saturating_mul(BEATS).clamp(LEASE, FOREVER).as_millis();
        format!(
            "set transaction isolation level read committed; \
             {}set local idle_in_transaction_session_timeout = {lease}; {}\
             select case when pg_try_advisory_xact_lock({}) then 1 else \
               cast('prelaunch: another runner was faster to the lock, '\
                    || pg_backend_pid() || ' goes on waiting' as integer) end; \
             begin",
            untimed(version),
            keepalives(version),
            self.0
        )
    }
}

/// A condition on `pg_locks l`: a mark of any run of a key. `objsubid` 2 is a lock on two numbers.
fn marks(key: u32) -> String {
    format!(
        "l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = {key} \
         and l.database = (select oid from pg_database where datname = current_database())"
    )
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
        let key = match &facts.versions {
            None => Key::of(&facts.schema, sql::LEDGER),
            Some(versions) => Key::of(&facts.schema, &versions.to_string()),
        };
        Self { address, facts, terms, key, connection: None }
    }

    /// See [`crate::db::Queue::is_own`].
    pub(crate) fn is_own(&self, holder: &Holder) -> bool {
        holder.name.contains(&format!(":keeper:{}:", self.address.runner.id))
    }

    /// See [`crate::db::Queue::name`].
    pub(crate) fn name(&self) -> String {
        let of = match &self.facts.versions {
            None => format!("schema `{}`", self.facts.schema),
            Some(versions) => format!("table `{versions}` in schema `{}`", self.facts.schema),
        };
        format!("advisory lock {} of {of}", self.key.0)
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
        if !self.facts.are_final() {
            // Whoever has the lock creates them.
            self.facts = facts(&mut connection, self.facts.versions.clone()).await?;
        }
        let holder = self.key.holder();
        let polled = observe(&mut connection, &mut self.facts, Some(&holder)).await?;
        self.connection = Some(connection);
        Ok(polled)
    }

    /// See [`crate::db::Queue::take`].
    pub(crate) async fn take(&mut self) -> Result<bool, DbError> {
        let mut connection = self.connected().await?;
        let taken =
            match run(&mut connection, self.key.take(self.facts.version, self.terms.beat)).await {
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
            return Err(WorkError::lock_lost("it was never taken".to_owned()));
        };
        let short = self.key.short();
        let workers = self.key.worker(&self.address);
        let keeper = Keeper::start(connection, &self.terms, workers);
        let (address, version) = (&self.address, self.facts.version);
        let worker = match connect_worker(address, &short, version, &self.terms, &keeper).await {
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
    version: u32,
    terms: &Terms,
    keeper: &Keeper,
) -> Result<PgConnection, WorkError> {
    let mut pause =
        Pause::new(Duration::from_millis(50), Duration::from_secs(1), terms.lock_timeout);
    loop {
        let connected = async {
            // On the heap: it may be three connections after each other.
            let connected = Box::pin(address.connect_worker(short, version));
            match tokio::time::timeout(CONNECT, connected).await {
                Ok(connected) => connected,
                Err(_) => Err(DbError::Slow(CONNECT)),
            }
        };
        let error = tokio::select! {
            biased;
            signal = terms.signals.raised() => return Err(WorkError::stopped(signal)),
            why = keeper.lost() => return Err(WorkError::lock_lost(why)),
            connected = connected => match connected {
                Ok(worker) => return Ok(worker),
                Err(error @ DbError::Pooler(_)) => return Err(error.into()),
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

impl Locked {
    /// Ends what workers of other runs of the same key still do, and waits until they have.
    ///
    /// A statement is cancelled. A session that idles in its transaction, or does not end
    /// although it was cancelled, is terminated.
    async fn clear_orphans(&mut self) -> Result<(), WorkError> {
        let orphans = self.key.orphan(&self.address);
        let query = format!(
            "select a.pid::bigint, a.application_name from pg_stat_activity a where {orphans}"
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
            let end = format!(
                "select case when {} or a.state like 'idle in transaction%' \
                        then pg_terminate_backend(a.pid) else pg_cancel_backend(a.pid) end \
                 from pg_stat_activity a where {orphans}",
                pause.elapsed() > CANCELLED,
            );
            // Without the right to do so there is still the waiting.
            let _ = self.rows(end).await;
            let Some(next) = pause.next() else {
                return Err(WorkError::Orphan { name, pid });
            };
            self.terms.sleep(next).await?;
        }
    }
}
