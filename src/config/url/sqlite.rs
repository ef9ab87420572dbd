//! `sqlite:` URLs: SQLAlchemy's slash rule, and nothing of SQLite's own URI form.
//!
//! The path is taken literally. SQLAlchemy up to 2.0 does so too, 2.1 percent-decodes: a path on
//! which they differ is refused, because mode `true` creates a missing file and the server would
//! open another one.

use std::{fmt, path::PathBuf};

use super::{DatabaseUrlError, IgnoredParameter, decoded, parameters};

/// A SQLite file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqliteUrl {
    /// The file; relative to the working directory where it is not absolute.
    pub path: PathBuf,
}

/// What only drivers read: how they share, lock and convert.
const DRIVER_PARAMETERS: &[(&str, Option<&str>)] = &[
    ("cache", None),
    ("cached_statements", None),
    ("check_same_thread", None),
    ("detect_types", None),
    ("isolation_level", None),
    ("mode", Some("rw")),
    ("mode", Some("rwc")),
    ("timeout", None),
    ("uri", Some("false")),
];

impl SqliteUrl {
    /// Reads what follows `sqlite:`; also gives the names of parameters that are not understood.
    pub(super) fn parse(rest: &str) -> Result<(Self, Vec<IgnoredParameter>), DatabaseUrlError> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match place.strip_prefix("//") {
            None => place,
            Some("") => return Err(DatabaseUrlError::Memory),
            Some(place) => place.strip_prefix('/').ok_or(if place == ":memory:" {
                DatabaseUrlError::Memory
            } else {
                DatabaseUrlError::Slashes
            })?,
        };
        let ignored = ignored(query)?;
        if path.is_empty() || path == ":memory:" {
            return Err(DatabaseUrlError::Memory);
        }
        if path.starts_with("file:") {
            return Err(DatabaseUrlError::FileForm);
        }
        if decoded(path, "path")? != path {
            return Err(DatabaseUrlError::PercentPath);
        }
        Ok((Self { path: PathBuf::from(path) }, ignored))
    }
}

/// The parameters that are not understood; one that asks for a memory database is an error.
fn ignored(query: &str) -> Result<Vec<IgnoredParameter>, DatabaseUrlError> {
    let mut ignored = Vec::new();
    for (name, value) in parameters(query)? {
        let name = decoded(name, "query")?;
        let value = decoded(value, "query")?.to_ascii_lowercase();
        if name == "mode" && value == "memory" {
            return Err(DatabaseUrlError::Memory);
        }
        let known = |(known, only): &(&str, Option<&str>)| {
            *known == name && only.is_none_or(|only| only == value)
        };
        if !DRIVER_PARAMETERS.iter().any(known) {
            ignored.push(name);
        }
    }
    Ok(ignored)
}

impl fmt::Display for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.path.display())
    }
}
