//! Commands that prelaunch runs for a while: hooks, what migrates and reindexes for us, and a question
//! to Python.
//!
//! A child has a process group of its own, so that a signal reaches its children too; its
//! stdout goes to our stderr, because stdout belongs to the server. It always ends before we
//! go on: by itself, or, where we are asked to stop, with its whole group by the signal that we
//! forward, or by SIGKILL after `STOP_TIMEOUT`. What it leaves running when it ends by itself is
//! its own affair. Where we end at once, by a second signal or by SIGKILL, the kernel kills it.
//!
//! A command that is asked for its output ([`output`]) is the exception: its stdout is ours to read, it
//! has a limit of time, and is killed at once where that has passed or a signal comes, since it
//! changes nothing.

use std::{
    io,
    os::fd::AsFd as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::{
        prctl,
        signal::{self, killpg},
    },
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    config::{EnvironmentChange, command::CommandLine},
    db::{Locked, WorkError},
    pause::spoken,
    signals::{Signal, Signals},
    stage::Stage,
    sys,
};

/// How often to see whether a group still has members; nobody gives notice of that.
const LEFT: Duration = Duration::from_millis(10);

/// How much of an output is read: more is no answer to anything.
const OUTPUT: u64 = 64 << 20;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot run `{command}`")]
    Start {
        /// Its first word.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ended with another code than 0.
    #[error("`{command}` ended with exit code {code}")]
    Code {
        /// Its first word.
        command: String,
        /// The code.
        code: i32,
    },
    /// A signal ended it.
    #[error("`{command}` was ended by signal {signal}")]
    Killed {
        /// Its first word.
        command: String,
        /// The number of the signal.
        signal: i32,
    },
    /// We ended it, because somebody asked us to end.
    #[error("`{command}` was stopped by {}", .signal.name())]
    Stopped {
        /// Its first word.
        command: String,
        /// What came.
        signal: Signal,
    },
    /// We ended it, because it took too long.
    #[error("`{command}` took longer than {}", spoken(*.limit))]
    Late {
        /// Its first word.
        command: String,
        /// How long it had.
        limit: Duration,
    },
    /// We ended it, because the lock under which it ran was lost.
    #[error("`{command}` was stopped")]
    Unlocked {
        /// Its first word.
        command: String,
        /// Why.
        source: WorkError,
    },
}

/// What a child is given.
#[derive(Clone, Copy, Debug)]
pub struct Upbringing<'a> {
    /// The stage it belongs to, for the log.
    pub stage: Stage,
    /// What of our environment is different for it.
    pub environment: &'a EnvironmentChange,
    /// How long it may take to end when asked to.
    pub stop_timeout: Duration,
    /// Where it is run, if not where we are.
    pub directory: Option<&'a Path>,
}

/// Runs a command to its end, under the locks.
pub async fn run(
    command: &CommandLine,
    upbringing: Upbringing<'_>,
    locked: &mut [Locked],
    signals: &Signals,
) -> Result<(), ChildError> {
    let name = command.program().to_owned();
    // What has not begun need not be stopped.
    if let Some(signal) = signals.noticed() {
        return Err(ChildError::Stopped { command: name, signal });
    }
    let mut child = to_stderr()
        .and_then(|stdout| start(command, upbringing, stdout))
        .map_err(|source| ChildError::Start { command: name.clone(), source })?;
    let ending = Box::pin(async {
        tokio::select! {
            biased;
            ended = child.wait() => Ok(ended),
            signal = signals.raised() => Err(signal),
        }
    });
    let ended = Locked::unless_any_lost(locked, ending).await;
    match ended {
        Ok(Ok(status)) => judge(name, status),
        Ok(Err(signal)) => {
            stop(&mut child, signal.number(), upbringing).await;
            Err(ChildError::Stopped { command: name, signal })
        }
        Err(source) => {
            stop(&mut child, signal::Signal::SIGTERM as i32, upbringing).await;
            Err(ChildError::Unlocked { command: name, source })
        }
    }
}

/// Runs a command that changes nothing to its end, and gives what it wrote to stdout.
pub async fn output(
    command: &CommandLine,
    upbringing: Upbringing<'_>,
    limit: Duration,
    signals: &Signals,
) -> Result<Vec<u8>, ChildError> {
    let name = command.program().to_owned();
    let mut child = start(command, upbringing, Stdio::piped())
        .map_err(|source| ChildError::Start { command: name.clone(), source })?;
    let group = group_of(&child);
    let stdout = child.stdout.take();
    let mut said = Vec::new();
    let ended = async {
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT).read_to_end(&mut said).await?;
        }
        child.wait().await
    };
    let failed = match signals.or(timeout(limit, ended)).await {
        Ok(Ok(status)) => return judge(name, status).map(|()| said),
        Ok(Err(_)) => ChildError::Late { command: name, limit },
        Err(signal) => ChildError::Stopped { command: name, signal },
    };
    if let Some(group) = group {
        let _ = killpg(group, signal::Signal::SIGKILL);
        let _ = child.wait().await;
    }
    Err(failed)
}

/// Our stderr, as the stdout of a child.
fn to_stderr() -> io::Result<Stdio> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

fn start(command: &CommandLine, upbringing: Upbringing<'_>, stdout: Stdio) -> io::Result<Child> {
    let Upbringing { environment, directory, .. } = upbringing;
    let mut child = Command::new(command.program());
    if let Some(directory) = directory {
        child.current_dir(directory);
    }
    child
        .args(command.arguments())
        .stdin(Stdio::null())
        .stdout(stdout)
        .process_group(0)
        .kill_on_drop(true);
    for name in &environment.remove {
        child.env_remove(name);
    }
    for (name, value) in &environment.set {
        child.env(name, value);
    }
    sys::as_found(child.as_std_mut());
    sys::die_with_us(child.as_std_mut());
    child.spawn()
}

fn judge(command: String, status: io::Result<ExitStatus>) -> Result<(), ChildError> {
    let status = status.map_err(|source| ChildError::Start { command: command.clone(), source })?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(ChildError::Code { command, code }),
        (None, signal) => Err(ChildError::Killed { command, signal: signal.unwrap_or_default() }),
    }
}

/// The process group that a child leads; none once it has ended.
fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

/// Asks the child's whole group to end, and makes it.
async fn stop(child: &mut Child, number: i32, upbringing: Upbringing<'_>) {
    let Some(group) = group_of(child) else { return };
    info!(
        stage = %upbringing.stage, event = "stopping", pid = group.as_raw(), signal = number,
        left = spoken(upbringing.stop_timeout), "forwards the signal to the command"
    );
    // Who is orphaned now comes to us, whoever is PID 1: see `emptied`.
    let _ = prctl::set_child_subreaper(true);
    // A group that is gone has nothing left to end.
    let _ = killpg(group, signal::Signal::try_from(number).ok());
    let ended = async {
        let _ = child.wait().await;
        emptied(group).await;
    };
    if timeout(upbringing.stop_timeout, ended).await.is_err() {
        warn!(
            stage = %upbringing.stage, event = "killing", pid = group.as_raw(),
            "the command did not end in time"
        );
        let _ = killpg(group, signal::Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

/// Until nobody is left in the group. A shell ends at once, and what it was running takes its time:
/// that still works on our database, and the lock must not be given back before it is done.
async fn emptied(group: Pid) {
    loop {
        // Who was orphaned came to us, and would stay in the group as a zombie.
        while sys::reap(Pid::from_raw(-group.as_raw())).is_some() {}
        if killpg(group, None).is_err() {
            return;
        }
        tokio::time::sleep(LEFT).await;
    }
}
