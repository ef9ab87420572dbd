//! Reads the header of a script: its title, and the keys that place the revision in the graph.
//!
//! Promises: every fault is reported, and a header with a fault gives no revision.
//!
//! Surprising: prose is welcome between the keys, yet a line that could be a misspelt key is a
//! fault (`revisoin: …`, `Revises: …` as Alembic writes it, `depends_on: …`). Taken as prose, it
//! would silently make a root of the revision. Only the title may begin as `fix: …` does. An empty
//! value is as if the line were absent, but for `revision`.

use std::{collections::BTreeSet, path::Path};

use super::{
    Allowed, Datasets, Settings,
    fault::{Faults, ScriptFaultKind},
    sections::Line,
};
use crate::{
    graph::revision::{Place, Revision, RevisionId},
    values,
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key {
    Revision,
    Revises,
    DependsOn,
    Branch,
    Tag,
    Created,
    Transaction,
    Idempotent,
    LockTimeout,
    Reindex,
    Allow,
    Delegate,
}

impl Key {
    /// In the order in which messages list them.
    const ALL: [Self; 12] = [
        Self::Revision,
        Self::Revises,
        Self::DependsOn,
        Self::Branch,
        Self::Tag,
        Self::Created,
        Self::Transaction,
        Self::Idempotent,
        Self::LockTimeout,
        Self::Reindex,
        Self::Allow,
        Self::Delegate,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Revision => "revision",
            Self::Revises => "revises",
            Self::DependsOn => "depends-on",
            Self::Branch => "branch",
            Self::Tag => "tag",
            Self::Created => "created",
            Self::Transaction => "transaction",
            Self::Idempotent => "idempotent",
            Self::LockTimeout => "lock-timeout",
            Self::Reindex => "reindex",
            Self::Allow => "allow",
            Self::Delegate => "delegate",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == word)
    }

    /// The key that a word was probably meant to be: another case, or a slip in every third letter.
    fn near(word: &str) -> Option<Self> {
        let lower = word.to_lowercase();
        if let Some(key) = Self::named(&lower) {
            return Some(key);
        }
        let slips = |key: &Self| strsim::damerau_levenshtein(key.name(), word);
        let near = Self::ALL.into_iter().min_by_key(slips)?;
        let allowed = near.name().len().max(word.len()) / 3;
        (lower == word && slips(&near) <= allowed).then_some(near)
    }
}

/// What a comment line of the header is.
enum Words<'t> {
    Empty,
    Known { key: Key, value: &'t str },
    Near { word: &'t str, near: Key },
    Unknown { word: &'t str },
    Prose,
}

fn words(text: &str) -> Words<'_> {
    // Nor is there text in a line of dashes.
    if !text.contains(char::is_alphanumeric) {
        return Words::Empty;
    }
    let Some((word, value)) = text.split_once(':') else { return Words::Prose };
    let word = word.trim_end();
    let starts = word.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts || !word.chars().all(|c| c.is_ascii_alphabetic() || "-_".contains(c)) {
        return Words::Prose;
    }
    if let Some(key) = Key::named(word) {
        return Words::Known { key, value: value.trim() };
    }
    if let Some(near) = Key::near(word) {
        return Words::Near { word, near };
    }
    // `https://…` is prose: a key has a blank after its colon.
    let lower = !word.chars().any(|c| c.is_ascii_uppercase());
    if lower && (value.is_empty() || value.starts_with(char::is_whitespace)) {
        return Words::Unknown { word };
    }
    Words::Prose
}

/// Reads the lines above the first section; `None` if they name no revision, which is a fault.
///
/// Without sections (`cut` is false) these are all lines of the file: only the comments at its top
/// are the header then.
pub(super) fn parse(
    path: &Path,
    lines: &[Line],
    cut: bool,
    faults: &mut Faults,
) -> Option<(Revision, Settings)> {
    let mut draft = Draft::default();
    let mut seen: Vec<(Key, usize)> = Vec::new();
    let mut title: Option<&str> = None;
    let mut stray = false;
    for &(number, line) in lines {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if !line.starts_with("--") {
            if !cut {
                break;
            }
            // One for all: who wrote a whole script there wants to hear it once.
            if !stray {
                faults.add(number, ScriptFaultKind::TextBeforeSections);
            }
            stray = true;
            continue;
        }
        let text = line.trim_start_matches('-').trim_start();
        let first = title.is_none();
        match words(text) {
            Words::Empty => {}
            Words::Known { key, value } => {
                if let Some(&(_, first)) = seen.iter().find(|(other, _)| *other == key) {
                    faults.add(number, ScriptFaultKind::KeyTwice { key: key.name(), first });
                } else {
                    seen.push((key, number));
                    if let Err(kind) = draft.set(key, value, number) {
                        faults.add(number, kind);
                    }
                }
                title.get_or_insert("");
            }
            Words::Near { word, near } => {
                let key = word.to_owned();
                faults.add(number, ScriptFaultKind::NearKey { key, near: near.name() });
                title.get_or_insert("");
            }
            Words::Unknown { word } if !first => {
                let known = Key::ALL.map(|key| format!("`{}`", key.name())).join(", ");
                let key = word.to_owned();
                faults.add(number, ScriptFaultKind::UnknownKey { key, known });
            }
            Words::Unknown { .. } | Words::Prose => {
                title.get_or_insert(text);
            }
        }
    }
    let Some(&(_, line)) = seen.iter().find(|(key, _)| *key == Key::Revision) else {
        faults.add(1, ScriptFaultKind::MissingRevision);
        return None;
    };
    let revision = Revision {
        id: draft.id?,
        parents: draft.parents,
        depends_on: draft.depends_on,
        labels: draft.labels,
        tag: draft.tag,
        title: title.unwrap_or_default().to_owned(),
        created: draft.created,
        place: Place { path: path.to_owned(), line },
    };
    Some((revision, draft.settings))
}

/// What the keys have given so far.
#[derive(Default)]
struct Draft {
    id: Option<RevisionId>,
    parents: Vec<RevisionId>,
    depends_on: Vec<String>,
    labels: Vec<String>,
    tag: Option<String>,
    created: Option<String>,
    settings: Settings,
}

impl Draft {
    fn set(&mut self, key: Key, value: &str, line: usize) -> Result<(), ScriptFaultKind> {
        if value.is_empty() && key != Key::Revision {
            return Ok(());
        }
        match key {
            Key::Revision => self.id = Some(id(key, value)?),
            Key::Revises => self.parents = ids(key, value)?,
            Key::DependsOn => self.depends_on = labels(key, value)?,
            Key::Branch => self.labels = labels(key, value)?,
            Key::Tag => self.tag = Some(tag(value)?),
            Key::Created => self.created = Some(value.to_owned()),
            Key::Transaction => self.settings.transactional = truth(key, value)?,
            Key::Idempotent => self.settings.idempotent = truth(key, value)?,
            Key::LockTimeout => {
                let fault =
                    || ScriptFaultKind::Duration { key: key.name(), value: value.to_owned() };
                self.settings.lock_timeout = Some(values::duration(value).ok_or_else(fault)?);
            }
            Key::Reindex => self.settings.reindex = datasets(key, value)?,
            // Which rules there are is asked by `revision lint` alone: a name that this release
            // does not know yet must not keep a server from starting.
            Key::Delegate => self.settings.delegate = delegate(value)?,
            Key::Allow => self.settings.allow = Allowed { line, rules: names(key, value)? },
        }
        Ok(())
    }
}

fn id(key: Key, value: &str) -> Result<RevisionId, ScriptFaultKind> {
    RevisionId::new(value).map_err(|error| ScriptFaultKind::Id { key: key.name(), error })
}

fn ids(key: Key, value: &str) -> Result<Vec<RevisionId>, ScriptFaultKind> {
    value.split(',').map(|one| id(key, one)).collect()
}

/// Labels stand in targets beside ids, so what an id may not contain they may not contain either.
fn labels(key: Key, value: &str) -> Result<Vec<String>, ScriptFaultKind> {
    Ok(ids(key, value)?.iter().map(ToString::to_string).collect())
}

/// Dashes are fine in a tag, unlike in an id, but not as its start: `-1` is a relative target.
fn tag(value: &str) -> Result<String, ScriptFaultKind> {
    let reserved = matches!(value, "head" | "heads" | "base") || value.starts_with('-');
    let grammar = |c: char| c.is_whitespace() || c.is_control() || ",@+:".contains(c);
    if reserved || value.contains(grammar) {
        return Err(ScriptFaultKind::Tag { tag: value.to_owned() });
    }
    Ok(value.to_owned())
}

fn truth(key: Key, value: &str) -> Result<bool, ScriptFaultKind> {
    let fault = || ScriptFaultKind::Truth { key: key.name(), value: value.to_owned() };
    values::truth(value).ok_or_else(fault)
}

/// To whom a revision is left: there is one so far.
fn delegate(value: &str) -> Result<bool, ScriptFaultKind> {
    let fault = || ScriptFaultKind::Delegate { value: value.to_owned() };
    if value.eq_ignore_ascii_case("alembic") { Ok(true) } else { Err(fault()) }
}

/// A truth word wins over a dataset of that name, as in `REINDEX_DATASETS`.
fn datasets(key: Key, value: &str) -> Result<Datasets, ScriptFaultKind> {
    match values::truth(value) {
        Some(true) => return Ok(Datasets::All),
        Some(false) => return Ok(Datasets::None),
        None => {}
    }
    Ok(Datasets::Named(names(key, value)?))
}

fn names(key: Key, value: &str) -> Result<BTreeSet<String>, ScriptFaultKind> {
    let names: BTreeSet<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    if names.contains("") {
        return Err(ScriptFaultKind::EmptyName { key: key.name(), value: value.to_owned() });
    }
    Ok(names)
}
