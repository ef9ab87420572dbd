//! A table in which another tool keeps what is applied: Alembic's, with a row for each head.

use std::fmt;

/// Its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionTable {
    /// Its schema; none where the connection finds it.
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
}

impl VersionTable {
    /// The name of its primary key, as Alembic gives it.
    #[must_use]
    pub fn primary_key(&self) -> String {
        format!("{}_pkc", self.table)
    }

    /// What it may be, for messages.
    pub const ACCEPTED: &'static str = "`table` or `schema.table`";

    /// Reads a name as it is written without quotes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (schema, table) = match text.trim().split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text.trim()),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains(['.', '"', ' ']);
        let sound = is_name(table) && schema.is_none_or(is_name);
        sound.then(|| Self { schema: schema.map(str::to_owned), table: table.to_owned() })
    }
}

impl fmt::Display for VersionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}
