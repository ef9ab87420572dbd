//! The `A:B` of `history`: a part of the graph between two revisions, both included.

use std::collections::BTreeSet;

use crate::graph::{
    Graph, TargetError,
    revision::RevisionId,
    target::{Target, TargetSyntaxError},
};

/// Two ends. The default is everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Range {
    /// From here up; none is the base.
    pub from: Option<Target>,
    /// Down from here; none is all heads.
    pub to: Option<Target>,
}

/// Why a text is no range.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RangeSyntaxError {
    /// There is one end, or there are three.
    #[error("write `A:B`, `A:` or `:B`")]
    Ends,
    /// An end that is no target.
    #[error(transparent)]
    Target(#[from] TargetSyntaxError),
}

/// Why a range is empty of meaning in a graph.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RangeError {
    /// An end leads nowhere.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There is no way from one end to the other.
    #[error("`{from}` is no ancestor of `{to}`; the older revision comes first: `{to}:{from}`")]
    Backwards {
        /// The first end.
        from: String,
        /// The second.
        to: String,
    },
    /// There is none in the other direction either.
    #[error("`{from}` is no ancestor of `{to}`, nor the other way round: they are on two branches")]
    Apart {
        /// The first end.
        from: String,
        /// The second.
        to: String,
    },
}

impl Range {
    /// Reads what was typed.
    pub fn parse(text: &str) -> Result<Self, RangeSyntaxError> {
        let (from, to) = text.split_once(':').ok_or(RangeSyntaxError::Ends)?;
        if to.contains(':') {
            return Err(RangeSyntaxError::Ends);
        }
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => Target::parse(text).map(Some),
        };
        Ok(Self { from: end(from)?.filter(|from| *from != Target::Base), to: end(to)? })
    }

    /// The revisions of it.
    pub fn of(&self, graph: &Graph) -> Result<BTreeSet<RevisionId>, RangeError> {
        let all = graph.heads().into_iter().cloned().collect();
        let tops = self.to.as_ref().map_or(Ok(all), |to| graph.resolve(to))?;
        let below = graph.with_ancestors(&tops);
        let Some(from) = &self.from else { return Ok(below) };
        let bottoms = graph.resolve(from)?;
        // What a branch began with has no revision before it.
        if bottoms.is_empty() {
            return Ok(below);
        }
        if !bottoms.iter().all(|id| below.contains(id)) {
            let (from, to) = (
                from.to_string(),
                self.to.as_ref().map_or_else(|| "heads".to_owned(), ToString::to_string),
            );
            let turned = graph.with_ancestors(&bottoms);
            return Err(if tops.iter().all(|id| turned.contains(id)) {
                RangeError::Backwards { from, to }
            } else {
                RangeError::Apart { from, to }
            });
        }
        let mut above = graph.newer_than(&bottoms);
        above.extend(bottoms);
        Ok(above.intersection(&below).cloned().collect())
    }
}
