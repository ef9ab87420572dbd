//! The keeper: the connection that holds the lock, in a task that sees whether it still does.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{goodbye, run};
use crate::db::Terms;

/// How long the keeper's beat may stay without an answer.
const BEAT_ANSWER: Duration = Duration::from_secs(10);

/// How long the keeper may take to give the lock back.
const RELEASE: Duration = Duration::from_millis(200);

/// What the keeper can be asked to do.
#[derive(Debug)]
enum Request {
    /// Cancel what the worker runs.
    Cancel(oneshot::Sender<()>),
    /// See now whether the lock is held.
    Beat(oneshot::Sender<()>),
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
    pub(super) fn start(connection: PgConnection, terms: &Terms, workers: String) -> Self {
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

    /// Sees now whether the lock is held, and says why it is not.
    pub(super) async fn beats(&self) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        if self.requests.send(Request::Beat(done)).await.is_ok() && answer.await.is_ok() {
            return Ok(());
        }
        Err(self.lost().await)
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
                Some(Request::Beat(done)) => match alive(&mut connection).await {
                    Ok(()) => _ = done.send(()),
                    Err(why) => {
                        let _ = lost.send(Some(why));
                        return;
                    }
                },
                Some(Request::Release(done)) => {
                    let _ = run(&mut connection, "rollback".to_owned()).await;
                    goodbye(connection).await;
                    let _ = done.send(());
                    return;
                }
                None => return,
            },
            () = tokio::time::sleep(beat) => {
                if let Err(why) = alive(&mut connection).await {
                    let _ = lost.send(Some(why));
                    return;
                }
            }
        }
    }
}

/// The beat: a bare Sync, which takes no snapshot.
async fn alive(connection: &mut PgConnection) -> Result<(), String> {
    match tokio::time::timeout(BEAT_ANSWER, connection.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its connection does not answer".to_owned()),
    }
}

/// Cancels what these sessions run. By name or mark and not by pid: behind a pooler each statement
/// may run in another backend, and the name travels with it.
pub(super) fn cancel(sessions: &str) -> String {
    format!(
        "select pg_cancel_backend(a.pid) from pg_stat_activity a \
         where {sessions} and a.pid <> pg_backend_pid()",
    )
}
