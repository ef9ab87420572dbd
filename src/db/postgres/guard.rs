//! Work that is not left alone: while the server executes something for the worker, a signal or
//! a lost lock has it cancelled, and only then does the wait for it end.

use std::{future::Future, time::Duration};

use super::{
    Address, goodbye,
    keeper::{self, Keeper},
    lock::Key,
    run,
};
use crate::{
    db::{DbError, Outcome, Terms, WorkError},
    signals::Signal,
};

/// How long a statement may take to end after it was cancelled, before the connection is dropped.
///
/// With the rollback and the release that follow it stays below two seconds, be the server dead.
const CANCELLED: Duration = Duration::from_secs(1);

/// How long until a statement that goes on is cancelled once more.
const AGAIN: Duration = Duration::from_millis(100);

/// How long to try to reach the server for a cancellation.
const REACH: Duration = Duration::from_millis(500);

/// Waits for `work`, and has the server cancel it if a signal comes or the lock is lost.
pub(super) async fn guarded<T>(
    address: &Address,
    key: Key,
    terms: &Terms,
    keeper: &Keeper,
    work: impl Future<Output = Result<T, DbError>>,
) -> Result<T, WorkError> {
    // What has not begun need not be cancelled.
    if let Some(signal) = terms.signals.noticed() {
        return Err(WorkError::Stopped { signal, outcome: Outcome::Undone });
    }
    tokio::pin!(work);
    let reason = tokio::select! {
        biased;
        done = &mut work => return ended(keeper, done).await,
        signal = terms.signals.raised() => Reason::Signal(signal),
        why = keeper.lost() => Reason::LockLost(why),
    };
    let ended = tokio::time::timeout(CANCELLED, async {
        loop {
            // Waited for by itself: it must not be on its way any more when the next
            // statement begins.
            cancel(address, key, keeper).await;
            // It is lost on a statement that had not begun yet on the server.
            if let Ok(ended) = tokio::time::timeout(AGAIN, &mut work).await {
                return ended;
            }
        }
    })
    .await;
    let outcome = match ended {
        Ok(Ok(_)) => Outcome::Done,
        Ok(Err(error)) if !error.is_unanswered() => Outcome::Undone,
        Ok(Err(_)) | Err(_) => Outcome::Open,
    };
    Err(match reason {
        Reason::Signal(signal) => WorkError::Stopped { signal, outcome },
        Reason::LockLost(why) => WorkError::LockLost { why, outcome },
    })
}

/// A statement that has ended by itself. If somebody else ended it, it may have been our successor.
async fn ended<T>(keeper: &Keeper, done: Result<T, DbError>) -> Result<T, WorkError> {
    let error = match done {
        Err(error) if error.was_ended() => error,
        done => return done.map_err(WorkError::Db),
    };
    let outcome = if error.is_unanswered() { Outcome::Open } else { Outcome::Undone };
    match tokio::time::timeout(REACH, keeper.beats()).await {
        Ok(Err(why)) => Err(WorkError::LockLost { why, outcome }),
        Ok(Ok(())) | Err(_) => Err(error.into()),
    }
}

/// Has the server cancel what the worker runs, if it can be reached.
async fn cancel(address: &Address, key: Key, keeper: &Keeper) {
    if tokio::time::timeout(REACH, keeper.cancel()).await.unwrap_or(false) {
        return;
    }
    // Without a keeper a new connection does it, if there is one to be had.
    let workers = key.worker(address);
    let anew = async {
        if let Ok(mut connection) = address.connect(&key.short(), "cancel").await {
            let _ = run(&mut connection, keeper::cancel(&workers)).await;
            goodbye(connection).await;
        }
    };
    let _ = tokio::time::timeout(REACH, anew).await;
}

/// Why a statement is cancelled.
enum Reason {
    Signal(Signal),
    LockLost(String),
}
