//! Looks up where a target leads from where the database is, with steps counted.
//!
//! It promises what [`Graph::resolve`] promises, for every target: revisions to be at or to be
//! before, or an error that names what could be meant. Nothing here knows a direction;
//! [`Graph::route`] finds it.
//!
//! What a reader may not expect: steps follow parents alone, so `+2` may bring more than two
//! revisions (those that the second one depends on or merges), and where a parent has several
//! children, or a revision several parents, a count is an error rather than a guess. `NAME+n` and
//! `NAME-n` are counted from the revision, the others from the database.

use std::{collections::BTreeSet, num::NonZeroU32};

use super::{
    Graph, Node, TargetError,
    revision::RevisionId,
    target::{Count, Target, counted_from},
};

/// Where a target leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// At these revisions: they and all that must come before them, and nothing that follows them.
    At(Vec<RevisionId>),
    /// Before these revisions: they are gone, with all that follows or needs them.
    Before(Vec<RevisionId>),
}

/// The way back from a revision: the last revision it passed, and its parent if it has one.
struct Back {
    passed: usize,
    reached: Option<usize>,
}

impl Graph {
    /// Where a target leads, for a database in which `recorded` is applied: all of it, not the
    /// heads alone. Ids that the graph does not know count for nothing here.
    pub fn destination(
        &self,
        target: &Target,
        recorded: &BTreeSet<String>,
    ) -> Result<Destination, TargetError> {
        let text = target.to_string();
        match target {
            Target::Head | Target::Heads | Target::LabelHead(_) => {
                self.resolve(target).map(Destination::At)
            }
            Target::Name(name) => match self.find(name) {
                Ok(at) => Ok(self.at(at)),
                Err(error) => self.counted(name).unwrap_or(Err(error)),
            },
            Target::Base => Ok(Destination::Before(self.roots().into_iter().cloned().collect())),
            // As in Alembic: the other trees stay.
            Target::LabelBase(label) => {
                let older = self.older_marks(self.find(label)?);
                let roots = (0..self.len()).filter(|&at| older[at]);
                let roots = roots.filter(|&at| self.nodes[at].parents.is_empty());
                Ok(Destination::Before(roots.map(|at| self.id_at(at).clone()).collect()))
            }
            Target::Up(count) => {
                let from = self.one_place(&text, self.tips(&self.recorded_marks(recorded)))?;
                self.walk_up(&text, from, *count, None).map(|at| self.at(at))
            }
            Target::Down(count) => {
                let from = self.one_place(&text, self.tips(&self.recorded_marks(recorded)))?;
                self.walk_down(&text, from, *count).map(|back| self.before(back.passed))
            }
            Target::LabelUp(label, count) => {
                let line = self.line_marks(self.find(label)?);
                let needs = |node: &Node| [&*node.parents, &*node.dependencies].concat();
                let from = self.one_place(&text, self.places_on(&line, recorded, needs))?;
                self.walk_up(&text, from, *count, Some(&line)).map(|at| self.at(at))
            }
            Target::LabelDown(label, count) => {
                // Not the line: what is before the branch is the way back for others, too.
                let at = self.find(label)?;
                let mut branch = self.newer_marks(&self.only(at));
                branch[at] = true;
                let places = self.places_on(&branch, recorded, |node| node.parents.clone());
                let from = self.one_place(&text, places)?;
                if from.is_none() {
                    return Err(TargetError::NotApplied { text, label: label.clone() });
                }
                self.walk_down(&text, from, *count).map(|back| self.before(back.passed))
            }
        }
    }

    /// What the database is at: the recorded revisions that no other recorded one follows or
    /// needs, in order. They are the rows of Alembic's version table.
    #[must_use]
    pub fn current(&self, recorded: &BTreeSet<String>) -> Vec<RevisionId> {
        let tips = self.tips(&self.recorded_marks(recorded));
        tips.into_iter().map(|at| self.id_at(at).clone()).collect()
    }

    /// `NAME+n` or `NAME-n`; nothing if the text is neither, or has no such name before its sign.
    pub(super) fn counted(&self, text: &str) -> Option<Result<Destination, TargetError>> {
        let (name, count) = counted_from(text)?;
        let from = match name {
            "base" => None,
            "head" => match self.resolve(&Target::Head) {
                Ok(ids) => ids.first().and_then(|id| self.by_id.get(id).copied()),
                Err(error) => return Some(Err(error)),
            },
            _ => Some(self.find(name).ok()?),
        };
        Some(match count {
            Count::Up(count) => self.walk_up(text, from, count, None).map(|at| self.at(at)),
            Count::Down(count) => self.walk_down(text, from, count).map(|back| {
                // Before the root of this one, and not of every tree: as it is with `-n`.
                back.reached.map_or_else(|| self.before(back.passed), |at| self.at(at))
            }),
        })
    }

    /// Where the database is on a branch; nowhere, if nothing of it is recorded.
    ///
    /// A revision that others need from elsewhere is no tip of the whole (Alembic has no row for
    /// it). It counts only where the branch has no tip; then its places are what is recorded of it,
    /// less what the rest of that comes `after`.
    fn places_on(
        &self,
        branch: &[bool],
        recorded: &BTreeSet<String>,
        after: impl Fn(&Node) -> Vec<usize>,
    ) -> Vec<usize> {
        let recorded = self.recorded_marks(recorded);
        let mut places = self.tips(&recorded);
        places.retain(|&at| branch[at]);
        if places.is_empty() {
            places = (0..self.len()).filter(|&at| recorded[at] && branch[at]).collect();
            let passed: BTreeSet<usize> =
                places.iter().flat_map(|&at| after(&self.nodes[at])).collect();
            places.retain(|at| !passed.contains(at));
        }
        places
    }

    fn one_place(&self, text: &str, places: Vec<usize>) -> Result<Option<usize>, TargetError> {
        match *places {
            [] => Ok(None),
            [at] => Ok(Some(at)),
            _ => Err(TargetError::SeveralPlaces {
                text: text.to_owned(),
                places: places.into_iter().map(|at| self.id_at(at).clone()).collect(),
            }),
        }
    }

    /// Goes up from a revision, or from before the roots, among the marked revisions if marks are
    /// given.
    fn walk_up(
        &self,
        text: &str,
        from: Option<usize>,
        count: NonZeroU32,
        within: Option<&[bool]>,
    ) -> Result<usize, TargetError> {
        let step = |at: Option<usize>| -> Vec<usize> {
            let all = match at {
                Some(at) => self.nodes[at].children.clone(),
                None => (0..self.len()).filter(|&at| self.nodes[at].parents.is_empty()).collect(),
            };
            all.into_iter().filter(|&at| within.is_none_or(|within| within[at])).collect()
        };
        let id = |at: usize| self.id_at(at).clone();
        let mut at = from;
        let mut taken = 0;
        loop {
            at = match *step(at) {
                [] => {
                    let (text, from) = (text.to_owned(), from.map(id));
                    return Err(TargetError::TooFar { text, from, way: "on", steps: taken });
                }
                [next] if taken + 1 == count.get() => return Ok(next),
                [next] => Some(next),
                ref choices => {
                    let choices = choices.iter().copied().map(id).collect();
                    let (text, after) = (text.to_owned(), at.map(id));
                    return Err(TargetError::Fork { text, after, choices });
                }
            };
            taken += 1;
        }
    }

    /// Goes back from a revision, at most to before a root.
    fn walk_down(
        &self,
        text: &str,
        from: Option<usize>,
        count: NonZeroU32,
    ) -> Result<Back, TargetError> {
        let mut reached = from;
        let mut taken = 0;
        loop {
            let Some(passed) = reached else {
                let (text, from) = (text.to_owned(), from.map(|at| self.id_at(at).clone()));
                return Err(TargetError::TooFar { text, from, way: "back", steps: taken });
            };
            reached = match *self.nodes[passed].parents {
                [] => None,
                [parent] => Some(parent),
                ref parents => {
                    return Err(TargetError::Merged {
                        text: text.to_owned(),
                        merge: self.id_at(passed).clone(),
                        parents: parents.iter().map(|&at| self.id_at(at).clone()).collect(),
                    });
                }
            };
            taken += 1;
            if taken == count.get() {
                return Ok(Back { passed, reached });
            }
        }
    }

    fn at(&self, at: usize) -> Destination {
        Destination::At(vec![self.id_at(at).clone()])
    }

    fn before(&self, at: usize) -> Destination {
        Destination::Before(vec![self.id_at(at).clone()])
    }

    fn only(&self, at: usize) -> Vec<bool> {
        let mut marks = vec![false; self.len()];
        marks[at] = true;
        marks
    }

    /// A revision and its ancestors through parents alone.
    fn older_marks(&self, from: usize) -> Vec<bool> {
        let mut older = self.only(from);
        for at in (0..=from).rev() {
            if older[at] {
                for &parent in &self.nodes[at].parents {
                    older[parent] = true;
                }
            }
        }
        older
    }

    /// A revision with its ancestors and descendants through parents: the line that it is on.
    fn line_marks(&self, at: usize) -> Vec<bool> {
        let newer = self.newer_marks(&self.only(at));
        self.older_marks(at).iter().zip(newer).map(|(older, newer)| *older || newer).collect()
    }

    pub(super) fn recorded_marks(&self, recorded: &BTreeSet<String>) -> Vec<bool> {
        let mut marks = vec![false; self.len()];
        for at in recorded.iter().filter_map(|id| self.by_id.get(id.as_str())) {
            marks[*at] = true;
        }
        marks
    }

    /// The marked revisions that no other marked one needs, be it through unmarked ones.
    pub(super) fn tips(&self, marks: &[bool]) -> Vec<usize> {
        let mut needed = vec![false; self.len()];
        let mut tips = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if marks[at] && !needed[at] {
                tips.push(at);
            }
            if marks[at] || needed[at] {
                for &before in node.parents.iter().chain(&node.dependencies) {
                    needed[before] = true;
                }
            }
        }
        tips.reverse();
        tips
    }
}
