//! What is to be done, or why not: pure decisions over what the image brings and what the
//! database remembers.
//!
//! Two tables, and `agreement` for where another tool keeps the books too. [`state`] says how the database stands to the image. [`decide`] says what a
//! run does about it; its arms are the table of modes in the README.
//! Anyone may compute them to report them; only what was computed under the lock is acted on.

pub mod agreement;

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    config::{AutoMigration, DatabaseAhead, Reindex},
    db::{Observed, Recorded},
    files::Chain,
    graph::revision::RevisionId,
    script::Script,
};

/// The revisions to apply, and what they are to be applied on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// In the order in which they are applied.
    pub steps: Vec<RevisionId>,
    /// What the ledger must hold before the first of them.
    pub recorded: BTreeSet<String>,
}

/// How the database stands to the image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The target is reached.
    Ready,
    /// Revisions are to be applied.
    Pending(Plan),
    /// The database has revisions that this image lacks, and all that the image wants.
    Ahead {
        /// The revisions that are unknown here.
        unknown: Vec<String>,
    },
    /// The state itself is a reason to stop.
    Wrong(Refusal),
    /// There was no graph to compare with (mode `false` only).
    Unknown,
}

impl State {
    /// What is pending; nothing in any other state.
    #[must_use]
    pub fn steps(&self) -> &[RevisionId] {
        if let Self::Pending(plan) = self { &plan.steps } else { &[] }
    }
}

/// Why a run goes no further.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Revisions are pending, and this run is not to apply them.
    #[error("{} pending: {}", count(.steps.len(), "revision is", "revisions are"), list(.steps))]
    Pending {
        /// Which.
        steps: Vec<String>,
    },
    /// The database has revisions that this image lacks.
    #[error("{}; start the image that brought {}, or set DATABASE_AHEAD=allow", ahead(.unknown), it(.unknown))]
    Ahead {
        /// Which.
        unknown: Vec<String>,
    },
    /// Each side has revisions that the other lacks.
    #[error(
        "the database and this image have diverged: the database has {} that this image lacks, \
         and lacks {}; start an image that has both",
        list(.unknown), list(.pending)
    )]
    Diverged {
        /// What the image lacks.
        unknown: Vec<String>,
        /// What the database lacks.
        pending: Vec<String>,
    },
    /// Scripts were changed after they had been applied.
    #[error(
        "{} changed after {} applied: {}; put the text back that was applied and write a new \
         revision for what shall be different, or accept it with `prelaunch database accept`",
        if .scripts.len() == 1 { "a script was" } else { "scripts were" },
        if .scripts.len() == 1 { "it was" } else { "they were" },
        list(.scripts)
    )]
    Changed {
        /// Their files.
        scripts: Vec<String>,
    },
    /// A way back stopped in the middle of a revision that has no transaction.
    #[error(
        "revision {} half reverted; end that with `prelaunch database migrate --revision TARGET \
         --allow-downgrade`, to the target that was meant",
        is(.revisions)
    )]
    HalfReverted {
        /// Which.
        revisions: Vec<String>,
    },
    /// The database has revisions that this image lacks, and nothing is to be started.
    #[error(
        "{}; use the image that brought {}, or let this one revert {} with \
         `prelaunch database migrate --allow-downgrade`",
        ahead(.unknown), it(.unknown), it(.unknown)
    )]
    Foreign {
        /// Which.
        unknown: Vec<String>,
    },
    /// What our scripts did is not there any more, says a version table that is kept in step; or the
    /// table is of a time before.
    #[error(
        "table `{table}` says that {} taken back, which the ledger has from running {}; if so, apply \
         {} again with `prelaunch database migrate`; if the table was left behind and not kept, drop \
         it, and the next start makes it from the ledger",
        was(.revisions), if .revisions.len() == 1 { "its script" } else { "their scripts" },
        it(.revisions)
    )]
    TakenBack {
        /// The version table.
        table: String,
        /// Which.
        revisions: Vec<String>,
    },
    /// The target lies behind what is applied.
    #[error(
        "the database is newer than the target `{target}`: {} applied after it, and a start \
         never goes back",
        was(.newer)
    )]
    Newer {
        /// How the target was named.
        target: String,
        /// What is applied beyond it.
        newer: Vec<String>,
    },
    /// A revision was put in below others that are applied already.
    #[error(
        "revision {} not applied, but {} that {}; let new revisions follow the head",
        is(.missing), list(.after), if .after.len() == 1 { "follows it is" } else { "follow are" }
    )]
    Gap {
        /// What was put in.
        missing: Vec<String>,
        /// Applied revisions that come after it.
        after: Vec<String>,
    },
}

impl Refusal {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Pending { .. } => 17,
            Self::Ahead { .. }
            | Self::Diverged { .. }
            | Self::Changed { .. }
            | Self::HalfReverted { .. }
            | Self::TakenBack { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Gap { .. } => 16,
        }
    }
}

/// What is applied, as rows of a ledger, be it that another tool's table says so: a row there stands
/// for the revision and for all that comes before it.
#[must_use]
pub fn applied<'o>(chain: &Chain, observed: &'o Observed) -> Cow<'o, Observed> {
    if chain.alembic.is_none() {
        return agreement::applied(chain, observed);
    }
    let known = |row: &&Recorded| chain.graph.get_str(&row.revision).map(|one| &one.id);
    let below = chain.graph.with_ancestors(observed.versions.iter().filter_map(|row| known(&row)));
    let mut ledger = observed.versions.clone();
    ledger.extend(
        below
            .iter()
            .filter(|id| observed.versions.iter().all(|row| row.revision != id.as_str()))
            .map(|id| Recorded {
                revision: id.to_string(),
                parents: Vec::new(),
                depends_on: Vec::new(),
                checksum: None,
                upgraded: None,
                reverting: false,
            }),
    );
    Cow::Owned(Observed { ledger, ..observed.clone() })
}

/// How the database stands to the image, by what [`applied`] gave.
#[must_use]
pub fn state(chain: &Chain, observed: &Observed) -> State {
    let recorded: BTreeSet<String> =
        observed.ledger.iter().map(|row| row.revision.clone()).collect();
    let knows = |id: &str| chain.graph.get_str(id).is_some();
    let unknown: Vec<String> = recorded.iter().filter(|id| !knows(id)).cloned().collect();

    if let Some(wrong) = wrong(chain, observed) {
        return State::Wrong(wrong);
    }
    if let Some(gap) = gap(chain, &recorded) {
        return State::Wrong(gap);
    }
    let wanted = chain.graph.with_ancestors(&chain.target);
    let in_order = chain.graph.revisions().map(|revision| &revision.id);
    let steps: Vec<RevisionId> = in_order
        .filter(|id| wanted.contains(*id) && !recorded.contains(id.as_str()))
        .cloned()
        .collect();
    let beyond = chain.graph.newer_than(&chain.target);
    let in_order = chain.graph.revisions().map(|revision| &revision.id);
    let newer: Vec<String> = in_order
        .filter(|id| {
            beyond.contains(*id) && recorded.contains(id.as_str()) && !wanted.contains(*id)
        })
        .map(ToString::to_string)
        .collect();
    // What an unknown row of a version table stands for, besides itself, nobody here can tell.
    let opaque = observed.opaque || chain.alembic.is_some() && !unknown.is_empty();
    let steps = if opaque { vec![] } else { steps };
    match (unknown.is_empty(), steps.is_empty(), newer.is_empty()) {
        (_, _, false) => State::Wrong(Refusal::Newer { target: chain.target_text.clone(), newer }),
        (true, true, true) => State::Ready,
        (true, false, true) => State::Pending(Plan { steps, recorded }),
        (false, true, true) => State::Ahead { unknown },
        (false, false, true) => State::Wrong(Refusal::Diverged { unknown, pending: texts(&steps) }),
    }
}

/// What forbids to build upon what is applied, wherever the target is.
#[must_use]
pub fn wrong(chain: &Chain, observed: &Observed) -> Option<Refusal> {
    let half = observed.ledger.iter().filter(|row| row.reverting);
    let revisions: Vec<String> = half.map(|row| row.revision.clone()).collect();
    if !revisions.is_empty() {
        return Some(Refusal::HalfReverted { revisions });
    }
    let path = |script: &Script| script.revision.place.path.display().to_string();
    let mut scripts: Vec<String> = changed(chain, observed).map(path).collect();
    scripts.sort();
    (!scripts.is_empty()).then_some(Refusal::Changed { scripts })
}

/// The scripts whose text is not what was applied.
pub fn changed<'c>(chain: &'c Chain, observed: &Observed) -> impl Iterator<Item = &'c Script> {
    let differs = |row: &Recorded| {
        let (applied, script) = (row.checksum.as_ref()?, chain.scripts.get(row.revision.as_str())?);
        (script.checksum(chain.engine).as_str() != applied).then_some(script)
    };
    observed.ledger.iter().filter_map(differs)
}

/// What of the graph is missing below applied revisions. Applying it now would be out of order,
/// and to pass over it would start a server on a schema that lacks it.
fn gap(chain: &Chain, recorded: &BTreeSet<String>) -> Option<Refusal> {
    let (mut missing, mut after) = (BTreeSet::new(), BTreeSet::new());
    for revision in chain.graph.revisions().filter(|one| recorded.contains(one.id.as_str())) {
        let parents = revision.parents.iter().chain(chain.graph.dependencies(&revision.id));
        for parent in parents.filter(|parent| !recorded.contains(parent.as_str())) {
            missing.insert(parent.to_string());
            after.insert(revision.id.to_string());
        }
    }
    let of = |set: BTreeSet<String>| set.into_iter().collect();
    (!missing.is_empty()).then(|| Refusal::Gap { missing: of(missing), after: of(after) })
}

/// What a run does next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// Nothing; become the server.
    Start,
    /// Go no further.
    Refuse(Refusal),
    /// There is work, for which the lock is needed.
    Work,
    /// Another one does the work; look again until it is done.
    Await(Refusal),
}

/// What is due besides revisions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// The hook.
    pub hook: bool,
    /// A reindex of anything.
    pub reindex: bool,
    /// To write down what another tool has applied or reverted.
    pub external: bool,
}

/// The table of modes: what a run does about what it has seen.
#[must_use]
pub fn decide(mode: AutoMigration, ahead: DatabaseAhead, state: &State, due: Due) -> Next {
    use AutoMigration::{Check, False, True, Wait};
    // All that the off switch lets happen besides the report: a reindex that was asked for is no
    // migration.
    let start_or_reindex = if due.reindex { Next::Work } else { Next::Start };
    match (mode, state) {
        (True | Check | Wait, State::Wrong(refusal)) => Next::Refuse(refusal.clone()),
        // The hooks of this image are not made for a newer schema.
        (True | Check | Wait, State::Ahead { unknown }) => match ahead {
            DatabaseAhead::Refuse => Next::Refuse(Refusal::Ahead { unknown: unknown.clone() }),
            DatabaseAhead::Allow => start_or_reindex,
        },
        (True, State::Pending(_)) => Next::Work,
        (True, State::Ready) if due.hook || due.external => Next::Work,
        (False, _) | (True | Check | Wait, State::Ready) => start_or_reindex,
        (Check, State::Pending(plan)) => {
            Next::Refuse(Refusal::Pending { steps: texts(&plan.steps) })
        }
        (Wait, State::Pending(plan)) => Next::Await(Refusal::Pending { steps: texts(&plan.steps) }),
        // Without a graph a run in these modes has failed before it could look.
        (True | Check | Wait, State::Unknown) => Next::Start,
    }
}

/// What of `REINDEX_DATASETS` counts in a mode: pods that only check or wait leave the work to
/// others, and what is due by revisions is a part of migrating.
#[must_use]
pub fn reindex_in(mode: AutoMigration, asked: &Reindex) -> Reindex {
    match (mode, asked) {
        (AutoMigration::Check | AutoMigration::Wait, _) | (AutoMigration::False, Reindex::Auto) => {
            Reindex::False
        }
        (AutoMigration::True | AutoMigration::False, asked) => asked.clone(),
    }
}

/// What a run that starts all the same passes over, in words.
#[must_use]
pub fn passed_over(mode: AutoMigration, state: &State) -> Option<String> {
    use AutoMigration::{Check, False, True, Wait};
    match (mode, state) {
        (_, State::Ahead { unknown }) => Some(ahead(unknown)),
        (False, State::Pending(plan)) => {
            Some(Refusal::Pending { steps: texts(&plan.steps) }.to_string())
        }
        (False, State::Wrong(refusal)) => Some(refusal.to_string()),
        (_, State::Ready | State::Unknown)
        | (True | Check | Wait, State::Pending(_) | State::Wrong(_)) => None,
    }
}

fn texts(ids: &[RevisionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Names in backticks; of many only the first few, since the line must stay one.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        text.push(format!("{} more", names.len() - SHOWN));
    }
    match text.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

/// What a database that is ahead has; what to do about it depends on who asks.
fn ahead(unknown: &[String]) -> String {
    let revisions = if unknown.len() == 1 { "revision" } else { "revisions" };
    format!("the database is ahead: this image lacks {revisions} {}", list(unknown))
}

fn it(names: &[String]) -> &'static str {
    if names.len() == 1 { "it" } else { "them" }
}

pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn was(names: &[String]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "was" } else { "were" })
}

fn is(names: &[String]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
pub(crate) mod tests;
