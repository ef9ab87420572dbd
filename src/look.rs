//! The look: everything that can make a run necessary, as one value.
//!
//! It needs no lock and no right but SELECT, changes nothing, and is one query. The same look
//! is taken before the lock, by everyone who waits, and again under the lock.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    config::Reindex,
    db::{Event, Observed},
    files::Chain,
    graph::{
        Graph,
        revision::{Revision, RevisionId},
    },
    plan::{
        self, Due, State,
        agreement::{self, Standing},
    },
    script::Datasets,
};

/// What is to be reindexed: everything, or one name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// All datasets, in one go.
    All,
    /// The dataset, index or whatever the command understands by the name.
    Name(String),
}

impl Subject {
    /// How the history calls it; no name is a star.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "*",
            Self::Name(name) => name,
        }
    }
}

/// What this run was asked to do beyond migrating.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `REINDEX_DATASETS`.
    pub reindex: Reindex,
    /// The hooks that there are, by their names in the history.
    pub hooks: Vec<String>,
    /// The heads of the chains beside this one, as a hook's success names them.
    pub beside: String,
    /// The newest line of the history at this run's first look; none before it.
    pub since: Option<i64>,
}

impl Asked {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { reindex: Reindex::False, hooks: Vec::new(), beside: String::new(), since: None }
    }
}

/// What a look says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    /// How the database stands to the image.
    pub state: State,
    /// The hooks that are due.
    pub hooks: Vec<String>,
    /// What is to be reindexed.
    pub reindex: Vec<Subject>,
    /// Whether another tool has applied or reverted what the ledger does not say yet.
    pub external: bool,
    /// The heads of the database, sorted.
    pub heads: BTreeSet<String>,
    /// The newest line of the history.
    pub last: i64,
}

impl Look {
    /// Judges what was found. Without a chain only a reindex that was asked for can be due.
    #[must_use]
    pub fn judge(observed: &Observed, chain: Option<&Chain>, asked: &Asked) -> Self {
        let external = chain.is_some_and(|chain| {
            matches!(agreement::standing(chain, observed), Standing::Differs(_))
        });
        let taken_back = chain.and_then(|chain| agreement::taken_back(chain, observed));
        let observed = &*match chain {
            Some(chain) => plan::applied(chain, observed),
            None => Cow::Borrowed(observed),
        };
        let heads = heads(observed, chain);
        Self {
            state: match (taken_back, chain) {
                (Some(refusal), _) => State::Wrong(refusal),
                (None, Some(chain)) => plan::state(chain, observed),
                (None, None) => State::Unknown,
            },
            hooks: hooks_due(observed, &(joined(&heads) + &asked.beside), &asked.hooks),
            reindex: reindex_due(observed, chain, asked),
            external,
            heads,
            last: observed.last,
        }
    }

    /// What is due besides revisions.
    #[must_use]
    pub fn due(&self) -> Due {
        Due {
            hook: !self.hooks.is_empty(),
            reindex: !self.reindex.is_empty(),
            external: self.external,
        }
    }

    /// The heads as one text, as the history keeps them.
    #[must_use]
    pub fn heads_text(&self) -> String {
        joined(&self.heads)
    }
}

/// Ids with commas.
#[must_use]
pub fn joined(heads: &BTreeSet<String>) -> String {
    heads.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Applied revisions that are no parent of another applied one. The graph's word on parents
/// counts where it knows the revision; the ledger's where it does not.
fn heads(observed: &Observed, chain: Option<&Chain>) -> BTreeSet<String> {
    let mut heads: BTreeSet<String> =
        observed.ledger.iter().map(|row| row.revision.clone()).collect();
    for row in &observed.ledger {
        match chain.and_then(|chain| chain.graph.get_str(&row.revision)) {
            Some(revision) => revision.parents.iter().for_each(|id| _ = heads.remove(id.as_str())),
            None => row.parents.iter().for_each(|id| _ = heads.remove(id)),
        }
    }
    heads
}

/// Each once for each set of heads: due unless a success for these heads was recorded after the last
/// revision was applied.
fn hooks_due(observed: &Observed, heads: &str, hooks: &[String]) -> Vec<String> {
    let upgraded = observed.ledger.iter().filter_map(|row| row.upgraded).max().unwrap_or_default();
    let done = |name: &str| {
        observed.successes.iter().any(|success| {
            success.event == Event::Hook
                && success.subject == name
                && success.heads == heads
                && success.seq > upgraded
        })
    };
    if observed.ledger.is_empty() {
        return Vec::new();
    }
    hooks.iter().filter(|name| !done(name)).cloned().collect()
}

fn reindex_due(observed: &Observed, chain: Option<&Chain>, asked: &Asked) -> Vec<Subject> {
    let successes = Successes::of(observed);
    let wanted: Vec<Subject> = match &asked.reindex {
        Reindex::False => return Vec::new(),
        Reindex::Auto => {
            return chain
                .map(|chain| by_revisions(observed, chain, &successes))
                .unwrap_or_default();
        }
        Reindex::All => vec![Subject::All],
        Reindex::Names(names) => names.iter().cloned().map(Subject::Name).collect(),
    };
    // Asked for once by this run: done if somebody did it since this run first looked.
    wanted
        .into_iter()
        .filter(|subject| asked.since.is_none_or(|since| successes.last(subject) <= since))
        .collect()
}

/// What the revisions that were applied since the last success ask for.
fn by_revisions(observed: &Observed, chain: &Chain, successes: &Successes) -> Vec<Subject> {
    let mut due = BTreeSet::new();
    for row in &observed.ledger {
        let Some(upgraded) = row.upgraded else { continue };
        let Some(script) = chain.scripts.get(row.revision.as_str()) else { continue };
        let asks: Vec<Subject> = match &script.settings.reindex {
            Datasets::None => continue,
            Datasets::All => vec![Subject::All],
            Datasets::Named(names) => names.iter().cloned().map(Subject::Name).collect(),
        };
        due.extend(asks.into_iter().filter(|subject| successes.last(subject) < upgraded));
    }
    if due.contains(&Subject::All) { vec![Subject::All] } else { due.into_iter().collect() }
}

/// The newest success of each subject.
struct Successes<'o>(BTreeMap<&'o str, i64>);

impl<'o> Successes<'o> {
    fn of(observed: &'o Observed) -> Self {
        let mut newest = BTreeMap::new();
        for success in observed.successes.iter().filter(|one| one.event == Event::Reindex) {
            let seq = newest.entry(success.subject.as_str()).or_insert(success.seq);
            *seq = success.seq.max(*seq);
        }
        Self(newest)
    }

    /// The newest success that covers a subject, 0 if there is none: one of all covers each.
    fn last(&self, subject: &Subject) -> i64 {
        let of = |name: &str| self.0.get(name).copied().unwrap_or_default();
        of(subject.as_str()).max(of(Subject::All.as_str()))
    }
}

/// The heads after one more revision.
#[must_use]
pub fn heads_after(heads: &BTreeSet<String>, revision: &Revision) -> BTreeSet<String> {
    let mut after = heads.clone();
    revision.parents.iter().for_each(|id| _ = after.remove(id.as_str()));
    after.insert(revision.id.to_string());
    after
}

/// The heads once a head is reverted, of a database in which `recorded` is left.
#[must_use]
pub fn heads_before(
    graph: &Graph,
    heads: &BTreeSet<String>,
    recorded: &BTreeSet<String>,
    revision: &Revision,
) -> BTreeSet<String> {
    let mut before = heads.clone();
    before.remove(revision.id.as_str());
    let is_left = |id: &&RevisionId| recorded.contains(id.as_str());
    for parent in revision.parents.iter().filter(is_left) {
        if !graph.children(parent).iter().any(is_left) {
            before.insert(parent.to_string());
        }
    }
    before
}

#[cfg(test)]
mod tests;
