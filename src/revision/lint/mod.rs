//! Every fault of a directory of scripts at once, where a run ends with those of the first kind; and
//! warnings of what will hurt on a database that is busy.
//!
//! It promises each fault that the loader would refuse for some engine and direction: files that
//! are no text, headers, sections, statements, and how the revisions hang together. Several heads
//! are no fault, since `heads` may be the target.
//!
//! Surprising: which engines are meant is taken from the scripts. An engine that none of them names
//! and that not all of them serve is left out, so that a directory for PostgreSQL alone is not told
//! what SQLite lacks. And where some script cannot be read, a parent that is missing is no fault: it
//! may be that one.
//!
//! Warnings are about up sections alone: whoever goes back takes away what came, and does so by hand
//! and at a time of their choosing. A script with a fault gets none before it is mended.
//!
//! - `warnings` those of a script, less what its header allows
//! - `rules` their names, what hurts, what to do instead
//! - `reading` what a statement does, and which tables are new
//! - `postgres`, `sqlite`, `squawk` who finds what; the last one only with the feature `lint`

mod postgres;
mod reading;
mod rules;
mod sqlite;
#[cfg(feature = "lint")]
mod squawk;
#[cfg(test)]
mod tests;
mod warnings;

use std::{collections::BTreeSet, fmt, fmt::Write as _, io, path::Path};

use serde::Serialize;

use super::RevisionError;
use crate::{
    engine::Engine,
    files::Content,
    graph::{Graph, GraphFault, revision::Place},
    script::{Direction, Script, ScriptFault},
};
use rules::Rule;
use warnings::Warning;

pub use rules::{omitted_table, rules_table};

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// A start refuses it.
    Fault,
    /// It runs, and may hurt.
    Warning,
}

/// Something wrong, and where.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Finding {
    path: String,
    line: usize,
    severity: Severity,
    /// The rule that was broken; a fault has none.
    rule: Option<&'static str>,
    message: String,
}

impl Finding {
    fn at(place: &Place, message: String) -> Self {
        let path = place.path.display().to_string();
        Self { path, line: place.line, severity: Severity::Fault, rule: None, message }
    }
}

impl From<ScriptFault> for Finding {
    fn from(fault: ScriptFault) -> Self {
        Self::at(&fault.place, fault.kind.to_string())
    }
}

impl From<GraphFault> for Finding {
    fn from(fault: GraphFault) -> Self {
        let (text, place) = (fault.to_string(), fault.place().to_string());
        let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text);
        Self::at(fault.place(), message.to_owned())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.path, self.line)?;
        if let Some(rule) = self.rule {
            write!(f, "warning[{rule}]: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The faults and warnings of files, by path and line.
pub(super) fn examine(files: &[Content], only: Option<Engine>) -> Vec<Finding> {
    let mut faults = BTreeSet::new();
    let mut scripts = Vec::new();
    let mut all_read = true;
    for (path, content) in files {
        match read(path, content) {
            Ok(script) => scripts.push(script),
            Err(found) => {
                faults.extend(found);
                all_read = false;
            }
        }
    }
    let engines = only.map_or_else(|| meant(&scripts), |only| vec![only]);
    for script in &scripts {
        faults.extend(of_script(script, &engines));
        faults.extend(warnings::of_script(script, &engines));
    }
    let revisions = scripts.into_iter().map(|script| script.revision).collect();
    let unsound = Graph::new(revisions).err().unwrap_or_default();
    let may_be_missing = |fault: &GraphFault| {
        matches!(fault, GraphFault::MissingParent { .. } | GraphFault::MissingDependency { .. })
    };
    let unsound = unsound.into_iter().filter(|fault| all_read || !may_be_missing(fault));
    faults.extend(unsound.map(Finding::from));
    faults.into_iter().collect()
}

fn read(path: &Path, content: &io::Result<Vec<u8>>) -> Result<Script, Vec<Finding>> {
    let fault = |line, message| Finding::at(&Place { path: path.to_owned(), line }, message);
    let bytes =
        content.as_ref().map_err(|error| vec![fault(1, format!("cannot read: {error}"))])?;
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        vec![fault(line, "this is no UTF-8 text; save the file as UTF-8".to_owned())]
    })?;
    Script::parse(path, text).map_err(|found| found.into_iter().map(Finding::from).collect())
}

/// The engines that the scripts are for.
fn meant(scripts: &[Script]) -> Vec<Engine> {
    let is_meant = |engine: &Engine| {
        let mut sections = scripts.iter().flat_map(|script| &script.sections);
        sections.any(|section| section.engine == Some(*engine))
            || scripts.iter().all(|script| script.can_apply(*engine))
    };
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(is_meant).collect();
    // Some script serves nothing at all, and shall hear of it.
    if engines.is_empty() { Engine::ALL.to_vec() } else { engines }
}

fn of_script(script: &Script, engines: &[Engine]) -> Vec<Finding> {
    let mut faults = Vec::new();
    let mut statements: Vec<(Engine, ScriptFault)> = Vec::new();
    for &engine in engines {
        if !script.can_apply(engine) {
            faults.push(script.missing_section(engine, Direction::Up).into());
        }
        for direction in [Direction::Up, Direction::Down] {
            let found = script.statement_faults(engine, direction);
            statements.extend(found.into_iter().map(|fault| (engine, fault)));
        }
    }
    for (engine, fault) in &statements {
        let line = fault.place.line;
        let serves_all = section_serves_all(script, line);
        let of_all = engines.iter().all(|engine| statements.contains(&(*engine, fault.clone())));
        let mut fault = Finding::from(fault.clone());
        // Who reads a section for both needs to know which of them it is wrong for.
        if serves_all && !of_all {
            // Writing to a `String` cannot fail.
            let _ = write!(fault.message, " (on {engine})");
        }
        faults.push(fault);
    }
    faults
}

/// Whether who reads this line reads it for both engines.
fn section_serves_all(script: &Script, line: usize) -> bool {
    let section = script.sections.iter().rev().find(|section| section.line <= line);
    section.is_some_and(|section| section.engine.is_none())
}

/// A line for each.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut lines = String::new();
    for finding in findings {
        let _ = writeln!(lines, "{finding}");
    }
    lines
}

/// What to say where nothing is wrong.
pub(super) fn praise(directory: &Path, scripts: usize) -> String {
    let scripts = if scripts == 1 { "1 script".to_owned() } else { format!("{scripts} scripts") };
    format!("{}: {scripts}, no fault and no warning\n", directory.display())
}

/// Why it is not to be taken like this: faults, or if it is to be strict, warnings.
pub(super) fn verdict(findings: &[Finding], strict: bool) -> Option<RevisionError> {
    let count = |severity| {
        let found = findings.iter().filter(move |finding| finding.severity == severity);
        let scripts: BTreeSet<&str> = found.clone().map(|finding| finding.path.as_str()).collect();
        (found.count(), scripts.len())
    };
    match (count(Severity::Fault), count(Severity::Warning)) {
        ((0, _), (warnings, scripts)) if strict && warnings > 0 => {
            Some(RevisionError::Risky { warnings, scripts })
        }
        ((0, _), _) => None,
        ((faults, scripts), _) => Some(RevisionError::Unsound { faults, scripts }),
    }
}

/// How many rules there are, and how many of them this build holds scripts against.
pub(super) fn rules_at_work() -> (usize, usize) {
    let squawk_is_here = cfg!(feature = "lint");
    let at_work = |rule: &&Rule| {
        squawk_is_here
            || rule.origin == rules::Origin::Own
            || rule.engines.contains(&Engine::Sqlite)
    };
    (rules::RULES.len(), rules::RULES.iter().filter(at_work).count())
}
