//! A file of `versions/`: which files are revisions, and what one says of itself.
//!
//! It promises what Alembic's loader does, less what only running the file would tell: the same
//! files taken and left, the same values, a single name as good as a list of one. The title is the
//! first line of the docstring; Alembic takes the first paragraph, which is mostly that line.
//!
//! Surprising: a file that starts with `__init__` or `.#` is left, and every other `*.py` must be a
//! revision, hidden files included, or Alembic itself ends with an error. And a file without
//! `revision` whose name is nothing but hexadecimal digits has its name for an id: Alembic 0.1 wrote
//! such files.

use std::path::Path;

use super::{
    fault::{AlembicFault, AlembicFaultKind},
    module::{Bound, Module, Value},
    source,
    unread::Unread,
};
use crate::graph::revision::{Place, Revision, RevisionId};

/// What a revision says of itself.
const NAMES: [&str; 4] = ["revision", "down_revision", "branch_labels", "depends_on"];

/// What the loader does with a file of this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    /// It runs it: a revision.
    Source,
    /// It runs it in the absence of its source (`sourceless = true`).
    Compiled,
    /// It leaves it.
    Not,
}

/// What the loader does with a file, by its name alone.
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "as Alembic compares them")]
pub(super) fn taken(name: &str, sourceless: bool) -> Taken {
    if name.starts_with("__init__") || name.starts_with(".#") || name.contains('\n') {
        return Taken::Not;
    }
    if name.ends_with(".py") {
        return Taken::Source;
    }
    let compiled = name.ends_with(".pyc") || name.ends_with(".pyo");
    if sourceless && compiled { Taken::Compiled } else { Taken::Not }
}

/// Reads a revision, or finds what keeps it from being one. The name is that of the file itself,
/// where the path is a link to it.
pub(super) fn read(path: &Path, name: &str, bytes: &[u8]) -> Result<Revision, Unread> {
    let fault = |line, kind| {
        let place = Place { path: path.to_owned(), line };
        AlembicFault { place, kind }
    };
    let text = source::decode(bytes).map_err(|error| {
        let encoding = error.encoding;
        let kind = if error.python_may {
            AlembicFaultKind::Encoding { encoding }
        } else {
            AlembicFaultKind::NotEncoded { encoding }
        };
        Unread::wholly(fault(error.line, kind))
    })?;
    let module = Module::read(&text, &NAMES).map_err(|error| {
        Unread::wholly(fault(error.line, AlembicFaultKind::Syntax { message: error.message }))
    })?;

    let mut reader = Reader { module: &module, faults: Vec::new() };
    let id = match module.get("revision") {
        Some(_) => reader.id(),
        None => (1, legacy_id(name)),
    };
    let (line, id) = id;
    if id.is_none() && reader.faults.is_empty() {
        reader.faults.push((1, AlembicFaultKind::NoRevision));
    }
    if module.get("down_revision").is_none() {
        reader.faults.push((line, AlembicFaultKind::NoDownRevision));
    }
    let parents = reader.ids("down_revision");
    let depends_on = reader.dependencies(parents.is_empty());
    let labels = reader.labels();
    let faults: Vec<_> = reader.faults.into_iter().map(|(line, kind)| fault(line, kind)).collect();
    let known = id.map(|id| {
        let doc = module.doc();
        Revision {
            id,
            parents,
            depends_on,
            labels,
            tag: None,
            title: title(doc),
            created: created(doc),
            place: Place { path: path.to_owned(), line },
        }
    });
    match known {
        Some(revision) if faults.is_empty() => Ok(revision),
        known => Err(Unread { faults, known }),
    }
}

fn legacy_id(name: &str) -> Option<RevisionId> {
    let stem = name.strip_suffix(".py")?;
    let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if stem.chars().all(digit) { RevisionId::new(stem).ok() } else { None }
}

/// The first line of a docstring.
pub(super) fn title(doc: &str) -> String {
    doc.trim().lines().next().unwrap_or_default().trim_end().to_owned()
}

/// What Alembic's own template writes into the docstring.
pub(super) fn created(doc: &str) -> Option<String> {
    let value = doc.lines().find_map(|line| line.trim().strip_prefix("Create Date:"))?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

struct Reader<'a> {
    module: &'a Module,
    faults: Vec<(usize, AlembicFaultKind)>,
}

impl Reader<'_> {
    fn id(&mut self) -> (usize, Option<RevisionId>) {
        let name = "revision";
        let Some(Bound { value, line }) = self.module.get(name) else { return (1, None) };
        let id = self.text(name, value, *line).and_then(|text| self.checked(name, text, *line));
        (*line, id)
    }

    /// Ids, as a text, a sequence of them, or `None`.
    fn ids(&mut self, name: &'static str) -> Vec<RevisionId> {
        let Some(Bound { value, line }) = self.module.get(name) else { return Vec::new() };
        let texts = self.texts(name, value, *line);
        texts.into_iter().filter_map(|text| self.checked(name, text, *line)).collect()
    }

    /// Ids or labels, as they stand.
    fn names(&mut self, name: &'static str) -> Vec<String> {
        let Some(Bound { value, line }) = self.module.get(name) else { return Vec::new() };
        self.texts(name, value, *line).into_iter().map(str::to_owned).collect()
    }

    /// Labels. An empty one names nothing that could be asked for.
    fn labels(&mut self) -> Vec<String> {
        let mut labels = self.names("branch_labels");
        labels.retain(|label| !label.is_empty());
        labels
    }

    /// Dependencies. A single empty one is none, but keeps Alembic from seeing a root.
    fn dependencies(&mut self, is_root: bool) -> Vec<String> {
        let name = "depends_on";
        let dependencies = self.names(name);
        if dependencies != [""] {
            return dependencies;
        }
        if let Some(bound) = self.module.get(name).filter(|_| is_root) {
            self.faults.push((bound.line, AlembicFaultKind::EmptyDependency));
        }
        Vec::new()
    }

    fn texts<'v>(&mut self, name: &'static str, value: &'v Value, line: usize) -> Vec<&'v str> {
        match value {
            Value::None => Vec::new(),
            // As if it were what it has: `(None,)` is a root.
            Value::Sequence(values) if values.len() == 1 => match &values[0] {
                Value::Sequence(values) => self.each(name, values, line),
                value @ (Value::None | Value::Text(_) | Value::Other(_) | Value::Computed(_)) => {
                    self.texts(name, value, line)
                }
            },
            Value::Sequence(values) => self.each(name, values, line),
            Value::Text(_) | Value::Other(_) | Value::Computed(_) => {
                self.text(name, value, line).into_iter().collect()
            }
        }
    }

    fn each<'v>(&mut self, name: &'static str, values: &'v [Value], line: usize) -> Vec<&'v str> {
        values.iter().filter_map(|value| self.text(name, value, line)).collect()
    }

    fn text<'v>(&mut self, name: &'static str, value: &'v Value, line: usize) -> Option<&'v str> {
        let kind = match value {
            // What an unreadable encoding had there is not known, nor whom a name means.
            Value::Text(text) if text.contains('\u{fffd}') => AlembicFaultKind::Computed {
                name,
                how: "a text in another encoding than UTF-8, or with a character by its name",
            },
            Value::Text(text) => return Some(text),
            Value::None => AlembicFaultKind::NoText { name, found: "`None`" },
            Value::Sequence(_) => AlembicFaultKind::NoText { name, found: "a sequence" },
            Value::Other(found) => AlembicFaultKind::NoText { name, found },
            Value::Computed(how) => AlembicFaultKind::Computed { name, how },
        };
        self.faults.push((line, kind));
        None
    }

    fn checked(&mut self, name: &'static str, text: &str, line: usize) -> Option<RevisionId> {
        match RevisionId::of_alembic(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.faults.push((line, AlembicFaultKind::Id { name, error }));
                None
            }
        }
    }
}
