//! What is odd about the environment, and no fault: said once, at the start.
//!
//! The main thing here are misspelt names, which would otherwise be silent: `AUTO_MIGRATIONS=true`
//! migrates nothing. The environment belongs to others as well, so a bare name that is merely near
//! one of ours is theirs as soon as ours is set too (`DATABASE_URL_2` beside `DATABASE_URL`).

use std::{collections::BTreeSet, ffi::OsString, fmt};

use super::{
    choices::LogLevel,
    variables::{Found, Level, OWN_PREFIX, VARIABLES, Variable},
};

#[cfg(test)]
mod tests;

/// Something to tell the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// A name that is near one that is read.
    NearMiss {
        /// The name as found.
        variable: String,
        /// The name that was probably meant.
        meant: String,
    },
    /// A name with our prefix that is none of ours, nor near one.
    Unknown {
        /// The name as found.
        variable: String,
    },
    /// A name whose time is over, as the configuration file says.
    Deprecated {
        /// The name as found.
        variable: String,
        /// The one that took its place.
        now: String,
    },
    /// A parameter of a database URL that had no effect.
    Parameter {
        /// The variable as spelled.
        variable: String,
        /// The parameter.
        parameter: String,
    },
    /// A value of `LOG_FORMAT` or `LOG_LEVEL` that another program will understand.
    Log {
        /// The variable as spelled.
        variable: String,
        /// Its value.
        value: String,
        /// What is used instead.
        default: &'static str,
    },
}

impl Note {
    /// How loud to say it.
    #[must_use]
    pub const fn level(&self) -> LogLevel {
        match self {
            Self::NearMiss { .. }
            | Self::Unknown { .. }
            | Self::Deprecated { .. }
            | Self::Parameter { .. } => LogLevel::Warn,
            Self::Log { .. } => LogLevel::Debug,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearMiss { variable, meant } => {
                write!(f, "`{variable}` is not read; did you mean `{meant}`?")
            }
            Self::Deprecated { variable, now } => {
                write!(f, "`{variable}` is an old name; set `{now}` instead")
            }
            Self::Unknown { variable } => write!(f, "`{variable}` is not read"),
            Self::Parameter { variable, parameter } => {
                write!(
                    f,
                    "`{variable}`: parameter `{parameter}` is not understood and has no effect"
                )
            }
            Self::Log { variable, value, default } => {
                write!(f, "`{variable}` is `{value}`, which is not ours; `{default}` is used")
            }
        }
    }
}

/// Names that other software reads, near enough to ours to look like a slip.
const NEIGHBOURS: &[&str] = &["DATABASE_KEY", "DATABASE_SSL", "DATABASE_UID", "DATABASE_URI"];

/// The names in the environment that look like slips, in the order in which they stand there; those
/// that the configuration file `uses` are none.
pub(super) fn near_misses(
    vars: &[(OsString, OsString)],
    prefix: Option<&str>,
    found: &[Found],
    uses: &BTreeSet<String>,
) -> Vec<Note> {
    let spellings = |variable: &'static Variable| {
        variable.all_spellings(prefix).into_iter().map(move |(level, name)| (variable, level, name))
    };
    let known: Vec<_> = VARIABLES.iter().flat_map(spellings).collect();
    let suspects = known.iter().filter(|(variable, level, _)| match level {
        Level::Own => true,
        // A fault there is one of the file.
        Level::File => false,
        // `LOGLEVEL`, `LOG_LEVELS` and their like belong to many servers.
        Level::Application | Level::Bare => {
            !variable.name.starts_with("LOG_") && !found.iter().any(|f| f.name == variable.name)
        }
    });
    let suspects: Vec<_> = suspects.map(|(variable, _, name)| (limit(variable), name)).collect();

    let note = |name: &str| {
        if known.iter().any(|(_, _, spelling)| spelling == name)
            || NEIGHBOURS.contains(&name)
            || uses.contains(name)
        {
            return None;
        }
        // Upper case, so that `auto_migration` is a slip too.
        let upper = name.to_ascii_uppercase();
        let near = suspects.iter().filter_map(|(limit, spelling)| {
            // Kubernetes may bring thousands of names: most are ruled out by their length.
            let distance = (spelling.len().abs_diff(upper.len()) <= *limit)
                .then(|| strsim::osa_distance(&upper, spelling))?;
            (distance <= *limit).then_some((distance, spelling))
        });
        let variable = name.to_owned();
        match near.min_by_key(|(distance, _)| *distance) {
            Some((_, meant)) => Some(Note::NearMiss { variable, meant: (*meant).clone() }),
            None if name.starts_with(OWN_PREFIX) => Some(Note::Unknown { variable }),
            None => None,
        }
    };
    vars.iter().filter_map(|(name, _)| note(name.to_str()?)).collect()
}

/// The old names that are set, as the configuration file lists them.
pub(super) fn deprecated(vars: &[(OsString, OsString)], old: &[(String, String)]) -> Vec<Note> {
    let is_set = |name: &str| {
        vars.iter().any(|(other, value)| other == name && !value.as_encoded_bytes().is_empty())
    };
    let found = old.iter().filter(|(name, _)| is_set(name));
    found.map(|(name, now)| Note::Deprecated { variable: name.clone(), now: now.clone() }).collect()
}

/// How many slips make a name another one: letters left out, put in, changed or swapped.
const fn limit(variable: &Variable) -> usize {
    if variable.name.len() >= 10 { 2 } else { 1 }
}
