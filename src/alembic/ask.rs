//! Asks Python once for what the files alone do not say: the command, and its answer.
//!
//! A [`Question`] is a command line. It loads the environment with the Alembic of the image and
//! prints every revision as JSON, which [`Question::answer`] turns into an [`Answer`], whose graph is
//! held to the same soundness as any other. It connects to no database, since `env.py` is not run;
//! but the revision files are, whatever they do when they are imported. What keeps Python from
//! answering is part of what it prints, in the words of its exception.
//!
//! Nothing is kept: another image has other files, and the next start asks again. It costs what
//! Alembic costs to import, so it is for environments that [`read`](super::read) cannot read.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{AlembicError, Environment, Options, import, locate, script};
use crate::config::CommandLine;
use crate::graph::{
    Graph, GraphFault,
    revision::{Place, Revision, RevisionId, RevisionIdError},
};

/// What Python is asked to run.
const SCRIPT: &str = include_str!("ask.py");

/// A command whose output is the graph of an environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The Python that has Alembic.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where it has to be run.
    pub directory: PathBuf,
}

/// What Python told of an environment.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its revisions.
    pub graph: Graph,
    /// The directory of `env.py`.
    pub script_location: PathBuf,
}

/// Why the output of a [`Question`] is no graph.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not what the command prints.
    #[error("its answer is no list of revisions; does something else write to its stdout?")]
    NotAnAnswer,
    /// What kept Python from answering.
    #[error("{0}")]
    Exception(String),
    /// No revision.
    #[error("it finds no revision")]
    Empty,
    /// An id that can be none.
    #[error("{place}: {error}")]
    Id {
        /// The file.
        place: Place,
        /// Why it cannot be one; part of this message, hence no source.
        error: RevisionIdError,
    },
    /// Revisions that form no sound graph.
    #[error("{}", super::joined(.0))]
    Graph(Vec<GraphFault>),
}

impl Question {
    /// The question for the environment that a path names. `python` is the interpreter of the
    /// image, such as `/opt/venv/bin/python`.
    pub fn about(path: &Path, options: &Options, python: &Path) -> Result<Self, AlembicError> {
        let known = locate::known(path, options)?;
        let or_empty = |path: Option<PathBuf>| path.unwrap_or_default().into_os_string();
        let mut arguments: Vec<OsString> = vec!["-c".into(), SCRIPT.into()];
        arguments.push(or_empty(known.ini));
        arguments.push(or_empty(known.toml));
        arguments.push(options.section.clone().into());
        arguments.push(or_empty(known.script_location));
        arguments.extend(known.version_locations.into_iter().map(PathBuf::into_os_string));
        Ok(Self { program: python.to_owned(), arguments, directory: known.directory })
    }

    /// As a command.
    pub(super) fn command(&self) -> CommandLine {
        let words = std::iter::once(self.program.as_os_str());
        let words = words.chain(self.arguments.iter().map(OsString::as_os_str));
        CommandLine::of(words.map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// What the command printed; what stands on lines above the last is somebody else's.
    pub fn answer(output: &[u8]) -> Result<Answer, AnswerError> {
        let line = output.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        let answer: Value = serde_json::from_slice(line).map_err(|_| AnswerError::NotAnAnswer)?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            return Err(AnswerError::Exception(shown(error)));
        }
        let script_location = answer.get("script_location").and_then(Value::as_str);
        let rows = answer.get("revisions").and_then(Value::as_array);
        let (Some(script_location), Some(rows)) = (script_location, rows) else {
            return Err(AnswerError::NotAnAnswer);
        };
        let mut revisions = rows.iter().map(revision).collect::<Result<Vec<_>, _>>()?;
        if revisions.is_empty() {
            return Err(AnswerError::Empty);
        }
        // Alembic prints in an order of its own.
        revisions.sort_by(|a, b| a.place.path.cmp(&b.place.path));
        let graph = Graph::new(revisions).map_err(AnswerError::Graph)?;
        Ok(Answer { graph, script_location: script_location.into() })
    }
}

impl Answer {
    /// The directories in which the revisions are.
    pub(super) fn version_locations(&self) -> Vec<PathBuf> {
        let files = self.graph.revisions().map(|revision| &revision.place.path);
        let directories: BTreeSet<_> = files.filter_map(|file| file.parent()).collect();
        directories.into_iter().map(Path::to_owned).collect()
    }
}

/// How much of an exception is shown.
const SHOWN: usize = 400;

/// What an exception says, on one line, less passwords.
fn shown(error: &str) -> String {
    let words = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut words = import::without_passwords(&words);
    if words.len() > SHOWN {
        words.truncate(words.floor_char_boundary(SHOWN));
        words.push('…');
    }
    words
}

/// The environment that a path names, as Python has told it.
pub fn read_answered(
    path: &Path,
    options: &Options,
    answer: Answer,
) -> Result<Environment, AlembicError> {
    locate::located(path, options, &answer)?.into_environment(|_| Ok(answer.graph))
}

fn revision(row: &Value) -> Result<Revision, AnswerError> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).ok_or(AnswerError::NotAnAnswer);
    let texts = |key: &str| {
        let values = row.get(key).and_then(Value::as_array).ok_or(AnswerError::NotAnAnswer)?;
        let texts = values.iter().map(|value| value.as_str().ok_or(AnswerError::NotAnAnswer));
        texts.collect::<Result<Vec<_>, _>>()
    };
    let place = Place { path: text("path")?.into(), line: 1 };
    let id = |text: &str| {
        let error = |error| AnswerError::Id { place: place.clone(), error };
        RevisionId::of_alembic(text).map_err(error)
    };
    let doc = text("doc")?;
    Ok(Revision {
        id: id(text("id")?)?,
        parents: texts("parents")?.into_iter().map(id).collect::<Result<_, _>>()?,
        depends_on: texts("depends_on")?.into_iter().map(str::to_owned).collect(),
        labels: texts("labels")?.into_iter().map(str::to_owned).collect(),
        tag: None,
        title: script::title(doc),
        created: script::created(doc),
        place,
    })
}
