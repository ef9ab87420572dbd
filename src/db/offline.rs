//! The same work as a script for `psql` or `sqlite3`, for those who may not let a program migrate.
//!
//! It promises what the work under the lock promises as far as text can: each revision is one
//! transaction with its ledger row first, on which whoever else takes the step waits and then fails;
//! the script ends at its first error; and it begins only where the ledger is as it was when the
//! script was written. It takes no lock, gives way to none, and keeps no journal. So a revision
//! without a transaction that has begun otherwise is not gone on with.
//!
//! What the two programs make of text by themselves is taken into account: psql puts its variables
//! in the place of `:NAME`, and sqlite3 drops a carriage return at the end of a line.
//!
//! Surprising: `applied_by` and `run` are the word `sql`, since nobody knows who will run it: the
//! same question gives the same text each time.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _, time::Duration};

use super::{
    Event, LedgerRow, TOOL,
    sql::{self, literal},
    sqlite::SETTINGS,
    versions::Turn,
};
use crate::{engine::Engine, version_table::VersionTable};

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
    /// How the version table that is kept in step turns with it.
    pub turn: Option<Turn>,
    /// What is said above it, in one line each.
    pub notes: Vec<String>,
    /// The statements, without semicolons, as the program for the engine takes them.
    pub statements: Vec<Cow<'a, str>>,
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
    /// The version table, quoted, where one is kept in step.
    versions: Option<String>,
    text: String,
}

impl OfflineScript {
    /// Its beginning. `schema` is where the ledger is, or empty for where the search path leads;
    /// `expected` what the ledger must hold; `versions` the version table and its rows, where one is
    /// kept in step.
    #[must_use]
    pub fn new(
        engine: Engine,
        schema: &str,
        notes: &[String],
        expected: &BTreeSet<String>,
        versions: Option<(&VersionTable, &BTreeSet<String>)>,
    ) -> Self {
        let prefix = match (engine, schema) {
            (Engine::Sqlite, _) | (Engine::Postgres, "") => String::new(),
            (Engine::Postgres, schema) => format!("\"{}\".", schema.replace('"', "\"\"")),
        };
        let table = versions.map(|(table, _)| quoted(engine, table));
        let mut script = Self { engine, prefix, versions: table, text: String::new() };
        script.notes(notes);
        let (tables, expected) = match engine {
            Engine::Postgres => {
                script.line("\\set ON_ERROR_STOP on\n\\set AUTOCOMMIT on");
                script.statement(ENCODING);
                (sql::create_on_postgres(&script.prefix), script.expected_on_postgres(expected))
            }
            Engine::Sqlite => {
                script.line(".bail on");
                script.statement(SETTINGS);
                script.statement(CHECKS);
                (sql::create_on_sqlite(), expected_on_sqlite(expected))
            }
        };
        script.line("");
        script.begin();
        if engine == Engine::Postgres {
            // Of what is there already nobody needs to hear.
            script.statement("set local client_min_messages = warning");
            script.in_schema(schema);
        }
        // As it stands in the code it is indented.
        script.statement(&tables.replace("\n         ", "\n"));
        script.line("");
        script.statement(&expected);
        if let Some((table, rows)) = versions {
            script.expected_versions(table, rows);
        }
        script.statement("commit");
        script
    }

    /// The next revision.
    pub fn add(&mut self, part: &Part<'_>) {
        self.line("");
        self.notes(&part.notes);
        if self.engine == Engine::Sqlite {
            self.statement(SETTINGS);
        }
        if part.transactional {
            self.begin();
            self.own_settings(part.lock_timeout);
            self.ledger(&part.change);
            self.turn(part.turn.as_ref());
            self.statements(&part.statements);
        } else {
            self.begin();
            self.alone(&part.change);
            self.statement("commit");
            self.statements(&part.statements);
            self.begin();
            self.ledger(&part.change);
            self.turn(part.turn.as_ref());
        }
        self.history(&part.change, &part.heads);
        if self.engine == Engine::Sqlite && part.transactional {
            self.statement("pragma ignore_check_constraints = off");
            self.statement(NO_NEW_VIOLATIONS);
        }
        self.statement("commit");
    }

    /// All of it.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn begin(&mut self) {
        self.statement(match self.engine {
            Engine::Postgres => "begin isolation level read committed read write",
            Engine::Sqlite => "begin immediate",
        });
    }

    /// What a transaction of a revision begins with, as the one under the lock does.
    fn own_settings(&mut self, lock_timeout: Duration) {
        match self.engine {
            Engine::Postgres => {
                self.statement("discard temp");
                self.statement("set local statement_timeout = 0");
                let timeout = lock_timeout.as_millis().clamp(1, 0x7fff_ffff);
                self.statement(&format!("set local lock_timeout = {timeout}"));
            }
            Engine::Sqlite => self.statement(VIOLATIONS_BEFORE),
        }
    }

    /// What a revision without a transaction begins with: a way back is marked, so that no server
    /// starts on what is half gone; a way on must not have begun in another way.
    fn alone(&mut self, change: &Change<'_>) {
        match change {
            Change::Up(row) => {
                let revision = self.text(&row.revision);
                self.must(&format!(
                    "not exists (select 1 from {}{} where revision = {revision})",
                    self.prefix,
                    sql::JOURNAL
                ));
            }
            Change::Down(revision) => {
                let revision = self.text(revision);
                let mark = filled(&sql::mark_ledger(&self.prefix), &[revision]);
                self.changes_one(&mark);
            }
        }
    }

    fn ledger(&mut self, change: &Change<'_>) {
        let text = |value: &str| self.text(value);
        let maybe = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), text);
        let revision = match change {
            Change::Up(row) => {
                let values = [
                    text(&row.revision),
                    text(&row.parents),
                    text(&row.depends_on),
                    maybe(row.tag.as_deref()),
                    text(&row.title),
                    maybe(row.checksum.as_deref()),
                    maybe(row.up.as_deref()),
                    maybe(row.down.as_deref()),
                    text(row.origin.name()),
                    "null".to_owned(),
                    text(BY),
                    text(TOOL),
                ];
                self.statement(&filled(&sql::insert_ledger(&self.prefix), &values));
                row.revision.as_str()
            }
            Change::Down(revision) => {
                let gone = filled(&sql::delete_ledger(&self.prefix), &[text(revision)]);
                self.changes_one(&gone);
                revision
            }
        };
        let forgotten = filled(&sql::journal_forget(&self.prefix), &[self.text(revision)]);
        self.statement(&forgotten);
    }

    /// The version table, made if it is not there, must have these rows.
    fn expected_versions(&mut self, table: &VersionTable, rows: &BTreeSet<String>) {
        let name = quoted(self.engine, table);
        let primary_key = format!("\"{}\"", table.primary_key().replace('"', "\"\""));
        self.statement(&sql::create_versions(&name, &primary_key));
        let rows: Vec<String> = rows.iter().map(|id| self.text(id)).collect();
        let count = format!("(select count(*) from {name}) = {}", rows.len());
        self.must(&if rows.is_empty() {
            count
        } else {
            let rows = rows.join(", ");
            format!(
                "{count} and (select count(*) from {name} where version_num in ({rows})) = \
                 (select count(*) from {name})"
            )
        });
    }

    /// Each change must hit one row.
    fn turn(&mut self, turn: Option<&Turn>) {
        let (Some(turn), Some(table)) = (turn, self.versions.clone()) else { return };
        for change in turn.changes() {
            let (sql, ids) = change.sql(&table);
            let values: Vec<String> = ids.into_iter().map(|id| self.text(id)).collect();
            self.changes_one(&filled(&sql, &values));
        }
    }

    fn history(&mut self, change: &Change<'_>, heads: &str) {
        let (event, subject) = match change {
            Change::Up(row) => (Event::Upgrade, row.revision.as_str()),
            Change::Down(revision) => (Event::Downgrade, *revision),
        };
        let [event, subject, heads] = [event.name(), subject, heads].map(|value| self.text(value));
        let [recorded_by, run, tool] = [BY, BY, TOOL].map(|value| self.text(value));
        let values = [event, subject, heads, "null".to_owned(), recorded_by, run, tool];
        self.statement(&filled(&sql::insert_history(&self.prefix), &values));
    }

    /// What the revision is made of, and the session as it was before it.
    fn statements(&mut self, statements: &[Cow<'_, str>]) {
        for statement in statements {
            self.statement(statement);
        }
        if self.engine == Engine::Postgres {
            self.statement("reset session authorization");
            self.statement("reset role");
            self.statement("reset all");
            self.statement(ENCODING);
        }
    }

    /// Changes one row, or the script ends.
    fn changes_one(&mut self, change: &str) {
        match self.engine {
            Engine::Postgres => {
                let body = format!("begin {change}; if not found then {OTHER_STATE} end if; end");
                let body = self.text(&body);
                self.statement(&format!("do {body}"));
            }
            Engine::Sqlite => {
                self.statement(change);
                self.must("changes() = 1");
            }
        }
    }

    /// Ends the script unless this holds.
    fn must(&mut self, condition: &str) {
        let statement = match self.engine {
            Engine::Postgres => {
                let body = format!("begin if not ({condition}) then {OTHER_STATE} end if; end");
                format!("do {}", self.text(&body))
            }
            Engine::Sqlite => format!("insert into prelaunch_state select {condition}"),
        };
        self.statement(&statement);
    }

    /// A text constant that stays what it is on its way through the program, whatever the session
    /// takes a backslash for.
    fn text(&self, text: &str) -> String {
        let plain = literal(text);
        match self.engine {
            Engine::Postgres if text.contains('\\') => format!("E{}", plain.replace('\\', "\\\\")),
            Engine::Postgres => plain,
            Engine::Sqlite => plain.replace('\r', "'||char(13)||'"),
        }
    }

    /// Ends the script where what it creates would not be beside the ledger.
    fn in_schema(&mut self, schema: &str) {
        if schema.is_empty() {
            return;
        }
        let (name, words) = (
            self.text(schema),
            self.text(&format!(
                "this script is for the schema `{schema}`; let search_path lead there"
            )),
        );
        let body = format!(
            "begin if current_schema() is distinct from {name} then \
               raise exception using message = {words}; \
             end if; end"
        );
        let body = self.text(&body);
        self.statement(&format!("do {body}"));
    }

    fn expected_on_postgres(&self, expected: &BTreeSet<String>) -> String {
        let body = format!(
            "begin \
               if (select coalesce(string_agg(revision, ' ' order by revision collate \"C\"), '') \
                   from {}{} where origin <> 'reverting') <> {} then {OTHER_STATE} end if; \
             end",
            self.prefix,
            sql::LEDGER,
            self.text(&spaced(expected)),
        );
        format!("do {}", self.text(&body))
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

/// A version table as the search path finds it, where it has no schema.
fn quoted(engine: Engine, table: &VersionTable) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    match (engine, &table.schema) {
        (Engine::Postgres, Some(schema)) => format!("{}.{}", quoted(schema), quoted(&table.table)),
        (Engine::Postgres, None) | (Engine::Sqlite, _) => quoted(&table.table),
    }
}

fn expected_on_sqlite(expected: &BTreeSet<String>) -> String {
    format!(
        "insert into prelaunch_state select coalesce(group_concat(revision, ' '), '') = {} \
         from (select revision from {} where origin <> 'reverting' order by revision)",
        literal(&spaced(expected)),
        sql::LEDGER,
    )
}

/// The script is UTF-8, whatever the program or the database is set to.
const ENCODING: &str = "set client_encoding = 'UTF8'";

/// In PL/pgSQL.
const OTHER_STATE: &str =
    "raise exception 'this script is for another state of the ledger than it is in';";

/// What conditions are written into, so that one which does not hold is an error.
const CHECKS: &str = "create temp table prelaunch_state (fits integer constraint \
       \"this script is for another state of the ledger than it is in\" check (fits));\n\
     create temp table prelaunch_before (child, parent, fkid, n);\n\
     create temp table prelaunch_after (violations integer constraint \
       \"foreign keys point at nothing\" check (violations = 0))";

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
