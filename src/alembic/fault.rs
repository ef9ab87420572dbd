//! What can be wrong with the files of an Alembic environment.
//!
//! Every fault names its file and line. [`AlembicFault::python_may_know`] tells those that are no
//! mistakes: Alembic, which runs the file, sees what the text alone does not say.

use crate::graph::revision::{Place, RevisionIdError};

/// Something that keeps a file from being used, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct AlembicFault {
    /// The file and the line.
    pub place: Place,
    /// What is wrong there.
    pub kind: AlembicFaultKind,
}

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum AlembicFaultKind {
    /// No Python, or of a kind that is newer than the parser.
    #[error("Python cannot read this: {message}; correct the file")]
    Syntax { message: String },
    /// Bytes that the encoding of the file does not have.
    #[error("these bytes are not {encoding}; save the file as UTF-8")]
    NotEncoded { encoding: String },
    /// An encoding that Python may have, and this reader has not.
    #[error("characters in the encoding `{encoding}` cannot be read here; save the file as UTF-8")]
    Encoding { encoding: String },
    /// A file among the revisions that is none: Alembic ends there, whatever it is asked.
    #[error(
        "the file declares no `revision`; declare it, or move the file out of the directory of \
         revisions"
    )]
    NoRevision,
    /// A revision that does not say what it follows.
    #[error("the file declares no `down_revision`; write `down_revision = None` if it is a root")]
    NoDownRevision,
    /// A value that only running the module gives.
    #[error("`{name}` is {how}, which is known only when Python runs it; write it as plain text")]
    Computed { name: &'static str, how: &'static str },
    /// A value that is no name, nor names.
    #[error("`{name}` is {found}; write a text between quotes")]
    NoText { name: &'static str, found: &'static str },
    /// An id that can be none.
    #[error("`{name}`: {error}")]
    Id { name: &'static str, error: RevisionIdError },
    /// An empty `depends_on` of a root.
    #[error("`depends_on` is an empty text, which Alembic takes for a ring; write `None`")]
    EmptyDependency,
    /// A revision whose source is not there (`sourceless = true`).
    #[error("the revision is compiled, and its source is not beside it; bring the `.py` file")]
    Compiled,
}

impl AlembicFault {
    /// Whether the file may be in order, so that asking Python is worth a try.
    #[must_use]
    pub fn python_may_know(&self) -> bool {
        match self.kind {
            AlembicFaultKind::Encoding { .. }
            | AlembicFaultKind::Computed { .. }
            | AlembicFaultKind::Compiled => true,
            // Newer syntax than the parser has is among these, but a mistake is likelier.
            AlembicFaultKind::Syntax { .. }
            | AlembicFaultKind::NotEncoded { .. }
            | AlembicFaultKind::NoRevision
            | AlembicFaultKind::NoDownRevision
            | AlembicFaultKind::NoText { .. }
            | AlembicFaultKind::EmptyDependency
            | AlembicFaultKind::Id { .. } => false,
        }
    }
}
