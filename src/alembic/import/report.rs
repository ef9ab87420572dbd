//! What an import did, for people and machines.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{
    error::Missing,
    script::{Imported, Written},
    section::{How, Section},
};
use crate::{
    alembic::{DEFAULT_VERSION_TABLE, Environment, Setting},
    database::json_line,
    engine::Engine,
};

/// What became of a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It was written.
    Written,
    /// It was there, word for word.
    Unchanged,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) revisions: usize,
    pub(super) sections: usize,
    pub(super) offline: usize,
    pub(super) recorded: usize,
    pub(super) absent: usize,
    pub(super) delegated: usize,
    pub(super) refused: usize,
    pub(super) milliseconds: u128,
}

#[derive(Debug, Serialize)]
struct SectionLine {
    engine: &'static str,
    direction: String,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct RevisionLine {
    revision: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    path: Option<String>,
    state: Option<State>,
    transaction: bool,
    sections: Vec<SectionLine>,
    #[serde(skip)]
    name: String,
}

/// A place at which both ways led to the same schema.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Held {
    pub(super) way: &'static str,
    pub(super) target: String,
}

#[derive(Debug, Serialize)]
struct Verified {
    engine: &'static str,
    equal: Vec<Held>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    environment: String,
    version_table: Option<String>,
    alembic: Value,
    engines: Vec<&'static str>,
    out: String,
    revisions: Vec<RevisionLine>,
    refused: Vec<String>,
    verified: Vec<Verified>,
    pub(super) figures: Figures,
}

impl Report {
    pub(super) fn new(
        environment: &Environment,
        versions: &Value,
        engines: &[Engine],
        out: &Path,
    ) -> Self {
        Self {
            environment: environment.script_location.display().to_string(),
            version_table: version_table(environment),
            alembic: versions.clone(),
            engines: engines.iter().map(|engine| engine.name()).collect(),
            out: out.display().to_string(),
            revisions: Vec::new(),
            refused: Vec::new(),
            verified: Vec::new(),
            figures: Figures::default(),
        }
    }

    pub(super) fn add(&mut self, imported: &Imported, script: Option<&Written>) {
        let figures = &mut self.figures;
        figures.revisions += 1;
        let sections = imported.sections.iter().map(|(engine, direction, section)| {
            figures.sections += 1;
            let (how, why) = match section {
                Section::Taken { how, .. } => {
                    match how {
                        How::Offline => figures.offline += 1,
                        How::Recorded => figures.recorded += 1,
                    }
                    (how.name(), None)
                }
                Section::Absent(why) => {
                    figures.absent += 1;
                    ("absent", Some(why.clone()))
                }
                Section::Delegated { why, .. } => {
                    figures.delegated += 1;
                    ("delegated", Some(why.clone()))
                }
                Section::Refused { why, .. } => {
                    figures.refused += 1;
                    ("refused", Some(why.clone()))
                }
            };
            SectionLine { engine: engine.name(), direction: direction.to_string(), how, why }
        });
        let sections = sections.collect();
        let path = script.map(|script| Path::new(&self.out).join(&script.name));
        self.revisions.push(RevisionLine {
            revision: imported.revision.id.to_string(),
            source: imported.revision.place.path.display().to_string(),
            tag: imported.tag.clone(),
            path: path.map(|path| path.display().to_string()),
            state: None,
            transaction: script.is_none_or(|script| script.transactional),
            sections,
            name: script.map(|script| script.name.clone()).unwrap_or_default(),
        });
    }

    pub(super) fn refused(&mut self, missing: &[Missing]) {
        self.refused = missing.iter().map(ToString::to_string).collect();
    }

    pub(super) fn states(&mut self, states: &BTreeMap<String, State>) {
        for line in &mut self.revisions {
            line.state = states.get(&line.name).copied();
        }
    }

    pub(super) fn verified(&mut self, engine: Engine, equal: Vec<Held>) {
        self.verified.push(Verified { engine: engine.name(), equal });
    }

    pub(super) fn json(&mut self, took: Duration) -> String {
        self.figures.milliseconds = took.as_millis();
        json_line(self)
    }

    /// The table to be named in `VERSION_TABLE`, where it is known.
    pub(super) fn version_table(&self) -> Option<&str> {
        self.version_table.as_deref()
    }

    /// The path of each script, and what is special about it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.revisions {
            let Some(path) = &line.path else { continue };
            let mut notes = Vec::new();
            if line.state == Some(State::Unchanged) {
                notes.push("unchanged".to_owned());
            }
            if !line.transaction {
                notes.push("transaction: false".to_owned());
            }
            let special = line.sections.iter().filter(|section| section.how != How::Offline.name());
            notes.extend(special.map(|SectionLine { engine, direction, how, .. }| {
                format!("{direction} for {engine} {how}")
            }));
            // Writing to a `String` cannot fail.
            let _ = if notes.is_empty() {
                writeln!(text, "{path}")
            } else {
                writeln!(text, "{path} ({})", notes.join(", "))
            };
        }
        text
    }
}

/// The version table, where it is known without running `env.py`.
pub(super) fn version_table(environment: &Environment) -> Option<String> {
    match &environment.version_table {
        Setting::Named(name) => Some(name.clone()),
        Setting::Default => Some(DEFAULT_VERSION_TABLE.to_owned()),
        Setting::Unknown(_) => None,
    }
}
