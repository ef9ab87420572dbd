//! A revision of Alembic as a script: its header, its sections, its file name.
//!
//! Promises: what is written loads, with the same id, parents, dependencies, labels and SQL, and has
//! no fault for the engines that it is meant for; or [`write()`] says what stands in the way. So a
//! line `-- migrate:down` inside of a text, or a `COPY … FROM STDIN`, is noticed here and not in a
//! container.

use std::{fmt::Write as _, path::Path};

use super::section::Section;
use crate::{
    engine::Engine,
    graph::revision::Revision,
    revision::text::{Title, slug},
    script::{Direction, Script, ScriptFaultKind},
};

/// The sections of one revision.
pub(super) type Sections = Vec<(Engine, Direction, Section)>;

/// A revision with what was found out about it.
#[derive(Clone, Debug)]
pub(super) struct Imported {
    /// As its file has it.
    pub(super) revision: Revision,
    pub(super) tag: Option<String>,
    pub(super) sections: Sections,
}

impl Imported {
    /// Whether it is left to Alembic on some engine.
    pub(super) fn is_delegated(&self) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|one| matches!(one, (_, Direction::Up, Section::Delegated { .. })))
    }

    pub(super) fn section(&self, engine: Engine, direction: Direction) -> Option<&Section> {
        let mut sections = self.sections.iter();
        sections.find(|(e, d, _)| (*e, *d) == (engine, direction)).map(|(.., section)| section)
    }
}

/// A script that is to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) transactional: bool,
}

/// Writes the script, or says why it would not be what was meant.
pub(super) fn write(imported: &Imported) -> Result<Written, String> {
    let mut transactional = imported.sections.iter().all(|(.., section)| match section {
        Section::Taken { transactional, .. } => *transactional,
        Section::Absent(_) | Section::Delegated { .. } | Section::Refused { .. } => true,
    });
    let mut text = text(imported, transactional);
    let mut faults = faults(imported, &text);
    let outside = |kind: &ScriptFaultKind| matches!(kind, ScriptFaultKind::NotInTransaction { .. });
    // A connection of the application's own may be in autocommit, which only shows here.
    if transactional && !faults.is_empty() && faults.iter().all(|(kind, _)| outside(kind)) {
        transactional = false;
        text = self::text(imported, false);
        faults = self::faults(imported, &text);
    }
    match faults.into_iter().next() {
        None => Ok(Written { name: name(&imported.revision), text, transactional }),
        Some((_, words)) => Err(words),
    }
}

/// All faults of the script, with their words.
fn faults(imported: &Imported, text: &str) -> Vec<(ScriptFaultKind, String)> {
    let told = |fault: crate::script::ScriptFault| {
        let words = format!("as a script, line {}: {}", fault.place.line, fault.kind);
        (fault.kind, words)
    };
    let script = match Script::parse(Path::new(""), text) {
        Ok(script) => script,
        // Whoever lets sections be missing knows that it does not load.
        Err(faults) => {
            let unsound = |kind: &ScriptFaultKind| !matches!(kind, ScriptFaultKind::NoSection);
            return faults.into_iter().filter(|fault| unsound(&fault.kind)).map(told).collect();
        }
    };
    let mut found = Vec::new();
    for (engine, direction, section) in &imported.sections {
        let faults = script.statement_faults(*engine, *direction).into_iter().map(told);
        let Section::Taken { statements, .. } = section else { continue };
        if script.text(*engine, *direction).trim() != body(statements, *direction).trim() {
            let kind = ScriptFaultKind::Marker { line: String::new() };
            found.push((kind, "has SQL with a line that begins a section of a script".to_owned()));
        }
        found.extend(faults);
    }
    found
}

fn text(imported: &Imported, transactional: bool) -> String {
    let Imported { revision, tag, sections } = imported;
    let mut text = format!("-- {}\n--\n-- revision: {}\n", title(revision), revision.id);
    let parents: Vec<String> = revision.parents.iter().map(ToString::to_string).collect();
    let keys = [
        ("revises", parents.join(", ")),
        ("depends-on", revision.depends_on.join(", ")),
        ("branch", revision.labels.join(", ")),
        ("tag", tag.clone().unwrap_or_default()),
        ("created", revision.created.as_deref().map(created).unwrap_or_default()),
        ("transaction", if transactional { "" } else { "false" }.to_owned()),
        ("delegate", if imported.is_delegated() { "alembic" } else { "" }.to_owned()),
    ];
    // Writing to a `String` cannot fail.
    for (key, value) in keys.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "-- {key}: {value}");
    }
    for (engine, direction, section) in sections {
        if let Section::Delegated { why, .. } = section {
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ =
                writeln!(text, "--\n-- Left to Alembic is {direction} for {engine}, which {why}.");
        }
        if let Section::Refused { why, .. } = section {
            let _ = writeln!(
                text,
                "--\n-- Not imported is {direction} for {engine}, which {}; write it by hand below\n\
                 -- its marker.",
                why.split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
    }
    for direction in [Direction::Up, Direction::Down] {
        let bodies = sections.iter().filter_map(|(engine, of, section)| match section {
            Section::Taken { statements, .. } if *of == direction => {
                Some((*engine, body(statements, direction)))
            }
            Section::Taken { .. }
            | Section::Absent(_)
            | Section::Delegated { .. }
            | Section::Refused { .. } => None,
        });
        let bodies: Vec<(Engine, String)> = bodies.collect();
        match bodies.as_slice() {
            [(_, one), (_, other)] if one == other => {
                let _ = write!(text, "\n-- migrate:{direction}\n{one}");
            }
            bodies => {
                for (engine, body) in bodies {
                    let _ = write!(text, "\n-- migrate:{direction} {engine}\n{body}");
                }
            }
        }
    }
    text
}

fn body(statements: &[String], direction: Direction) -> String {
    if statements.is_empty() {
        return match direction {
            Direction::Up => "-- nothing to do\n".to_owned(),
            Direction::Down => "-- nothing to undo\n".to_owned(),
        };
    }
    statements.join("\n\n") + "\n"
}

/// The title, as far as a script can begin with it.
fn title(revision: &Revision) -> String {
    let title = &revision.title;
    let given = if title.contains(char::is_alphanumeric) {
        Title::parse(title).or_else(|_| Title::parse(&format!("Alembic has {title}")))
    } else {
        Title::parse(&format!("Revision {}", revision.id))
    };
    // Of what is left, not even an id is missing: it stands in the next line.
    given.map_or_else(|_| "Revision of Alembic".to_owned(), |title| title.to_string())
}

/// The moment to the second, where it is one.
fn created(text: &str) -> String {
    let second = text.get(..19).filter(|second| date(second).is_some());
    second.unwrap_or(text).to_owned()
}

/// The digits of a date that begins a text.
fn date(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    let shape =
        |(at, c): (usize, char)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() };
    day.char_indices().all(shape).then(|| day.replace('-', ""))
}

/// `20230724_1e629a913727_fix_suggestions.sql`; without a date where the file has none.
fn name(revision: &Revision) -> String {
    let date = revision.created.as_deref().and_then(date);
    let parts = [date.unwrap_or_default(), file_part(revision.id.as_str()), slug(&revision.title)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}.sql", parts.join("_"))
}

/// An id may hold what separates directories, or begin as a hidden file does.
fn file_part(id: &str) -> String {
    id.chars().map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}
