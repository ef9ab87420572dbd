//! Applying: one revision after the other, each with its ledger row in one transaction.
//!
//! The first statement of each transaction inserts the ledger row. A second runner of the same
//! revision blocks there and then fails, so that even two runners without a lock cannot
//! apply it twice. Only then is the ledger compared with what the plan expects, and the
//! script run.
//!
//! A script with `transaction: false` runs otherwise: see `part_way`.

mod error;
mod part_way;

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    db::{DbError, Entry, Event, LedgerRow, Locked, Outcome, WorkError},
    engine::Engine,
    files::Chain,
    graph::revision::{Place, RevisionId},
    look::{heads_after, joined},
    pause::{Pause, spoken},
    plan::Plan,
    script::{Direction, Script, Statement},
    stage::Stage,
};

pub use self::error::{ApplyError, Spot};

/// The pauses between tries of a revision that gave way to a lock.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long to be patient.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `DDL_LOCK_TIMEOUT`, for scripts that do not say.
    pub ddl_lock_timeout: Duration,
    /// `LOCK_TIMEOUT`.
    pub lock_timeout: Duration,
}

/// Applies the steps of a plan; `statements` are theirs, in the same order.
pub async fn apply(
    locked: &mut Locked,
    chain: &Chain,
    plan: &Plan,
    statements: &[Vec<Statement>],
    mut heads: BTreeSet<String>,
    patience: Patience,
) -> Result<(), ApplyError> {
    locked.create_tables().await.map_err(ApplyError::Tables)?;
    let mut recorded = plan.recorded.clone();
    let total = plan.steps.len();
    for (number, (id, statements)) in plan.steps.iter().zip(statements).enumerate() {
        // The steps of a plan are revisions of the chain that it was made from.
        let Some(script) = chain.scripts.get(id) else { continue };
        heads = heads_after(chain, &heads, id);
        let step = Step { script, statements, heads: joined(&heads), recorded: &recorded };
        info!(
            stage = %Stage::Apply, event = "applying", revision = %id, title = script.revision.title,
            number = number + 1, total, "applies a revision"
        );
        let started = Instant::now();
        if script.settings.transactional {
            step.in_transaction(locked, chain, patience).await?;
        } else {
            step.by_statement(locked, chain).await?;
        }
        info!(
            stage = %Stage::Apply, event = "applied", revision = %id, number = number + 1, total,
            took = spoken(started.elapsed()), "has applied it"
        );
        recorded.insert(id.to_string());
    }
    Ok(())
}

/// One revision to be applied.
struct Step<'s> {
    script: &'s Script,
    statements: &'s [Statement],
    /// The heads once it is applied.
    heads: String,
    /// What the ledger must hold before it.
    recorded: &'s BTreeSet<String>,
}

/// How a try of a transactional revision failed.
enum Failed {
    /// In a statement of the script, or before the first.
    At(Spot, WorkError),
    /// In what is around the script.
    Around(WorkError),
    /// It was the ledger that said no.
    Overtaken,
    /// Nobody can tell whether it failed.
    Open(WorkError),
}

impl From<WorkError> for Failed {
    fn from(error: WorkError) -> Self {
        Self::Around(error)
    }
}

impl Step<'_> {
    fn id(&self) -> &RevisionId {
        &self.script.revision.id
    }

    fn row(&self, chain: &Chain) -> LedgerRow {
        let revision = &self.script.revision;
        let parents: Vec<&str> = revision.parents.iter().map(RevisionId::as_str).collect();
        LedgerRow {
            revision: revision.id.to_string(),
            parents: parents.join(","),
            tag: revision.tag.clone(),
            title: revision.title.clone(),
            checksum: self.script.checksum(chain.engine).to_string(),
            up: self.script.text(chain.engine, Direction::Up),
            down: self
                .script
                .serves(chain.engine, Direction::Down)
                .then(|| self.script.text(chain.engine, Direction::Down)),
        }
    }

    fn entry(&self, took: Duration) -> Entry {
        Entry {
            event: Event::Upgrade,
            subject: self.id().to_string(),
            heads: self.heads.clone(),
            took,
        }
    }

    fn spot(&self, statement: &Statement, error: Option<&WorkError>) -> Spot {
        let (line, column) = match error {
            Some(WorkError::Db(
                DbError::Server { position: Some(position), .. }
                | DbError::Sqlite { position: Some(position), .. },
            )) => statement.position(*position),
            _ => (statement.line, statement.column),
        };
        Spot { place: Place { path: self.script.revision.place.path.clone(), line }, column }
    }

    /// Tries the whole revision until it does not give way to a lock any more.
    async fn in_transaction(
        &self,
        locked: &mut Locked,
        chain: &Chain,
        patience: Patience,
    ) -> Result<(), ApplyError> {
        let row = self.row(chain);
        let ddl_lock_timeout =
            self.script.settings.lock_timeout.unwrap_or(patience.ddl_lock_timeout);
        let mut pause = Pause::new(PAUSES.0, PAUSES.1, patience.lock_timeout);
        let mut blocker = None;
        loop {
            let Err(failed) = self.attempt(locked, &row, ddl_lock_timeout).await else {
                return Ok(());
            };
            locked.rollback().await;
            let revision = self.id().clone();
            let (spot, source) = match failed {
                Failed::At(spot, WorkError::Db(error)) if error.gave_way() => {
                    (Some(spot), WorkError::Db(error))
                }
                // What is deferred to the commit waits there. It was answered, and so nothing of
                // it is left; on SQLite a commit has been patient itself.
                Failed::Around(WorkError::Db(error))
                    if error.gave_way() && locked.engine() == Engine::Postgres =>
                {
                    (None, WorkError::Db(error))
                }
                Failed::At(spot, source) => {
                    return Err(ApplyError::Script { revision, spot, source });
                }
                Failed::Around(source) => return Err(ApplyError::Revision { revision, source }),
                Failed::Overtaken => return Err(ApplyError::Overtaken { revision }),
                Failed::Open(source) => return Err(ApplyError::Open { revision, source }),
            };
            blocker = locked.blocker().cloned().or(blocker);
            let Some(next) = pause.next() else {
                let (tries, limit) = (pause.tries(), pause.limit());
                return Err(ApplyError::GaveWay { revision, spot, tries, limit, blocker, source });
            };
            warn!(
                stage = %Stage::Apply, event = "gave_way", revision = %revision,
                at = spot.map_or_else(|| "the commit".to_owned(), |spot| spot.to_string()),
                blocker = blocker.as_ref().map(ToString::to_string),
                why = source.to_string(), try = pause.tries(), next = spoken(next),
                left = spoken(pause.left()), "gave way to a lock, rolled back, tries again"
            );
            locked.sleep(next).await.map_err(|source| ApplyError::Revision { revision, source })?;
        }
    }

    /// One try: fence, compare, run, check, note, commit.
    async fn attempt(
        &self,
        locked: &mut Locked,
        row: &LedgerRow,
        ddl_lock_timeout: Duration,
    ) -> Result<(), Failed> {
        let started = Instant::now();
        locked.begin(ddl_lock_timeout).await?;
        locked.fence(row, None).await.map_err(|error| {
            if error.is_duplicate() {
                Failed::Overtaken
            } else {
                Failed::At(self.first_spot(), error)
            }
        })?;
        let mut expected = self.recorded.clone();
        expected.insert(row.revision.clone());
        if locked.recorded().await? != expected {
            return Err(Failed::Overtaken);
        }
        for statement in self.statements {
            locked
                .execute(&statement.text)
                .await
                .map_err(|error| Failed::At(self.spot(statement, Some(&error)), error))?;
        }
        locked.check().await?;
        locked.finish(&self.entry(started.elapsed())).await?;
        let committed = locked.commit().await;
        self.settled(locked, committed).await
    }

    /// What became of a COMMIT.
    async fn settled(
        &self,
        locked: &mut Locked,
        committed: Result<(), WorkError>,
    ) -> Result<(), Failed> {
        match committed {
            Err(WorkError::Db(error)) if error.is_unanswered() => {
                warn!(
                    stage = %Stage::Apply, event = "unanswered", revision = %self.id(),
                    why = error.to_string(), "the commit was not answered; reads the ledger"
                );
                match locked.settle(self.id().as_str()).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Failed::Around(error.into())),
                    Err(error) => Err(Failed::Open(error)),
                }
            }
            // It was committed all the same; whatever comes next notices the reason.
            Err(
                WorkError::Stopped { outcome: Outcome::Done, .. }
                | WorkError::LockLost { outcome: Outcome::Done, .. },
            ) => Ok(()),
            Err(
                error @ (WorkError::Stopped { outcome: Outcome::Open, .. }
                | WorkError::LockLost { outcome: Outcome::Open, .. }),
            ) => Err(Failed::Open(error)),
            committed => Ok(committed?),
        }
    }

    fn first_spot(&self) -> Spot {
        match self.statements.first() {
            Some(statement) => self.spot(statement, None),
            None => Spot { place: self.script.revision.place.clone(), column: 1 },
        }
    }
}
