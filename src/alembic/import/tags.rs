//! Which release each revision completes, as `--tag ID=TAG` and the lines of `--tags FILE` say.

use std::{collections::BTreeMap, fmt};

use crate::graph::{Graph, TargetError, revision::RevisionId, target::Target};

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

    fn of(id: &str, tag: &str) -> Result<Self, TagError> {
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
pub(super) fn lines(text: &str) -> Result<Vec<Tagged>, TagError> {
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

/// The tag of each revision that has one.
pub(super) fn resolve(
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
