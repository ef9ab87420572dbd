//! Looks a target up in the graph.
//!
//! It promises either the ids that have to be reached, in the order of the graph, or an error that
//! knows what could have been meant: the merge that is missing, the tag that is spelt otherwise,
//! the newest release here.
//!
//! Surprising: `base` and `LABEL@base` both give an empty list, since nothing has to be reached.
//! Going *back* to them differs, and [`Graph::destination`](super::Graph::destination) says how; it
//! also knows the targets that are counted from where the database is, which are an error here.
//!
//! A bare label is the revision that declares it, as in Alembic; the branch is `LABEL@head`.

use std::{fmt, ops::Bound};

use super::{Destination, Graph, revision::RevisionId, target::Target};

/// Fewer characters of an id are no prefix: short ones soon become ambiguous.
const SHORTEST_PREFIX: usize = 4;

/// As many ids as a message lists where there may be hundreds.
pub(super) const LISTED: usize = 5;

/// What merges scripts.
const OUR_MERGE: &str = "prelaunch revision merge";

/// Why a target leads nowhere in this graph.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// `head` where there are several, of the graph or of one branch.
    #[error("{}", multiple_heads(.heads, .label.as_deref(), .merge))]
    MultipleHeads {
        /// The heads, in order.
        heads: Vec<RevisionId>,
        /// The branch, as it was named in the target.
        label: Option<String>,
        /// The command that merges them.
        merge: &'static str,
    },
    /// Nothing here has this name.
    #[error("no revision, tag or label here is called `{text}`{}", nearest_clause(.nearest.as_deref()))]
    Unknown {
        /// The name.
        text: String,
        /// The name that was probably meant: the same release spelt otherwise, the last tag
        /// before a release that has none, or a similar word.
        nearest: Option<String>,
    },
    /// A release that is later than all tags: often the image is older than the target.
    #[error("no revision here has the tag `{text}`; the newest tag is `{newest}`")]
    Newer {
        /// The name.
        text: String,
        /// The tag of the latest release.
        newest: String,
    },
    /// A prefix, but shorter than is accepted.
    #[error("`{text}` is too short to stand for an id; give at least four characters")]
    ShortPrefix {
        /// The prefix.
        text: String,
    },
    /// The beginning of several ids.
    #[error(
        "`{text}` is the beginning of {} ids, {}; give more characters",
        candidates.len(),
        list(candidates, LISTED)
    )]
    AmbiguousPrefix {
        /// The prefix.
        text: String,
        /// The ids, sorted.
        candidates: Vec<RevisionId>,
    },
    /// Steps from where the database is, which the graph alone does not answer.
    #[error("`{text}` counts steps; name the revision, tag or label itself")]
    Relative {
        /// The target as typed.
        text: String,
    },
    /// Steps from where the database is, which is in several places.
    #[error(
        "`{text}` counts from where the database is, and that is at {}; \
         name the revision to go to{}",
        list(.places, LISTED),
        on_a_branch(.text, .places)
    )]
    SeveralPlaces {
        /// The target as typed.
        text: String,
        /// Where, in order.
        places: Vec<RevisionId>,
    },
    /// Steps over a revision that has several children.
    #[error(
        "`{text}` is ambiguous: {} {}; name the revision to go to",
        after_clause(.after.as_ref()),
        list(.choices, LISTED)
    )]
    Fork {
        /// The target as typed.
        text: String,
        /// The revision; none before the roots.
        after: Option<RevisionId>,
        /// Its children, or the roots, in order.
        choices: Vec<RevisionId>,
    },
    /// Steps back over a revision that has several parents.
    #[error(
        "`{text}` is ambiguous: `{merge}` merges {}; name the revision to go to",
        list(.parents, LISTED)
    )]
    Merged {
        /// The target as typed.
        text: String,
        /// The revision.
        merge: RevisionId,
        /// Its parents, as its header has them.
        parents: Vec<RevisionId>,
    },
    /// More steps than there are.
    #[error(
        "`{text}` goes too far; from {} {way} there {} {steps} {}",
        .from.as_ref().map_or_else(|| "`base`".to_owned(), |id| format!("`{id}`")),
        if *.steps == 1 { "is" } else { "are" },
        if *.steps == 1 { "step" } else { "steps" }
    )]
    TooFar {
        /// The target as typed.
        text: String,
        /// Where the steps begin; none before the roots.
        from: Option<RevisionId>,
        /// `on` or `back`.
        way: &'static str,
        /// How many there are.
        steps: u32,
    },
    /// Steps back on a branch that is not there.
    #[error("`{text}` goes back on a branch of which nothing is applied")]
    NotApplied {
        /// The target as typed.
        text: String,
        /// The branch, as it was named in the target.
        label: String,
    },
}

impl TargetError {
    /// The same where the revisions are Alembic's, which we write none of.
    #[must_use]
    pub fn of_alembic(mut self) -> Self {
        if let Self::MultipleHeads { merge, .. } = &mut self {
            *merge = "alembic merge";
        }
        self
    }
}

impl Graph {
    /// The ids that must be reached, in order; empty for `base` and `LABEL@base`, and for `head`
    /// and `heads` of an empty graph.
    ///
    /// `heads` leaves out heads on which another revision depends: that one brings them along.
    /// `NAME+n` and `NAME-n` are counted from the revision, so they are known here; `+n`, `-n`,
    /// `LABEL@+n` and `LABEL@-n` are an error.
    pub fn resolve(&self, target: &Target) -> Result<Vec<RevisionId>, TargetError> {
        match target {
            Target::Head => one_head(self.heads(), None),
            Target::Heads => {
                let mut needed = vec![false; self.len()];
                for &at in self.nodes.iter().flat_map(|node| &node.dependencies) {
                    needed[at] = true;
                }
                let free = |id: &&RevisionId| !self.by_id.get(*id).is_some_and(|&at| needed[at]);
                Ok(self.heads().into_iter().filter(free).cloned().collect())
            }
            Target::Base => Ok(Vec::new()),
            // As in Alembic, a bare label is the revision that declares it.
            Target::Name(text) => match self.find(text) {
                Ok(at) => Ok(vec![self.id_at(at).clone()]),
                // A name that nothing has may still be `NAME+n`; if not, the error about the name
                // stands.
                Err(error) => match self.counted(text).ok_or(error)?? {
                    Destination::At(ids) => Ok(ids),
                    // Before the first revision is nothing that could be reached.
                    Destination::Before(_) => Err(TargetError::Relative { text: text.clone() }),
                },
            },
            Target::LabelHead(label) => self.branch_head(label, self.find(label)?),
            Target::LabelBase(label) => self.find(label).map(|_| Vec::new()),
            Target::LabelUp(label, _) | Target::LabelDown(label, _) => {
                self.find(label)?;
                Err(TargetError::Relative { text: target.to_string() })
            }
            Target::Up(_) | Target::Down(_) => {
                Err(TargetError::Relative { text: target.to_string() })
            }
        }
    }

    fn branch_head(&self, label: &str, at: usize) -> Result<Vec<RevisionId>, TargetError> {
        let mut from = vec![false; self.len()];
        from[at] = true;
        let newer = self.newer_marks(&from);
        let heads = (at..self.len())
            .filter(|&other| other == at || newer[other])
            .filter(|&other| self.nodes[other].children.is_empty())
            .map(|other| self.id_at(other))
            .collect();
        one_head(heads, Some(label))
    }

    /// The revision of a name: id, tag, the one that declares the label, prefix.
    ///
    /// The first three cannot contradict each other: that would have been a fault of the graph.
    pub(super) fn find(&self, text: &str) -> Result<usize, TargetError> {
        let exact = self.by_id.get(text).or_else(|| self.by_tag.get(text));
        if let Some(&at) = exact.or_else(|| self.by_label.get(text)) {
            return Ok(at);
        }
        let from = (Bound::Included(text), Bound::Unbounded);
        let matches: Vec<(&RevisionId, usize)> = self
            .by_id
            .range::<str, _>(from)
            .take_while(|(id, _)| id.as_str().starts_with(text))
            .map(|(id, &at)| (id, at))
            .collect();
        match *matches {
            [] => Err(self.unknown(text)),
            _ if text.chars().count() < SHORTEST_PREFIX => {
                Err(TargetError::ShortPrefix { text: text.to_owned() })
            }
            [(_, at)] => Ok(at),
            _ => Err(TargetError::AmbiguousPrefix {
                text: text.to_owned(),
                candidates: matches.into_iter().map(|(id, _)| id.clone()).collect(),
            }),
        }
    }

    fn unknown(&self, text: &str) -> TargetError {
        let unknown = |nearest: Option<&str>| TargetError::Unknown {
            text: text.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        // Similar digits are another release: releases are compared by number, and only words
        // and ids by their letters.
        if let Some(asked) = Release::read(text) {
            let mut tags: Vec<(Release<'_>, &str)> = self
                .by_tag
                .keys()
                .filter_map(|tag| Release::read(tag).map(|release| (release, tag.as_str())))
                .collect();
            tags.sort();
            let before = tags.iter().rev().find(|(release, _)| *release <= asked);
            return match (before, tags.last()) {
                (Some((tagged, newest)), Some((last, _))) if tagged == last && *tagged < asked => {
                    TargetError::Newer { text: text.to_owned(), newest: (*newest).to_owned() }
                }
                (before, _) => unknown(before.map(|&(_, tag)| tag)),
            };
        }
        let similar = self
            .nodes
            .iter()
            .flat_map(|node| {
                let revision = &node.revision;
                std::iter::once(revision.id.as_str())
                    .chain(revision.tag.as_deref())
                    .chain(revision.labels.iter().map(String::as_str))
            })
            .map(|name| (strsim::damerau_levenshtein(text, name), name))
            // One slip in four characters; more would be guessing.
            .filter(|(slips, name)| slips * 4 <= name.chars().count())
            .min_by_key(|&(slips, _)| slips);
        unknown(similar.map(|(_, name)| name))
    }
}

fn one_head(heads: Vec<&RevisionId>, label: Option<&str>) -> Result<Vec<RevisionId>, TargetError> {
    let heads: Vec<RevisionId> = heads.into_iter().cloned().collect();
    if heads.len() > 1 {
        let label = label.map(str::to_owned);
        return Err(TargetError::MultipleHeads { heads, label, merge: OUR_MERGE });
    }
    Ok(heads)
}

/// A release as people compare them: `v1.8`, `1.8` and `1.8.0` are one, `1.8-rc1` comes before.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Release<'a> {
    numbers: Vec<u64>,
    is_final: bool,
    suffix: &'a str,
}

impl<'a> Release<'a> {
    /// Numbers with at least one dot between them; without one it may be an id.
    fn read(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(end);
        let parts = numbers.trim_end_matches('.').split('.');
        let mut numbers: Vec<u64> = parts.map(str::parse).collect::<Result<_, _>>().ok()?;
        if numbers.len() < 2 {
            return None;
        }
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self { numbers, is_final: suffix.is_empty(), suffix })
    }
}

fn multiple_heads(heads: &[RevisionId], label: Option<&str>, merge: &str) -> String {
    let count = heads.len();
    let names = list(heads, usize::MAX);
    let merge = merging(merge, heads);
    match label {
        None => format!(
            "the graph has {count} heads, {names}; \
             merge them with `{merge}`, or name one of them, or `heads` for all"
        ),
        Some(label) => format!(
            "branch `{label}` has {count} heads, {names}; \
             merge them with `{merge}`, or name one of them"
        ),
    }
}

/// What to type to merge heads; an id may be anything without blanks, so a shell may need quotes.
pub(crate) fn merge_command(heads: &[RevisionId]) -> String {
    merging(OUR_MERGE, heads)
}

fn merging(command: &str, heads: &[RevisionId]) -> String {
    let names = shell_words::join(heads.iter().map(RevisionId::as_str));
    format!("{command} -m TITLE {names}")
}

fn nearest_clause(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; check the name, and whether the image is the right one".to_owned(),
        |name| format!("; the nearest is `{name}`"),
    )
}

/// How to count where the database is in several places, unless that was tried.
fn on_a_branch(text: &str, places: &[RevisionId]) -> String {
    match places {
        [first, ..] if !text.contains('@') => format!(", or count on a branch: `{first}@{text}`"),
        _ => String::new(),
    }
}

fn after_clause(after: Option<&RevisionId>) -> String {
    after.map_or_else(|| "the graph begins with".to_owned(), |id| format!("`{id}` is followed by"))
}

/// `a`, `b` and `c`, or `a`, `b` and 7 more.
pub(crate) fn list(names: &[impl fmt::Display], most: usize) -> String {
    let mut texts: Vec<String> = names.iter().take(most).map(|name| format!("`{name}`")).collect();
    let last = match names.len() - texts.len() {
        0 => texts.pop().unwrap_or_default(),
        more => format!("{more} more"),
    };
    if texts.is_empty() { last } else { format!("{} and {last}", texts.join(", ")) }
}
