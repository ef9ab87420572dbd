//! Revisions that Alembic applies: its command, run under our lock.
//!
//! It promises no more than that the command succeeded. Whether the target is reached is asked by
//! whoever called, from the version table; Alembic ends with success also where it did something else.
//! Each revision that was to be applied is then a line of the history, as if we had applied it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tokio::time::Instant;
use tracing::info;

use crate::{
    child::{self, ChildError, Upbringing},
    config::{Config, command::CommandLine},
    db::{Entry, Event, Locked},
    files::{Chain, Delegated},
    look::{heads_after, joined},
    pause::spoken,
    plan::Plan,
    reindex::DelegateError,
    signals::Signals,
    stage::Stage,
};

/// What it is called in the log and in errors.
pub(super) const WHAT: &str = "MIGRATE_COMMAND";

/// Where images keep a virtual environment, besides beside the settings.
const ENVIRONMENTS: &[&str] = &["/opt/venv", "/venv", "/app/.venv"];

/// Has Alembic apply what is pending.
pub async fn delegate(
    locked: &mut Locked,
    config: &Config,
    chain: &Chain,
    plan: &Plan,
    mut heads: BTreeSet<String>,
    signals: &Signals,
) -> Result<(), DelegateError> {
    let Some(alembic) = &chain.alembic else { return Ok(()) };
    let record = |source| DelegateError::Record { what: WHAT.to_owned(), source };
    // Before anything is applied: without the right to write the history it would be too late.
    locked.create_tables().await.map_err(record)?;
    for command in commands(config.migrate_command.as_ref(), chain, alembic, plan) {
        let upbringing = Upbringing {
            stage: Stage::Apply,
            environment: &config.for_children,
            stop_timeout: config.stop_timeout,
            directory: Some(&alembic.directory),
        };
        info!(stage = %Stage::Apply, event = "running", what = WHAT, "runs a command");
        let started = Instant::now();
        run(&command, upbringing, locked, signals)
            .await
            .map_err(|source| DelegateError::Command { what: WHAT.to_owned(), source })?;
        info!(stage = %Stage::Apply, event = "ran", what = WHAT, took = spoken(started.elapsed()), "has run it");
    }
    for revision in plan.steps.iter().filter_map(|id| chain.graph.get(id)) {
        heads = heads_after(&heads, revision);
        let entry = Entry {
            event: Event::Upgrade,
            subject: revision.id.to_string(),
            heads: joined(&heads),
            took: std::time::Duration::ZERO,
        };
        locked.record(&entry).await.map_err(record)?;
    }
    Ok(())
}

/// What to run: what was configured, once, or for each revision to reach where it says `{}`; else
/// Alembic.
fn commands(
    configured: Option<&CommandLine>,
    chain: &Chain,
    alembic: &Delegated,
    plan: &Plan,
) -> Vec<CommandLine> {
    let missing = |id: &&_| plan.steps.contains(id);
    let targets = chain.target.iter().filter(missing).map(ToString::to_string);
    match configured {
        Some(command) if command.takes_a_name() => {
            targets.map(|target| command.with_name(&target)).collect()
        }
        Some(command) => vec![command.clone()],
        None => {
            let command = upgrade(alembic.ini.as_ref());
            targets.map(|target| command.with_name(&target)).collect()
        }
    }
}

/// `alembic upgrade`, with the settings that it would not find by itself.
pub(super) fn upgrade(ini: Option<&PathBuf>) -> CommandLine {
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
    locked: &mut Locked,
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
