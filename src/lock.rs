//! The queue for the lock: one runner per schema and ledger.
//!
//! Polled, never waited for inside the database. A runner that waits takes the same look at
//! each poll, and leaves as soon as that look says that nothing is left to do.

use std::{sync::Arc, time::Duration};

use tracing::info;

use crate::{
    config::Config,
    db::{Class, Database, DbError, Holder, Locked, Observed, Terms, WorkError},
    pause::{Pause, spoken},
    plan::{Next, Refusal},
    signals::{Signal, Signals},
    stage::Stage,
};

/// The first pause between polls, and the longest, to which jitter may add a half: whoever waits has
/// the lock, and the work, within two seconds after its holder has died.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// How long a poll may take; a server that has gone silent must not make us miss the deadline.
const POLL: Duration = Duration::from_secs(5);

/// How often the log says that the wait goes on.
const REMIND: Duration = Duration::from_secs(10);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another runner had it all the time.
    #[error(
        "the {name} was not had within {}{}; if the holder is alive, raise LOCK_TIMEOUT",
        spoken(*.limit),
        .holder.as_ref().map(|holder| format!(": held by {holder}")).unwrap_or_default()
    )]
    Timeout {
        /// What the lock is called.
        name: String,
        /// `LOCK_TIMEOUT`.
        limit: Duration,
        /// Who had it at the last poll.
        holder: Option<Holder>,
        /// Why the last poll failed, if it did.
        source: Option<DbError>,
    },
    /// This run has it already, for another chain.
    #[error(
        "the {name} is held by this run itself: another chain has its table in the same place; correct \
         the `database_url` of one, or name another `version_table`"
    )]
    Own {
        /// What the lock is called.
        name: String,
    },
    /// The revisions were not applied by another in time.
    #[error("no other runner migrated the database within {}: {refusal}", spoken(*.limit))]
    NotMigrated {
        /// `LOCK_TIMEOUT`.
        limit: Duration,
        /// What is still pending.
        refusal: Refusal,
        /// Why the last look failed, if it did.
        source: Option<DbError>,
    },
    /// While waiting, the look became a reason to stop.
    #[error(transparent)]
    Refused(Refusal),
    /// The database failed.
    #[error("cannot take the lock")]
    Database(#[source] WorkError),
    /// A signal came.
    #[error("stopped while waiting for the lock")]
    Stopped(Signal),
}

/// How the queue ended.
#[derive(Debug)]
pub enum Turn {
    /// The lock is ours, and there may be work.
    Ours(Box<Locked>),
    /// Meanwhile somebody else has done all of it.
    Unneeded,
}

/// The terms as they are configured.
#[must_use]
pub fn terms(config: &Config, signals: &Arc<Signals>) -> Terms {
    Terms {
        lock_timeout: config.lock_timeout,
        beat: config.lock_beat,
        signals: Arc::clone(signals),
    }
}

/// Queues until the lock is ours or `judge` finds nothing left to do.
pub async fn acquire(
    database: Database,
    terms: Terms,
    judge: impl Fn(&Observed) -> Next,
) -> Result<Turn, LockError> {
    let signals = terms.signals.clone();
    let mut pause = Pause::new(PAUSES.0, PAUSES.1, terms.lock_timeout);
    let mut queue = database.queue(terms).await;
    let mut reported: Option<(Option<Holder>, Duration)> = None;
    loop {
        let polled = bounded(&pause, async {
            let (observed, holder) = queue.poll().await?;
            let next = judge(&observed);
            let ours = next == Next::Work && holder.is_none() && queue.take().await?;
            Ok((next, holder, ours))
        });
        let (holder, source) = match signals.or(polled).await.map_err(LockError::Stopped)? {
            Ok((Next::Work, _, true)) => {
                info!(stage = %Stage::Lock, event = "locked", lock = queue.name(),
                      waited = spoken(pause.elapsed()), "has the lock");
                // It changes nothing, and may have to wait: for a pooler, for an orphan.
                let entered = signals.or(Box::pin(queue.enter())).await;
                let entered = entered.map_err(LockError::Stopped)?;
                let entered = entered.map_err(LockError::from)?;
                return Ok(Turn::Ours(Box::new(entered)));
            }
            Ok((Next::Work | Next::Await(_), Some(holder), _)) if queue.is_own(&holder) => {
                return Err(LockError::Own { name: queue.name() });
            }
            Ok((Next::Work | Next::Await(_), holder, _)) => (holder, None),
            Ok((Next::Start, ..)) => {
                queue.leave().await;
                info!(stage = %Stage::Lock, event = "unneeded", waited = spoken(pause.elapsed()),
                      "another runner has done the work");
                return Ok(Turn::Unneeded);
            }
            Ok((Next::Refuse(refusal), ..)) => return Err(LockError::Refused(refusal)),
            Err(error) if error.class() == Class::Transient => (None, Some(error)),
            Err(error) => return Err(LockError::Database(error.into())),
        };
        let Some(next) = pause.next() else {
            let (name, limit) = (queue.name(), pause.limit());
            return Err(LockError::Timeout { name, limit, holder, source });
        };
        let now = pause.elapsed();
        let news = reported.as_ref().is_none_or(|(last, at)| {
            last.as_ref().map(|h| &h.name) != holder.as_ref().map(|h| &h.name)
                || now.saturating_sub(*at) >= REMIND
        });
        if news {
            let held_by = holder.as_ref().map(ToString::to_string);
            let why = source.as_ref().map(ToString::to_string);
            info!(stage = %Stage::Lock, event = "waiting", lock = queue.name(), holder = held_by,
                  why, left = spoken(pause.left()), "waits for the lock");
            reported = Some((holder, now));
        }
        signals.or(tokio::time::sleep(next)).await.map_err(LockError::Stopped)?;
    }
}

/// Mode `wait`: looks again and again, without any lock, until another has done the work.
pub async fn await_other(
    database: &mut Database,
    terms: &Terms,
    first: Refusal,
    judge: impl Fn(&Observed) -> Next,
) -> Result<(), LockError> {
    let mut pause = Pause::new(PAUSES.0, PAUSES.1, terms.lock_timeout);
    let (mut refusal, mut unseen) = (first, None);
    info!(stage = %Stage::Lock, event = "awaiting", why = refusal.to_string(),
          left = spoken(pause.left()), "waits for another runner to migrate");
    loop {
        let Some(next) = pause.next() else {
            return Err(LockError::NotMigrated { limit: pause.limit(), refusal, source: unseen });
        };
        terms.signals.or(tokio::time::sleep(next)).await.map_err(LockError::Stopped)?;
        let looked = bounded(&pause, database.look());
        let looked = terms.signals.or(looked).await.map_err(LockError::Stopped)?;
        match looked.map(|observed| judge(&observed)) {
            Ok(Next::Start | Next::Work) => {
                info!(stage = %Stage::Lock, event = "migrated", waited = spoken(pause.elapsed()),
                      "another runner has migrated the database");
                return Ok(());
            }
            Ok(Next::Await(still)) => (refusal, unseen) = (still, None),
            Ok(Next::Refuse(refusal)) => return Err(LockError::Refused(refusal)),
            Err(error) if error.class() == Class::Transient => {
                if unseen.is_none() {
                    info!(stage = %Stage::Lock, event = "unseen", why = error.to_string(),
                          left = spoken(pause.left()), "cannot look; goes on trying");
                }
                unseen = Some(error);
            }
            Err(error) => return Err(LockError::Database(error.into())),
        }
    }
}

/// A request that must answer before the deadline, or at least a moment later.
async fn bounded<T>(
    pause: &Pause,
    request: impl Future<Output = Result<T, DbError>>,
) -> Result<T, DbError> {
    let longest = pause.left().clamp(Duration::from_secs(1), POLL);
    // On the heap: a look is large, and the queue holds it across its whole life.
    match tokio::time::timeout(longest, Box::pin(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(DbError::Slow(longest)),
    }
}

impl From<WorkError> for LockError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Stopped { signal, .. } => Self::Stopped(signal),
            other @ (WorkError::Db(_)
            | WorkError::LockLost { .. }
            | WorkError::Orphan { .. }
            | WorkError::ForeignKeys { .. }) => Self::Database(other),
        }
    }
}

impl LockError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Timeout { .. } => 13,
            Self::Own { .. } => 10,
            Self::NotMigrated { .. } => 17,
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Database(error) => error.exit_code_of_ours(),
            Self::Stopped(signal) => signal.exit_code(),
        }
    }
}
