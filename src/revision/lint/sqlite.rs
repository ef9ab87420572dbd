//! What hurts on SQLite: what the release that still runs relies on, and what SQLite cannot do.
//!
//! Nothing here is about locks. SQLite has one for the whole database, and whoever writes holds it.
//!
//! Surprising: a table that is rebuilt under a new name and renamed to the old one was not dropped.

use super::{
    Warning,
    reading::{Reading, Scene, Verb, added_column, begins, says},
};
use crate::script::Part;

/// The warnings of one script.
pub(super) fn examine(scene: &Scene<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    for (at, reading) in scene.readings.iter().enumerate() {
        if scene.is_new(at) {
            continue;
        }
        let missed = !scene.is_not_missed(at);
        let name = match (reading.verb, reading.kind.as_str()) {
            (Verb::Drop, "TABLE") if missed => Some("ban-drop-table"),
            (Verb::Drop, "VIEW") if missed => Some("ban-drop-view"),
            (Verb::Alter, "TABLE") => of_action(reading, missed),
            _ => None,
        };
        // An `ALTER` is told where its action begins, as squawk does.
        found.extend(name.and_then(|name| Warning::at(reading.line(reading.action(0)), name)));
    }
    found
}

fn of_action(reading: &Reading<'_>, missed: bool) -> Option<&'static str> {
    // SQLite has no list of them.
    let action = reading.action(0);
    if begins(action, &["RENAME", "TO"]) {
        return missed.then_some("renaming-table");
    }
    if begins(action, &["RENAME"]) {
        return Some("renaming-column");
    }
    if begins(action, &["DROP"]) {
        return (!begins(action, &["DROP", "CONSTRAINT"])).then_some("ban-drop-column");
    }
    fails(added_column(action)?).then_some("failing-add-column")
}

/// Whether SQLite refuses to add this column, always or once there are rows.
fn fails(column: &[Part<'_>]) -> bool {
    let value = default(column);
    // A generated column has values without a default.
    let empty = value.first().is_none_or(|first| first.is("NULL")) && !says(column, &["AS"]);
    says(column, &["UNIQUE"])
        || says(column, &["PRIMARY", "KEY"])
        || says(column, &["STORED"])
        || varies(value)
        || empty && says(column, &["NOT", "NULL"])
}

/// What stands behind `DEFAULT`.
fn default<'a, 's>(column: &'a [Part<'s>]) -> &'a [Part<'s>] {
    let at = column.iter().position(|part| part.is("DEFAULT"));
    at.and_then(|at| column.get(at + 1..)).unwrap_or_default()
}

/// Whether a default is none that SQLite knows without asking anything: a literal.
fn varies(value: &[Part<'_>]) -> bool {
    let literal = |part: &Part<'_>| {
        let number = |c: char| c.is_ascii_digit() || "+-.".contains(c);
        part.text.starts_with('\'') || part.text.chars().all(number) || part.is("NULL")
    };
    match value {
        [open, inner @ ..] if open.is("(") => {
            !inner.iter().take_while(|part| !part.is(")")).all(literal)
        }
        [first, ..] => {
            ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"].iter().any(|now| first.is(now))
        }
        [] => false,
    }
}
