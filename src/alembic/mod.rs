//! An Alembic environment, read without Python: where it is, its revisions, its version table.
//!
//! [`read`] takes a path in any of the forms in which people name an environment: the directory of
//! `alembic.ini` (or the file), the script location, which has `env.py` and `versions/`, or
//! `versions/` itself. It gives an [`Environment`], whose graph is the one that Alembic would load,
//! held to the same soundness as one of SQL scripts, or every fault that it finds, with file and line.
//!
//! It promises to run nothing and to guess nothing. What a file leaves to Python, such as a label
//! that a call computes, is a fault; [`AlembicError::python_may_know`] tells it from a mistake, and
//! [`Question`] is the one command that has Python answer for all revisions at once. [`asking`] puts
//! it, where somebody can wait for the answer.
//!
//! The parts, all but those of the last line of the table pure:
//!
//! | file | what it reads |
//! |---|---|
//! | `ini.rs`, `settings.rs` | `alembic.ini`, in the dialect of `configparser`; `[tool.alembic]` |
//! | `source.rs` | the encoding of a Python file |
//! | `module.rs`, `binding.rs` | what a Python module binds to its names |
//! | `script.rs` | a file of `versions/` |
//! | `env.rs`, `percent.rs` | the version table in `env.py`, and what `%` in a URL would do there |
//! | `unread.rs` | what is wrong even where not every file can be read |
//! | `ask.rs` | the command that asks Python, and its answer |
//! | `locate.rs`, `packages.rs`, `disk.rs`, `python.rs` | which files these are, and which Python |
//!
//! [`asking`] is the one that waits: it runs that command.
//!
//! [`import`] is another matter: it has Python and Alembic, and makes scripts of the revisions.
//!
//! `docs/alembic-chains.md` is the same for those who use it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::graph::{Graph, GraphFault, revision::Place};

mod ask;
pub mod asking;
mod binding;
mod disk;
mod env;
mod fault;
pub mod import;
mod ini;
mod locate;
mod module;
mod packages;
pub mod percent;
pub(crate) mod python;
mod script;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod unread;

pub use ask::{Answer, AnswerError, Question, read_answered};
pub use asking::NoAnswer;
pub use env::Setting;
pub use fault::{AlembicFault, AlembicFaultKind};
pub use ini::IniFault;
pub use settings::{SettingsFault, SettingsFaultKind};

/// The version table where `env.py` names none.
pub const DEFAULT_VERSION_TABLE: &str = "alembic_version";

/// How an environment is to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The section of the ini (`alembic --name`).
    pub section: String,
    /// Directories in which Python finds packages, for a `script_location` such as `app:alembic`;
    /// looked in before those that are found beside the environment and in the usual places.
    pub packages: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { section: "alembic".to_owned(), packages: Vec::new() }
    }
}

/// An Alembic environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its revisions, in an order that depends on the names of the files alone.
    pub graph: Graph,
    /// The directory of `env.py`.
    pub script_location: PathBuf,
    /// The directories of revisions that there are.
    pub version_locations: Vec<PathBuf>,
    /// The ini, where one belongs to it.
    pub ini: Option<PathBuf>,
    /// The `pyproject.toml`, where one speaks of Alembic.
    pub toml: Option<PathBuf>,
    /// Where the `alembic` command has to be run for the paths in its settings to hold.
    pub directory: PathBuf,
    /// The table in which Alembic keeps what is applied; [`DEFAULT_VERSION_TABLE`] where it is not
    /// named.
    pub version_table: Setting,
    /// The schema of that table; where it is not named, the one that the connection finds first.
    pub version_table_schema: Setting,
    /// Where `env.py` hands a URL to `set_main_option`, and writes no `%%`.
    pub sets_url: Option<Place>,
}

/// Why an environment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AlembicError {
    /// A directory or file that is not there, or may not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A directory that is nothing of Alembic's.
    #[error(
        "`{}` is no Alembic environment; name the directory of `alembic.ini`, of `env.py`, or of \
         the revisions",
        path.display()
    )]
    NoEnvironment {
        /// Which.
        path: PathBuf,
    },
    /// Settings that do not say where the revisions are.
    #[error(
        "`{}` has no `script_location` in its section `[{section}]`; set it, or name the directory \
         of `env.py`",
        path.display()
    )]
    NoScriptLocation {
        /// The file.
        path: PathBuf,
        /// The section that was read.
        section: String,
    },
    /// A file of settings that cannot be used.
    #[error(transparent)]
    Settings(SettingsFault),
    /// No revision at all: more likely a mistake in an image than a wish.
    #[error("{} {instead}", listed(locations))]
    Empty {
        /// Where revisions were looked for.
        locations: Vec<PathBuf>,
        /// What is there.
        instead: Instead,
    },
    /// Files that are no revisions, or say too little without Python: all of them.
    #[error("{}", joined(.0))]
    Revisions(Vec<AlembicFault>),
    /// Revisions that form no sound graph.
    #[error("{}", joined(.0))]
    Graph(Vec<GraphFault>),
    /// Files that say too little without Python, which has not told it either.
    #[error("{}; asking Python failed", unknown.brief())]
    Unanswered {
        /// What it was asked for.
        unknown: Box<AlembicError>,
        /// Why there is no answer.
        source: NoAnswer,
    },
}

/// What there is where no revision is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Instead {
    /// Nothing of the kind.
    Nothing,
    /// Compiled revisions, which Alembic does not take unless it is told to.
    Compiled,
    /// Revisions in the directories below, which Alembic does not look into unless it is told to.
    Below(Vec<PathBuf>),
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("has no revision; check that the image has its files"),
            Self::Compiled => f.write_str(
                "has compiled revisions alone; bring their `.py` files, or set `sourceless`",
            ),
            Self::Below(directories) => write!(
                f,
                "has no revision, but there are some in {}; name one of these, or set \
                 `recursive_version_locations`",
                listed(directories)
            ),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let names = paths.iter().map(|path| format!("`{}`", path.display()));
    names.collect::<Vec<_>>().join(", ")
}

/// Every fault on the one last line; the first is what people read.
fn joined<T: ToString>(faults: &[T]) -> String {
    faults.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

impl AlembicError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. }
            | Self::NoEnvironment { .. }
            | Self::NoScriptLocation { .. }
            | Self::Settings(_)
            | Self::Empty { .. } => 10,
            Self::Revisions(_) | Self::Graph(_) => 20,
            Self::Unanswered { unknown, .. } => unknown.exit_code(),
        }
    }

    /// Whether all that is wrong is that the files do not say enough without Python, so that a
    /// [`Question`] may have an answer.
    #[must_use]
    pub fn python_may_know(&self) -> bool {
        match self {
            Self::Revisions(faults) => faults.iter().all(AlembicFault::python_may_know),
            Self::Settings(fault) => {
                matches!(fault.kind, SettingsFaultKind::Package { .. })
            }
            // Alembic itself takes no compiled ones unless it is told to.
            Self::Empty { .. }
            | Self::Unreadable { .. }
            | Self::NoEnvironment { .. }
            | Self::NoScriptLocation { .. }
            | Self::Graph(_)
            | Self::Unanswered { .. } => false,
        }
    }

    /// The first fault, and how many there are besides: in a line that goes on.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Revisions(faults) if faults.len() > 1 => {
                format!("{} (and {} more of the kind)", faults[0], faults.len() - 1)
            }
            Self::Revisions(_)
            | Self::Unreadable { .. }
            | Self::NoEnvironment { .. }
            | Self::NoScriptLocation { .. }
            | Self::Settings(_)
            | Self::Empty { .. }
            | Self::Graph(_)
            | Self::Unanswered { .. } => self.to_string(),
        }
    }
}

/// Where the `alembic` command of an environment has to be run, and with which settings, if it does not
/// find them there by itself. No revision is read.
pub fn place(path: &Path) -> Result<(PathBuf, Option<PathBuf>), AlembicError> {
    let known = locate::known(path, &Options::default())?;
    // Alembic looks for its own file where it is run.
    let by_itself = known.directory.join("alembic.ini");
    Ok((known.directory, known.ini.filter(|ini| *ini != by_itself)))
}

/// Reads the environment that a path names.
pub fn read(path: &Path) -> Result<Environment, AlembicError> {
    read_with(path, &Options::default())
}

/// Reads the environment that a path names, as these options say.
pub fn read_with(path: &Path, options: &Options) -> Result<Environment, AlembicError> {
    locate::locate(path, options)?.into_environment(locate::Located::graph)
}
