//! What a new revision follows, and which names are free for it.
//!
//! The rules are Alembic's: the parent is the one head, or a head that is named; anything else needs
//! `--splice`, `base` makes a new root, and only heads are merged.
//!
//! Surprising: a merge without names takes each head that `head` would count, and so also one on
//! which another revision depends, whereas the target `heads` leaves that one out. After the merge
//! `head` shall have one answer.

use super::RevisionError;
use crate::graph::{
    Graph, TargetError,
    revision::{Revision, RevisionId},
    target::Target,
};

/// The parent of a new revision; none for a root.
pub(super) fn of_new(
    graph: &Graph,
    head: &Target,
    splice: bool,
) -> Result<Vec<RevisionId>, RevisionError> {
    if *head == Target::Base {
        return Ok(Vec::new());
    }
    let found = graph.resolve(head).map_err(|error| {
        if let TargetError::MultipleHeads { heads, label: None, .. } = error {
            return RevisionError::SeveralHeads(heads);
        }
        RevisionError::Target(error)
    })?;
    let [parent] = found.as_slice() else {
        return match found.is_empty() {
            true if graph.is_empty() && matches!(head, Target::Head | Target::Heads) => Ok(found),
            true => Err(RevisionError::NoRevision(head.to_string())),
            false => Err(RevisionError::SeveralHeads(found)),
        };
    };
    let children = children(graph, parent);
    if children.is_empty() || splice {
        Ok(found)
    } else {
        Err(RevisionError::NotAHead { id: parent.clone(), children })
    }
}

/// The parents of a merge, as they are named, or all heads.
pub(super) fn of_merge(graph: &Graph, named: &[Target]) -> Result<Vec<RevisionId>, RevisionError> {
    let all = || graph.heads().into_iter().cloned().collect::<Vec<_>>();
    if named.is_empty() {
        let mut heads = all();
        return match heads.len() {
            0 | 1 => Err(RevisionError::NothingToMerge(heads.pop())),
            _ => Ok(heads),
        };
    }
    let mut parents = Vec::new();
    for target in named {
        let found = if *target == Target::Heads {
            all()
        } else {
            graph.resolve(target).map_err(RevisionError::Target)?
        };
        if found.is_empty() {
            return Err(RevisionError::NoRevision(target.to_string()));
        }
        for id in found {
            if parents.contains(&id) {
                return Err(RevisionError::Twice(id));
            }
            parents.push(id);
        }
    }
    for older in &parents {
        let newer = graph.newer_than([older]);
        if let Some(younger) = parents.iter().find(|id| newer.contains(*id)) {
            let (older, younger) = (older.clone(), younger.clone());
            return Err(RevisionError::Ancestor { older, younger });
        }
    }
    for id in &parents {
        let children = children(graph, id);
        if !children.is_empty() {
            return Err(RevisionError::MergeOfNoHead { id: id.clone(), children });
        }
    }
    match parents.as_slice() {
        [one] => Err(RevisionError::OneNamed(one.clone())),
        _ => Ok(parents),
    }
}

fn children(graph: &Graph, id: &RevisionId) -> Vec<RevisionId> {
    graph.children(id).into_iter().cloned().collect()
}

/// That a label means nothing yet.
pub(super) fn free(graph: &Graph, label: &RevisionId) -> Result<(), RevisionError> {
    let name = label.as_str();
    let meaning = |revision: &Revision| {
        if revision.id.as_str() == name {
            Some("the id")
        } else if revision.tag.as_deref() == Some(name) {
            Some("the tag")
        } else {
            revision.labels.iter().any(|other| other == name).then_some("the branch label")
        }
    };
    let taken = graph.revisions().find_map(|one| meaning(one).map(|what| (what, &one.place)));
    taken.map_or(Ok(()), |(what, place)| {
        Err(RevisionError::LabelTaken { label: label.clone(), what, place: place.clone() })
    })
}

/// Twelve hexadecimal digits as Alembic's that neither are a name here nor begin one.
pub(super) fn unused(
    graph: &Graph,
    label: Option<&RevisionId>,
    mut random: impl FnMut() -> u64,
) -> RevisionId {
    loop {
        let digits = format!("{:012x}", random() >> 16);
        let known = graph.resolve(&Target::Name(digits.clone()));
        let is_new = matches!(known, Err(TargetError::Unknown { .. }));
        if let Ok(id) = RevisionId::new(&digits)
            && is_new
            && Some(&id) != label
        {
            return id;
        }
    }
}
