//! Revisions that Alembic applies: its command, run under our lock.
//!
//! It promises no more than that the command succeeded. Whether the target is reached is asked by
//! whoever called, from the version table; Alembic ends with success also where it did something else.
//! Each revision that has come to be applied is then a line of the history, as if we had applied it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;
use tracing::info;

use crate::{
    child::{self, ChildError, Upbringing},
    config::{ChainConfig, Config, MigrateCommand, command::CommandLine},
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
const WHAT: &str = "MIGRATE_COMMAND";

/// Where images keep a virtual environment, besides beside the settings.
const ENVIRONMENTS: &[&str] = &["/opt/venv", "/venv", "/app/.venv"];

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
            .map_err(|source| DelegateError::Command { what: WHAT.to_owned(), source })?;
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
            let mut words = vec!["alembic".to_owned()];
            if let Some(ini) = &alembic.ini {
                words.extend(["-c".to_owned(), ini.display().to_string()]);
            }
            words.push("upgrade".to_owned());
            let command = CommandLine::of(words);
            targets.map(|target| command.with_name(&target)).collect()
        }
    }
}

/// Runs it; where its program is not in PATH, from the virtual environment that has it.
async fn run(
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

/// The virtual environments that there may be: beside the settings or above them, nearest first.
fn environments(directory: Option<&Path>) -> Vec<PathBuf> {
    let above = directory.into_iter().flat_map(Path::ancestors);
    let beside = above.flat_map(|path| [path.join(".venv"), path.join("venv")]);
    beside.chain(ENVIRONMENTS.iter().map(PathBuf::from)).collect()
}
