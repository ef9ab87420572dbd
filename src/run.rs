//! The flow: configure → wait → look → lock → plan → apply → reindex → exec.
//!
//! There is one flow; the modes stop it earlier or go around the lock, none re-implements it. With
//! several chains each stage is for all of them: what is due in one is a reason to lock all, and
//! what forbids to go on in one comes before the first change of another. `work` is what happens
//! under the locks.

mod work;

use std::{cell::OnceCell, process::ExitCode, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug, info, warn};

use crate::{
    apply,
    config::{AutoMigration, Config, Reindex},
    db::{Database, DbError, Locked, Observed, Runner, Terms, WorkError},
    error::Error,
    exec::{self, Server},
    link::Link,
    lock::{self, LockError, Turn},
    look::{Asked, Look},
    plan::{self, Next, Refusal, State},
    signals::Signals,
    signs::Signs,
    stage::Stage,
    wait,
};

/// Does everything, and becomes the server if there is one.
///
/// Returns the exit code of a run without a server, or of a server that was supervised.
pub fn run(
    config: &Config,
    server: Option<&Server>,
    signals: &Arc<Signals>,
) -> Result<ExitCode, Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Setup)?;
    let ready = runtime.block_on(async {
        let signs = Signs::show(config).await;
        let ready = prepare(config, signals).await;
        signs.end(ready.as_ref().err(), server.is_some());
        ready
    });
    // A look-up of a name may block its thread for long, and must not hold us.
    runtime.shutdown_background();
    #[cfg(feature = "otel")]
    crate::signs::otel::end(ready.as_ref().err());
    ready?;
    match (server, signals.noticed()) {
        (Some(server), _) => exec::exec(server, config, signals).map_err(Error::Exec),
        (None, Some(signal)) => Err(Error::Stopped { stage: Stage::Exec, signal }),
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

/// For those who watch: how long a stage takes is the time until the next one begins.
fn begins(stage: Stage) {
    debug!(stage = %stage, event = "begins", "begins");
}

/// All stages but the last.
async fn prepare(config: &Config, signals: &Arc<Signals>) -> Result<(), Error> {
    let links = Link::all(config, signals).await?;
    let run = Run { config, links, signals, began: OnceCell::new(), since: OnceCell::new() };
    signals.take_note();
    loop {
        begins(Stage::Wait);
        let mut databases = run.wait().await?;
        if databases.is_empty() {
            return Ok(());
        }
        begins(Stage::Look);
        let first = run.look(&mut databases).await?;
        run.since.get_or_init(|| first.iter().map(|look| look.last).collect());
        match run.decide(&first)? {
            // It has ended above.
            Next::Refuse(refusal) => return Err(Error::Refused(refusal)),
            Next::Start => {
                run.report(&first);
                close(databases).await;
                return Ok(());
            }
            Next::Await(_) => {
                begins(Stage::Lock);
                let awaited = run.await_others(&mut databases, &first).await;
                close(databases).await;
                return awaited;
            }
            Next::Work => {
                run.report(&first);
                run.check_scripts(&first)?;
                begins(Stage::Lock);
                match run.lock(databases, &first).await? {
                    None if config.chains.len() == 1 => return Ok(()),
                    // Another runner has done all of one chain, and perhaps not yet of the others.
                    None => {}
                    Some(mut locked) => {
                        begins(Stage::Apply);
                        let worked = run.work(&mut locked).await;
                        release(locked).await;
                        return worked;
                    }
                }
            }
        }
    }
}

async fn close(databases: Vec<Database>) {
    for database in databases {
        database.close().await;
    }
}

async fn release(locked: Vec<Locked>) {
    for locked in locked.into_iter().rev() {
        locked.release().await;
    }
}

/// What stays the same during a run.
struct Run<'a> {
    config: &'a Config,
    links: Vec<Link<'a>>,
    signals: &'a Arc<Signals>,
    /// When the queue for the first lock began.
    began: OnceCell<Instant>,
    /// The newest line of each history at the first look.
    since: OnceCell<Vec<i64>>,
}

impl Run<'_> {
    /// The terms of what is left of `LOCK_TIMEOUT`, which all locks share.
    fn terms(&self) -> Terms {
        let passed = self.began.get().map_or(Duration::ZERO, Instant::elapsed);
        self.began.get_or_init(Instant::now);
        let terms = lock::terms(self.config, self.signals);
        Terms { lock_timeout: terms.lock_timeout.saturating_sub(passed), ..terms }
    }

    /// Judges what was found in one chain. The first has what belongs to the whole run: hooks, and
    /// what is to be reindexed by name; `others` are the looks at those behind it.
    fn judge(&self, at: usize, observed: &Observed, others: &[Look]) -> Look {
        let reindex = plan::reindex_in(self.config.auto_migration, &self.config.reindex);
        let since = self.since.get().and_then(|since| since.get(at)).copied();
        let asked = match (at, reindex) {
            (0, reindex) => Asked {
                reindex,
                hooks: self.config.hooks.iter().map(|hook| hook.name.clone()).collect(),
                beside: others
                    .iter()
                    .flat_map(|look| [";".to_owned(), look.heads_text()])
                    .collect(),
                since,
            },
            (_, Reindex::Auto) => Asked { reindex: Reindex::Auto, since, ..Asked::nothing() },
            (_, Reindex::False | Reindex::All | Reindex::Names(_)) => Asked::nothing(),
        };
        Look::judge(observed, self.links[at].chain.as_ref(), &asked)
    }

    /// The same for all chains.
    fn judge_all(&self, observed: &[Observed]) -> Vec<Look> {
        let others = (1..observed.len()).map(|at| self.judge(at, &observed[at], &[]));
        let mut looks: Vec<Look> = others.collect();
        if let Some(observed) = observed.first() {
            looks.insert(0, self.judge(0, observed, &looks));
        }
        looks
    }

    /// What a run would do for the sake of one chain.
    fn next(&self, look: &Look) -> Next {
        let Config { auto_migration, database_ahead, .. } = self.config;
        plan::decide(*auto_migration, *database_ahead, &look.state, look.due())
    }

    /// What it does for all of them: the first refusal is an error, and what is only pending no more
    /// than the last one, since a run that migrates would put it right.
    fn decide(&self, looks: &[Look]) -> Result<Next, Error> {
        let (mut joint, mut pending) = (Next::Start, None);
        for (link, look) in self.links.iter().zip(looks) {
            match self.next(look) {
                Next::Refuse(refusal @ Refusal::Pending { .. }) => {
                    pending.get_or_insert_with(|| link.fault(Error::Refused(refusal)));
                }
                Next::Refuse(refusal) => return Err(link.fault(Error::Refused(refusal))),
                Next::Start => {}
                next @ (Next::Work | Next::Await(_)) => joint = next,
            }
        }
        pending.map_or(Ok(joint), Err)
    }

    /// All databases, once they and everything else answer.
    async fn wait(&self) -> Result<Vec<Database>, Error> {
        let runner = Runner::this();
        let wanted = self.links.iter().map(Link::wanted).collect();
        let ready = self.signals.or(wait::until_ready(self.config, &runner, wanted)).await;
        let ready = ready.map_err(|signal| Error::Stopped { stage: Stage::Wait, signal })?;
        ready.map_err(Error::Wait)
    }

    /// The look at all chains at once. With the off switch it is only for the report, and its failure
    /// no reason to stop.
    async fn look(&self, databases: &mut [Database]) -> Result<Vec<Look>, Error> {
        // As patient as the wait before it, but never without an end.
        let longest = self.config.wait_timeout.max(Duration::from_secs(5));
        let each = self.links.iter().zip(databases).map(|(link, database)| {
            let looking = async {
                let looked = timeout(longest, database.look()).await;
                match looked.unwrap_or(Err(DbError::Slow(longest))) {
                    Ok(observed) => Ok(Some(observed)),
                    Err(error)
                        if self.config.auto_migration == AutoMigration::False
                            && plan::reindex_in(AutoMigration::False, &self.config.reindex)
                                == Reindex::False =>
                    {
                        warn!(stage = %Stage::Look, event = "unseen", why = error.to_string(), "cannot read the ledger");
                        Ok(None)
                    }
                    Err(error) => Err(link.fault(Error::unreadable(error, link.url, database))),
                }
            };
            looking.instrument(link.span.clone())
        });
        let looked = self.signals.or(try_join_all(each)).await;
        let looked = looked.map_err(|signal| Error::Stopped { stage: Stage::Look, signal })??;
        let unseen: Vec<bool> = looked.iter().map(Option::is_none).collect();
        let observed: Vec<Observed> = looked.into_iter().map(Option::unwrap_or_default).collect();
        let mut looks = self.judge_all(&observed);
        for ((look, unseen), link) in looks.iter_mut().zip(unseen).zip(&self.links) {
            if unseen {
                look.state = State::Unknown;
                continue;
            }
            link.span.in_scope(|| {
                info!(
                    stage = %Stage::Look, event = "looked", heads = look.heads_text(),
                    pending = look.state.steps().len(),
                    hook = !look.hooks.is_empty(), reindex = look.reindex.len(), "has looked"
                );
            });
        }
        Ok(looks)
    }

    /// Says what is not as it should be where the run goes on all the same.
    fn report(&self, looks: &[Look]) {
        for (link, look) in self.links.iter().zip(looks) {
            if let Some(why) = plan::passed_over(self.config.auto_migration, &look.state) {
                link.span.in_scope(|| {
                    warn!(
                        stage = %Stage::Plan, event = "starts_anyway", why,
                        "starts all the same"
                    );
                });
            }
        }
    }

    /// How Alembic would be run for a chain whose scripts leave revisions to it.
    fn asked<'r>(&'r self, link: &'r Link<'r>) -> apply::Asked<'r> {
        apply::Asked { config: self.config, chain: link.config, signals: self.signals }
    }

    /// Faults inside the scripts that are to run come to light before the lock is asked for; also that
    /// it is not known how to run Alembic.
    fn check_scripts(&self, looks: &[Look]) -> Result<(), Error> {
        for (link, look) in self.links.iter().zip(looks) {
            let Some(chain) = &link.chain else { continue };
            let steps = look.state.steps();
            let hands = apply::Hands::of(chain, self.asked(link), steps).map(drop);
            let checked = hands.and(chain.statements(steps).map(drop));
            checked.map_err(|error| link.fault(Error::Chain(error)))?;
        }
        Ok(())
    }

    /// Mode `wait`: looks at one chain after the other until another has done the work.
    async fn await_others(&self, databases: &mut [Database], first: &[Look]) -> Result<(), Error> {
        for (at, (database, look)) in databases.iter_mut().zip(first).enumerate() {
            let Next::Await(refusal) = self.next(look) else { continue };
            let (link, terms) = (&self.links[at], self.terms());
            let judge = |observed: &Observed| self.next(&self.judge(at, observed, &[]));
            let awaited = lock::await_other(database, &terms, refusal, judge);
            let awaited = match awaited.instrument(link.span.clone()).await {
                Err(LockError::Database(WorkError::Db(source))) => {
                    Err(Error::unreadable(source, link.url, database))
                }
                awaited => awaited.map_err(Error::Lock),
            };
            awaited.map_err(|error| link.fault(error))?;
        }
        Ok(())
    }

    /// The locks of all chains, in the one order that every run takes them in. None if meanwhile
    /// somebody else has done all that was due in one of them.
    async fn lock(
        &self,
        databases: Vec<Database>,
        first: &[Look],
    ) -> Result<Option<Vec<Locked>>, Error> {
        let mut queue: Vec<(usize, Database)> = databases.into_iter().enumerate().collect();
        queue.sort_by_cached_key(|(at, _)| self.links[*at].order());
        let mut held: Vec<(usize, Locked)> = Vec::new();
        for (at, database) in queue {
            let link = &self.links[at];
            let was_due = self.next(&first[at]) != Next::Start;
            let judge = |observed: &Observed| {
                let next = self.next(&self.judge(at, observed, &first[1..]));
                // Its lock is needed all the same, for the sake of the other ones.
                if next == Next::Start && !was_due { Next::Work } else { next }
            };
            // Large, and only needed by a run that works.
            let turn = Box::pin(lock::acquire(database, self.terms(), judge));
            match turn.instrument(link.span.clone()).await {
                Ok(Turn::Ours(mut locked)) => {
                    // What is left was for the queue: whoever works has all of it again.
                    locked.be_patient(self.config.lock_timeout);
                    held.push((at, *locked));
                }
                ended => {
                    release(held.into_iter().map(|(_, locked)| locked).collect()).await;
                    return ended.map(|_| None).map_err(|error| link.fault(Error::Lock(error)));
                }
            }
        }
        held.sort_by_key(|(at, _)| *at);
        Ok(Some(held.into_iter().map(|(_, locked)| locked).collect()))
    }
}
