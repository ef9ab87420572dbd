//! Every fault of a directory of scripts at once, where a run ends with those of the first kind.
//!
//! It promises each fault that the loader would refuse for some engine and direction: files that
//! are no text, headers, sections, statements, and how the revisions hang together. Several heads
//! are no fault, since `heads` may be the target.
//!
//! Surprising: which engines are meant is taken from the scripts. An engine that none of them names
//! and that not all of them serve is left out, so that a directory for PostgreSQL alone is not told
//! what SQLite lacks. And where some script cannot be read, a parent that is missing is no fault: it
//! may be that one.

use std::{collections::BTreeSet, fmt, fmt::Write as _, io, path::Path};

use serde::Serialize;

use super::RevisionError;
use crate::{
    engine::Engine,
    files::Content,
    graph::{Graph, GraphFault, revision::Place},
    script::{Direction, Script, ScriptFault},
};

/// Something wrong, and where.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    fn at(place: &Place, message: String) -> Self {
        Self { path: place.path.display().to_string(), line: place.line, message }
    }
}

impl From<ScriptFault> for Fault {
    fn from(fault: ScriptFault) -> Self {
        Self::at(&fault.place, fault.kind.to_string())
    }
}

impl From<GraphFault> for Fault {
    fn from(fault: GraphFault) -> Self {
        let (text, place) = (fault.to_string(), fault.place().to_string());
        let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text);
        Self::at(fault.place(), message.to_owned())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The faults of files, by path and line.
pub(super) fn examine(files: &[Content], only: Option<Engine>) -> Vec<Fault> {
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
    }
    let revisions = scripts.into_iter().map(|script| script.revision).collect();
    let unsound = Graph::new(revisions).err().unwrap_or_default();
    let may_be_missing = |fault: &GraphFault| {
        matches!(fault, GraphFault::MissingParent { .. } | GraphFault::MissingDependency { .. })
    };
    let unsound = unsound.into_iter().filter(|fault| all_read || !may_be_missing(fault));
    faults.extend(unsound.map(Fault::from));
    faults.into_iter().collect()
}

fn read(path: &Path, content: &io::Result<Vec<u8>>) -> Result<Script, Vec<Fault>> {
    let fault = |line, message| Fault::at(&Place { path: path.to_owned(), line }, message);
    let bytes =
        content.as_ref().map_err(|error| vec![fault(1, format!("cannot read: {error}"))])?;
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        vec![fault(line, "this is no UTF-8 text; save the file as UTF-8".to_owned())]
    })?;
    Script::parse(path, text).map_err(|found| found.into_iter().map(Fault::from).collect())
}

/// The engines that the scripts are for.
fn meant(scripts: &[Script]) -> Vec<Engine> {
    let is_meant = |engine: &Engine| {
        let mut sections = scripts.iter().flat_map(|script| &script.sections);
        sections.any(|section| section.engine == Some(*engine))
            || scripts.iter().all(|script| script.serves(*engine, Direction::Up))
    };
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(is_meant).collect();
    // Some script serves nothing at all, and shall hear of it.
    if engines.is_empty() { Engine::ALL.to_vec() } else { engines }
}

fn of_script(script: &Script, engines: &[Engine]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut statements: Vec<(Engine, ScriptFault)> = Vec::new();
    for &engine in engines {
        if !script.serves(engine, Direction::Up) {
            faults.push(script.missing_section(engine, Direction::Up).into());
        }
        for direction in [Direction::Up, Direction::Down] {
            let found = script.statement_faults(engine, direction);
            statements.extend(found.into_iter().map(|fault| (engine, fault)));
        }
    }
    for (engine, fault) in &statements {
        let line = fault.place.line;
        let sections = script.sections.iter();
        let section = sections.rev().find(|section| section.line <= line);
        let serves_all = section.is_some_and(|section| section.engine.is_none());
        let of_all = engines.iter().all(|engine| statements.contains(&(*engine, fault.clone())));
        let mut fault = Fault::from(fault.clone());
        // Who reads a section for both needs to know which of them it is wrong for.
        if serves_all && !of_all {
            // Writing to a `String` cannot fail.
            let _ = write!(fault.message, " (on {engine})");
        }
        faults.push(fault);
    }
    faults
}

/// A line for each.
pub(super) fn lines(faults: &[Fault]) -> String {
    let mut lines = String::new();
    for fault in faults {
        let _ = writeln!(lines, "{fault}");
    }
    lines
}

/// What to say where nothing is wrong.
pub(super) fn praise(directory: &Path, scripts: usize) -> String {
    let scripts = if scripts == 1 { "1 script".to_owned() } else { format!("{scripts} scripts") };
    format!("{}: {scripts}, no fault\n", directory.display())
}

/// How much is wrong; nothing if nothing is.
pub(super) fn count(faults: &[Fault]) -> Option<RevisionError> {
    let scripts: BTreeSet<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    let scripts = scripts.len();
    (scripts > 0).then_some(RevisionError::Unsound { faults: faults.len(), scripts })
}
