//! A revision on one line, word for word as Alembic prints it.
//!
//! `parents (dependencies) -> id (labels) (head) (branchpoint) (mergepoint), title`. Surprising,
//! and Alembic's: a label stands at every revision of its branch, descendants and what leads up to
//! the revision that declares it, down to the next branch or merge; and a head on which another
//! revision depends is an *effective* head, since its row leaves `alembic_version`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    db::AppliedRow,
    graph::{
        Graph,
        revision::{Revision, RevisionId},
    },
};

/// What is to be known of the whole graph for the line of one revision.
pub(crate) struct Lines<'g> {
    graph: &'g Graph,
    /// Sorted, so that the line is the same each time.
    labels: BTreeMap<&'g RevisionId, BTreeSet<&'g str>>,
    /// What others depend on, and how many do.
    needed: BTreeMap<&'g RevisionId, usize>,
}

impl<'g> Lines<'g> {
    pub(crate) fn of(graph: &'g Graph) -> Self {
        let mut needed = BTreeMap::new();
        for dependency in graph.revisions().flat_map(|one| graph.dependencies(&one.id)) {
            *needed.entry(dependency).or_default() += 1;
        }
        let mut lines = Self { graph, labels: BTreeMap::new(), needed };
        for revision in graph.revisions().filter(|revision| !revision.labels.is_empty()) {
            for member in lines.branch(revision) {
                let here = lines.labels.entry(member).or_default();
                here.extend(revision.labels.iter().map(String::as_str));
            }
        }
        lines
    }

    /// `parents -> id …, title`.
    pub(crate) fn full(&self, revision: &Revision) -> String {
        let parents = commas(revision.parents.iter().map(RevisionId::as_str));
        let before = match (parents.is_empty(), revision.depends_on.as_slice()) {
            (true, []) => "<base>".to_owned(),
            (false, []) => parents,
            (_, names) => {
                let parents = if parents.is_empty() { "<base>" } else { &parents };
                format!("{parents} ({})", commas(names.iter().map(String::as_str)))
            }
        };
        format!("{before} -> {}", self.titled(revision, ""))
    }

    /// `id …, title`, with further marks in parentheses.
    pub(super) fn titled(&self, revision: &Revision, marks: &str) -> String {
        let name = self.marked(revision);
        let tree = self.tree(revision);
        with_title(&format!("{name}{marks}{tree}"), &revision.title)
    }

    /// `id (labels) (head)`.
    pub(super) fn marked(&self, revision: &Revision) -> String {
        let id = &revision.id;
        let labels = self.labels.get(id).map(|labels| commas(labels.iter().copied()));
        let labels = labels.map_or_else(String::new, |labels| format!(" ({labels})"));
        format!("{id}{labels}{}", self.head(id))
    }

    /// ` (head)`, or nothing.
    pub(super) fn head(&self, id: &RevisionId) -> &'static str {
        match (self.graph.children(id).is_empty(), self.needed.contains_key(id)) {
            (true, false) => " (head)",
            (true, true) => " (effective head)",
            (false, _) => "",
        }
    }

    fn tree(&self, revision: &Revision) -> String {
        let branches = self.graph.children(&revision.id).len() > 1;
        let merges = revision.parents.len() > 1;
        let mark = |is: bool, word| if is { word } else { "" };
        format!("{}{}", mark(branches, " (branchpoint)"), mark(merges, " (mergepoint)"))
    }

    /// The revisions at which a label stands.
    fn branch(&self, declaring: &'g Revision) -> Vec<&'g RevisionId> {
        let newer = self.graph.newer_than([&declaring.id]);
        let mut members: Vec<&Revision> = vec![declaring];
        members.extend(newer.iter().filter_map(|id| self.graph.get(id)));
        // Here a dependency makes a branch too, although no `(branchpoint)` says so.
        let next = |id: &RevisionId| {
            self.graph.children(id).len() + self.needed.get(id).copied().unwrap_or_default()
        };
        let ends = |one: &Revision| next(&one.id) > 1 || one.parents.len() > 1;
        // Down to where the branch began; only a branch that is one line to its head has one.
        let mut at = (!members.iter().any(|one| ends(one))).then_some(declaring);
        while let Some(one) = at {
            at = one.parents.first().and_then(|parent| self.graph.get(parent));
            at = at.filter(|parent| !ends(parent));
            members.extend(at);
        }
        members.into_iter().map(|revision| &revision.id).collect()
    }
}

/// The line of a revision that only the ledger knows.
pub(super) fn foreign(row: &AppliedRow) -> String {
    let parents = commas(row.parents.iter().map(String::as_str));
    let parents = if parents.is_empty() { "<base>" } else { &parents };
    format!("{parents} -> {}", with_title(&row.revision, &row.title))
}

pub(super) fn with_title(name: &str, title: &str) -> String {
    if title.is_empty() { name.to_owned() } else { format!("{name}, {title}") }
}

fn commas<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
