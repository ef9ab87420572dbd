//! The way from what is recorded to a target: which revisions to apply, or which to revert.
//!
//! It promises steps that can be taken as they stand: going up, what a revision follows or depends
//! on is recorded or comes before it; going back, whatever follows or depends on it has gone
//! before it. No route does both.
//!
//! The direction follows from the target and from what is recorded, by one rule: to a revision
//! that is not recorded it is up; to one that is, everything recorded that follows it is reverted,
//! and where nothing does there is nothing to do. So it is the caller who decides whether a route
//! may be taken (a route back only when that was allowed), and who says that one is empty.
//!
//! What *depends* on the target stays: it asks for the target to be there. As in Alembic, going
//! back takes along what depends on a reverted revision.

use std::collections::BTreeSet;

use super::{
    Destination, Graph, TargetError,
    resolve::{LISTED, list},
    revision::RevisionId,
    target::Target,
};

/// Where the database is, where it will be, and how it comes there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// What the database is at, in order.
    pub from: Vec<RevisionId>,
    /// What it will be at, in order.
    pub to: Vec<RevisionId>,
    /// How.
    pub way: Way,
}

/// The steps of a route, in the order in which they are taken; there is at least one in each
/// direction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// The target is reached, and nothing that follows it is recorded.
    There,
    /// To be applied.
    Up(Vec<RevisionId>),
    /// To be reverted.
    Down(Vec<RevisionId>),
}

/// Why there is no route.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouteError {
    /// The target leads nowhere.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Revisions are recorded that the graph does not know: what they need cannot be told.
    #[error(
        "the database has {} here has: {}; use the image that brought {}",
        if .unknown.len() == 1 { "a revision that no script" } else { "revisions that no script" },
        list(.unknown, LISTED),
        if .unknown.len() == 1 { "it" } else { "them" }
    )]
    Unknown {
        /// Which, sorted.
        unknown: Vec<String>,
    },
    /// What is to be applied was put in below something that is recorded.
    #[error(
        "{} not applied, but {} {}; let new revisions follow the head",
        is(.missing),
        list(.after, LISTED),
        if .after.len() == 1 { "that follows is" } else { "that follow are" }
    )]
    Gap {
        /// What would have to be applied now, in order.
        missing: Vec<RevisionId>,
        /// What is recorded and follows or needs it, in order.
        after: Vec<RevisionId>,
    },
}

fn is(ids: &[RevisionId]) -> String {
    format!("{} {}", list(ids, LISTED), if ids.len() == 1 { "is" } else { "are" })
}

impl Graph {
    /// The route to a target of a database in which `recorded` is applied: all of it, not the
    /// heads alone.
    pub fn route(&self, recorded: &BTreeSet<String>, target: &Target) -> Result<Route, RouteError> {
        let destination = self.destination(target, recorded)?;
        self.route_to(recorded, &destination)
    }

    /// The same to where a target leads, be it looked up in another graph.
    pub fn route_to(
        &self,
        recorded: &BTreeSet<String>,
        destination: &Destination,
    ) -> Result<Route, RouteError> {
        let unknown: Vec<String> =
            recorded.iter().filter(|id| self.get_str(id).is_none()).cloned().collect();
        if !unknown.is_empty() {
            return Err(RouteError::Unknown { unknown });
        }
        let way = match destination {
            Destination::At(ids) => {
                let missing: Vec<RevisionId> =
                    ids.iter().filter(|id| !recorded.contains(id.as_str())).cloned().collect();
                if missing.is_empty() {
                    let following = ids.iter().flat_map(|id| self.children(id)).cloned();
                    back(self.down(recorded, &following.collect::<Vec<_>>()))
                } else {
                    Way::Up(self.up(recorded, &missing)?)
                }
            }
            Destination::Before(ids) => back(self.down(recorded, ids)),
        };
        let mut after = recorded.clone();
        match &way {
            Way::There => {}
            Way::Up(steps) => after.extend(steps.iter().map(ToString::to_string)),
            Way::Down(steps) => {
                for step in steps {
                    after.remove(step.as_str());
                }
            }
        }
        Ok(Route { from: self.current(recorded), to: self.current(&after), way })
    }

    /// What must be applied to have these revisions, in order; nothing if they and all that must
    /// come before them are recorded. The one error is [`RouteError::Gap`].
    pub fn up(
        &self,
        recorded: &BTreeSet<String>,
        to: &[RevisionId],
    ) -> Result<Vec<RevisionId>, RouteError> {
        let applied = self.recorded_marks(recorded);
        let mut steps = self.marks(to);
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if steps[at] {
                for &before in node.parents.iter().chain(&node.dependencies) {
                    steps[before] = true;
                }
            }
        }
        for (step, applied) in steps.iter_mut().zip(&applied) {
            *step &= !applied;
        }
        let after = self.all_of(&applied, &self.and_what_needs(&steps));
        let missing = self.all_of(&steps, &steps);
        if after.is_empty() { Ok(missing) } else { Err(RouteError::Gap { missing, after }) }
    }

    /// What must be reverted so that none of these revisions is there, in order: they, and all
    /// that follows or depends on one that goes, as far as it is recorded.
    #[must_use]
    pub fn down(&self, recorded: &BTreeSet<String>, before: &[RevisionId]) -> Vec<RevisionId> {
        let gone = self.and_what_needs(&self.marks(before));
        let mut steps = self.all_of(&self.recorded_marks(recorded), &gone);
        steps.reverse();
        steps
    }

    /// The marked revisions and all that cannot be without them.
    fn and_what_needs(&self, marks: &[bool]) -> Vec<bool> {
        let mut needs = marks.to_vec();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut before = node.parents.iter().chain(&node.dependencies);
            needs[at] |= before.any(|&before| needs[before]);
        }
        needs
    }

    /// The revisions with both marks, in order.
    fn all_of(&self, one: &[bool], other: &[bool]) -> Vec<RevisionId> {
        (0..self.len())
            .filter(|&at| one[at] && other[at])
            .map(|at| self.id_at(at).clone())
            .collect()
    }
}

fn back(steps: Vec<RevisionId>) -> Way {
    if steps.is_empty() { Way::There } else { Way::Down(steps) }
}
