//! The database engines that prelaunch serves.
//!
//! A word of its own because the header of a script, the URL of a database and the
//! dialect of the statement splitter all need it, and none of them owns it.

use std::fmt;

/// A kind of database.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Engine {
    /// PostgreSQL, 14 and later.
    Postgres,
    /// SQLite, as bundled.
    Sqlite,
}

impl Engine {
    /// Both, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];

    /// The word that scripts use: `-- migrate:up postgres`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
