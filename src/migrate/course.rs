//! From what the ledger holds to a target: the route, and the scripts to take it with.
//!
//! It promises a route over everything that is applied, be it known here or not. A revision that no
//! script here has stands in the graph as the ledger remembers it. Its way back is the down section
//! that the ledger keeps; so is that of a revision whose script was changed after it had been
//! applied, since the new text belongs to a schema that was never there.
//!
//! Surprising: `head` is the head of the scripts here. For an older image that may lie behind what
//! is applied, and then it is the way back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use tracing::info;

use super::{MigrateError, error::named};
use crate::{
    apply::{Asked, Hands, Work},
    db::{Kept, Observed},
    files::{self, Chain, ChainError},
    graph::{
        Destination, Graph, Route, RouteError, Way,
        revision::{Place, Revision, RevisionId},
        target::Target,
    },
    look::joined,
    plan::{self, Refusal, agreement},
    script::{Direction, Script},
    stage::Stage,
};

/// A route with all that is needed to take it.
#[derive(Debug)]
pub(super) struct Course {
    /// Of the scripts here, and of what the ledger remembers besides.
    pub(super) graph: Graph,
    /// The way.
    pub(super) route: Route,
    /// What is applied.
    pub(super) recorded: BTreeSet<String>,
    /// The rows of the version table, where one is kept in step.
    versions: Option<BTreeSet<String>>,
    /// The ways back from revisions whose script is not here as it was applied.
    kept: BTreeMap<RevisionId, Option<Script>>,
}

impl Course {
    /// Finds the way, if what is applied lets it be taken.
    pub(super) fn plot(
        chain: &Chain,
        observed: &Observed,
        kept: &[Kept],
        target: &Target,
    ) -> Result<Self, MigrateError> {
        let course = Self::find(chain, observed, kept, target)?;
        course.allowed(chain, observed)?;
        Ok(course)
    }

    /// Finds the way. `kept` are the rows of what the scripts here do not have.
    pub(super) fn find(
        chain: &Chain,
        observed: &Observed,
        kept: &[Kept],
        target: &Target,
    ) -> Result<Self, MigrateError> {
        let observed = &*plan::applied(chain, observed);
        let recorded: BTreeSet<String> =
            observed.ledger.iter().map(|row| row.revision.clone()).collect();
        if observed.opaque {
            let strange = |id: &&String| chain.graph.get_str(id).is_none();
            let unknown = recorded.iter().filter(strange).cloned().collect();
            return Err(MigrateError::Route(RouteError::Unknown { unknown }));
        }
        let graph = union(chain, &recorded, kept)?;
        let to = |target| chain.graph.resolve(target).map(Destination::At);
        let destination = match target {
            Target::Head | Target::Heads | Target::LabelHead(_) => to(target),
            Target::Base
            | Target::Name(_)
            | Target::Up(_)
            | Target::Down(_)
            | Target::LabelBase(_)
            | Target::LabelUp(..)
            | Target::LabelDown(..) => graph.destination(target, &recorded),
        };
        let destination =
            destination.map_err(|error| MigrateError::Route(RouteError::Target(error)))?;
        let route = graph.route_to(&recorded, &destination).map_err(MigrateError::Route)?;
        let kept = ways_back(&graph, kept)?;
        let versions = chain.kept_versions().map(|_| agreement::rows(observed));
        Ok(Self { graph, route, recorded, versions, kept })
    }

    /// The way between two places that nobody has to ask a database about.
    pub(super) fn offline(
        graph: Graph,
        recorded: BTreeSet<String>,
        target: &Target,
        keeps_versions: bool,
    ) -> Result<Self, MigrateError> {
        let versions = keeps_versions.then(|| agreement::rows_of(&graph, &recorded));
        let route = graph.route(&recorded, target).map_err(MigrateError::Route)?;
        Ok(Self { graph, route, recorded, versions, kept: BTreeMap::new() })
    }

    /// Nothing is built upon what is not what the scripts here say.
    fn allowed(&self, chain: &Chain, observed: &Observed) -> Result<(), MigrateError> {
        let observed = &*plan::applied(chain, observed);
        match (&self.route.way, plan::wrong(chain, observed)) {
            // It ends where it began: with what is half gone already.
            (Way::Down(steps), Some(Refusal::HalfReverted { revisions }))
                if revisions.iter().all(|id| steps.iter().any(|step| step.as_str() == id)) =>
            {
                Ok(())
            }
            (Way::Up(_), Some(refusal)) | (_, Some(refusal @ Refusal::HalfReverted { .. })) => {
                Err(MigrateError::Refused(refusal))
            }
            (Way::Up(_), None) => self.knows_all(chain),
            (Way::There | Way::Down(_), _) => Ok(()),
        }
    }

    /// Whether the scripts here are all that is applied: what else there is could need what comes.
    pub(super) fn knows_all(&self, chain: &Chain) -> Result<(), MigrateError> {
        let strange = |id: &&String| chain.graph.get_str(id).is_none();
        let unknown: Vec<String> = self.recorded.iter().filter(strange).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(MigrateError::Route(RouteError::Unknown { unknown }))
    }

    /// The same, and with who takes those that are Alembic's.
    pub(super) fn work_with<'a>(
        &'a self,
        chain: &'a Chain,
        asked: Asked<'a>,
    ) -> Result<Work<'a>, MigrateError> {
        let hands = match &self.route.way {
            Way::Up(steps) => Hands::of(chain, asked, steps).map_err(MigrateError::Scripts)?,
            Way::There | Way::Down(_) => None,
        };
        Ok(Work { hands, ..self.work(chain)? })
    }

    /// The steps with their scripts, or every fault in these.
    pub(super) fn work<'a>(&'a self, chain: &'a Chain) -> Result<Work<'a>, MigrateError> {
        let (direction, steps) = match &self.route.way {
            Way::There => (Direction::Up, &Vec::new()),
            Way::Up(steps) => (Direction::Up, steps),
            Way::Down(steps) => (Direction::Down, steps),
        };
        let mut scripts = Vec::new();
        for id in steps {
            scripts.push(self.script(chain, id, direction)?);
        }
        let steps = files::statements(scripts, chain.engine, direction);
        let steps = steps.map_err(MigrateError::Scripts)?;
        Ok(Work {
            direction,
            engine: chain.engine,
            graph: &self.graph,
            steps,
            recorded: self.recorded.clone(),
            heads: heads(&self.graph, &self.recorded),
            versions: self.versions.clone(),
            hands: None,
        })
    }

    fn script<'a>(
        &'a self,
        chain: &'a Chain,
        id: &RevisionId,
        direction: Direction,
    ) -> Result<&'a Script, MigrateError> {
        let script = match direction {
            Direction::Up => chain.scripts.get(id),
            Direction::Down => match self.kept.get(id) {
                Some(kept) => kept.as_ref(),
                None => chain.scripts.get(id),
            },
        };
        let Some(script) = script else {
            return Err(MigrateError::NotKept { revision: id.to_string() });
        };
        let is_delegated = direction == Direction::Up && script.delegates(chain.engine);
        if is_delegated || script.serves(chain.engine, direction) {
            return Ok(script);
        }
        if script.delegates(chain.engine) {
            let (revision, place) = (id.to_string(), script.revision.place.clone());
            return Err(MigrateError::DelegatedBack { revision, place });
        }
        Err(MigrateError::NoDown {
            revision: id.to_string(),
            place: script.revision.place.clone(),
            engine: chain.engine.name(),
        })
    }

    /// Says where the way back comes from, where it is not from the scripts here.
    pub(super) fn tell(&self) {
        let Way::Down(steps) = &self.route.way else { return };
        for id in steps.iter().filter(|id| self.kept.contains_key(*id)) {
            info!(
                stage = %Stage::Plan, event = "from_ledger", revision = %id,
                "its script is not here as it was applied; takes the way back from the ledger"
            );
        }
    }

    /// Where the database is.
    pub(super) fn at(&self) -> &[RevisionId] {
        &self.route.from
    }

    pub(super) fn at_text(&self) -> String {
        named(&self.at().iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// The heads as the history keeps them: recorded revisions that no recorded one follows.
pub(super) fn heads(graph: &Graph, recorded: &BTreeSet<String>) -> BTreeSet<String> {
    let is_recorded = |id: &&RevisionId| recorded.contains(id.as_str());
    let ids = graph.revisions().map(|revision| &revision.id).filter(is_recorded);
    ids.filter(|id| !graph.children(id).iter().any(is_recorded)).map(ToString::to_string).collect()
}

/// The revisions here, and those that only the ledger knows.
pub(super) fn union(
    chain: &Chain,
    recorded: &BTreeSet<String>,
    kept: &[Kept],
) -> Result<Graph, MigrateError> {
    let unknown = |id: &&String| chain.graph.get_str(id).is_none();
    let mut revisions = Vec::new();
    for id in recorded.iter().filter(unknown) {
        // It came after the look that told which texts were needed.
        let row = kept.iter().find(|row| row.revision == *id).ok_or(MigrateError::Moved)?;
        revisions.push(remembered(chain, row)?);
    }
    if revisions.is_empty() {
        return Ok(chain.graph.clone());
    }
    let mut all: Vec<Revision> = chain.graph.revisions().cloned().collect();
    all.extend(revisions);
    Graph::new(all).map_err(MigrateError::Ledger)
}

/// A revision as the ledger remembers it.
fn remembered(chain: &Chain, row: &Kept) -> Result<Revision, MigrateError> {
    let id =
        |text: &String| RevisionId::new(text).map_err(|_| MigrateError::StrangeId(text.clone()));
    let is_free = |tag: &&String| chain.graph.revisions().all(|one| one.tag.as_ref() != Some(tag));
    Ok(Revision {
        id: id(&row.revision)?,
        parents: row.parents.iter().map(id).collect::<Result<_, _>>()?,
        depends_on: row.depends_on.clone(),
        labels: Vec::new(),
        tag: row.tag.as_ref().filter(is_free).cloned(),
        title: row.title.clone(),
        created: None,
        place: place(row),
    })
}

/// The ways back that the ledger keeps, if it keeps one.
fn ways_back(
    graph: &Graph,
    kept: &[Kept],
) -> Result<BTreeMap<RevisionId, Option<Script>>, MigrateError> {
    let mut ways = BTreeMap::new();
    for row in kept {
        let Some(revision) = graph.get_str(&row.revision) else { continue };
        let mut revision = revision.clone();
        let id = revision.id.clone();
        revision.place = place(row);
        let script = row.down.as_ref().map(|down| Script::from_kept(revision, down)).transpose();
        let script = script.map_err(|faults| MigrateError::Kept(ChainError::Scripts(faults)))?;
        ways.insert(id, script);
    }
    Ok(ways)
}

/// Where the text of a row is, for messages about it.
fn place(row: &Kept) -> Place {
    Place { path: PathBuf::from(format!("prelaunch_ledger({})", row.revision)), line: 1 }
}

/// Heads with commas.
pub(super) fn heads_text(graph: &Graph, recorded: &BTreeSet<String>) -> String {
    joined(&heads(graph, recorded))
}
