//! Revisions that Alembic applies: its command, run under our lock.
//!
//! It promises no more than that the command succeeded. Whether the target is reached is asked by
//! whoever called, from the version table; Alembic ends with success also where it did something else.
//! Each revision that has come to be applied is then a line of the history, as if we had applied it.

use std::{collections::BTreeSet, path::Path, time::Duration};

use tokio::time::Instant;
use tracing::info;

use crate::{
    alembic::{percent, python::environments},
    child::{self, ChildError, Upbringing},
    config::{ChainConfig, Config, DatabaseUrl, MigrateCommand, command::CommandLine},
    db::{Entry, Event, Locked, WorkError},
    files::{Chain, Delegated},
    look::{heads_after, joined},
    pause::spoken,
    plan::{self, Plan},
    reindex::DelegateError,
    signals::Signals,
    stage::Stage,
};

/// What it is called in the log and in errors.
pub(super) const WHAT: &str = "MIGRATE_COMMAND";

/// Has Alembic apply what is pending, under the locks of all chains that the command may change.
pub async fn delegate(
    locked: &mut [Locked],
    config: &Config,
    chain_config: &ChainConfig,
    chain: &Chain,
    plan: &Plan,
    signals: &Signals,
) -> Result<(), DelegateError> {
    let Some(alembic) = &chain.alembic else { return Ok(()) };
    // Before anything is applied: without the right to write the history it would be too late.
    for one in &mut *locked {
        one.create_tables().await.map_err(unrecorded)?;
    }
    let (environment, directory) = match &chain_config.command {
        // It belongs to no environment more than to another.
        Some(MigrateCommand::Shared(_)) => (&config.for_commands, None),
        Some(MigrateCommand::Own(_)) | None => {
            (&chain_config.for_commands, Some(&*alembic.directory))
        }
    };
    for command in commands(chain_config.command.as_ref(), chain, alembic, plan) {
        let upbringing = Upbringing {
            stage: Stage::Apply,
            environment,
            stop_timeout: config.stop_timeout,
            directory,
        };
        info!(stage = %Stage::Apply, event = "running", what = WHAT, "runs a command");
        let started = Instant::now();
        run(&command, upbringing, locked, signals)
            .await
            .map_err(|source| failed(source, alembic, chain_config.database.as_ref()))?;
        info!(stage = %Stage::Apply, event = "ran", what = WHAT, took = spoken(started.elapsed()), "has run it");
    }
    Ok(())
}

/// Writes down what of the plan has come to be applied; `heads` are those of before.
pub async fn record(
    locked: &mut Locked,
    chain: &Chain,
    plan: &Plan,
    heads: &BTreeSet<String>,
) -> Result<(), DelegateError> {
    let observed = locked.look().await.map_err(unrecorded)?;
    let applied = plan::applied(chain, &observed);
    let is_applied = |id: &str| applied.ledger.iter().any(|row| row.revision == id);
    let mut heads = heads.clone();
    for revision in plan.steps.iter().filter_map(|id| chain.graph.get(id)) {
        if !is_applied(revision.id.as_str()) {
            continue;
        }
        heads = heads_after(&heads, revision);
        let entry = Entry {
            event: Event::Upgrade,
            subject: revision.id.to_string(),
            heads: joined(&heads),
            took: Duration::ZERO,
        };
        locked.record(&entry).await.map_err(unrecorded)?;
    }
    Ok(())
}

fn unrecorded(source: WorkError) -> DelegateError {
    DelegateError::Record { what: WHAT.to_owned(), source }
}

/// What to run: what was configured, once, or for each revision to reach where it says `{}`; else
/// Alembic.
fn commands(
    configured: Option<&MigrateCommand>,
    chain: &Chain,
    alembic: &Delegated,
    plan: &Plan,
) -> Vec<CommandLine> {
    let missing = |id: &&_| plan.steps.contains(id);
    let targets = chain.target.iter().filter(missing).map(ToString::to_string);
    match configured {
        Some(MigrateCommand::Own(command)) if command.takes_a_name() => {
            targets.map(|target| command.with_name(&target)).collect()
        }
        Some(MigrateCommand::Own(command) | MigrateCommand::Shared(command)) => {
            vec![command.clone()]
        }
        None => {
            let command = upgrade(alembic.ini.as_deref());
            targets.map(|target| command.with_name(&target)).collect()
        }
    }
}

/// That it failed, with what may be the reason.
fn failed(source: ChildError, alembic: &Delegated, url: Option<&DatabaseUrl>) -> DelegateError {
    let what = WHAT.to_owned();
    match (source, url.and_then(|url| percent::hint(alembic, url))) {
        (ChildError::Code { command, code }, Some(hint)) => {
            DelegateError::Percent { what, command, code, hint }
        }
        (source, _) => DelegateError::Command { what, source },
    }
}

/// `alembic upgrade`, with the settings that it would not find by itself.
pub(super) fn upgrade(ini: Option<&Path>) -> CommandLine {
    let mut words = vec!["alembic".to_owned()];
    if let Some(ini) = ini {
        words.extend(["-c".to_owned(), ini.display().to_string()]);
    }
    words.push("upgrade".to_owned());
    CommandLine::of(words)
}

/// Runs it; where its program is not in PATH, from the virtual environment that has it.
pub(super) async fn run(
    command: &CommandLine,
    upbringing: Upbringing<'_>,
    locked: &mut [Locked],
    signals: &Signals,
) -> Result<(), ChildError> {
    match child::run(command, upbringing, locked, signals).await {
        Err(ChildError::Start { command: name, source })
            if source.kind() == std::io::ErrorKind::NotFound && !name.contains('/') =>
        {
            let beside = environments(upbringing.directory).into_iter();
            let program = beside.map(|one| one.join("bin").join(&name)).find(|one| one.is_file());
            let Some(program) = program else {
                return Err(ChildError::Start { command: name, source });
            };
            let command = command.with_program(&program.display().to_string());
            child::run(&command, upbringing, locked, signals).await
        }
        ran => ran,
    }
}
