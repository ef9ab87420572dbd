//! Why an environment is not imported.

use std::{fmt, io, path::PathBuf};

use crate::{
    alembic::{AlembicError, AnswerError},
    config::url::DatabaseUrlError,
    db::DbError,
    engine::Engine,
    graph::{GraphFault, revision::Place, tags::TagError},
    script::Direction,
};

/// What cannot be written down, and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Missing {
    /// The file, and the line if it is known, else that of the id.
    pub place: Place,
    /// The revision.
    pub revision: String,
    /// Which of its sections; `None`: the script as a whole.
    pub section: Option<(Engine, Direction)>,
    /// Why.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: revision `{}`", self.place, self.revision)?;
        if let Some((engine, direction)) = self.section {
            write!(f, ", {direction} for {engine},")?;
        }
        write!(f, " {}", self.why)
    }
}

/// Why an environment is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The environment cannot be read.
    #[error(transparent)]
    Environment(AlembicError),
    /// Python was asked for the graph, and its answer is none.
    #[error("asking Python for the revisions failed")]
    Answer(#[source] AnswerError),
    /// Python cannot be had.
    #[error("cannot run `{}`; name the Python that has Alembic with --python", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Python ended, or said no.
    #[error("`{}` could not {what}: {said}", program.display())]
    Python {
        /// The program.
        program: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Its words, without passwords.
        said: String,
    },
    /// `env.py` sends statements before the revisions.
    #[error(
        "{}: `env.py` sends statements itself, which no script has: {statements}; \
         bring them into a revision, or leave them out with --allow-missing", path.display()
    )]
    Outside {
        /// The file.
        path: PathBuf,
        /// What it sends.
        statements: String,
    },
    /// `--scratch` is no URL of a PostgreSQL server.
    #[error("--scratch {0}")]
    ScratchUrl(DatabaseUrlError),
    /// `--scratch` is a URL of something else.
    #[error("--scratch names no PostgreSQL server; for SQLite a temporary file is used")]
    ScratchEngine,
    /// `--verify` needs a server.
    #[error("--verify needs a PostgreSQL server to try the scripts on; name one with --scratch")]
    NoScratch,
    /// A throwaway database fails us.
    #[error("cannot use a throwaway database")]
    Scratch(#[source] DbError),
    /// A tag that is none, or for no revision.
    #[error("{0}")]
    Tag(TagError),
    /// Sections that cannot be written down.
    #[error(
        "{} cannot be imported, and nothing was written; with --delegate {} left to Alembic, with \
         --allow-missing scripts without {} are: {}",
        counted(.0.len()),
        if .0.len() == 1 { "it is" } else { "they are" },
        if .0.len() == 1 { "it" } else { "them" },
        joined(.0)
    )]
    Missing(Vec<Missing>),
    /// A file of scripts in the way.
    #[error(
        "`{}` has revision `{revision}` and is not what would be written; move it away, or import \
         into another directory with --out", path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// The revision.
        revision: String,
    },
    /// The scripts form no sound graph with those that are there.
    #[error("{}", joined(.0))]
    Graph(Vec<GraphFault>),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A comparison found a difference.
    #[error(
        "{engine}: {way} `{target}` the scripts lead elsewhere than Alembic does: {difference}; \
         nothing was written"
    )]
    Differs {
        /// The engine.
        engine: Engine,
        /// `at` on the way up, `back at` on the way down.
        way: &'static str,
        /// Where.
        target: String,
        /// The first lines that only one of them has.
        difference: String,
    },
    /// The imported scripts do not run.
    #[error("{engine}: the scripts do not lead to `{target}`; nothing was written: {why}")]
    Migrate {
        /// The engine.
        engine: Engine,
        /// Where they should have led.
        target: String,
        /// Why, with its causes: part of this message, hence no source.
        why: String,
        /// The exit code of that.
        code: u8,
    },
}

fn counted(sections: usize) -> String {
    format!("{sections} {}", if sections == 1 { "section" } else { "sections" })
}

fn joined<T: ToString>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

impl ImportError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Environment(error) => error.exit_code(),
            Self::ScratchUrl(_)
            | Self::ScratchEngine
            | Self::NoScratch
            | Self::Exists { .. }
            | Self::Read { .. }
            | Self::Write { .. } => 10,
            Self::Scratch(error) if error.is_unanswered() => 11,
            Self::Scratch(_) => 12,
            Self::Start { .. } | Self::Python { .. } | Self::Answer(_) => 19,
            Self::Outside { .. } | Self::Missing(_) | Self::Graph(_) | Self::Differs { .. } => 20,
            Self::Tag(_) => 21,
            Self::Migrate { code, .. } => *code,
        }
    }
}
