//! What becomes of one direction of one revision on one engine: decided from what Python heard.
//!
//! Each function of a revision is listened to twice, and what it sends must be the same: a clock or
//! a random number would go into the script, and from there into every database. Only the order of
//! its parts may differ, since the constraints of a table that Alembic rebuilds have none.

use serde::Deserialize;

use crate::{engine::Engine, script};

/// What Python heard of one function, offline or on a scratch database.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub(super) struct Heard {
    /// What it sent, in order.
    pub(super) statements: Vec<String>,
    /// Whether some of it outside of a transaction.
    pub(super) autocommit: bool,
    /// Why it cannot be known without a database.
    pub(super) asks: Option<String>,
    /// Why it cannot be known with one either.
    pub(super) refused: Option<String>,
    /// The exception that ended it.
    pub(super) failed: Option<String>,
    /// Where in its file.
    pub(super) line: Option<usize>,
    /// Why there is no such function, or why Alembic cannot take that way either.
    pub(super) absent: Option<String>,
}

/// How the SQL was had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// From Alembic's offline mode.
    Offline,
    /// From a run on a scratch database.
    Recorded,
}

impl How {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Recorded => "recorded",
        }
    }
}

/// One direction of one revision on one engine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Section {
    /// Its SQL, each statement with its semicolon.
    Taken {
        how: How,
        statements: Vec<String>,
        /// Whether it needs a transaction of its own, which prelaunch gives by default.
        transactional: bool,
    },
    /// Alembic has none either.
    Absent(String),
    /// It is left to Alembic.
    Delegated { why: String, line: Option<usize> },
    /// It cannot be written down.
    Refused { why: String, line: Option<usize> },
}

/// What offline mode gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Offline {
    /// All that is needed.
    Settled(Section),
    /// Not enough: a database has to be asked.
    Asks {
        /// Why.
        why: String,
        line: Option<usize>,
    },
}

impl Section {
    /// The same, left to Alembic where it cannot be written down.
    pub(super) fn delegated(self) -> Self {
        match self {
            Self::Refused { why, line } => Self::Delegated { why, line },
            Self::Taken { .. } | Self::Absent(_) | Self::Delegated { .. } => self,
        }
    }
}

/// Judges what was heard offline, twice.
pub(super) fn offline(engine: Engine, first: &Heard, second: &Heard) -> Offline {
    let line = first.line.or(second.line);
    if let Some(why) = &first.absent {
        return Offline::Settled(Section::Absent(why.clone()));
    }
    if let Some(why) = first.refused.as_ref().or(second.refused.as_ref()) {
        return Offline::Settled(Section::Refused { why: why.clone(), line });
    }
    let asks = [&first.asks, &first.failed, &second.asks, &second.failed];
    match asks.into_iter().flatten().next() {
        Some(why) => Offline::Asks { why: why.clone(), line },
        None => Offline::Settled(taken(engine, How::Offline, first, second)),
    }
}

/// Judges what was heard on two scratch databases.
pub(super) fn recorded(engine: Engine, first: &Heard, second: &Heard) -> Section {
    let line = first.line.or(second.line);
    if let Some(why) = &first.absent {
        return Section::Absent(why.clone());
    }
    if let Some(why) = first.refused.as_ref().or(second.refused.as_ref()) {
        return Section::Refused { why: why.clone(), line };
    }
    if let Some(why) = first.failed.as_ref().or(second.failed.as_ref()) {
        return Section::Refused { why: format!("fails on a scratch database: {why}"), line };
    }
    taken(engine, How::Recorded, first, second)
}

fn taken(engine: Engine, how: How, first: &Heard, second: &Heard) -> Section {
    if words(&first.statements) != words(&second.statements) {
        let why = "sends something else each time, such as the time or a random number";
        return Section::Refused { why: why.to_owned(), line: None };
    }
    let (mut statements, mut transactional) = (Vec::new(), !first.autocommit);
    for text in &first.statements {
        // In front of what cannot run in a transaction, authors end Alembic's by hand.
        if script::is_transaction_word(engine, text) {
            transactional = false;
        } else {
            statements.extend(script::terminated(engine, text));
        }
    }
    Section::Taken { how, statements, transactional }
}

/// The words of all statements, in an order of their own.
fn words(statements: &[String]) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let texts = statements.iter().flat_map(|text| text.split(|c| !is_word(c)));
    let mut words: Vec<&str> = texts.filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}
