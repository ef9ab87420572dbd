//! Applying and reverting: one revision after the other, each with its ledger row in one
//! transaction.
//!
//! The first statement of each transaction inserts the ledger row, or takes it out. A second runner
//! of the same revision blocks there and then fails, so that even two runners without a lock cannot
//! apply it twice. Only then is the ledger compared with what the plan expects, and the
//! script run.
//!
//! A script with `transaction: false` runs otherwise: see `part_way`. Where a version table is kept, its
//! rows turn in the same transaction; `external` is for what another tool has written there, `mixed`
//! for scripts that leave their revision to it.

mod delegated;
mod error;
mod external;
mod mixed;
mod part_way;

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    config::Config,
    db::{DbError, Entry, Event, LedgerRow, Locked, Observed, Origin, Outcome, Turn, WorkError},
    engine::Engine,
    files::{Chain, ChainError},
    graph::{
        Graph,
        revision::{Place, RevisionId},
    },
    look::{heads_after, heads_before, joined},
    pause::{Pause, spoken},
    plan::{Plan, agreement},
    progress::Progress,
    script::{Direction, Script, Statement},
    stage::Stage,
};

pub use self::{
    delegated::{delegate, record},
    error::{ApplyError, Spot},
    external::agree,
    mixed::{Asked, Hands},
};

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

impl Patience {
    /// As it was configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { ddl_lock_timeout: config.ddl_lock_timeout, lock_timeout: config.lock_timeout }
    }
}

/// What is to be done: steps that all lead the same way, and what they begin at.
#[derive(Debug)]
pub struct Work<'a> {
    /// Which way.
    pub direction: Direction,
    /// The engine that decides which sections are in use.
    pub engine: Engine,
    /// How the revisions hang together: those of the steps, and what is recorded.
    pub graph: &'a Graph,
    /// The scripts and what of them is to be run, in order.
    pub steps: Vec<(&'a Script, Vec<Statement>)>,
    /// What the ledger must hold before the first of them.
    pub recorded: BTreeSet<String>,
    /// The heads of that.
    pub heads: BTreeSet<String>,
    /// The rows of the version table before it, where one is kept in step.
    pub versions: Option<BTreeSet<String>>,
    /// Who takes the steps that are Alembic's, if there are any.
    pub hands: Option<Hands<'a>>,
}

impl<'a> Work<'a> {
    /// What a plan says; the error is every fault in the statements of its scripts.
    pub fn of_plan(
        chain: &'a Chain,
        plan: &Plan,
        heads: BTreeSet<String>,
        observed: &Observed,
        asked: Asked<'a>,
    ) -> Result<Self, ChainError> {
        Ok(Self {
            hands: Hands::of(chain, asked, &plan.steps)?,
            versions: chain.kept_versions().map(|_| agreement::rows(observed)),
            direction: Direction::Up,
            engine: chain.engine,
            graph: &chain.graph,
            steps: chain.statements(&plan.steps)?,
            recorded: plan.recorded.clone(),
            heads,
        })
    }
}

/// Takes the steps, one after the other.
pub async fn apply(
    locked: &mut Locked,
    work: &Work<'_>,
    patience: Patience,
) -> Result<(), ApplyError> {
    locked.create_tables().await.map_err(ApplyError::Tables)?;
    let (mut recorded, mut heads) = (work.recorded.clone(), work.heads.clone());
    let mut versions = work.versions.clone();
    let total = work.steps.len();
    let (begins, ended, saying, said) = match work.direction {
        Direction::Up => ("applying", "applied", "applies a revision", "has applied it"),
        Direction::Down => ("reverting", "reverted", "reverts a revision", "has reverted it"),
    };
    let progress = Progress::of(total);
    for (number, (script, statements)) in (1..).zip(&work.steps) {
        let revision = &script.revision;
        progress.at(number - 1, &format!("{} {}", revision.id, revision.title));
        let before = recorded.clone();
        heads = match work.direction {
            Direction::Up => {
                recorded.insert(revision.id.to_string());
                heads_after(&heads, revision)
            }
            Direction::Down => {
                recorded.remove(revision.id.as_str());
                heads_before(work.graph, &heads, &recorded, revision)
            }
        };
        let turn = versions.map(|before| {
            let after = match work.direction {
                Direction::Up => agreement::rows_after(work.graph, &before, revision),
                Direction::Down => agreement::rows_of(work.graph, &recorded),
            };
            Turn { create: false, before, after }
        });
        versions = turn.as_ref().map(|turn| turn.after.clone());
        let step = Step {
            work,
            script,
            statements,
            heads: joined(&heads),
            before,
            after: &recorded,
            turn,
        };
        info!(
            stage = %Stage::Apply, event = begins, revision = %revision.id, title = revision.title,
            number, total, "{saying}"
        );
        let started = Instant::now();
        let delegated = work.direction == Direction::Up && script.delegates(work.engine);
        if let (true, Some(hands)) = (delegated, &work.hands) {
            hands.apply(locked, script, &step.heads).await?;
        } else if script.settings.transactional {
            step.in_transaction(locked, patience).await?;
        } else {
            step.by_statement(locked).await?;
        }
        info!(
            stage = %Stage::Apply, event = ended, revision = %revision.id, number, total,
            took = spoken(started.elapsed()), "{said}"
        );
    }
    Ok(())
}

/// The ledger row of a revision whose script is run, or said to have been; or which another tool has
/// applied. Of those there is no checksum: it was not this text that was run, and so a change of it is
/// none of what was applied. The way back is kept all the same.
#[must_use]
pub fn ledger_row(graph: &Graph, script: &Script, engine: Engine, origin: Origin) -> LedgerRow {
    let revision = &script.revision;
    let is_ours = origin != Origin::External && !script.delegates(engine);
    let commas = |ids: Vec<&RevisionId>| {
        ids.into_iter().map(RevisionId::as_str).collect::<Vec<_>>().join(",")
    };
    LedgerRow {
        revision: revision.id.to_string(),
        parents: commas(revision.parents.iter().collect()),
        depends_on: commas(graph.dependencies(&revision.id)),
        tag: revision.tag.clone(),
        title: revision.title.clone(),
        checksum: is_ours.then(|| script.checksum(engine).to_string()),
        up: is_ours.then(|| script.text(engine, Direction::Up)),
        down: script.kept_down(engine),
        origin,
    }
}

/// One revision to be applied or reverted.
struct Step<'s> {
    work: &'s Work<'s>,
    script: &'s Script,
    statements: &'s [Statement],
    /// The heads after it.
    heads: String,
    /// What the ledger must hold before it.
    before: BTreeSet<String>,
    /// What it holds afterwards.
    after: &'s BTreeSet<String>,
    /// How the version table turns with it.
    turn: Option<Turn>,
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

    fn row(&self) -> LedgerRow {
        ledger_row(self.work.graph, self.script, self.work.engine, Origin::Upgrade)
    }

    fn entry(&self, took: Duration) -> Entry {
        Entry {
            event: match self.work.direction {
                Direction::Up => Event::Upgrade,
                Direction::Down => Event::Downgrade,
            },
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
        patience: Patience,
    ) -> Result<(), ApplyError> {
        let row = self.row();
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
                Failed::Open(source) => {
                    let direction = self.work.direction;
                    return Err(ApplyError::Open { revision, direction, source });
                }
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
        self.fence(locked, row).await?;
        let turned = locked.turned(self.turn.as_ref()).await;
        let turned = turned.map_err(|error| Failed::At(self.first_spot(), error))?;
        if !turned || locked.recorded().await? != *self.after {
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

    /// The first statement of the transaction: what a second runner of the same step waits at, and
    /// then fails.
    async fn fence(&self, locked: &mut Locked, row: &LedgerRow) -> Result<(), Failed> {
        let fenced = match self.work.direction {
            Direction::Up => locked.fence(row, None).await.map(|()| true),
            Direction::Down => locked.unfence(&row.revision).await,
        };
        match fenced {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed::Overtaken),
            Err(error) if error.is_duplicate() => Err(Failed::Overtaken),
            Err(error) => Err(Failed::At(self.first_spot(), error)),
        }
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
                let wanted = self.work.direction == Direction::Up;
                match locked.settle(self.id().as_str()).await {
                    Ok(recorded) if recorded == wanted => Ok(()),
                    Ok(_) => Err(Failed::Around(error.into())),
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
