//! Revisions among scripts that Alembic applies (`delegate: alembic`): its command, once for each, in
//! its turn.
//!
//! The command is run under our lock, as for an Alembic environment, and is not believed: the revision
//! is applied once the version table says so, and then recorded as `external`. So a run that was ended
//! between the two finds it done.

use std::path::PathBuf;

use tokio::time::Instant;
use tracing::info;

use super::{ApplyError, agree, delegated};
use crate::{
    alembic,
    child::Upbringing,
    config::{ChainConfig, Config, EnvironmentChange, MigrateCommand, command::CommandLine},
    db::Locked,
    files::{Chain, ChainError},
    graph::revision::RevisionId,
    look::joined,
    pause::spoken,
    plan::agreement,
    reindex::DelegateError,
    script::Script,
    signals::Signals,
    stage::Stage,
};

/// What was asked for, as far as it says how Alembic is run.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// For all chains.
    pub config: &'a Config,
    /// For this one.
    pub chain: &'a ChainConfig,
    /// What may end it.
    pub signals: &'a Signals,
}

/// Who applies what is Alembic's.
#[derive(Debug)]
pub struct Hands<'a> {
    chain: &'a Chain,
    asked: Asked<'a>,
    environment: &'a EnvironmentChange,
    command: CommandLine,
    directory: Option<PathBuf>,
}

impl<'a> Hands<'a> {
    /// What is needed for these steps: nothing where none of them is Alembic's; an error where it
    /// cannot be told how to run it.
    pub fn of(
        chain: &'a Chain,
        asked: Asked<'a>,
        steps: &[RevisionId],
    ) -> Result<Option<Self>, ChainError> {
        let scripts = steps.iter().filter_map(|id| chain.scripts.get(id));
        let Some(script) = scripts.into_iter().find(|script| script.delegates(chain.engine)) else {
            return Ok(None);
        };
        let missing = |why| {
            let Script { revision, .. } = script;
            ChainError::NoAlembic {
                place: revision.place.clone(),
                revision: revision.id.to_string(),
                why,
            }
        };
        let given = asked.chain.command.as_ref().map(|given| match given {
            MigrateCommand::Own(command) | MigrateCommand::Shared(command) => command,
        });
        let (command, directory) = match (given, &asked.chain.alembic_dir) {
            (Some(command), _) if !command.takes_a_name() => {
                return Err(missing(
                    "let MIGRATE_COMMAND say `{}` where the revision goes".to_owned(),
                ));
            }
            (Some(command), directory) => {
                // It may name the settings themselves, or a directory that is for a command alone.
                let place = |path: &PathBuf| {
                    alembic::place(path).map_or_else(|_| path.clone(), |(directory, _)| directory)
                };
                (command.clone(), directory.as_ref().map(place))
            }
            (None, directory) => {
                let path = directory.clone().unwrap_or_else(|| PathBuf::from("."));
                let (directory, ini) = alembic::place(&path).map_err(|error| {
                    missing(format!(
                        "set ALEMBIC_DIR to its environment, or MIGRATE_COMMAND to a command with \
                         `{{}}`: {error}"
                    ))
                })?;
                (delegated::upgrade(ini.as_deref()), Some(directory))
            }
        };
        // A command of several chains is none of one environment more than of another.
        let environment = match &asked.chain.command {
            Some(MigrateCommand::Shared(_)) => &asked.config.for_commands,
            Some(MigrateCommand::Own(_)) | None => &asked.chain.for_commands,
        };
        Ok(Some(Self { chain, asked, environment, command, directory }))
    }

    /// Has Alembic apply one revision, and the ledger say so.
    pub(super) async fn apply(
        &self,
        locked: &mut Locked,
        script: &Script,
        heads: &str,
    ) -> Result<(), ApplyError> {
        let revision = &script.revision.id;
        let upbringing = Upbringing {
            stage: Stage::Apply,
            environment: self.environment,
            stop_timeout: self.asked.config.stop_timeout,
            directory: self.directory.as_deref(),
        };
        let what = delegated::WHAT;
        info!(stage = %Stage::Apply, event = "running", what, "runs a command");
        let started = Instant::now();
        let command = self.command.with_name(revision.as_str());
        let failed = |source| ApplyError::Delegated {
            revision: revision.clone(),
            source: DelegateError::Command { what: what.to_owned(), source },
        };
        let locks = std::slice::from_mut(locked);
        delegated::run(&command, upbringing, locks, self.asked.signals).await.map_err(failed)?;
        info!(stage = %Stage::Apply, event = "ran", what, took = spoken(started.elapsed()), "has run it");

        let table = || self.chain.kept_versions().map(ToString::to_string).unwrap_or_default();
        let unread = |source| ApplyError::Disagrees { table: table(), source };
        let observed = locked.look().await.map_err(unread)?;
        let applied = agreement::applied(self.chain, &observed);
        if !applied.ledger.iter().any(|row| row.revision == revision.as_str()) {
            let (revision, at) = (revision.clone(), joined(&agreement::rows(&observed)));
            return Err(ApplyError::NotDelegated { revision, table: table(), at });
        }
        agree(locked, self.chain, &observed, heads).await.map(drop)
    }
}
