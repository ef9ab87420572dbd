//! The revision graph: what the image brings, as nouns and decisions over them, without any I/O.
//!
//! A [`Graph`] is sound by construction: [`Graph::new`] either names every fault or gives a graph
//! in which each parent and dependency is there, ids, tags and labels name one thing each, and
//! nothing waits for itself. So the questions here have answers and no errors; only a target that
//! somebody typed can fail ([`Graph::resolve`], [`Graph::destination`]), or the way to it from what
//! a database has recorded ([`Graph::route`]).
//!
//! What a reader may not expect: *order* is everywhere the one topological order, in which ties
//! are broken by the order in which the revisions were given. Parents and dependencies both count
//! for that order and for [`Graph::with_ancestors`], whereas heads, roots, children and
//! [`Graph::newer_than`] follow parents alone, as in Alembic.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use revision::{Revision, RevisionId};

mod build;
mod destination;
#[cfg(test)]
pub(crate) mod notation;
mod order;
mod resolve;
pub mod revision;
mod route;
pub mod tags;
pub mod target;
#[cfg(test)]
mod tests;

pub use build::GraphFault;
pub use destination::Destination;
pub use resolve::TargetError;
pub(crate) use resolve::{list, merge_command};
pub use route::{Route, RouteError, Way};

/// A sound graph of revisions.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In topological order: every walk below is one pass over this list, and needs no stack.
    nodes: Vec<Node>,
    /// Sorted, because a prefix is a range of it.
    by_id: BTreeMap<RevisionId, usize>,
    by_tag: HashMap<String, usize>,
    /// The revision that declares the label.
    by_label: HashMap<String, usize>,
}

/// A revision and its neighbours, which are positions in the list of nodes.
#[derive(Clone, Debug)]
struct Node {
    revision: Revision,
    parents: Vec<usize>,
    dependencies: Vec<usize>,
    children: Vec<usize>,
}

impl Graph {
    /// All revisions, parents and dependencies first; read backwards it is the order in which to
    /// go back.
    #[must_use]
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> + ExactSizeIterator {
        self.nodes.iter().map(|node| &node.revision)
    }

    /// How many revisions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no revision at all, which is no fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The revision of this id.
    #[must_use]
    pub fn get(&self, id: &RevisionId) -> Option<&Revision> {
        self.node(id).map(|node| &node.revision)
    }

    /// The same by a text that need not be an id, such as what a ledger says.
    #[must_use]
    pub fn get_str(&self, id: &str) -> Option<&Revision> {
        self.by_id.get(id).map(|&at| &self.nodes[at].revision)
    }

    /// Whether there is a revision of this id.
    #[must_use]
    pub fn contains(&self, id: &RevisionId) -> bool {
        self.by_id.contains_key(id)
    }

    /// The revisions that are no parent of another, in order.
    ///
    /// As in Alembic, a revision on which only *dependencies* point is still a head.
    #[must_use]
    pub fn heads(&self) -> Vec<&RevisionId> {
        self.ids(|node| node.children.is_empty())
    }

    /// The revisions without a parent, in order (Alembic's bases).
    #[must_use]
    pub fn roots(&self) -> Vec<&RevisionId> {
        self.ids(|node| node.parents.is_empty())
    }

    /// The revisions that have this one as a parent, in order; none for an unknown id.
    #[must_use]
    pub fn children(&self, id: &RevisionId) -> Vec<&RevisionId> {
        self.node(id).map_or_else(Vec::new, |node| self.ids_at(&node.children))
    }

    /// What this revision depends on besides its parents, as ids, in the order of its header; a
    /// label stands for the revision that declares it. None for an unknown id.
    #[must_use]
    pub fn dependencies(&self, id: &RevisionId) -> Vec<&RevisionId> {
        self.node(id).map_or_else(Vec::new, |node| self.ids_at(&node.dependencies))
    }

    /// These revisions and everything that must be applied before them, through parents and
    /// dependencies.
    ///
    /// Ids that the graph does not know are left out: a database may be ahead of its image, and
    /// who has to know that asks [`Graph::contains`].
    pub fn with_ancestors<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a RevisionId>,
    ) -> BTreeSet<RevisionId> {
        let mut wanted = self.marks(ids);
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if wanted[at] {
                for &before in node.parents.iter().chain(&node.dependencies) {
                    wanted[before] = true;
                }
            }
        }
        self.marked(&wanted)
    }

    /// The descendants of these revisions through parents alone.
    ///
    /// A given id is part of the answer only if it descends from another given one. Ids that the
    /// graph does not know have no descendants. What merely *depends* on a descendant is not
    /// here.
    pub fn newer_than<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a RevisionId>,
    ) -> BTreeSet<RevisionId> {
        self.marked(&self.newer_marks(&self.marks(ids)))
    }

    fn newer_marks(&self, from: &[bool]) -> Vec<bool> {
        let mut newer = vec![false; self.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            newer[at] = node.parents.iter().any(|&parent| from[parent] || newer[parent]);
        }
        newer
    }

    fn node(&self, id: &RevisionId) -> Option<&Node> {
        self.by_id.get(id).map(|&at| &self.nodes[at])
    }

    fn id_at(&self, at: usize) -> &RevisionId {
        &self.nodes[at].revision.id
    }

    fn ids_at(&self, positions: &[usize]) -> Vec<&RevisionId> {
        positions.iter().map(|&at| self.id_at(at)).collect()
    }

    fn ids(&self, keep: impl Fn(&Node) -> bool) -> Vec<&RevisionId> {
        self.nodes.iter().filter(|node| keep(node)).map(|node| &node.revision.id).collect()
    }

    fn marks<'a>(&self, ids: impl IntoIterator<Item = &'a RevisionId>) -> Vec<bool> {
        let mut marks = vec![false; self.len()];
        for at in ids.into_iter().filter_map(|id| self.by_id.get(id)) {
            marks[*at] = true;
        }
        marks
    }

    fn marked(&self, marks: &[bool]) -> BTreeSet<RevisionId> {
        // Taken from the sorted index, so that the set is built without sorting again.
        self.by_id.iter().filter(|&(_, &at)| marks[at]).map(|(id, _)| id.clone()).collect()
    }
}
