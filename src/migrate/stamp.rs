//! What changes the ledger alone: `database stamp` says where the schema is, `database accept` that a
//! script which was changed after it had been applied is right.

use std::{collections::BTreeSet, time::Duration};

use similar::TextDiff;
use tracing::info;

use super::{
    MigrateError, agreed,
    course::{self, Course, heads_text},
    differs,
    error::named,
    locked, scripts, seen,
};
use crate::{
    apply::ledger_row,
    database::{reading::Reading, write},
    db::{Correction, Entry, Event, Kept, LedgerRow, Observed, Origin, Turn},
    error::Error,
    files::Chain,
    graph::{Graph, RouteError, Way, revision::RevisionId, target::Target},
    plan::{self, Next, Refusal, agreement},
    script::Direction,
    stage::Stage,
};

/// Sets the ledger to where the schema is said to be.
pub(super) async fn stamp(
    reading: &Reading<'_>,
    target: &Target,
    purge: bool,
) -> Result<(), Error> {
    let chain = scripts(reading, false)?;
    let mut database = reading.open(chain.version_table()).await?;
    let (observed, kept) = seen(reading, &mut database, &chain).await?;
    let stamp = |observed: &Observed| {
        if purge {
            Stamp::purged(&chain, observed, target)
        } else {
            Stamp::moved(&chain, observed, &kept, target)
        }
    };
    let seen = stamp(&observed).map_err(Error::Migrate)?;
    if seen.is_nothing() && !differs(&chain, &observed) {
        info!(stage = %Stage::Plan, event = "unneeded", "the ledger says so already; nothing to do");
        database.close().await;
        return Ok(());
    }
    let Some(mut locked) = locked(reading, database, |_| Next::Work).await? else { return Ok(()) };
    let stamped = async {
        let observed = if purge {
            locked.look().await.map_err(Error::Locked)?
        } else {
            agreed(&mut locked, &chain, &kept).await?
        };
        let stamp = stamp(&observed).map_err(Error::Migrate)?;
        // Counted from where the database was, and that has another meaning now.
        if stamp.at != seen.at {
            return Err(Error::Migrate(MigrateError::Moved));
        }
        locked.create_tables().await.map_err(Error::Locked)?;
        let at = stamp.at.clone();
        let (correction, entry) = stamp.into_correction();
        if !locked.correct(&correction, &[entry]).await.map_err(Error::Locked)? {
            return Err(Error::Migrate(MigrateError::Moved));
        }
        info!(stage = %Stage::Apply, event = "stamped", at = named(&at), "the ledger says where the database is");
        Ok(())
    };
    let stamped = stamped.await;
    locked.release().await;
    stamped
}

/// What changes in the ledger.
struct Stamp {
    expected: BTreeSet<String>,
    gone: Vec<String>,
    come: Vec<LedgerRow>,
    /// How the version table turns, where one is kept in step.
    turn: Option<Turn>,
    /// Where the database is then said to be.
    at: Vec<String>,
    heads: String,
}

impl Stamp {
    /// The rows between where the ledger is and the target come or go.
    fn moved(
        chain: &Chain,
        observed: &Observed,
        kept: &[Kept],
        target: &Target,
    ) -> Result<Self, MigrateError> {
        let course = Course::find(chain, observed, kept, target)?;
        let observed = &*plan::applied(chain, observed);
        let mut after = course.recorded.clone();
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        match &course.route.way {
            Way::There => {}
            Way::Up(steps) => {
                course.knows_all(chain)?;
                come = rows(chain, steps);
                after.extend(steps.iter().map(ToString::to_string));
            }
            Way::Down(steps) => {
                gone = steps.iter().map(ToString::to_string).collect();
                after.retain(|id| !gone.contains(id));
            }
        }
        // What is half gone and said to be there is whole again, and forgets how far it had gone.
        let half =
            observed.ledger.iter().filter(|row| row.reverting && after.contains(&row.revision));
        for row in half {
            let script = chain.scripts.get(row.revision.as_str());
            let id = script.map(|script| script.revision.id.clone()).ok_or_else(|| {
                let revisions = vec![row.revision.clone()];
                MigrateError::Refused(Refusal::HalfReverted { revisions })
            })?;
            gone.push(row.revision.clone());
            come.extend(rows(chain, &[id]));
        }
        let at = course.route.to.iter().map(ToString::to_string).collect();
        let heads = heads_text(&course.graph, &after);
        let turn = turn(chain, observed, &course.graph, &after);
        Ok(Self { expected: course.recorded, gone, come, turn, at, heads })
    }

    /// All rows go, and those of the target come.
    fn purged(chain: &Chain, observed: &Observed, target: &Target) -> Result<Self, MigrateError> {
        let expected: BTreeSet<String> =
            observed.ledger.iter().map(|row| row.revision.clone()).collect();
        let graph = &chain.graph;
        let route = graph.route(&BTreeSet::new(), target).map_err(MigrateError::Route)?;
        let steps = match &route.way {
            Way::Up(steps) => steps.as_slice(),
            Way::There | Way::Down(_) => &[],
        };
        let after: BTreeSet<String> = steps.iter().map(ToString::to_string).collect();
        Ok(Self {
            gone: expected.iter().cloned().collect(),
            expected,
            come: rows(chain, steps),
            turn: turn(chain, observed, graph, &after),
            at: route.to.iter().map(ToString::to_string).collect(),
            heads: heads_text(graph, &after),
        })
    }

    fn is_nothing(&self) -> bool {
        let turns = self.turn.as_ref().is_some_and(|turn| turn.before != turn.after);
        self.gone.is_empty() && self.come.is_empty() && !turns
    }

    fn into_correction(self) -> (Correction, Entry) {
        let subject = if self.at.is_empty() { "base".to_owned() } else { self.at.join(",") };
        let entry = Entry { event: Event::Stamp, subject, heads: self.heads, took: Duration::ZERO };
        let Self { expected, gone, come, turn, .. } = self;
        (Correction::Stamp { expected, gone, come, turn }, entry)
    }
}

/// What the version table has, and what it shall have.
fn turn(
    chain: &Chain,
    observed: &Observed,
    graph: &Graph,
    after: &BTreeSet<String>,
) -> Option<Turn> {
    chain.kept_versions()?;
    let before = agreement::rows(observed);
    Some(Turn { create: !observed.has_versions, before, after: agreement::rows_of(graph, after) })
}

fn rows(chain: &Chain, steps: &[RevisionId]) -> Vec<LedgerRow> {
    let scripts = steps.iter().filter_map(|id| chain.scripts.get(id));
    scripts.map(|script| ledger_row(&chain.graph, script, chain.engine, Origin::Stamp)).collect()
}

/// Accepts the script of a revision as it is now, after it had been applied as it was.
pub(super) async fn accept(reading: &Reading<'_>, target: &Target) -> Result<(), Error> {
    let chain = scripts(reading, false)?;
    let id = one(&chain.graph, target).map_err(Error::Migrate)?;
    let Some(script) = chain.scripts.get(&id) else { return Ok(()) };
    let mut database = reading.open(chain.version_table()).await?;
    let (observed, kept) = seen(reading, &mut database, &chain).await?;
    let Some(from) =
        changed(&observed, &id, script.checksum(chain.engine).as_str()).map_err(Error::Migrate)?
    else {
        info!(stage = %Stage::Plan, event = "unneeded", revision = %id,
              "its script is the one that was applied; nothing to accept");
        database.close().await;
        return Ok(());
    };
    let row = kept.iter().find(|row| row.revision == id.as_str());
    let was = row.and_then(|row| row.up.as_deref()).unwrap_or_default();
    let is = script.text(chain.engine, Direction::Up);
    let path = script.revision.place.path.display().to_string();
    let difference = TextDiff::from_lines(was, &is);
    let page = difference.unified_diff().header("as it was applied", &path).to_string();
    write(&page).map_err(Error::Output)?;

    let Some(mut locked) = locked(reading, database, |_| Next::Work).await? else { return Ok(()) };
    let accepted = async {
        let observed = agreed(&mut locked, &chain, &kept).await?;
        let recorded = observed.ledger.iter().map(|row| row.revision.clone()).collect();
        let graph = course::union(&chain, &recorded, &kept).map_err(Error::Migrate)?;
        let row = ledger_row(&chain.graph, script, chain.engine, Origin::Upgrade);
        let (subject, heads) = (id.to_string(), heads_text(&graph, &recorded));
        let entry = Entry { event: Event::Accept, subject, heads, took: Duration::ZERO };
        locked.create_tables().await.map_err(Error::Locked)?;
        let accept = Correction::Accept { row, from };
        if !locked.correct(&accept, &[entry]).await.map_err(Error::Locked)? {
            return Err(Error::Migrate(MigrateError::Moved));
        }
        info!(stage = %Stage::Apply, event = "accepted", revision = %id,
              "the ledger has the script as it is now");
        Ok(())
    };
    let accepted = accepted.await;
    locked.release().await;
    accepted
}

/// The one revision that is meant.
fn one(graph: &Graph, target: &Target) -> Result<RevisionId, MigrateError> {
    let found = graph.resolve(target);
    match found.map_err(|error| MigrateError::Route(RouteError::Target(error)))?.as_slice() {
        [id] => Ok(id.clone()),
        _ => Err(MigrateError::NotOne { target: target.to_string() }),
    }
}

/// The checksum of what was applied, if that was another script.
fn changed(
    observed: &Observed,
    id: &RevisionId,
    now: &str,
) -> Result<Option<String>, MigrateError> {
    let row = observed.ledger.iter().find(|row| row.revision == id.as_str());
    let row = row.ok_or_else(|| MigrateError::NotApplied { revision: id.to_string() })?;
    Ok(row.checksum.clone().filter(|applied| applied != now))
}
