//! Asks Python once for what the files alone do not say: the command, and its answer.
//!
//! A [`Question`] is a command line. It loads the environment with the Alembic of the image and
//! prints every revision as JSON, which [`Question::answer`] turns into a graph that is held to the
//! same soundness as any other. It connects to no database, since `env.py` is not run; but the
//! revision files are, whatever they do when they are imported.
//!
//! Nothing is kept: another image has other files, and the next start asks again. It costs what
//! Alembic costs to import, so it is for environments that [`read`](super::read) cannot read.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{AlembicError, Environment, Options, locate, script};
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

/// Why the output of a [`Question`] is no graph.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not what the command prints when it succeeds.
    #[error("Python's answer is no list of revisions; run the same command to see what it says")]
    NotAnAnswer,
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

    /// The graph that the command printed.
    pub fn answer(output: &[u8]) -> Result<Graph, AnswerError> {
        let answer: Value = serde_json::from_slice(output).map_err(|_| AnswerError::NotAnAnswer)?;
        let Value::Array(rows) = answer else { return Err(AnswerError::NotAnAnswer) };
        let mut revisions = rows.iter().map(revision).collect::<Result<Vec<_>, _>>()?;
        // Alembic prints in an order of its own.
        revisions.sort_by(|a, b| a.place.path.cmp(&b.place.path));
        Graph::new(revisions).map_err(AnswerError::Graph)
    }
}

/// The environment that a path names, with the graph that Python has told.
pub fn read_answered(
    path: &Path,
    options: &Options,
    graph: Graph,
) -> Result<Environment, AlembicError> {
    locate::locate(path, options)?.into_environment(|_| Ok(graph))
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
