//! What hurts on a busy PostgreSQL and squawk does not see.
//!
//! Nothing of it is about a table that the script itself has made.

use super::{
    Warning,
    reading::{Reading, Scene, Verb, added_column, begins, says},
};
use crate::script::Part;

/// What numbers its rows by itself, and so has a default that differs from row to row.
const SERIAL: [&str; 6] = ["serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"];

/// The warnings of one script.
pub(super) fn examine(scene: &Scene<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    // Whether a table is locked until the end of the transaction; whether waits are bounded.
    let (mut locked, mut bounded) = (false, scene.transactional);
    for (at, reading) in scene.readings.iter().enumerate() {
        bounded |= sets_lock_timeout(&reading.parts);
        if rewrites(&reading.parts) {
            found.extend(Warning::at(reading.statement.line, "rewriting-table"));
        }
        if reading.verb == Verb::Rows && locked && changes_many(reading) && !scene.is_new(at) {
            found.extend(Warning::at(reading.statement.line, "backfill-under-lock"));
        }
        if scene.is_new(at) {
            continue;
        }
        if reading.verb == Verb::Refresh && !reading.concurrently {
            found.extend(Warning::at(reading.statement.line, "refreshing-without-concurrently"));
        }
        if reading.alters_table() {
            for action in reading.all_actions() {
                found.extend(
                    of_action(action).and_then(|name| Warning::at(reading.line(action), name)),
                );
            }
        }
        let locks = locks(reading);
        if locks && !bounded {
            found.extend(Warning::at(reading.statement.line, "unbounded-lock-wait"));
        }
        locked |= locks && reading.alters_table() && scene.transactional;
    }
    found
}

/// The rule that an action of an `ALTER TABLE` breaks.
fn of_action(action: &[Part<'_>]) -> Option<&'static str> {
    let rewriting =
        [&["SET", "LOGGED"][..], &["SET", "UNLOGGED"], &["SET", "TABLESPACE"], &["SET", "ACCESS"]];
    if rewriting.iter().any(|words| begins(action, words)) {
        return Some("rewriting-table");
    }
    let [_, kind, ..] = added_column(action)? else { return None };
    if SERIAL.iter().any(|serial| kind.is(serial)) {
        return Some("adding-serial-field");
    }
    says(action, &["CHECK"]).then_some("adding-checked-field")
}

/// `CLUSTER` and `VACUUM FULL`.
fn rewrites(parts: &[Part<'_>]) -> bool {
    let [first, rest @ ..] = parts else { return false };
    if first.is("CLUSTER") {
        return true;
    }
    if !first.is("VACUUM") {
        return false;
    }
    let options = rest.iter().take_while(|part| !part.is(")"));
    match rest {
        [open, ..] if open.is("(") => options.into_iter().any(|part| part.is("FULL")),
        rest => begins(rest, &["FULL"]),
    }
}

/// Whether it may change many rows: an `INSERT` of a few says what they are.
fn changes_many(reading: &Reading<'_>) -> bool {
    let any = |words: &[&str]| reading.parts.iter().any(|part| words.iter().any(|w| part.is(w)));
    match reading.kind.as_str() {
        "INSERT" => any(&["SELECT", "TABLE"]),
        // A `WITH`.
        "" => any(&["INSERT", "UPDATE", "DELETE", "MERGE"]),
        _ => true,
    }
}

/// Whether it takes a lock that other queries wait for.
fn locks(reading: &Reading<'_>) -> bool {
    // These say that they do not.
    let gentle = |action: &[Part<'_>]| {
        begins(action, &["VALIDATE"])
            || begins(action, &["SET", "("])
            || begins(action, &["RESET", "("])
            || says(action, &["SET", "STATISTICS"])
            || begins(action, &["DETACH"]) && says(action, &["CONCURRENTLY"])
            || begins(action, &["DETACH"]) && says(action, &["FINALIZE"])
    };
    match (reading.verb, reading.kind.as_str()) {
        (Verb::Alter, "TABLE") => !reading.all_actions().all(gentle),
        (Verb::Create | Verb::Drop | Verb::Reindex, "INDEX")
        | (Verb::Drop | Verb::Reindex, "TABLE") => !reading.concurrently,
        (Verb::Create | Verb::Drop, "TRIGGER" | "POLICY" | "RULE") | (Verb::Truncate, _) => true,
        (Verb::Other, _) => begins(&reading.parts, &["LOCK"]),
        _ => false,
    }
}

/// `SET lock_timeout`, which outlives its statement where there is no transaction.
fn sets_lock_timeout(parts: &[Part<'_>]) -> bool {
    begins(parts, &["SET", "lock_timeout"]) || begins(parts, &["SET", "SESSION", "lock_timeout"])
}
