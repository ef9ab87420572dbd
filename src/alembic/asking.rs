//! Loads what the image brings, and has its Python asked where the files of an Alembic environment do
//! not say enough.
//!
//! Python is asked once in a start, before any database is, and only for what the text leaves to it:
//! what is wrong with the files is told without. It is the Python that would run `alembic` (see
//! `python.rs`), with the environment of commands. Nothing of its answer outlives the process.
//!
//! It has as long as the dependencies have, `WAIT_TIMEOUT`, and never less than ten
//! seconds: what it imports may be the whole application, which a short deadline for databases does not
//! mean. A signal
//! ends it at once.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;
use tracing::info;

use super::{AlembicError, Answer, AnswerError, Options, Question, python};
use crate::{
    child::{self, ChildError, Upbringing},
    config::{ChainConfig, Config, MigrateCommand},
    error::Error,
    files::{self, ChainError},
    pause::spoken,
    signals::Signals,
    stage::Stage,
};

/// How long Python has at least.
const LEAST: Duration = Duration::from_secs(10);

/// Why Python has not told what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is none.
    #[error(
        "no Python is found, neither beside the settings, nor in `/opt/venv`, `/venv` and \
         `/app/.venv`, nor in PATH"
    )]
    NoPython,
    /// It did not run to its end.
    #[error(transparent)]
    Command(ChildError),
    /// It had no more time.
    #[error("`{python}` took longer than {}; set WAIT_TIMEOUT to more", spoken(*.limit))]
    Late {
        /// Which.
        python: String,
        /// How long it had.
        limit: Duration,
    },
    /// It ran, and gave no graph.
    #[error("`{python}`")]
    Answer {
        /// Which.
        python: String,
        /// Why not.
        source: AnswerError,
    },
}

/// What Python is asked with.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Its limits, and where programs are.
    pub config: &'a Config,
    /// The chain whose environment it is, with what commands are told.
    pub chain: &'a ChainConfig,
    /// What ends it.
    pub signals: &'a Signals,
}

impl Asker<'_> {
    /// Loads something of the chain's directory, with Python where it is needed: `load` is first called with no
    /// answer, and where that is not enough, with Python's.
    pub async fn load<T>(
        self,
        load: impl Fn(Option<Answer>) -> Result<T, ChainError>,
    ) -> Result<T, Error> {
        let loaded = match load(None) {
            Err(ChainError::Alembic(unknown)) if unknown.python_may_know() => {
                let directory = files::directory_of(self.chain.dir.as_deref());
                load(Some(self.ask(&directory, unknown).await?))
            }
            loaded => loaded,
        };
        loaded.map_err(Error::Chain)
    }

    /// Asks for all revisions of the environment that a path names.
    async fn ask(self, path: &Path, unknown: AlembicError) -> Result<Answer, Error> {
        let why = unknown.brief();
        let failed = |error| Error::Chain(ChainError::Alembic(error));
        let unanswered =
            |source| failed(AlembicError::Unanswered { unknown: Box::new(unknown), source });
        let options = Options::default();
        // The question is the same for each Python: which one is known with its directory.
        let mut question = Question::about(path, &options, Path::new("")).map_err(failed)?;
        let Some(program) = self.python(&question.directory) else {
            return Err(unanswered(NoAnswer::NoPython));
        };
        question.program = program;
        let python = question.program.display().to_string();
        let limit = self.config.wait_timeout.max(LEAST);
        info!(
            stage = %Stage::Configure, event = "asking", why, python, left = spoken(limit),
            "asks Python, which takes as long as its imports"
        );
        let started = Instant::now();
        let said = match self.said(&question, limit).await {
            Ok(said) => said,
            Err(ChildError::Stopped { signal, .. }) => {
                return Err(Error::Stopped { stage: Stage::Configure, signal });
            }
            Err(ChildError::Late { .. }) => {
                return Err(unanswered(NoAnswer::Late { python, limit }));
            }
            Err(error) => return Err(unanswered(NoAnswer::Command(error))),
        };
        match Question::answer(&said) {
            Ok(answer) => {
                info!(
                    stage = %Stage::Configure, event = "asked", revisions = answer.graph.len(),
                    took = spoken(started.elapsed()), "Python has told the revisions"
                );
                Ok(answer)
            }
            // That is no matter of not knowing any more.
            Err(AnswerError::Graph(faults)) => Err(failed(AlembicError::Graph(faults))),
            Err(source) => Err(unanswered(NoAnswer::Answer { python, source })),
        }
    }

    fn python(self, directory: &Path) -> Option<PathBuf> {
        let changed = &self.chain.for_commands.set;
        let path = python::path_of(changed, self.config.path.as_deref());
        let places = python::Places::of(path, directory);
        let command = self.chain.command.as_ref().map(|command| match command {
            MigrateCommand::Own(command) | MigrateCommand::Shared(command) => command.program(),
        });
        places.python(&command.into_iter().chain(["alembic"]).collect::<Vec<_>>())
    }

    async fn said(self, question: &Question, limit: Duration) -> Result<Vec<u8>, ChildError> {
        let mut environment = self.chain.for_commands.clone();
        environment.set.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
        let upbringing = Upbringing {
            stage: Stage::Configure,
            environment: &environment,
            stop_timeout: self.config.stop_timeout,
            directory: Some(&question.directory),
        };
        self.signals.take_note();
        let said = child::output(&question.command(), upbringing, limit, self.signals).await;
        self.signals.end_at_once();
        said
    }
}
