//! What can be wrong with the configuration.
//!
//! Every fault is gathered, so that one start shows them all. Each names the variable as the user
//! spelled it (`PRELAUNCH_AUTO_MIGRATION`, `DATABASE_URL_FILE`), and none shows a secret.

use std::{fmt, io, path::PathBuf};

use crate::graph::{revision::Place, target::TargetSyntaxError};

use super::{
    Note, command::CommandError, file::interpolation::InterpolationError, url::DatabaseUrlError,
};

/// One fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A value that is not UTF-8.
    #[error("`{variable}` is not UTF-8 text")]
    NotUtf8 {
        /// The variable as spelled.
        variable: String,
    },
    /// A value and a file, so that it is not clear which one is meant.
    #[error("`{value}` and `{file}` are both set; unset one")]
    Twice {
        /// The one that holds the value.
        value: String,
        /// The one that names the file.
        file: String,
    },
    /// The file of a `_FILE` variable cannot be read.
    #[error("`{variable}`: cannot read `{}`: {reason}", .path.display())]
    File {
        /// The variable as spelled.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why: the kind, so that faults can be compared and copied.
        reason: io::ErrorKind,
    },
    /// A value that is not understood.
    #[error("`{variable}`: `{value}` is not understood; accepted: {accepted}")]
    Value {
        /// The variable as spelled.
        variable: String,
        /// The value, cut and without control characters.
        value: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A faulty database URL.
    #[error("`{variable}`: {problem}")]
    Url {
        /// The variable as spelled.
        variable: String,
        /// What is wrong.
        problem: DatabaseUrlError,
    },
    /// A faulty command.
    #[error("`{variable}`: {problem}")]
    Command {
        /// The variable as spelled.
        variable: String,
        /// What is wrong.
        problem: CommandError,
    },
    /// A target that is another revision each time.
    #[error(
        "`{variable}`: `{target}` would move at every restart; name a revision, a tag, `head` or \
         `heads`"
    )]
    MovingTarget {
        /// The variable as spelled.
        variable: String,
        /// The target.
        target: String,
    },
    /// A target that is none.
    #[error("`{variable}`: {problem}")]
    Target {
        /// The variable as spelled.
        variable: String,
        /// What is wrong.
        problem: TargetSyntaxError,
    },
    /// One variable asks for something that needs another one.
    #[error("`{variable}` is `{value}` and needs `{needed}`; set it")]
    Needs {
        /// The variable as spelled.
        variable: String,
        /// Its value.
        value: String,
        /// The bare name of the other one.
        needed: &'static str,
    },
    /// The configuration file has something that it cannot have.
    #[error("{place}: {problem}")]
    InFile {
        /// The file and the line.
        place: Place,
        /// What is wrong there.
        problem: FileProblem,
    },
    /// A chain or a hook that lacks a key.
    #[error("`{section}`: lacks `{key}`{}", .otherwise.map(|name| format!("; write it, or set `{name}`")).unwrap_or_default())]
    Lacks {
        /// Where the chain or the hook begins.
        section: String,
        /// The key.
        key: &'static str,
        /// The variable that serves as well.
        otherwise: Option<&'static str>,
    },
    /// A name that is none, or taken.
    #[error("`{spelling}`: `{name}` {problem}")]
    Name {
        /// Where it stands.
        spelling: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A tag of the file that is none.
    #[error("`{spelling}`: {problem}")]
    Tag {
        /// Where it stands.
        spelling: String,
        /// What is wrong.
        problem: String,
    },
    /// The table of variables and the struct that it fills do not agree.
    #[error("the variables do not fit their table: {reason}; this is a bug, please report it")]
    Table {
        /// What `envy` says.
        reason: String,
    },
}

/// It is not clear which of several chains is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WhichChain {
    /// What was named, if anything was.
    pub named: Option<String>,
    /// What there is.
    pub known: Vec<String>,
}

impl fmt::Display for WhichChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.named, &*self.known) {
            (None, _) => f.write_str("there are several chains; name one with --chain")?,
            (Some(name), [only]) if only.is_empty() => {
                return write!(f, "there is no chain `{name}`; the one there is has no name");
            }
            (Some(name), _) => write!(f, "there is no chain `{name}`; name another with --chain")?,
        }
        let known: Vec<_> = self.known.iter().map(|name| format!("`{name}`")).collect();
        write!(f, ": {}", known.join(", "))
    }
}

impl std::error::Error for WhichChain {}

/// What is wrong at a line of the configuration file. No value is shown: it may be a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FileProblem {
    /// The syntax.
    #[error("this is no TOML: {message}; correct the file")]
    Toml {
        /// What the parser says.
        message: String,
    },
    /// A key that nobody reads.
    #[error("`{key}` is not read here; accepted: {known}")]
    Key {
        /// The key.
        key: String,
        /// What there may be.
        known: &'static str,
    },
    /// A value of another type.
    #[error("`{key}`: write {wanted}")]
    Type {
        /// The key.
        key: String,
        /// What is accepted.
        wanted: &'static str,
    },
    /// A variable in a value.
    #[error("`{key}`: {error}")]
    Interpolation {
        /// The key.
        key: String,
        /// What is wrong; part of this message, hence no source.
        error: InterpolationError,
    },
}

/// Every fault of a configuration; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors {
    pub(super) errors: Vec<ConfigError>,
    pub(super) notes: Vec<Note>,
}

impl ConfigErrors {
    /// The faults: what chains and hooks are about first, then the rest in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// What else is odd: a misspelt `DATABASE_URL` is why the right one is missing.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// All on one line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A value as a message may show it: on one line, and no longer than one.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    value.trim().chars().map(plain).take(LONGEST).collect()
}
