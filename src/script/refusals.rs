//! Statements that prelaunch will not send, because they cannot do there what their author wants.
//!
//! Surprising: only what a statement itself says is seen. A procedure that commits, or a `COMMIT`
//! inside of a `DO` block, is left to the engine, which refuses it.

use super::{fault::ScriptFaultKind, statements::Statement};
use crate::engine::Engine;

/// Why a statement cannot be sent, if it cannot.
pub(super) fn refusal(
    statement: &Statement,
    engine: Engine,
    transactional: bool,
) -> Option<ScriptFaultKind> {
    let for_psql = match engine {
        Engine::Postgres => for_psql(statement),
        Engine::Sqlite => None,
    };
    for_psql.or_else(|| {
        let fault = in_transaction(statement, engine);
        if transactional { fault } else { fault.and_then(by_itself).or_else(|| role(statement)) }
    })
}

/// Another role for the statements that follow: it may not write down how they ended.
fn role(statement: &Statement) -> Option<ScriptFaultKind> {
    let words = statement.words(3);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let sets =
        matches!(words.as_slice(), ["SET", "ROLE", ..] | ["SET", "SESSION", "AUTHORIZATION"]);
    sets.then(|| ScriptFaultKind::SpansStatements { statement: words.join(" ") })
}

/// What of the faults inside a transaction is one without it, too.
fn by_itself(fault: ScriptFaultKind) -> Option<ScriptFaultKind> {
    if let ScriptFaultKind::OpensTransaction { statement }
    | ScriptFaultKind::EndsTransaction { statement } = fault
    {
        return Some(ScriptFaultKind::SpansStatements { statement });
    }
    None
}

fn for_psql(statement: &Statement) -> Option<ScriptFaultKind> {
    if statement.text.starts_with('\\') {
        let command = statement.text.split_whitespace().next().unwrap_or("\\").to_owned();
        return Some(ScriptFaultKind::MetaCommand { command });
    }
    let copies = statement.words(1) == ["COPY"] && statement.contains(&["FROM", "STDIN"]);
    copies.then_some(ScriptFaultKind::CopyFromStdin)
}

fn in_transaction(statement: &Statement, engine: Engine) -> Option<ScriptFaultKind> {
    let words = statement.words(4);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let first = |n: usize| words[..n].join(" ");
    match words.as_slice() {
        ["BEGIN", ..] => Some(ScriptFaultKind::OpensTransaction { statement: first(1) }),
        ["START", "TRANSACTION", ..] => {
            Some(ScriptFaultKind::OpensTransaction { statement: first(2) })
        }
        // Back to a savepoint: the transaction goes on.
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => None,
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] => {
            Some(ScriptFaultKind::NotInTransaction { statement: first(2) })
        }
        ["PREPARE", "TRANSACTION", ..] => {
            Some(ScriptFaultKind::EndsTransaction { statement: first(2) })
        }
        ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] => {
            Some(ScriptFaultKind::EndsTransaction { statement: first(1) })
        }
        ["VACUUM", ..] => Some(ScriptFaultKind::NotInTransaction { statement: first(1) }),
        words => match engine {
            Engine::Postgres => outside_only(statement, words)
                .map(|statement| ScriptFaultKind::NotInTransaction { statement }),
            Engine::Sqlite => None,
        },
    }
}

/// What PostgreSQL runs outside of transactions only, by the words for it.
fn outside_only(statement: &Statement, words: &[&str]) -> Option<String> {
    match words {
        ["CREATE" | "DROP", "INDEX", "CONCURRENTLY", ..] => Some(words[..3].join(" ")),
        ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"] => Some(words.join(" ")),
        ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..] | ["ALTER", "SYSTEM", ..] => {
            Some(words[..2].join(" "))
        }
        // Also as an option in parentheses.
        ["REINDEX", ..] if statement.contains(&["CONCURRENTLY"]) => {
            Some("REINDEX CONCURRENTLY".to_owned())
        }
        ["REINDEX", "DATABASE" | "SCHEMA" | "SYSTEM", ..] => Some(words[..2].join(" ")),
        ["ALTER", "TABLE", ..]
            if statement.contains(&["DETACH"]) && statement.ends_with("CONCURRENTLY") =>
        {
            Some("DETACH PARTITION CONCURRENTLY".to_owned())
        }
        _ => None,
    }
}
