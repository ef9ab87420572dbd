//! Files that cannot be read without Python, and what is wrong all the same.
//!
//! Python takes seconds to answer, and a graph is no better for it where what can be read is unsound
//! by itself: an id that is there twice, a revision that comes before itself. So what is known of all
//! files, be it half of one, is held to the soundness of graphs first. Nothing is refused that more
//! knowledge might put right: a parent that is not there may be in a file that is not read.

use std::path::Path;

use super::{
    AlembicError,
    fault::{AlembicFault, AlembicFaultKind},
};
use crate::graph::{
    Graph, GraphFault,
    revision::{Place, Revision},
};

/// A file that is no revision as far as it can be read.
#[derive(Debug)]
pub(super) struct Unread {
    /// Why: at least one.
    pub(super) faults: Vec<AlembicFault>,
    /// What is known of it, if its id is. What is not is left out.
    pub(super) known: Option<Revision>,
}

impl Unread {
    /// A file of which nothing is known.
    pub(super) fn wholly(fault: AlembicFault) -> Self {
        Self { faults: vec![fault], known: None }
    }

    /// A revision without its source.
    pub(super) fn compiled(path: &Path) -> Self {
        let place = Place { path: path.to_owned(), line: 1 };
        Self::wholly(AlembicFault { place, kind: AlembicFaultKind::Compiled })
    }

    fn has_unknown_labels(&self) -> bool {
        let labels = "branch_labels";
        let is_of_labels = |fault: &AlembicFault| matches!(fault.kind, AlembicFaultKind::Computed { name, .. } if name == labels);
        self.known.is_none() || self.faults.iter().any(is_of_labels)
    }
}

/// What is to be said of revisions some of which are not read: mistakes in the files, else what is
/// unsound whatever the others are, else what only Python may know.
pub(super) fn error(revisions: Vec<Revision>, unread: Vec<Unread>) -> AlembicError {
    let unknown = Unknown {
        ids: unread.iter().any(|file| file.known.is_none()),
        labels: unread.iter().any(Unread::has_unknown_labels),
    };
    let (mut known, mut faults) = (revisions, Vec::new());
    for file in unread {
        faults.extend(file.faults);
        known.extend(file.known);
    }
    if !faults.iter().all(AlembicFault::python_may_know) {
        faults.retain(|fault| !fault.python_may_know());
        return AlembicError::Revisions(faults);
    }
    let mut unsound = Graph::new(known).err().unwrap_or_default();
    unsound.retain(|fault| unknown.leaves(fault));
    if unsound.is_empty() { AlembicError::Revisions(faults) } else { AlembicError::Graph(unsound) }
}

/// Which names there may be besides those that are known.
struct Unknown {
    ids: bool,
    labels: bool,
}

impl Unknown {
    /// Whether a fault stays one, whatever these names are.
    fn leaves(&self, fault: &GraphFault) -> bool {
        match fault {
            GraphFault::MissingParent { .. } => !self.ids,
            GraphFault::MissingDependency { .. } => !self.ids && !self.labels,
            GraphFault::DuplicateId { .. }
            | GraphFault::SelfLoop { .. }
            | GraphFault::Cycle { .. }
            | GraphFault::DuplicateTag { .. }
            | GraphFault::DuplicateLabel { .. }
            | GraphFault::TagIsId { .. }
            | GraphFault::LabelIsId { .. }
            | GraphFault::TagIsLabel { .. }
            | GraphFault::NotAName { .. } => true,
        }
    }
}
