//! Revisions that cannot run in a transaction, and so can stop part-way.
//!
//! They run statement by statement. Each is written down before it runs and after, so that a
//! later run knows where to go on, and never repeats what may have happened: a statement that was
//! started and whose end nobody knows is repeated only if the catalogue proves that it has
//! not run, or the script says that it does not matter.

use tokio::time::Instant;
use tracing::warn;

use super::{ApplyError, Failed, Step};
use crate::{
    db::{IndexState, Journalled, Locked, Outcome, Start, WorkError},
    script::{Checksum, Direction, Statement},
    stage::Stage,
};

impl Step<'_> {
    /// Runs what has not run yet, and records the revision once all of it has.
    pub(super) async fn by_statement(&self, locked: &mut Locked) -> Result<(), ApplyError> {
        let started = Instant::now();
        let revision = self.id().clone();
        let whole = |source| ApplyError::Revision { revision: revision.clone(), source };
        let back = self.work.direction == Direction::Down;
        // Alembic knows nothing of what is written down below, and has perhaps gone on meanwhile.
        if let Some(turn) = &self.turn
            && !locked.has_versions(&turn.before).await.map_err(whole)?
        {
            return Err(ApplyError::Overtaken { revision });
        }
        // Some of it may be gone already, and then no server may start before all of it is.
        if back {
            match locked.mark(revision.as_str(), &self.before).await {
                Ok(true) => {}
                Ok(false) => return Err(ApplyError::Overtaken { revision }),
                // It may be marked, and then only going on takes that away.
                Err(source) => {
                    return Err(match self.statements.first() {
                        Some(first) if source.is_open() => self.part_way(first, 0, source),
                        _ => whole(source),
                    });
                }
            }
        }
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
        let entry = self.entry(started.elapsed());
        let completed = if back {
            locked.complete_back(revision.as_str(), self.turn.as_ref(), &entry).await
        } else {
            locked.complete(&self.row(), self.turn.as_ref(), &entry).await
        };
        let completed = match completed {
            Ok(false) => return Err(ApplyError::Overtaken { revision }),
            Err(error) if error.is_duplicate() => {
                locked.rollback().await;
                return Err(ApplyError::Overtaken { revision });
            }
            completed => completed.map(drop),
        };
        let (done, total) = (self.statements.len(), self.statements.len());
        let direction = self.work.direction;
        self.settled(locked, completed).await.map_err(|failed| match failed {
            Failed::At(spot, source) => {
                ApplyError::PartWay { revision, spot, done, total, direction, source }
            }
            Failed::Around(source) => {
                let spot = self.first_spot();
                ApplyError::PartWay { revision, spot, done, total, direction, source }
            }
            Failed::Overtaken => ApplyError::Overtaken { revision },
            Failed::Open(source) => ApplyError::Open { revision, direction, source },
        })
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
        let before = usize::try_from(number - 1).unwrap_or_default();
        let failed = |source| self.part_way(statement, before, source);
        let spot = self.spot(statement, None);

        let index = statement.concurrent_index();
        let built = match &index {
            None => IndexState::Absent,
            Some(index) => locked
                .index_state(index.schema.as_deref(), &index.table, &index.name)
                .await
                .map_err(failed)?,
        };
        match known {
            // What it set was gone with its session, and what follows counts on it.
            Some(known)
                if known.done && known.checksum == line.checksum && statement.is_a_setting() =>
            {
                return locked.execute_alone(&statement.text).await.map_err(failed);
            }
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
            None => {
                match locked.started(revision.as_str(), line, &self.before).await.map_err(failed)? {
                    Start::Ours => (),
                    Start::Anothers if self.script.settings.idempotent => (),
                    Start::Anothers => {
                        return Err(ApplyError::Unknown { revision, spot, statement: number });
                    }
                    Start::Overtaken => return Err(ApplyError::Overtaken { revision }),
                }
            }
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
        let ended = locked.execute_alone(&statement.text).await;
        // An answer is an answer: a statement that failed has not run, and may be repeated.
        // Without one it stays written down as started.
        let outcome = match &ended {
            Ok(()) => Outcome::Done,
            Err(WorkError::Db(told)) if !told.is_unanswered() => Outcome::Undone,
            Err(WorkError::Stopped { outcome, .. } | WorkError::LockLost { outcome, .. }) => {
                *outcome
            }
            Err(WorkError::Db(_) | WorkError::Orphan { .. } | WorkError::ForeignKeys { .. }) => {
                Outcome::Open
            }
        };
        let noted = match outcome {
            Outcome::Done => locked.ended(revision.as_str(), number, true).await,
            Outcome::Undone => locked.ended(revision.as_str(), number, false).await,
            Outcome::Open => Ok(()),
        };
        // It may have been stopped too late.
        let done = before + usize::from(outcome == Outcome::Done);
        ended.and(noted).map_err(|source| self.part_way(statement, done, source))
    }

    /// That it ended at a statement, when so many had run.
    fn part_way(&self, statement: &Statement, done: usize, source: WorkError) -> ApplyError {
        ApplyError::PartWay {
            revision: self.id().clone(),
            spot: self.spot(statement, Some(&source)),
            done,
            total: self.statements.len(),
            direction: self.work.direction,
            source,
        }
    }
}
