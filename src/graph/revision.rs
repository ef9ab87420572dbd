//! A node of the graph: what one script says of itself in its header.

use std::{fmt, path::PathBuf};

/// The id of a revision.
///
/// Any text that Alembic would accept: not empty, no white space, no comma, none of `@ - + :`
/// (they belong to the target grammar), and not one of the words `head`, `heads`, `base`. Those of
/// Alembic's own files may have blanks inside ([`RevisionId::of_alembic`]).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RevisionId(String);

/// Why a text is no revision id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RevisionIdError {
    /// Nothing is left after trimming.
    #[error("a revision id is empty")]
    Empty,
    /// A character that the target grammar or the lists of the header need.
    #[error("revision id `{id}` contains `{character}`")]
    Character {
        /// The text as given.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `head`, `heads` or `base`.
    #[error("revision id `{id}` is a word of the target grammar")]
    Reserved {
        /// The text as given.
        id: String,
    },
}

impl RevisionId {
    /// Takes an id as it stands in a header, a target or a ledger row.
    pub fn new(text: &str) -> Result<Self, RevisionIdError> {
        let id = text.trim();
        if id.is_empty() {
            return Err(RevisionIdError::Empty);
        }
        if let Some(character) =
            id.chars().find(|c| c.is_whitespace() || c.is_control() || "@-+:,".contains(*c))
        {
            return Err(RevisionIdError::Character { id: id.to_owned(), character });
        }
        if matches!(id, "head" | "heads" | "base") {
            return Err(RevisionIdError::Reserved { id: id.to_owned() });
        }
        Ok(Self(id.to_owned()))
    }

    /// Takes an id as it stands in a file of Alembic, which also allows blanks inside.
    ///
    /// What Alembic takes and nothing here could name again is refused: a comma, which separates
    /// ids in the ledger, a blank at an end, and the words of the target grammar.
    pub fn of_alembic(text: &str) -> Result<Self, RevisionIdError> {
        let blank = |c: &char| c.is_whitespace() && *c != ' ';
        let character = |character| RevisionIdError::Character { id: text.to_owned(), character };
        if text.is_empty() {
            return Err(RevisionIdError::Empty);
        }
        if let Some(found) = text.chars().find(blank) {
            return Err(character(found));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(character(' '));
        }
        // Whatever else is refused, is refused for an id without blanks too.
        Self::new(&text.replace(' ', "_")).map(|_| Self(text.to_owned())).map_err(|error| {
            match error {
                RevisionIdError::Character { character: found, .. } => character(found),
                error @ (RevisionIdError::Empty | RevisionIdError::Reserved { .. }) => error,
            }
        })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for RevisionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where a revision is written down, for messages: `file:line`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The file, as it was found.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// A node of the graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revision {
    /// Its id, unique in its graph.
    pub id: RevisionId,
    /// What it follows: none for a root, several for a merge (`revises`).
    pub parents: Vec<RevisionId>,
    /// Ids or branch labels that must be applied before it, without being its parents.
    pub depends_on: Vec<String>,
    /// Alembic's branch labels (`branch`).
    pub labels: Vec<String>,
    /// The release that this revision completes (`tag`).
    pub tag: Option<String>,
    /// The first line of the header.
    pub title: String,
    /// When it was written, as the header says (`created`).
    pub created: Option<String>,
    /// Where its `revision:` line stands.
    pub place: Place,
}
