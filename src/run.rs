//! The flow: configure → wait → look → lock → plan → apply → reindex → exec.
//!
//! There is one flow; the modes stop it earlier or go around the lock, none re-implements it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::{
    apply::{self, ApplyError, Hands, Patience, Work},
    config::{AutoMigration, Config, Reindex},
    db::{Database, DbError, Locked, Observed, Runner, Terms, WorkError},
    error::Error,
    exec::{self, Server},
    files::{self, Chain, ChainError},
    lock::{self, LockError, Turn},
    look::{Asked, Look},
    plan::{self, Next, State},
    reindex,
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
    let chain = configure(config)?;
    signals.take_note();
    let run = Run { config, chain: chain.as_ref(), signals };

    begins(Stage::Wait);
    let runner = Runner::this();
    let ready = signals
        .or(wait::until_ready(config, &runner, chain.as_ref().and_then(Chain::version_table)))
        .await
        .map_err(|signal| Error::Stopped { stage: Stage::Wait, signal })?;
    let Some(mut database) = ready.map_err(Error::Wait)? else { return Ok(()) };

    begins(Stage::Look);
    let Some(first) = run.look(&mut database).await? else { return Ok(()) };
    let since = Some(first.last);
    match run.decide(&first) {
        Next::Start => {
            run.report(&first);
            database.close().await;
            Ok(())
        }
        Next::Refuse(refusal) => Err(Error::Refused(refusal)),
        Next::Await(refusal) => {
            begins(Stage::Lock);
            let judge = |observed: &Observed| run.decide(&run.judge(observed, since));
            let awaited = lock::await_other(&mut database, &run.terms(), refusal, judge).await;
            let awaited = match awaited {
                Err(LockError::Database(WorkError::Db(source))) => {
                    Err(Error::unreadable(source, config, &database))
                }
                awaited => awaited.map_err(Error::Lock),
            };
            database.close().await;
            awaited
        }
        Next::Work => {
            run.report(&first);
            run.check_scripts(&first)?;
            begins(Stage::Lock);
            let judge = |observed: &Observed| run.decide(&run.judge(observed, since));
            // Large, and only needed by a run that works.
            let turn = Box::pin(lock::acquire(database, run.terms(), judge)).await;
            match turn.map_err(Error::Lock)? {
                Turn::Unneeded => Ok(()),
                Turn::Ours(mut locked) => {
                    begins(Stage::Apply);
                    let worked = run.work(&mut locked, since).await;
                    locked.release().await;
                    worked
                }
            }
        }
    }
}

/// The scripts of the image. The off switch does without, if they are unsound or absent.
fn configure(config: &Config) -> Result<Option<Chain>, Error> {
    let Some(url) = &config.database else { return Ok(None) };
    match files::load(
        config.migrations_dir.as_deref(),
        &config.target,
        url.engine(),
        config.version_table.as_ref(),
    ) {
        Ok(chain) => {
            let runs_alembic = chain.alembic.is_some() || !chain.delegated().is_empty();
            if runs_alembic && url.as_written().contains('%') {
                warn!(
                    stage = %Stage::Configure, event = "percent",
                    "the database URL contains `%`: an `env.py` that hands it to `set_main_option` must \
                     write `%%` for it, or Alembic fails"
                );
            }
            Ok(Some(chain))
        }
        Err(error) => match config.auto_migration {
            AutoMigration::True | AutoMigration::Check | AutoMigration::Wait => {
                Err(Error::Chain(error))
            }
            AutoMigration::False => {
                // An image without scripts needs none in this mode.
                let absent = matches!(error, ChainError::Directory { .. });
                if !(absent && config.migrations_dir.is_none()) {
                    warn!(stage = %Stage::Configure, event = "unsound", why = error.to_string(),
                          "cannot compare the database with the scripts");
                }
                Ok(None)
            }
        },
    }
}

/// What stays the same during a run.
struct Run<'a> {
    config: &'a Config,
    chain: Option<&'a Chain>,
    signals: &'a Arc<Signals>,
}

impl Run<'_> {
    fn terms(&self) -> Terms {
        lock::terms(self.config, self.signals)
    }

    fn judge(&self, observed: &Observed, since: Option<i64>) -> Look {
        let asked = Asked {
            reindex: plan::reindex_in(self.config.auto_migration, &self.config.reindex),
            hook: self.config.after_migrate.is_some(),
            since,
        };
        Look::judge(observed, self.chain, &asked)
    }

    fn decide(&self, look: &Look) -> Next {
        let Config { auto_migration, database_ahead, .. } = self.config;
        plan::decide(*auto_migration, *database_ahead, &look.state, look.due())
    }

    /// The first look. With the off switch it is only for the report, and its failure no reason
    /// to stop: then there is none.
    async fn look(&self, database: &mut Database) -> Result<Option<Look>, Error> {
        // As patient as the wait before it, but never without an end.
        let longest = self.config.wait_timeout.max(Duration::from_secs(5));
        let looked = self.signals.or(timeout(longest, database.look())).await;
        let looked = looked.map_err(|signal| Error::Stopped { stage: Stage::Look, signal })?;
        let observed = match looked.unwrap_or(Err(DbError::Slow(longest))) {
            Ok(observed) => observed,
            Err(error)
                if self.config.auto_migration == AutoMigration::False
                    && plan::reindex_in(AutoMigration::False, &self.config.reindex)
                        == Reindex::False =>
            {
                warn!(stage = %Stage::Look, event = "unseen", why = error.to_string(), "cannot read the ledger");
                return Ok(None);
            }
            Err(error) => return Err(Error::unreadable(error, self.config, database)),
        };
        let look = self.judge(&observed, None);
        info!(
            stage = %Stage::Look, event = "looked", heads = look.heads_text(),
            pending = look.state.steps().len(),
            hook = look.hook, reindex = look.reindex.len(), "has looked"
        );
        Ok(Some(look))
    }

    /// Says what is not as it should be where the run goes on all the same.
    fn report(&self, look: &Look) {
        if let Some(why) = plan::passed_over(self.config.auto_migration, &look.state) {
            warn!(
                stage = %Stage::Plan, event = "starts_anyway", why,
                "starts all the same"
            );
        }
    }

    /// Faults inside the scripts that are to run come to light before the lock is asked for; also that
    /// it is not known how to run Alembic.
    fn check_scripts(&self, look: &Look) -> Result<(), Error> {
        let Some(chain) = self.chain else { return Ok(()) };
        let steps = look.state.steps();
        let hands = Hands::of(chain, self.config, self.signals, steps).map(drop);
        hands.and(chain.statements(steps).map(drop)).map_err(Error::Chain)
    }

    /// What is due, under the lock: revisions until the target is reached, hook, reindex.
    async fn work(&self, locked: &mut Locked, since: Option<i64>) -> Result<(), Error> {
        let look = self.migrate(locked, since).await?;
        let heads = look.heads_text();
        let hooks =
            (self.config.auto_migration, &look.state) == (AutoMigration::True, &State::Ready);
        if let (true, true, Some(command)) = (hooks, look.hook, &self.config.after_migrate) {
            reindex::hook(locked, self.config, command, &heads, self.signals)
                .await
                .map_err(Error::Hook)?;
        }
        if let Some(command) = &self.config.reindex_command {
            begins(Stage::Reindex);
            reindex::reindex(locked, self.config, command, &look.reindex, &heads, self.signals)
                .await
                .map_err(Error::Reindex)?;
        }
        Ok(())
    }

    /// Applies until a look finds nothing pending, and gives that look.
    async fn migrate(&self, locked: &mut Locked, since: Option<i64>) -> Result<Look, Error> {
        let mut applied = false;
        let mut unsettled = None;
        loop {
            let observed = locked.look().await.map_err(Error::Locked)?;
            if unsettled.as_ref() == Some(&observed) {
                let table = self.chain.and_then(Chain::version_table).map(ToString::to_string);
                let table = table.unwrap_or_else(|| "prelaunch_ledger".to_owned());
                return Err(Error::Apply(ApplyError::Restless { table }));
            }
            let look = self.judge(&observed, since);
            match self.decide(&look) {
                Next::Refuse(refusal) | Next::Await(refusal) => {
                    return Err(Error::Refused(refusal));
                }
                Next::Start | Next::Work => (),
            }
            if let (AutoMigration::True, true, State::Ready | State::Pending(_), Some(chain)) =
                (self.config.auto_migration, look.external, &look.state, self.chain)
            {
                let agreed = apply::agree(locked, chain, &observed, &look.heads_text()).await;
                agreed.map_err(Error::Apply)?;
                unsettled = Some(observed);
                continue;
            }
            let (AutoMigration::True, State::Pending(plan), Some(chain)) =
                (self.config.auto_migration, &look.state, self.chain)
            else {
                return Ok(look);
            };
            if applied {
                let (target, pending) = (chain.target_text.clone(), plan.steps.len());
                return Err(match &chain.alembic {
                    None => Error::Unreached { target, pending },
                    Some(alembic) => {
                        let (at, table) = (look.heads_text(), alembic.versions.to_string());
                        Error::Elsewhere { target, table, at, pending }
                    }
                });
            }
            if chain.alembic.is_some() {
                apply::delegate(locked, self.config, chain, plan, look.heads.clone(), self.signals)
                    .await
                    .map_err(Error::Migration)?;
                applied = true;
                continue;
            }
            let heads = look.heads.clone();
            let work = Work::of_plan(chain, plan, heads, &observed, self.config, self.signals);
            let work = work.map_err(Error::Chain)?;
            match apply::apply(locked, &work, Patience::of(self.config)).await {
                Ok(()) => applied = true,
                // Each time something has changed, so that this comes to an end.
                Err(error @ ApplyError::Overtaken { .. }) => {
                    warn!(
                        stage = %Stage::Apply, event = "overtaken", why = error.to_string(),
                        "somebody works beside us past the lock; looks again"
                    );
                    unsettled = Some(observed);
                }
                Err(error) => return Err(Error::Apply(error)),
            }
        }
    }
}
