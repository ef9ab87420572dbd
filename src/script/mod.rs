//! A script: one revision as one file of SQL, up and down together.
//!
//! ```sql
//! -- fix suggestions type enum values
//! --
//! -- revision: 1e629a913727
//! -- revises: 3fc3c0839959
//!
//! -- migrate:up
//! …
//! -- migrate:down sqlite
//! …
//! ```
//!
//! Promises: [`Script::parse`] reports every fault that it can find; what is sent to the engine
//! is what the file says, byte for byte, cut between statements and nowhere else; line and column
//! of a [`Statement`] are those in the file.
//!
//! Surprising: the section markers are found line by line, before any SQL is read. So a line
//! `-- migrate:down` inside of a string or a function body ends the section all the same, and the
//! string is then reported as not closed. And each section is cut into statements by itself: its
//! last statement needs no semicolon.

mod checksum;
mod fault;
mod header;
mod lexer;
pub mod losses;
mod parts;
mod refusals;
mod sections;
mod statements;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, fmt::Write as _, path::Path, time::Duration};

pub use checksum::Checksum;
pub use fault::{ScriptFault, ScriptFaultKind};
pub use parts::Part;
pub use statements::{ConcurrentIndex, Statement};

use crate::{
    engine::Engine,
    graph::revision::{Place, Revision},
};
use fault::Faults;

/// The bytes of each piece that SQL is cut into, for `fuzz/` alone: no other build has it.
#[cfg(fuzzing)]
#[must_use]
pub fn pieces(engine: Engine, text: &str) -> Vec<std::ops::Range<usize>> {
    statements::split(engine, text).0.into_iter().map(|piece| piece.range).collect()
}

/// A statement that somebody else wrote, with its semicolon; nothing where there is no SQL in it.
#[must_use]
pub(crate) fn terminated(engine: Engine, text: &str) -> Option<String> {
    let text = text.trim();
    let (tokens, unclosed) = lexer::tokens(engine, text);
    let last = tokens.last()?;
    if last.kind == lexer::Kind::Semicolon || unclosed.is_some() {
        return Some(text.to_owned());
    }
    // Behind a comment a semicolon would be part of it.
    let separator = if last.end == text.len() { "" } else { "\n" };
    Some(format!("{text}{separator};"))
}

/// Whether a statement does nothing but begin or end a transaction.
#[must_use]
pub(crate) fn is_transaction_word(engine: Engine, text: &str) -> bool {
    let (statements, _) = statements::read(engine, text, 1);
    let alone = |statement: &Statement| {
        let words = statement.words(3);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        statement.tokens().len() == words.len()
            && matches!(
                words.as_slice(),
                ["BEGIN" | "COMMIT" | "END"]
                    | ["BEGIN" | "COMMIT" | "END", "WORK" | "TRANSACTION"]
                    | ["START", "TRANSACTION"]
            )
    };
    matches!(statements.as_slice(), [one] if alone(one))
}

/// Which way a section leads.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// To the revision (`-- migrate:up`).
    Up,
    /// Back from it (`-- migrate:down`).
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// A part of a script, from below its marker to above the next one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Section {
    /// Which way it leads.
    pub direction: Direction,
    /// The one engine that it serves; `None` serves each.
    pub engine: Option<Engine>,
    /// The line of its first line of text in the file, counted from 1.
    pub line: usize,
    /// Its text as it stands in the file.
    pub text: String,
}

impl Section {
    fn serves(&self, engine: Engine, direction: Direction) -> bool {
        self.direction == direction && self.engine.is_none_or(|only| only == engine)
    }
}

/// Which search datasets a revision asks to rebuild (`reindex`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Datasets {
    /// None.
    #[default]
    None,
    /// Each that is configured.
    All,
    /// Those with these names; never empty.
    Named(BTreeSet<String>),
}

/// The rules of `revision lint` that a script may break (`allow`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allowed {
    /// The line that says so.
    pub line: usize,
    /// Their names, known or not.
    pub rules: BTreeSet<String>,
}

/// How a script wants to be run, as its header says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whether it runs inside one transaction, as it does by default (`transaction`).
    pub transactional: bool,
    /// Whether its author says that running it again from the start does no harm (`idempotent`).
    pub idempotent: bool,
    /// How long its statements may wait for a lock, instead of the configured time.
    pub lock_timeout: Option<Duration>,
    /// What to rebuild after it (`reindex`).
    pub reindex: Datasets,
    /// What to keep quiet about (`allow`).
    pub allow: Allowed,
    /// Whether Alembic applies it on an engine for which it has no up section (`delegate`).
    pub delegate: bool,
}

impl Settings {
    /// The lines of a header that say how to run a section, where it is not as by default.
    fn lines(&self) -> String {
        let mut lines = String::new();
        if !self.transactional {
            lines.push_str("-- transaction: false\n");
        }
        if self.idempotent {
            lines.push_str("-- idempotent: true\n");
        }
        if let Some(timeout) = self.lock_timeout {
            // Writing to a `String` cannot fail.
            let _ = writeln!(lines, "-- lock-timeout: {}ms", timeout.as_millis());
        }
        lines
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transactional: true,
            idempotent: false,
            lock_timeout: None,
            reindex: Datasets::None,
            allow: Allowed::default(),
            delegate: false,
        }
    }
}

/// One file of a graph: a revision, and the SQL that leads to it and back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// What its header says of its place in the graph.
    pub revision: Revision,
    /// What its header says of how to run it.
    pub settings: Settings,
    /// Its sections, in the order of the file; at least one, unless Alembic applies it.
    pub sections: Vec<Section>,
}

impl Script {
    /// Parses a whole file: its text, with or without a byte order mark, and its path for messages.
    ///
    /// The faults come in the order of their lines. The SQL itself is not read yet: see
    /// [`Script::statements`], since only the caller knows which engine is in use.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<ScriptFault>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut faults = Faults::new(path);
        let (lines, sections) = sections::cut(text, &mut faults);
        let header = header::parse(path, &lines, !sections.is_empty(), &mut faults);
        let delegates = header.as_ref().is_some_and(|(_, settings)| settings.delegate);
        let mut faults = faults.into_sorted();
        faults.retain(|fault| !(delegates && fault.kind == ScriptFaultKind::NoSection));
        match (header, faults) {
            (Some((revision, settings)), faults) if faults.is_empty() => {
                Ok(Self { revision, settings, sections })
            }
            (_, faults) => Err(faults),
        }
    }

    /// Whether there is a section for this engine and direction.
    #[must_use]
    pub fn serves(&self, engine: Engine, direction: Direction) -> bool {
        self.sections.iter().any(|section| section.serves(engine, direction))
    }

    /// Whether its revision is left to Alembic on this engine.
    #[must_use]
    pub fn delegates(&self, engine: Engine) -> bool {
        self.settings.delegate && !self.serves(engine, Direction::Up)
    }

    /// Whether its revision can be applied on this engine, by it or by Alembic.
    #[must_use]
    pub fn can_apply(&self, engine: Engine) -> bool {
        self.settings.delegate || self.serves(engine, Direction::Up)
    }

    /// The fault to report where [`Script::serves`] says no and a section is needed.
    #[must_use]
    pub fn missing_section(&self, engine: Engine, direction: Direction) -> ScriptFault {
        let kind = ScriptFaultKind::MissingSection { engine, direction };
        ScriptFault { place: self.revision.place.clone(), kind }
    }

    /// The sections in use, in the order of the file, each ended by a newline: what the ledger
    /// keeps. Empty where there is none.
    #[must_use]
    pub fn text(&self, engine: Engine, direction: Direction) -> String {
        let mut text = String::new();
        for section in self.used(engine, direction) {
            text.push_str(&section.text);
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    }

    /// The way back as the ledger keeps it, so that it can be taken when the script is gone: the
    /// down sections in use, and above them, where it has such, the lines of the header that say how
    /// to run them. Nothing where there is no down section.
    #[must_use]
    pub fn kept_down(&self, engine: Engine) -> Option<String> {
        let text = self.serves(engine, Direction::Down).then(|| self.text(engine, Direction::Down));
        let settings = self.settings.lines();
        text.map(|text| match settings.as_str() {
            "" => text,
            settings => format!("{settings}-- migrate:down\n{text}"),
        })
    }

    /// A script of a revision whose file is gone, from what [`Script::kept_down`] gave. It has no up
    /// section; the place of its revision is where faults and errors are said to be.
    pub fn from_kept(revision: Revision, down: &str) -> Result<Self, Vec<ScriptFault>> {
        let first = format!("-- revision: {}\n", revision.id);
        // No section can have such a line: it would have begun another one.
        let has_marker = down.lines().any(|line| line.starts_with("-- migrate:down"));
        let marker = if has_marker { "" } else { "-- migrate:down\n" };
        let above = first.lines().count() + marker.lines().count();
        let mut script = Self::parse(&revision.place.path, &format!("{first}{marker}{down}"))?;
        for section in &mut script.sections {
            section.line = section.line.saturating_sub(above).max(1);
        }
        Ok(Self { revision, ..script })
    }

    /// The checksum of the up sections in use; what it covers is written at [`Checksum`].
    #[must_use]
    pub fn checksum(&self, engine: Engine) -> Checksum {
        Checksum::of(&self.text(engine, Direction::Up))
    }

    /// The statements of the sections in use, in the order of the file.
    ///
    /// The first fault ends it: something that is not closed, that cannot run where the header
    /// lets it run, or that only psql understands.
    pub fn statements(
        &self,
        engine: Engine,
        direction: Direction,
    ) -> Result<Vec<Statement>, ScriptFault> {
        let mut all = Vec::new();
        for section in self.used(engine, direction) {
            let statements = self.statements_of(engine, section).map_err(|(line, kind)| {
                let place = Place { path: self.revision.place.path.clone(), line };
                ScriptFault { place, kind }
            })?;
            all.extend(statements);
        }
        Ok(all)
    }

    /// Every fault in the statements of the sections in use, where [`Script::statements`] ends with
    /// the first one.
    #[must_use]
    pub fn statement_faults(&self, engine: Engine, direction: Direction) -> Vec<ScriptFault> {
        let mut faults = Faults::new(&self.revision.place.path);
        for section in self.used(engine, direction) {
            let (statements, unclosed) = statements::read(engine, &section.text, section.line);
            let mut readable = true;
            for statement in &statements {
                let transactional = self.settings.transactional;
                if let Some(kind) = refusals::refusal(statement, engine, transactional) {
                    readable = !matches!(kind, ScriptFaultKind::CopyFromStdin);
                    faults.add(statement.line, kind);
                }
                // What follows are rows, which are no SQL.
                if !readable {
                    break;
                }
            }
            if let Some((line, kind)) = unclosed.filter(|_| readable) {
                faults.add(line, kind);
            }
        }
        faults.into_sorted()
    }

    fn used(&self, engine: Engine, direction: Direction) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.serves(engine, direction))
    }

    /// The statements of one section, or the line in the file and what is wrong there.
    fn statements_of(
        &self,
        engine: Engine,
        section: &Section,
    ) -> Result<Vec<Statement>, (usize, ScriptFaultKind)> {
        let (statements, unclosed) = statements::read(engine, &section.text, section.line);
        for statement in &statements {
            if let Some(kind) = refusals::refusal(statement, engine, self.settings.transactional) {
                return Err((statement.line, kind));
            }
        }
        // Only now: the rows below a `COPY … FROM STDIN` are full of quotes that nothing closes,
        // and the statement above them is what its author wants to hear about.
        match unclosed {
            Some(fault) => Err(fault),
            None => Ok(statements),
        }
    }
}
