//! The target grammar: what somebody may ask the schema to be at.
//!
//! ```text
//! head  heads  base  NAME  +n  -n  NAME+n  NAME-n                                       (n >= 1)
//! LABEL@head  LABEL@base  LABEL@+n  LABEL@-n
//! ```
//!
//! [`Target::parse`] needs no graph, and promises that [`Target`] displays as it was typed (less
//! the blanks around it).
//!
//! Surprising: there is no variant for `NAME+n` and `NAME-n`. Tags may contain both signs
//! (`1.8-rc1`, or even `1.8-1`), and only the graph knows its tags. So the text stays whole in
//! [`Target::Name`], and [`Graph::resolve`](super::Graph::resolve) takes it for steps only when
//! nothing has that name. In the steps form, and only there, NAME may also be `head` or `base`.

use std::{fmt, num::NonZeroU32};

/// What the schema shall be at, not yet looked up in a graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The one head; several are an error.
    Head,
    /// All heads.
    Heads,
    /// Before every revision.
    Base,
    /// An id, a tag, a label or a unique prefix of an id (tried in this order), else `NAME+n` or
    /// `NAME-n`: as typed.
    Name(String),
    /// So many revisions further than the database is.
    Up(NonZeroU32),
    /// So many revisions back from where the database is.
    Down(NonZeroU32),
    /// The one head of a branch, which is named by its label or by any revision of it.
    LabelHead(String),
    /// Before every revision of a branch.
    LabelBase(String),
    /// So many revisions further on a branch than the database is.
    LabelUp(String, NonZeroU32),
    /// So many revisions back on a branch from where the database is.
    LabelDown(String, NonZeroU32),
}

/// Why a text is no target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetSyntaxError {
    /// Nothing is left after trimming.
    #[error("the target is empty; give `head`, or a revision, tag or label")]
    Empty,
    /// A sign without a number of steps.
    #[error("target `{text}` has no number of steps from 1 on after its sign; write it as `+1`")]
    Steps {
        /// The text as given.
        text: String,
    },
    /// An `@` with something else around it than a branch can have.
    #[error(
        "target `{text}` cannot be read; \
         write `LABEL@head`, `LABEL@base`, `LABEL@+1` or `LABEL@-1`"
    )]
    Branch {
        /// The text as given.
        text: String,
    },
}

impl Target {
    /// Reads what was typed, or given as `MIGRATION_TARGET`.
    pub fn parse(text: &str) -> Result<Self, TargetSyntaxError> {
        let text = text.trim();
        match text {
            "" => return Err(TargetSyntaxError::Empty),
            "head" => return Ok(Self::Head),
            "heads" => return Ok(Self::Heads),
            "base" => return Ok(Self::Base),
            _ => {}
        }
        if let Some((label, rest)) = text.split_once('@') {
            let label = label.to_owned();
            let target = match rest {
                "head" => Some(Self::LabelHead(label.clone())),
                "base" => Some(Self::LabelBase(label.clone())),
                _ => match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
                    (Some(n), _) => steps(n).map(|n| Self::LabelUp(label.clone(), n)),
                    (_, Some(n)) => steps(n).map(|n| Self::LabelDown(label.clone(), n)),
                    (None, None) => None,
                },
            };
            // A label is itself a name: `head@head` and `+1@head` would name nothing.
            return target
                .filter(|_| Self::parse(&label) == Ok(Self::Name(label)))
                .ok_or_else(|| TargetSyntaxError::Branch { text: text.to_owned() });
        }
        let relative = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(n), _) => steps(n).map(Self::Up),
            (_, Some(n)) => steps(n).map(Self::Down),
            (None, None) => return Ok(Self::Name(text.to_owned())),
        };
        relative.ok_or_else(|| TargetSyntaxError::Steps { text: text.to_owned() })
    }

    /// Whether this depends on where the database is, or leads back to nothing: what `run` must
    /// not be given, because it would move at every restart.
    ///
    /// `NAME+n` is not counted: it is counted from the revision it names, so it stays where it is.
    #[must_use]
    pub fn is_relative_or_base(&self) -> bool {
        match self {
            Self::Base
            | Self::LabelBase(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::LabelUp(..)
            | Self::LabelDown(..) => true,
            Self::Head | Self::Heads | Self::Name(_) | Self::LabelHead(_) => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Heads => f.write_str("heads"),
            Self::Base => f.write_str("base"),
            Self::Name(text) => f.write_str(text),
            Self::Up(steps) => write!(f, "+{steps}"),
            Self::Down(steps) => write!(f, "-{steps}"),
            Self::LabelHead(label) => write!(f, "{label}@head"),
            Self::LabelBase(label) => write!(f, "{label}@base"),
            Self::LabelUp(label, steps) => write!(f, "{label}@+{steps}"),
            Self::LabelDown(label, steps) => write!(f, "{label}@-{steps}"),
        }
    }
}

/// How far, and which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    Up(NonZeroU32),
    Down(NonZeroU32),
}

/// The parts of `NAME+n` or `NAME-n`.
pub(super) fn counted_from(text: &str) -> Option<(&str, Count)> {
    let at = text.rfind(['+', '-'])?;
    let (name, signed) = text.split_at(at);
    let count = match (signed.strip_prefix('+'), signed.strip_prefix('-')) {
        (Some(n), _) => Count::Up(steps(n)?),
        (_, Some(n)) => Count::Down(steps(n)?),
        (None, None) => return None,
    };
    Some((name, count))
}

/// Plain digits without leading zeros, so that a target displays as it was typed (and because the
/// standard parser would take a second `+`).
fn steps(text: &str) -> Option<NonZeroU32> {
    text.parse().ok().filter(|n: &NonZeroU32| n.to_string() == text)
}
