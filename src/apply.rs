//! Applying: one revision after the other, each with its ledger row in one transaction.
//!
//! The first statement of each transaction inserts the ledger row. A second runner of the same
//! revision blocks there and then fails, so that even two runners without a lock cannot
//! apply it twice. Only then is the ledger compared with what the plan expects, and the
//! script run.
//!
//! A script with `transaction: false` runs statement by statement, each written down before and
//! after, so that a later run knows where to go on and never repeats what may have happened.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    db::{DbError, Entry, Event, IndexState, Journalled, LedgerRow, Locked, Outcome, WorkError},
    files::Chain,
    graph::revision::{Place, RevisionId},
    look::{heads_after, joined},
    pause::{Pause, spoken},
    plan::Plan,
    script::{Checksum, Direction, Script, Statement},
    stage::Stage,
};

/// The pauses between tries of a revision that gave way to a lock.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A position in a script, as editors understand it: `file:line:column`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spot {
    /// The file and the line.
    pub place: Place,
    /// The column, in characters, counted from 1.
    pub column: usize,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.place, self.column)
    }
}

/// Why a revision was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A statement failed; nothing of the revision is left.
    #[error("revision `{revision}` failed at {spot} and was rolled back")]
    Script {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// What the database said.
        source: WorkError,
    },
    /// The revision as a whole could not be committed; nothing of it is left.
    #[error("revision `{revision}` failed and was rolled back")]
    Revision {
        /// Which.
        revision: RevisionId,
        /// What the database said.
        source: WorkError,
    },
    /// It gave way to other sessions' locks until the patience ended.
    #[error(
        "revision `{revision}` did not get its locks in {tries} tries within {}, the last time at {spot}; \
         it was rolled back; end what blocks it, or raise DDL_LOCK_TIMEOUT or LOCK_TIMEOUT",
        spoken(*.limit)
    )]
    GaveWay {
        /// Which.
        revision: RevisionId,
        /// Where it gave way.
        spot: Spot,
        /// How many times.
        tries: u32,
        /// `LOCK_TIMEOUT`.
        limit: Duration,
        /// What the database said.
        source: WorkError,
    },
    /// A statement of a non-transactional revision failed; what ran before it stays.
    #[error(
        "revision `{revision}` stopped at {spot}: {done} of its {total} statements have run, and \
         the next start goes on from there"
    )]
    PartWay {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// How many statements have run.
        done: usize,
        /// How many it has.
        total: usize,
        /// What the database said.
        source: WorkError,
    },
    /// A statement of a non-transactional revision may or may not have run.
    #[error(
        "revision `{revision}` was interrupted while the statement at {spot} ran, and it cannot be \
         told whether it has; if it may run twice, write `idempotent: true` into the header; if \
         it has run, set `done_at` in the row ('{revision}', {statement}) of `prelaunch_journal`, if \
         it has not, delete that row"
    )]
    Unknown {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
        /// Which statement, counted from 1.
        statement: i32,
    },
    /// The script was changed between two tries.
    #[error(
        "the statement at {spot} has run with another text in an earlier try of revision \
         `{revision}`; put the text back, and write a new revision for what shall be different"
    )]
    ChangedPartWay {
        /// Which.
        revision: RevisionId,
        /// Where.
        spot: Spot,
    },
    /// The tables of prelaunch could not be created or read.
    #[error(
        "cannot create the tables `prelaunch_ledger`, `prelaunch_history` and `prelaunch_journal`; \
         the migrating role must be allowed to create tables"
    )]
    Tables(#[source] WorkError),
    /// Another runner applied the same revision beside us, past the lock: not an end, a reason
    /// to look again.
    #[error("revision `{revision}` was recorded by another runner meanwhile")]
    Overtaken {
        /// Which.
        revision: RevisionId,
    },
}

impl ApplyError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Script { source, .. } | Self::Revision { source, .. } | Self::Tables(source) => {
                source.exit_code()
            }
            Self::GaveWay { .. } | Self::Overtaken { .. } => 14,
            Self::PartWay { source, .. } => match source.exit_code() {
                14 => 15,
                other => other,
            },
            Self::Unknown { .. } | Self::ChangedPartWay { .. } => 15,
        }
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<crate::signals::Signal> {
        match self {
            Self::Script { source, .. }
            | Self::Revision { source, .. }
            | Self::GaveWay { source, .. }
            | Self::PartWay { source, .. }
            | Self::Tables(source) => source.signal(),
            Self::Unknown { .. } | Self::ChangedPartWay { .. } | Self::Overtaken { .. } => None,
        }
    }
}

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

/// Where a try of a transactional revision failed.
struct Failed {
    spot: Option<Spot>,
    error: WorkError,
    /// Whether it was the ledger that said no.
    overtaken: bool,
}

impl From<WorkError> for Failed {
    fn from(error: WorkError) -> Self {
        Self { spot: None, error, overtaken: false }
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
            Some(WorkError::Db(DbError::Server { position: Some(position), .. })) => {
                statement.position(*position)
            }
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
        loop {
            let Err(failed) = self.attempt(locked, &row, ddl_lock_timeout).await else {
                return Ok(());
            };
            locked.rollback().await;
            let revision = self.id().clone();
            if failed.overtaken {
                return Err(ApplyError::Overtaken { revision });
            }
            let gave_way = matches!(&failed.error, WorkError::Db(error) if error.gave_way());
            let (Some(spot), true) = (&failed.spot, gave_way) else {
                return Err(match failed.spot {
                    Some(spot) => ApplyError::Script { revision, spot, source: failed.error },
                    None => ApplyError::Revision { revision, source: failed.error },
                });
            };
            let Some(next) = pause.next() else {
                return Err(ApplyError::GaveWay {
                    revision,
                    spot: spot.clone(),
                    tries: pause.tries(),
                    limit: pause.limit(),
                    source: failed.error,
                });
            };
            warn!(
                stage = %Stage::Apply, event = "gave_way", revision = %revision, at = %spot,
                why = failed.error.to_string(), try = pause.tries(), next = spoken(next),
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
            let overtaken = error.is_duplicate();
            Failed { spot: Some(self.first_spot()), error, overtaken }
        })?;
        let mut expected = self.recorded.clone();
        expected.insert(row.revision.clone());
        if locked.recorded().await? != expected {
            let error = DbError::Ledger("it is not what the plan was made from".to_owned());
            return Err(Failed { spot: None, error: error.into(), overtaken: true });
        }
        for statement in self.statements {
            locked.execute(&statement.text).await.map_err(|error| Failed {
                spot: Some(self.spot(statement, Some(&error))),
                error,
                overtaken: false,
            })?;
        }
        locked.check().await?;
        locked.finish(&self.entry(started.elapsed())).await?;
        match locked.commit().await {
            Err(WorkError::Db(error)) if error.is_unanswered() => {
                warn!(
                    stage = %Stage::Apply, event = "unanswered", revision = row.revision,
                    why = error.to_string(), "the commit was not answered; reads the ledger"
                );
                if locked.settle(&row.revision).await? {
                    Ok(())
                } else {
                    Err(WorkError::Db(error).into())
                }
            }
            committed => Ok(committed?),
        }
    }

    fn first_spot(&self) -> Spot {
        match self.statements.first() {
            Some(statement) => self.spot(statement, None),
            None => Spot { place: self.script.revision.place.clone(), column: 1 },
        }
    }

    /// Runs what has not run yet, and records the revision once all of it has.
    async fn by_statement(&self, locked: &mut Locked, chain: &Chain) -> Result<(), ApplyError> {
        let started = Instant::now();
        let revision = self.id().clone();
        let whole = |source| ApplyError::Revision { revision: revision.clone(), source };
        let journal = locked.journal(revision.as_str()).await.map_err(whole)?;
        for (number, statement) in (1..).zip(self.statements) {
            let known = journal.iter().find(|line| line.statement == number);
            let line = Journalled {
                statement: number,
                checksum: Checksum::of(&statement.text).to_string(),
                done: false,
            };
            self.one(locked, statement, known, &line).await?;
        }
        let row = self.row(chain);
        locked.complete(&row, &self.entry(started.elapsed())).await.map_err(
            |source| match &source {
                WorkError::Db(error) if error.is_duplicate() => {
                    ApplyError::Overtaken { revision: revision.clone() }
                }
                WorkError::Db(_)
                | WorkError::Stopped { .. }
                | WorkError::LockLost(_)
                | WorkError::ForeignKeys { .. } => whole(source),
            },
        )
    }

    /// Runs one statement of a non-transactional revision, if it has to be run.
    async fn one(
        &self,
        locked: &mut Locked,
        statement: &Statement,
        known: Option<&Journalled>,
        line: &Journalled,
    ) -> Result<(), ApplyError> {
        let (revision, number) = (self.id().clone(), line.statement);
        let done = usize::try_from(number - 1).unwrap_or_default();
        let part_way = |spot, source| ApplyError::PartWay {
            revision: revision.clone(),
            spot,
            done,
            total: self.statements.len(),
            source,
        };
        let spot = self.spot(statement, None);
        let failed = |source: WorkError| part_way(self.spot(statement, Some(&source)), source);

        let index = statement.concurrent_index();
        let built = match &index {
            None => IndexState::Absent,
            Some(index) => locked
                .index_state(index.schema.as_deref(), &index.table, &index.name)
                .await
                .map_err(failed)?,
        };
        match known {
            Some(known) if known.done && known.checksum == line.checksum => return Ok(()),
            Some(known) if known.checksum != line.checksum => {
                return Err(ApplyError::ChangedPartWay { revision, spot });
            }
            // It was started and nobody knows how it ended: only the catalogue can tell, or
            // the script says that it does not matter.
            Some(_) if index.is_some() && built == IndexState::Valid => {
                return locked.ended(revision.as_str(), number, true).await.map_err(failed);
            }
            Some(_) if index.is_some() || self.script.settings.idempotent => (),
            Some(_) => return Err(ApplyError::Unknown { revision, spot, statement: number }),
            None => locked.started(revision.as_str(), line).await.map_err(failed)?,
        }
        if let (Some(index), IndexState::Invalid) = (&index, built) {
            warn!(
                stage = %Stage::Apply, event = "invalid_index", revision = %revision, index = index.name,
                "drops the invalid index that an earlier try left"
            );
            locked
                .drop_index(index.schema.as_deref(), &index.table, &index.name)
                .await
                .map_err(failed)?;
        }
        let ended = locked.execute(&statement.text).await;
        // An answer is an answer: a statement that failed has not run, and may be repeated.
        // Without one it stays written down as started.
        let outcome = match &ended {
            Ok(()) => Outcome::Done,
            Err(WorkError::Db(told)) if !told.is_unanswered() => Outcome::Undone,
            Err(WorkError::Stopped { outcome, .. }) => *outcome,
            Err(WorkError::Db(_) | WorkError::LockLost(_) | WorkError::ForeignKeys { .. }) => {
                Outcome::Open
            }
        };
        let noted = match outcome {
            Outcome::Done => locked.ended(revision.as_str(), number, true).await,
            Outcome::Undone => locked.ended(revision.as_str(), number, false).await,
            Outcome::Open => Ok(()),
        };
        ended.map_err(failed)?;
        noted.map_err(failed)
    }
}
