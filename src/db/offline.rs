//! The same work as a script for `psql` or `sqlite3`, for those who may not let a program migrate.
//!
//! It promises what the work under the lock promises as far as text can: each revision is one
//! transaction with its ledger row first, on which whoever else applies it waits and then fails;
//! the script ends at its first error; and it begins only where the ledger is as it was when the
//! script was written. It takes no lock, gives way to none, and keeps no journal.
//!
//! Surprising: `applied_by` and `run` are the word `sql`, since nobody knows who will run it: the
//! same question gives the same text each time.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use super::{
    Event, LedgerRow, TOOL,
    sql::{self, literal},
};
use crate::engine::Engine;

/// Who did it, for the ledger and the history.
const BY: &str = "sql";

/// What becomes of the revision.
#[derive(Debug)]
pub enum Change<'a> {
    /// It comes, with this row.
    Up(&'a LedgerRow),
    /// It goes.
    Down(&'a str),
}

/// One revision of the script.
#[derive(Debug)]
pub struct Part<'a> {
    /// What becomes of it.
    pub change: Change<'a>,
    /// What is said above it, in one line each.
    pub notes: Vec<String>,
    /// The statements, without semicolons.
    pub statements: Vec<&'a str>,
    /// Whether they run in one transaction.
    pub transactional: bool,
    /// How long each may wait for a lock, in a transaction on PostgreSQL.
    pub lock_timeout: Duration,
    /// The heads after it, with commas.
    pub heads: String,
}

/// The script, as it grows.
#[derive(Debug)]
pub struct OfflineScript {
    engine: Engine,
    prefix: String,
    text: String,
}

impl OfflineScript {
    /// Its beginning. `schema` is where the ledger is, or empty for where the search path leads;
    /// `expected` what the ledger must hold.
    #[must_use]
    pub fn new(
        engine: Engine,
        schema: &str,
        notes: &[String],
        expected: &BTreeSet<String>,
    ) -> Self {
        let prefix = match (engine, schema) {
            (Engine::Sqlite, _) | (Engine::Postgres, "") => String::new(),
            (Engine::Postgres, schema) => format!("\"{}\".", schema.replace('"', "\"\"")),
        };
        let mut script = Self { engine, prefix, text: String::new() };
        script.notes(notes);
        script.line(match engine {
            Engine::Postgres => "\\set ON_ERROR_STOP on",
            Engine::Sqlite => ".bail on\npragma foreign_keys = off;",
        });
        let (tables, expected) = match engine {
            Engine::Postgres => {
                (sql::create_on_postgres(&script.prefix), script.expected_on_postgres(expected))
            }
            Engine::Sqlite => (sql::create_on_sqlite(), Self::expected_on_sqlite(expected)),
        };
        script.line("");
        // As it stands in the code it is indented.
        script.statement(&tables.replace("\n         ", "\n"));
        script.line("");
        script.statement(&expected);
        script
    }

    /// The next revision.
    pub fn add(&mut self, part: &Part<'_>) {
        self.line("");
        self.notes(&part.notes);
        if part.transactional {
            self.begin(Some(part.lock_timeout));
            self.ledger(&part.change);
            self.statements(&part.statements);
        } else {
            self.statements(&part.statements);
            self.begin(None);
            self.ledger(&part.change);
        }
        self.history(&part.change, &part.heads);
        if self.engine == Engine::Sqlite && part.transactional {
            self.statement(NO_NEW_VIOLATIONS);
        }
        self.statement("commit");
    }

    /// All of it.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn begin(&mut self, lock_timeout: Option<Duration>) {
        match (self.engine, lock_timeout) {
            (Engine::Postgres, None) => self.statement("begin"),
            (Engine::Postgres, Some(timeout)) => {
                self.statement("begin isolation level read committed read write");
                let timeout = timeout.as_millis().clamp(1, 0x7fff_ffff);
                self.statement(&format!("set local lock_timeout = {timeout}"));
            }
            (Engine::Sqlite, timeout) => {
                self.statement("begin immediate");
                if timeout.is_some() {
                    self.statement(VIOLATIONS_BEFORE);
                }
            }
        }
    }

    fn ledger(&mut self, change: &Change<'_>) {
        let text = |value: &str| literal(value);
        let maybe = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), literal);
        let filled = match change {
            Change::Up(row) => filled(
                &sql::insert_ledger(&self.prefix),
                &[
                    text(&row.revision),
                    text(&row.parents),
                    text(&row.depends_on),
                    maybe(row.tag.as_deref()),
                    text(&row.title),
                    text(&row.checksum),
                    text(&row.up),
                    maybe(row.down.as_deref()),
                    text(row.origin.name()),
                    "null".to_owned(),
                    text(BY),
                    text(TOOL),
                ],
            ),
            Change::Down(revision) => filled(&sql::delete_ledger(&self.prefix), &[text(revision)]),
        };
        self.statement(&filled);
    }

    fn history(&mut self, change: &Change<'_>, heads: &str) {
        let (event, subject) = match change {
            Change::Up(row) => (Event::Upgrade, row.revision.as_str()),
            Change::Down(revision) => (Event::Downgrade, *revision),
        };
        let values = [event.name(), subject, heads].map(literal);
        let [event, subject, heads] = values;
        let by = [BY, BY, TOOL].map(literal);
        let [recorded_by, run, tool] = by;
        let values = [event, subject, heads, "null".to_owned(), recorded_by, run, tool];
        self.statement(&filled(&sql::insert_history(&self.prefix), &values));
    }

    /// What the revision is made of, and the session as it was before it.
    fn statements(&mut self, statements: &[&str]) {
        for statement in statements {
            self.statement(statement);
        }
        if self.engine == Engine::Postgres {
            self.statement("reset session authorization");
            self.statement("reset role");
            self.statement("reset all");
        }
    }

    fn expected_on_postgres(&self, expected: &BTreeSet<String>) -> String {
        let body = format!(
            "begin \
               if (select coalesce(string_agg(revision, ' ' order by revision collate \"C\"), '') \
                   from {}{}) <> {} then \
                 raise exception 'this script is for another state of the ledger than it is in'; \
               end if; \
             end",
            self.prefix,
            sql::LEDGER,
            literal(&spaced(expected)),
        );
        format!("do {}", literal(&body))
    }

    fn expected_on_sqlite(expected: &BTreeSet<String>) -> String {
        format!(
            "create temp table prelaunch_state (fits integer constraint \
               \"this script is for another state of the ledger than it is in\" check (fits));\n\
             insert into prelaunch_state select coalesce(group_concat(revision, ' '), '') = {} \
             from (select revision from {} order by revision);\n\
             create temp table prelaunch_before (child, parent, fkid, n);\n\
             create temp table prelaunch_after (violations integer constraint \
               \"foreign keys point at nothing\" check (violations = 0))",
            literal(&spaced(expected)),
            sql::LEDGER,
        )
    }

    fn notes(&mut self, notes: &[String]) {
        for note in notes {
            // A title may be anything, and a comment ends with its line.
            let _ = writeln!(self.text, "-- {}", note.replace(['\n', '\r'], " "));
        }
    }

    fn statement(&mut self, sql: &str) {
        let _ = writeln!(self.text, "{sql};");
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }
}

/// What pointed at nothing already, by child table, parent table and number of the key.
const VIOLATIONS_BEFORE: &str = "delete from prelaunch_before;\n\
     insert into prelaunch_before select \"table\", parent, fkid, count(*) \
     from pragma_foreign_key_check group by 1, 2, 3";

const NO_NEW_VIOLATIONS: &str = "insert into prelaunch_after select count(*) from (\
       select \"table\" as child, parent, fkid, count(*) as n \
       from pragma_foreign_key_check group by 1, 2, 3\
     ) a left join prelaunch_before b \
       on b.child = a.child and b.parent = a.parent and b.fkid = a.fkid \
     where a.n > coalesce(b.n, 0)";

fn spaced(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// A statement with values in the place of `$1` and so on; the values may contain dollars.
fn filled(sql: &str, values: &[String]) -> String {
    let mut text = String::new();
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = part.split_at(digits);
        let value = number.parse::<usize>().ok().and_then(|n| values.get(n.checked_sub(1)?));
        text.push_str(value.map_or("null", String::as_str));
        text.push_str(behind);
    }
    text
}
