//! How the ledger stands to a version table that is kept in step with it: pure.
//!
//! Both say what is applied: the ledger each revision, the version table the heads, with all that
//! comes before them left to the graph. They are in step where their heads are the same. Where they
//! differ, Alembic has been here in between, and the version table wins.
//!
//! Surprising: a table that is not there says nothing, and is made from the ledger; one that is empty
//! says that nothing is applied. And what a row stands for that neither the image nor the ledger
//! knows, nobody here can tell: then nothing is brought into step, and the database is *ahead*.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    db::{Observed, Recorded},
    files::Chain,
    graph::{
        Graph,
        revision::{Revision, RevisionId},
    },
    plan::Refusal,
};

/// How the two stand to each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// They say the same, or no version table is kept.
    Agreed,
    /// They do not.
    Differs(Difference),
    /// The version table has a row that nobody here knows.
    Opaque,
}

/// What has to be done for both to say the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// Whether the version table has to be created.
    pub create: bool,
    /// The rows of the version table as they are.
    pub before: BTreeSet<String>,
    /// The rows as they shall be.
    pub after: BTreeSet<String>,
    /// What the version table stands for and the ledger lacks, parents first.
    pub come: Vec<RevisionId>,
    /// What the ledger has and the version table does not stand for, sorted.
    pub gone: Vec<String>,
}

/// Compares a ledger with the version table that the chain keeps.
#[must_use]
pub fn standing(chain: &Chain, observed: &Observed) -> Standing {
    if chain.kept_versions().is_none() {
        return Standing::Agreed;
    }
    let known = Known { graph: &chain.graph, ledger: by_id(observed) };
    let ledger: BTreeSet<&str> = known.ledger.keys().copied().collect();
    let table: BTreeSet<&str> = observed.versions.iter().map(|row| row.revision.as_str()).collect();
    let texts = |ids: &BTreeSet<&str>| ids.iter().map(|id| (*id).to_owned()).collect();
    if !observed.has_versions {
        let after = texts(&known.tips(&ledger));
        return Standing::Differs(Difference { create: true, after, ..Difference::default() });
    }
    if table.iter().any(|id| !known.knows(id)) {
        return Standing::Opaque;
    }
    let tips = known.tips(&table);
    if tips == known.tips(&ledger) {
        return Standing::Agreed;
    }
    let applied = known.with_ancestors(&table);
    let come = chain.graph.revisions().map(|one| &one.id);
    let is_new = |id: &&RevisionId| applied.contains(id.as_str()) && !ledger.contains(id.as_str());
    Standing::Differs(Difference {
        create: false,
        before: texts(&table),
        after: texts(&table),
        come: come.filter(is_new).cloned().collect(),
        gone: ledger.difference(&applied).map(|id| (*id).to_owned()).collect(),
    })
}

/// What a start would run a second time: scripts that were run, of revisions which the version table
/// does not stand for any more. That somebody took them back by Alembic, and that the table is one
/// which nobody kept, look the same from here; so somebody has to say which it is.
#[must_use]
pub fn taken_back(chain: &Chain, observed: &Observed) -> Option<Refusal> {
    let Standing::Differs(difference) = standing(chain, observed) else { return None };
    let wanted = chain.graph.with_ancestors(&chain.target);
    let was_run = |id: &&String| {
        let row = observed.ledger.iter().find(|row| row.revision == **id);
        wanted.contains(id.as_str()) && row.is_some_and(|row| row.checksum.is_some())
    };
    let revisions: Vec<String> = difference.gone.iter().filter(was_run).cloned().collect();
    let table = chain.kept_versions()?.to_string();
    (!revisions.is_empty()).then_some(Refusal::TakenBack { table, revisions })
}

/// What is applied, as rows of a ledger that is in step.
#[must_use]
pub fn applied<'o>(chain: &Chain, observed: &'o Observed) -> Cow<'o, Observed> {
    if observed.opaque {
        return Cow::Borrowed(observed);
    }
    match standing(chain, observed) {
        Standing::Agreed => Cow::Borrowed(observed),
        Standing::Differs(difference) => {
            let mut ledger = observed.ledger.clone();
            ledger.retain(|row| !difference.gone.contains(&row.revision));
            ledger.extend(difference.come.iter().map(|id| external(id.as_str(), observed)));
            Cow::Owned(Observed { ledger, ..observed.clone() })
        }
        Standing::Opaque => {
            let known = Known { graph: &chain.graph, ledger: by_id(observed) };
            let (mine, strange): (BTreeSet<&str>, BTreeSet<&str>) = observed
                .versions
                .iter()
                .map(|row| row.revision.as_str())
                .partition(|id| known.knows(id));
            let more = known.with_ancestors(&mine).into_iter().chain(strange);
            let more = more.filter(|id| !known.ledger.contains_key(id));
            let more: Vec<Recorded> = more.map(|id| external(id, observed)).collect();
            let ledger = observed.ledger.iter().cloned().chain(more).collect();
            Cow::Owned(Observed { ledger, opaque: true, ..observed.clone() })
        }
    }
}

/// The rows of the version table after one more revision is applied: Alembic has one for each
/// revision that no other applied one follows or needs.
#[must_use]
pub fn rows_after(graph: &Graph, rows: &BTreeSet<String>, revision: &Revision) -> BTreeSet<String> {
    let before = || revision.parents.iter().chain(graph.dependencies(&revision.id));
    let mut after = rows.clone();
    before().for_each(|id| _ = after.remove(id.as_str()));
    // On a line there is nothing left.
    if !after.is_empty() {
        let needed = graph.with_ancestors(before());
        after.retain(|id| !needed.contains(id.as_str()));
    }
    after.insert(revision.id.to_string());
    after
}

/// The rows of the version table of a database in which all of this is applied.
#[must_use]
pub fn rows_of(graph: &Graph, recorded: &BTreeSet<String>) -> BTreeSet<String> {
    graph.current(recorded).iter().map(ToString::to_string).collect()
}

/// The ids in the version table.
#[must_use]
pub fn rows(observed: &Observed) -> BTreeSet<String> {
    observed.versions.iter().map(|row| row.revision.clone()).collect()
}

fn by_id(observed: &Observed) -> BTreeMap<&str, &Recorded> {
    observed.ledger.iter().map(|row| (row.revision.as_str(), row)).collect()
}

/// A revision that no script of ours was run for.
fn external(id: &str, observed: &Observed) -> Recorded {
    let row = observed.versions.iter().find(|row| row.revision == id);
    Recorded {
        revision: id.to_owned(),
        parents: Vec::new(),
        depends_on: Vec::new(),
        checksum: None,
        upgraded: row.and_then(|row| row.upgraded),
        reverting: false,
    }
}

/// The revisions of the image, and what the ledger remembers of others.
struct Known<'k> {
    graph: &'k Graph,
    ledger: BTreeMap<&'k str, &'k Recorded>,
}

impl<'k> Known<'k> {
    fn knows(&self, id: &str) -> bool {
        self.graph.get_str(id).is_some() || self.ledger.contains_key(id)
    }

    /// What a revision follows and needs.
    fn before(&self, id: &str) -> Vec<&'k str> {
        match (self.graph.get_str(id), self.ledger.get(id)) {
            (Some(revision), _) => {
                let needs = self.graph.dependencies(&revision.id).into_iter();
                revision.parents.iter().chain(needs).map(RevisionId::as_str).collect()
            }
            (None, Some(row)) => {
                row.parents.iter().chain(&row.depends_on).map(String::as_str).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn with_ancestors(&self, ids: &BTreeSet<&'k str>) -> BTreeSet<&'k str> {
        let mut found = BTreeSet::new();
        let mut waiting: Vec<&str> = ids.iter().copied().collect();
        while let Some(id) = waiting.pop() {
            if found.insert(id) {
                waiting.extend(self.before(id));
            }
        }
        found
    }

    /// Those that no other one needs, be it through what is not among them.
    fn tips(&self, ids: &BTreeSet<&'k str>) -> BTreeSet<&'k str> {
        let needed = self.with_ancestors(&ids.iter().flat_map(|id| self.before(id)).collect());
        ids.difference(&needed).copied().collect()
    }
}

#[cfg(test)]
mod tests;
