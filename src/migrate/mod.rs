//! The verbs of the terminal that change a database: `database migrate`, `stamp`, `accept`.
//!
//! They are the flow of a run, stopped before the server: scripts, wait, look, and then under the
//! lock the same look again. What a run decides by its variables is decided here by flags: any
//! target, and back only where that was allowed and confirmed. Hooks and reindexing are a run's.
//!
//! - `course` from what the ledger holds to a target: the route and the scripts for it
//! - `goal` the target on the command line
//! - `pages` a route for people and machines
//! - `consent` may it go back? asks at a terminal
//! - `offline` routes without a database; the script of `--sql`
//! - `stamp` `database stamp` and `database accept`
//!
//! What a reader may not expect: the database may have revisions that no script here has. Their way
//! back is in the ledger, so that an older image can take back what a newer one brought; for
//! `head` it is the older image that says where that is.

mod consent;
mod course;
pub mod error;
pub mod goal;
mod offline;
mod pages;
mod stamp;

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
};

use tracing::info;

pub use self::error::MigrateError;
use self::{course::Course, error::named, goal::Goal};
use crate::{
    apply::{self, ApplyError, Patience},
    cli::{Change, Migrate},
    config::Config,
    database::{pages::Paint, reading::Reading, write},
    db::{Database, Kept, Locked, Observed},
    error::Error,
    files::{Chain, ChainError},
    graph::{Way, target::Target},
    lock::{self, Turn},
    plan::{
        self, Next, Refusal,
        agreement::{self, Standing},
    },
    signals::Signals,
    stage::Stage,
};

/// Changes a database, or says how it would be changed.
pub fn run(
    config: &Config,
    chain: Option<&str>,
    change: &Change,
    signals: &Arc<Signals>,
) -> Result<ExitCode, Error> {
    let reading = Reading::of(config, chain, signals)?;
    let changed = to_its_end(async {
        match change {
            Change::Migrate(asked) => Box::pin(migrate(&reading, asked, false)).await,
            Change::Stamp { target, purge } => {
                Box::pin(stamp::stamp(&reading, target, *purge)).await
            }
            Change::Accept { revision } => Box::pin(stamp::accept(&reading, revision)).await,
        }
    });
    changed.map(|()| ExitCode::SUCCESS)
}

/// Migrates a throwaway database, whose losses nobody has to be shown, to any target.
pub fn throwaway(config: &Config, target: &Target, signals: &Arc<Signals>) -> Result<(), Error> {
    let asked = Migrate {
        revision: Goal { from: None, to: target.clone() },
        plan: false,
        json: false,
        sql: false,
        offline: false,
        from: Vec::new(),
        engine: None,
        allow_downgrade: true,
        yes: true,
    };
    let reading = Reading::of(config, None, signals)?;
    to_its_end(Box::pin(migrate(&reading, &asked, true)))
}

fn to_its_end(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Setup)?;
    let done = runtime.block_on(work);
    // A look-up of a name may block its thread for long, and must not hold us.
    runtime.shutdown_background();
    done
}

/// Migrates to a target, or says how.
async fn migrate(reading: &Reading<'_>, asked: &Migrate, throwaway: bool) -> Result<(), Error> {
    let paint = Paint { on: io::stdout().is_terminal() };
    if asked.offline || asked.revision.from.is_some() {
        let text = offline::answer(reading, asked, paint).await?;
        return write(&text).map_err(Error::Output);
    }
    let chain = scripts(reading, true)?;
    let mut database = reading.open(chain.version_table()).await?;
    let (observed, kept) = seen(reading, &mut database, &chain).await?;
    let target = &asked.revision.to;
    let course = Course::plot(&chain, &observed, &kept, target).map_err(Error::Migrate)?;
    if asked.plan || asked.sql {
        let text = if asked.sql {
            // What of it has run is in the journal, which a script cannot go on from.
            let applied = plan::applied(&chain, &observed);
            if let Some(half @ Refusal::HalfReverted { .. }) = plan::wrong(&chain, &applied) {
                return Err(Error::Migrate(MigrateError::Refused(half)));
            }
            if differs(&chain, &observed) && observed.has_versions {
                return Err(Error::Migrate(MigrateError::Unrecorded));
            }
            let schema = database.schema();
            offline::script(&course, &chain, &schema, reading.config).map_err(Error::Migrate)?
        } else {
            pages::plan(&course, &chain, asked.json, paint).map_err(Error::Migrate)?
        };
        database.close().await;
        return write(&text).map_err(Error::Output);
    }
    if let (Way::There, false) = (&course.route.way, differs(&chain, &observed)) {
        info!(
            stage = %Stage::Plan, event = "unneeded", at = course.at_text(),
            "the database is there; nothing to do"
        );
        database.close().await;
        return Ok(());
    }
    // What is wrong with the scripts comes to light before anybody is asked, and before the lock.
    course.work_with(&chain, asked_of(reading)).map_err(Error::Migrate)?;
    if let Way::Down(_) = course.route.way
        && !throwaway
    {
        consent::ask(&course, &chain, asked, reading.signals, paint)?;
    }
    let judge = |observed: &Observed| match Course::plot(&chain, observed, &kept, target) {
        Ok(course) if course.route.way == Way::There && !differs(&chain, observed) => Next::Start,
        // What stands in the way is said under the lock.
        Ok(_) | Err(_) => Next::Work,
    };
    let Some(mut locked) = locked(reading, database, judge).await? else { return Ok(()) };
    let migrated = under_the_lock(&mut locked, &chain, &kept, target, &course, reading).await;
    locked.release().await;
    migrated
}

/// The scripts; an Alembic environment has none, whatever Python may know of it.
fn scripts(reading: &Reading<'_>, offline: bool) -> Result<Chain, Error> {
    let of_alembic = Error::Migrate(MigrateError::Alembic);
    match reading.chain_in_text(offline) {
        Ok(chain) if chain.alembic.is_some() => Err(of_alembic),
        Err(Error::Chain(ChainError::Alembic(error))) if error.python_may_know() => Err(of_alembic),
        loaded => loaded,
    }
}

/// What the database remembers, with the texts of what the scripts here do not have.
async fn seen(
    reading: &Reading<'_>,
    database: &mut Database,
    chain: &Chain,
) -> Result<(Observed, Vec<Kept>), Error> {
    let looked = Box::pin(async {
        let observed = database.look().await?;
        let unknown = observed.ledger.iter().map(|row| &row.revision);
        let unknown = unknown.filter(|id| chain.graph.get_str(id).is_none()).cloned();
        let changed = plan::changed(chain, &observed).map(|script| script.revision.id.to_string());
        let wanted: Vec<String> = unknown.chain(changed).collect();
        let kept = database.kept(&wanted).await?;
        Ok((observed, kept))
    });
    let looked = reading.stopped_by_a_signal(looked).await?;
    let url = reading.url(false)?;
    looked.map_err(|error| Error::unreadable(error, url, database))
}

/// The lock; none if meanwhile somebody else has done all of it.
async fn locked(
    reading: &Reading<'_>,
    database: Database,
    judge: impl Fn(&Observed) -> Next,
) -> Result<Option<Box<Locked>>, Error> {
    let terms = lock::terms(reading.config, reading.signals);
    let turn = Box::pin(lock::acquire(database, terms, judge)).await;
    match turn.map_err(Error::Lock)? {
        Turn::Ours(locked) => Ok(Some(locked)),
        Turn::Unneeded => Ok(None),
    }
}

/// How Alembic would be run.
fn asked_of<'a>(reading: &Reading<'a>) -> apply::Asked<'a> {
    apply::Asked { config: reading.config, chain: reading.chain, signals: reading.signals }
}

/// Whether another tool has migrated the database, and the ledger does not say so.
fn differs(chain: &Chain, observed: &Observed) -> bool {
    matches!(agreement::standing(chain, observed), Standing::Differs(_))
}

/// What is applied.
fn recorded(chain: &Chain, observed: &Observed) -> BTreeSet<String> {
    let applied = plan::applied(chain, observed);
    applied.ledger.iter().map(|row| row.revision.clone()).collect()
}

/// What is remembered under the lock, once the ledger says what another tool has done.
async fn agreed(locked: &mut Locked, chain: &Chain, kept: &[Kept]) -> Result<Observed, Error> {
    let observed = locked.look().await.map_err(Error::Locked)?;
    if !differs(chain, &observed) {
        return Ok(observed);
    }
    let recorded = recorded(chain, &observed);
    let graph = course::union(chain, &recorded, kept).map_err(Error::Migrate)?;
    let heads = course::heads_text(&graph, &recorded);
    apply::agree(locked, chain, &observed, &heads).await.map_err(Error::Apply)?;
    let observed = locked.look().await.map_err(Error::Locked)?;
    if differs(chain, &observed) {
        return Err(Error::Migrate(MigrateError::Moved));
    }
    Ok(observed)
}

/// Takes the steps, and looks whether they led there.
async fn under_the_lock(
    locked: &mut Locked,
    chain: &Chain,
    kept: &[Kept],
    target: &Target,
    consented: &Course,
    reading: &Reading<'_>,
) -> Result<(), Error> {
    let observed = agreed(locked, chain, kept).await?;
    let course = Course::plot(chain, &observed, kept, target).map_err(Error::Migrate)?;
    match (&course.route.way, &consented.route.way) {
        (Way::There, _) => return Ok(()),
        // Another runner may have come part of the way.
        (Way::Up(_), Way::Up(_)) => {}
        // What goes is what was shown, or nothing.
        (now, then) if now == then => {}
        (Way::Up(_) | Way::Down(_), _) => return Err(Error::Migrate(MigrateError::Moved)),
    }
    course.tell();
    let work = course.work_with(chain, asked_of(reading)).map_err(Error::Migrate)?;
    let applied = apply::apply(locked, &work, Patience::of(reading.config)).await;
    applied.map_err(|error| {
        let overtaken = matches!(error, ApplyError::Overtaken { .. });
        if overtaken { Error::Migrate(MigrateError::Moved) } else { Error::Apply(error) }
    })?;
    let observed = locked.look().await.map_err(Error::Locked)?;
    let recorded = recorded(chain, &observed);
    let graph = course::union(chain, &recorded, kept).map_err(Error::Migrate)?;
    // Not by the target: one that is counted from where the database is means another place now,
    // or none.
    let reached = graph.current(&recorded);
    let at = named(&reached.iter().map(ToString::to_string).collect::<Vec<_>>());
    if reached == course.route.to {
        info!(stage = %Stage::Apply, event = "migrated", at, "the database is there");
        Ok(())
    } else {
        Err(Error::Migrate(MigrateError::Elsewhere { target: target.to_string(), at }))
    }
}
