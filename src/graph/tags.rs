//! Which release each revision completes, where not the scripts say so: `--tag ID=TAG` and the lines
//! of `--tags FILE` of an import, `[chain.tags]` of the configuration file.

use std::{collections::BTreeMap, fmt};

use super::{
    Graph, GraphFault, TargetError,
    revision::{Revision, RevisionId},
    target::Target,
};

/// A tag that was given for a revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tagged {
    /// The id, or its beginning.
    pub revision: Target,
    /// The tag.
    pub tag: String,
}

/// Why a tag is none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TagError {
    /// Not two words.
    #[error("write `ID=TAG`")]
    Form,
    /// The first word is no id.
    #[error("`{0}` is no id")]
    Id(String),
    /// A line of the file.
    #[error("line {line}: {error}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong there; part of this message, hence no source.
        error: Box<TagError>,
    },
    /// An id that is none here.
    #[error("tag `{tag}`: {error}")]
    Target {
        /// The tag.
        tag: String,
        /// Why; part of this message, hence no source.
        error: TargetError,
    },
    /// A word that means several revisions, or none.
    #[error("tag `{tag}` is for `{target}`, which is not one revision")]
    NotOne {
        /// The tag.
        tag: String,
        /// What was written.
        target: String,
    },
    /// Two tags for one revision.
    #[error("`{revision}` has two tags, `{first}` and `{second}`; a script has one")]
    Two {
        /// Which revision.
        revision: RevisionId,
        /// One tag.
        first: String,
        /// The other one.
        second: String,
    },
}

impl Tagged {
    /// Reads `ID=TAG`.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let (id, tag) = text.split_once('=').ok_or(TagError::Form)?;
        Self::of(id, tag)
    }

    /// From an id, or its beginning, and a tag.
    pub fn of(id: &str, tag: &str) -> Result<Self, TagError> {
        let (id, tag) = (id.trim(), tag.trim());
        if id.is_empty() || tag.is_empty() {
            return Err(TagError::Form);
        }
        let revision = Target::parse(id).map_err(|_| TagError::Id(id.to_owned()))?;
        Ok(Self { revision, tag: tag.to_owned() })
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.revision, self.tag)
    }
}

/// The lines of a file: `ID=TAG` or `ID TAG`; empty lines and what follows a `#` are left out.
pub(crate) fn lines(text: &str) -> Result<Vec<Tagged>, TagError> {
    let mut all = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let (id, tag) =
            text.split_once(|c: char| c == '=' || c.is_whitespace()).unwrap_or((text, ""));
        let of = |error| TagError::Line { line, error: Box::new(error) };
        all.push(Tagged::of(id, tag).map_err(of)?);
    }
    Ok(all)
}

impl Graph {
    /// The same graph with more tags. One for a revision that is not here counts for nothing: the
    /// list may be made for images that come later.
    pub fn with_tags(&self, tags: &[Tagged]) -> Result<Self, TagsError> {
        let is_here = |tag: &&Tagged| {
            !matches!(self.resolve(&tag.revision), Err(TargetError::Unknown { .. }))
        };
        let here: Vec<Tagged> = tags.iter().filter(is_here).cloned().collect();
        let tags = resolve(self, here).map_err(TagsError::Tag)?;
        let mut revisions: Vec<Revision> = self.revisions().cloned().collect();
        for revision in &mut revisions {
            let Some(tag) = tags.get(&revision.id) else { continue };
            if let Some(first) = revision.tag.replace(tag.clone()).filter(|first| first != tag) {
                let (revision, second) = (revision.id.clone(), tag.clone());
                return Err(TagsError::Tag(TagError::Two { revision, first, second }));
            }
        }
        Self::new(revisions).map_err(TagsError::Graph)
    }
}

/// Why a graph cannot have more tags.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TagsError {
    /// A tag that is none.
    #[error(transparent)]
    Tag(TagError),
    /// Two things of one name.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Graph(Vec<GraphFault>),
}

/// The tag of each revision that has one.
pub(crate) fn resolve(
    graph: &Graph,
    tags: impl IntoIterator<Item = Tagged>,
) -> Result<BTreeMap<RevisionId, String>, TagError> {
    let mut found: BTreeMap<RevisionId, String> = BTreeMap::new();
    for Tagged { revision, tag } in tags {
        let ids = graph.resolve(&revision);
        let ids = ids.map_err(|error| TagError::Target { tag: tag.clone(), error })?;
        let [id] = ids.as_slice() else {
            return Err(TagError::NotOne { tag, target: revision.to_string() });
        };
        if let Some(first) = found.insert(id.clone(), tag.clone()).filter(|first| *first != tag) {
            return Err(TagError::Two { revision: id.clone(), first, second: tag });
        }
    }
    Ok(found)
}
