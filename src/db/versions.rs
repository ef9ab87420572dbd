//! The version table that is kept in step with the ledger: how its rows turn, one step at a time.
//!
//! It is turned in the transaction that changes the ledger, and is a fence as the ledger is: an UPDATE
//! or DELETE waits for whoever changes the same row, Alembic too, and must then hit exactly one; an
//! INSERT fails on a row that is there. Last, all rows are read, and must be those that are meant.

use std::collections::BTreeSet;

use super::{Locked, WorkError, sql};

/// From which rows to which.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    /// Whether the table is to be created, unless somebody else has.
    pub create: bool,
    /// The rows before it.
    pub before: BTreeSet<String>,
    /// The rows after it.
    pub after: BTreeSet<String>,
}

/// What becomes of one row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change<'t> {
    /// It becomes another.
    Update(&'t str, &'t str),
    /// It goes.
    Delete(&'t str),
    /// It comes.
    Insert(&'t str),
}

impl Turn {
    /// The single changes: as far as there are rows that go, those that come take their place.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut gone = self.before.difference(&self.after);
        let mut come = self.after.difference(&self.before);
        std::iter::from_fn(move || match (gone.next(), come.next()) {
            (Some(gone), Some(come)) => Some(Change::Update(gone, come)),
            (Some(gone), None) => Some(Change::Delete(gone)),
            (None, Some(come)) => Some(Change::Insert(come)),
            (None, None) => None,
        })
    }
}

impl Change<'_> {
    /// The statement, and its parameters.
    pub(super) fn sql(&self, table: &str) -> (String, Vec<&str>) {
        match self {
            Self::Update(from, to) => (sql::update_version(table), vec![from, to]),
            Self::Delete(id) => (sql::delete_version(table), vec![id]),
            Self::Insert(id) => (sql::insert_version(table), vec![id]),
        }
    }
}

impl Locked {
    /// Turns the version table inside of the open transaction, if there is one to turn; false, and the
    /// transaction is to be rolled back, if its rows are not those that are expected.
    pub async fn turned(&mut self, turn: Option<&Turn>) -> Result<bool, WorkError> {
        let (Some(turn), Some((table, primary_key))) = (turn, self.versions()) else {
            return Ok(true);
        };
        if turn.create {
            self.execute(&sql::create_versions(&table, &primary_key)).await?;
        }
        for change in turn.changes() {
            let (sql, ids) = change.sql(&table);
            let changed = match self {
                Self::Postgres(locked) => locked.change_versions(sql, &ids).await,
                Self::Sqlite(locked) => locked.change_versions(sql, &ids).await,
            };
            match changed {
                Ok(1) => {}
                Ok(_) => return Ok(false),
                Err(error) if error.is_duplicate() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.has_versions(&turn.after).await
    }

    /// Whether these are the rows of the version table, each once.
    pub async fn has_versions(&mut self, rows: &BTreeSet<String>) -> Result<bool, WorkError> {
        let Some((table, _)) = self.versions() else { return Ok(true) };
        let query = sql::versions(&table);
        let mut found = match self {
            Self::Postgres(locked) => locked.version_rows(query).await?,
            Self::Sqlite(locked) => locked.version_rows(query).await?,
        };
        found.sort();
        Ok(found.iter().eq(rows))
    }

    fn versions(&self) -> Option<(String, String)> {
        match self {
            Self::Postgres(locked) => locked.versions(),
            Self::Sqlite(locked) => locked.versions(),
        }
    }
}

#[cfg(test)]
mod tests {
    //! The statements are those that Alembic sends, but for the row that an UPDATE takes.

    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let turn = Turn { create: false, before: set(before), after: set(after) };
        let changes: Vec<String> = turn
            .changes()
            .map(|change| match change {
                Change::Update(from, to) => format!("{from}>{to}"),
                Change::Delete(id) => format!("-{id}"),
                Change::Insert(id) => format!("+{id}"),
            })
            .collect();
        assert_eq!(changes.join(" "), expected, "{before:?} to {after:?}");
    }

    #[test]
    fn rows_that_go_make_place_for_those_that_come() {
        check("", "a", "+a");
        check("a", "b", "a>b");
        check("b", "b c", "+c");
        check("b c", "d", "b>d -c");
        check("d", "b c", "d>b +c");
        check("a", "", "-a");
        check("a b", "a b", "");
    }
}
