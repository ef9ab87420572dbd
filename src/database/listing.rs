//! Revisions with what the ledger says of them, as one value; and its JSON, whose keys are stable.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::reading::Ledger;
use crate::{
    db::{AppliedRow, HistoryLine},
    graph::{
        Graph,
        revision::{Revision, RevisionId},
    },
};

/// What there is to list.
#[derive(Debug)]
pub(super) struct Listing {
    graph: Graph,
    /// Those that are left to Alembic.
    delegated: BTreeSet<String>,
    /// None where no database was asked.
    ledger: Option<Known>,
}

#[derive(Debug)]
struct Known {
    /// By id.
    applied: BTreeMap<String, AppliedRow>,
    /// Applied revisions that the image lacks, in the order in which they were applied.
    foreign: Vec<AppliedRow>,
    /// Those in which a way back has stopped.
    half: BTreeSet<String>,
    current: BTreeSet<String>,
}

/// What is known of one revision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State<'a> {
    /// No database was asked.
    Unasked,
    /// The ledger does not have it.
    Pending,
    /// The ledger has it.
    Applied(&'a AppliedRow),
}

/// A revision, as an object of `revisions --json`.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    revision: &'a str,
    parents: Vec<&'a str>,
    depends_on: Vec<&'a str>,
    labels: Vec<&'a str>,
    tag: Option<&'a str>,
    title: Option<&'a str>,
    created: Option<&'a str>,
    path: Option<String>,
    head: bool,
    applied: Option<bool>,
    applied_at: Option<&'a str>,
    applied_by: Option<&'a str>,
    /// Who applies it, where that is not us.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegate: Option<&'static str>,
}

/// The object of `revisions --json`.
#[derive(Debug, Serialize)]
pub(super) struct Rows<'a> {
    revisions: Vec<Row<'a>>,
    heads: Vec<&'a str>,
    current: Option<Vec<&'a str>>,
}

/// A line of the history, as an object of `log --json`.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    seq: i64,
    event: &'a str,
    subject: Option<&'a str>,
    heads: &'a [String],
    recorded_at: &'a str,
    duration_ms: Option<u128>,
    recorded_by: &'a str,
    run: &'a str,
    tool: &'a str,
}

impl Listing {
    /// What the image brings, alone.
    pub(super) fn offline(graph: Graph) -> Self {
        Self { graph, delegated: BTreeSet::new(), ledger: None }
    }

    /// The same with what a database remembers.
    pub(super) fn online(graph: Graph, ledger: &Ledger) -> Self {
        let rows = || ledger.applied.iter().cloned();
        let half = ledger.observed.ledger.iter().filter(|row| row.reverting);
        let known = Known {
            applied: rows().map(|row| (row.revision.clone(), row)).collect(),
            foreign: rows().filter(|row| graph.get_str(&row.revision).is_none()).collect(),
            half: half.map(|row| row.revision.clone()).collect(),
            current: ledger.current.clone(),
        };
        Self { graph, delegated: BTreeSet::new(), ledger: Some(known) }
    }

    /// The same with what is left to Alembic.
    pub(super) fn delegating(self, delegated: BTreeSet<String>) -> Self {
        Self { delegated, ..self }
    }

    pub(super) fn is_delegated(&self, id: &str) -> bool {
        self.delegated.contains(id)
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether a database was asked.
    pub(super) fn is_online(&self) -> bool {
        self.ledger.is_some()
    }

    pub(super) fn state(&self, id: &str) -> State<'_> {
        match &self.ledger {
            None => State::Unasked,
            Some(known) => known.applied.get(id).map_or(State::Pending, State::Applied),
        }
    }

    /// Whether a way back has stopped in the middle of it.
    pub(super) fn is_half(&self, id: &str) -> bool {
        self.ledger.as_ref().is_some_and(|known| known.half.contains(id))
    }

    /// Applied revisions that the image lacks, oldest first.
    pub(super) fn foreign(&self) -> &[AppliedRow] {
        self.ledger.as_ref().map_or(&[], |known| known.foreign.as_slice())
    }

    /// Where the database is: ids in the order of the graph, and then what the image lacks.
    pub(super) fn current(&self) -> Vec<&str> {
        let Some(known) = &self.ledger else { return Vec::new() };
        let ours = self.graph.revisions().map(|revision| revision.id.as_str());
        let theirs = known.foreign.iter().map(|row| row.revision.as_str());
        ours.chain(theirs).filter(|id| known.current.contains(*id)).collect()
    }

    pub(super) fn is_current(&self, id: &str) -> bool {
        self.ledger.as_ref().is_some_and(|known| known.current.contains(id))
    }

    /// The heads of the graph.
    pub(super) fn heads(&self) -> Vec<&str> {
        self.graph.heads().into_iter().map(RevisionId::as_str).collect()
    }

    /// Everything, parents first; what the image lacks comes last.
    pub(super) fn json(&self) -> Rows<'_> {
        let ours = self.rows(|_| true);
        let theirs = self.foreign().iter().map(Row::foreign);
        Rows {
            revisions: ours.into_iter().chain(theirs).collect(),
            heads: self.heads(),
            current: self.is_online().then(|| self.current()),
        }
    }

    /// Some of the revisions, parents first.
    pub(super) fn rows_of(&self, wanted: &BTreeSet<RevisionId>) -> Vec<Row<'_>> {
        self.rows(|revision| wanted.contains(&revision.id))
    }

    fn rows(&self, wanted: impl Fn(&Revision) -> bool) -> Vec<Row<'_>> {
        let heads: BTreeSet<&str> = self.heads().into_iter().collect();
        let row = |revision| self.row(revision, &heads);
        self.graph.revisions().filter(|revision| wanted(revision)).map(row).collect()
    }

    fn row<'a>(&'a self, revision: &'a Revision, heads: &BTreeSet<&str>) -> Row<'a> {
        let id = revision.id.as_str();
        let (applied, row) = match self.state(id) {
            State::Unasked => (None, None),
            State::Pending => (Some(false), None),
            State::Applied(row) => (Some(true), Some(row)),
        };
        Row {
            revision: id,
            parents: revision.parents.iter().map(RevisionId::as_str).collect(),
            depends_on: texts(self.graph.dependencies(&revision.id)),
            labels: revision.labels.iter().map(String::as_str).collect(),
            tag: revision.tag.as_deref(),
            title: Some(revision.title.as_str()).filter(|title| !title.is_empty()),
            created: revision.created.as_deref(),
            path: Some(revision.place.path.display().to_string()),
            head: heads.contains(id),
            applied,
            applied_at: row.map(|row| row.at.as_str()).filter(|at| !at.is_empty()),
            applied_by: row.map(|row| row.by.as_str()).filter(|by| !by.is_empty()),
            delegate: self.is_delegated(id).then_some("alembic"),
        }
    }
}

impl<'a> Row<'a> {
    /// What only the ledger knows.
    fn foreign(row: &'a AppliedRow) -> Self {
        Self {
            revision: &row.revision,
            parents: row.parents.iter().map(String::as_str).collect(),
            depends_on: Vec::new(),
            labels: Vec::new(),
            tag: row.tag.as_deref(),
            title: Some(row.title.as_str()).filter(|title| !title.is_empty()),
            created: None,
            path: None,
            head: false,
            applied: Some(true),
            applied_at: Some(&row.at),
            applied_by: Some(&row.by),
            delegate: None,
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a HistoryLine) -> Self {
        Self {
            seq: line.seq,
            event: &line.event,
            // A hook has no name.
            subject: Some(line.subject.as_str()).filter(|subject| !subject.is_empty()),
            heads: &line.heads,
            recorded_at: &line.at,
            duration_ms: line.took.map(|took| took.as_millis()),
            recorded_by: &line.by,
            run: &line.run,
            tool: &line.tool,
        }
    }
}

fn texts(ids: Vec<&RevisionId>) -> Vec<&str> {
    ids.into_iter().map(RevisionId::as_str).collect()
}
