//! What runs under the lock once the schema is ready: the hook, and the delegated reindex.
//!
//! Each success is a line of the history, so that a runner that was queued while another
//! did the same work does not do it again, and one that was interrupted is repeated.

use tokio::time::Instant;
use tracing::info;

use crate::{
    alembic::percent::Hint,
    child::{self, ChildError, Upbringing},
    config::{Config, Hook, command::CommandLine},
    db::{Entry, Event, Locked, WorkError},
    look::Subject,
    pause::spoken,
    signals::{Signal, Signals},
    stage::Stage,
};

/// Why a command under the lock did not count as done.
#[derive(Debug, thiserror::Error)]
pub enum DelegateError {
    /// The command failed.
    #[error("{what} failed")]
    Command {
        /// `AFTER_MIGRATE`, a hook, or `REINDEX_COMMAND` with the name that was asked for.
        what: String,
        /// How.
        source: ChildError,
    },
    /// It ended with a code, for which there may be a reason that the code does not tell.
    #[error("{what} failed: `{command}` ended with exit code {code}; {hint}")]
    Percent {
        /// `MIGRATE_COMMAND`.
        what: String,
        /// Its first word.
        command: String,
        /// The code.
        code: i32,
        /// The reason.
        hint: Hint,
    },
    /// It succeeded, but that could not be written down; the next start repeats it.
    #[error("{what} succeeded, but the history could not be written")]
    Record {
        /// `AFTER_MIGRATE`, a hook, or `REINDEX_COMMAND` with the name that was asked for.
        what: String,
        /// Why.
        source: WorkError,
    },
}

impl DelegateError {
    /// The exit code: the command's failure counts as `failed`, everything else as what it is.
    #[must_use]
    pub fn exit_code(&self, failed: u8) -> u8 {
        match self {
            Self::Command { source, .. } => match source {
                ChildError::Start { .. }
                | ChildError::Code { .. }
                | ChildError::Killed { .. }
                | ChildError::Late { .. } => failed,
                ChildError::Stopped { signal, .. } => signal.exit_code(),
                ChildError::Unlocked { source, .. } => source.exit_code(),
            },
            Self::Percent { .. } => failed,
            // The command is done; what is missing is a right.
            Self::Record { source, .. } => source.exit_code_of_ours(),
        }
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Command { source, .. } => match source {
                ChildError::Stopped { signal, .. } => Some(*signal),
                ChildError::Unlocked { source, .. } => source.signal(),
                ChildError::Start { .. }
                | ChildError::Code { .. }
                | ChildError::Killed { .. }
                | ChildError::Late { .. } => None,
            },
            Self::Percent { .. } => None,
            Self::Record { source, .. } => source.signal(),
        }
    }
}

/// Runs a hook for these heads.
pub async fn hook(
    locked: &mut [Locked],
    config: &Config,
    hook: &Hook,
    heads: &str,
    signals: &Signals,
) -> Result<(), DelegateError> {
    let entry = Entry {
        event: Event::Hook,
        subject: hook.name.clone(),
        heads: heads.to_owned(),
        took: std::time::Duration::ZERO,
    };
    delegate(locked, config, Stage::Apply, hook.title(), &hook.command, entry, signals).await
}

/// Runs the command of `REINDEX_COMMAND` once for each subject.
pub async fn reindex(
    locked: &mut [Locked],
    config: &Config,
    command: &CommandLine,
    subjects: &[Subject],
    heads: &str,
    signals: &Signals,
) -> Result<(), DelegateError> {
    for subject in subjects {
        let (what, command) = match subject {
            Subject::All => ("REINDEX_COMMAND".to_owned(), command.clone()),
            Subject::Name(name) => {
                (format!("REINDEX_COMMAND for `{name}`"), command.with_name(name))
            }
        };
        let entry = Entry {
            event: Event::Reindex,
            subject: subject.as_str().to_owned(),
            heads: heads.to_owned(),
            took: std::time::Duration::ZERO,
        };
        delegate(locked, config, Stage::Reindex, what, &command, entry, signals).await?;
    }
    Ok(())
}

/// Runs a command, and writes its success down where the first lock is.
async fn delegate(
    locked: &mut [Locked],
    config: &Config,
    stage: Stage,
    what: String,
    command: &CommandLine,
    mut entry: Entry,
    signals: &Signals,
) -> Result<(), DelegateError> {
    let upbringing = Upbringing {
        stage,
        environment: &config.for_commands,
        stop_timeout: config.stop_timeout,
        directory: None,
    };
    let record = |source, what| DelegateError::Record { what, source };
    let [first, ..] = locked else { return Ok(()) };
    if let Err(error) = first.create_tables().await {
        return Err(record(error, what));
    }
    info!(stage = %stage, event = "running", what, "runs a command");
    let started = Instant::now();
    if let Err(source) = child::run(command, upbringing, locked, signals).await {
        return Err(DelegateError::Command { what, source });
    }
    entry.took = started.elapsed();
    info!(stage = %stage, event = "ran", what, took = spoken(entry.took), "has run it");
    let [first, ..] = locked else { return Ok(()) };
    first.record(&entry).await.map_err(|error| record(error, what))
}
