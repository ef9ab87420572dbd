//! Why a script is not written, or not in order.

use std::path::PathBuf;

use crate::graph::{
    TargetError, list, merge_command,
    revision::{Place, RevisionId},
};

/// Why a script is not written, or not in order.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RevisionError {
    /// A name that leads nowhere.
    #[error(transparent)]
    Target(TargetError),
    /// No parent was named, and there is a choice; or one name means several.
    #[error(
        "the graph has {} heads, {}; merge them with `{}`, or name the parent with `--head {}`",
        .0.len(), list(.0, usize::MAX), merge_command(.0), shell_words::quote(.0[0].as_str())
    )]
    SeveralHeads(Vec<RevisionId>),
    /// A target such as `base`, where a revision is needed.
    #[error("`{0}` names no revision; name the revision itself")]
    NoRevision(String),
    /// A parent that has children already.
    #[error(
        "`{id}` is no head, since {} {} it; to let another branch begin there, add `--splice`",
        list(.children, usize::MAX), if .children.len() == 1 { "follows" } else { "follow" }
    )]
    NotAHead {
        /// The parent.
        id: RevisionId,
        /// Its children.
        children: Vec<RevisionId>,
    },
    /// A merge of something that has children already.
    #[error(
        "`{id}` is no head, since {} {} it; only heads can be merged",
        list(.children, usize::MAX), if .children.len() == 1 { "follows" } else { "follow" }
    )]
    MergeOfNoHead {
        /// What was to be merged.
        id: RevisionId,
        /// Its children.
        children: Vec<RevisionId>,
    },
    /// A merge of a revision with one that has it already.
    #[error("`{younger}` comes after `{older}`, so there is nothing to merge")]
    Ancestor {
        /// The ancestor.
        older: RevisionId,
        /// Its descendant.
        younger: RevisionId,
    },
    /// A merge of a revision with itself.
    #[error("`{0}` is named twice; name two different heads")]
    Twice(RevisionId),
    /// A merge of one.
    #[error("only `{0}` is named; name two heads or more, or none to merge all")]
    OneNamed(RevisionId),
    /// A merge in a graph that has nothing to merge.
    #[error(
        "there is nothing to merge, since the graph has {}",
        .0.as_ref().map_or_else(|| "no revision".to_owned(), |head| format!("one head, `{head}`"))
    )]
    NothingToMerge(Option<RevisionId>),
    /// A label that means something else.
    #[error("`{label}` is already {what} in {place}; choose another label")]
    LabelTaken {
        /// The label.
        label: RevisionId,
        /// What else it means.
        what: &'static str,
        /// Where.
        place: Place,
    },
    /// A directory that cannot be made, a file that is there, a disk that is full.
    #[error("cannot write `{}`: {reason}", path.display())]
    Write {
        /// What was to be made.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The faults are on stdout.
    #[error(
        "{faults} {} in {scripts} {}",
        if *.faults == 1 { "fault" } else { "faults" },
        if *.scripts == 1 { "script" } else { "scripts" }
    )]
    Unsound {
        /// How many.
        faults: usize,
        /// In how many scripts.
        scripts: usize,
    },
    /// The warnings are on stdout, and `--strict` was given.
    #[error(
        "{warnings} {} in {scripts} {}; with `--strict` each counts as a fault",
        if *.warnings == 1 { "warning" } else { "warnings" },
        if *.scripts == 1 { "script" } else { "scripts" }
    )]
    Risky {
        /// How many.
        warnings: usize,
        /// In how many scripts.
        scripts: usize,
    },
}

impl RevisionError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Write { .. } => 10,
            Self::LabelTaken { .. } | Self::Unsound { .. } | Self::Risky { .. } => 20,
            Self::Target(_)
            | Self::SeveralHeads(_)
            | Self::NoRevision(_)
            | Self::NotAHead { .. }
            | Self::MergeOfNoHead { .. }
            | Self::Ancestor { .. }
            | Self::Twice(_)
            | Self::OneNamed(_)
            | Self::NothingToMerge(_) => 21,
        }
    }
}
