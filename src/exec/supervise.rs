//! Staying as the init of a container: starts the server, forwards every signal to it, reaps
//! whatever is orphaned to us, and ends with the server's exit code.
//!
//! The server leads a process group of its own, which gets the terminal if there is one: what
//! is typed there reaches it once, and not a second time through us. A signal that is sent to us goes
//! to the server alone, which decides what its children are told.

use std::{
    io::{self, IsTerminal as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, tcsetpgrp},
};
use signal_hook::{consts::SIGCHLD, iterator::Signals as Incoming};
use tracing::debug;

use super::ExecError;
use crate::{signals::Signals, stage::Stage, sys};

/// Signals that are not for forwarding: what cannot be caught, what the kernel means for this
/// process (faults, the terminal's job control), and the one that is for us.
const OURS: [i32; 14] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGTTIN,
    libc::SIGTTOU,
    SIGCHLD,
    // The last of the two that the C library keeps for itself; the first is below.
    33,
];

/// Runs the server to its end.
pub(super) fn supervise(
    mut command: Command,
    signals: &Signals,
    name: &str,
) -> Result<ExitCode, ExecError> {
    let failed = |source| ExecError::Supervise { server: name.to_owned(), source };
    let forwarded = (1..=libc::SIGRTMAX()).filter(|signal| *signal != 32 && !OURS.contains(signal));
    let mut incoming = Incoming::new(forwarded.chain(std::iter::once(SIGCHLD))).map_err(failed)?;
    // From here on a signal is the server's; one that came before was for us.
    signals.hand_over();
    if let Some(signal) = signals.noticed() {
        return Err(ExecError::Stopped { server: name.to_owned(), signal });
    }
    command.process_group(0);
    sys::ignore_as_found(&mut command);
    let child =
        command.spawn().map_err(|source| ExecError::Run { server: name.to_owned(), source })?;
    let server = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    if io::stdin().is_terminal() && tcsetpgrp(io::stdin(), server).is_ok() {
        // It may have asked the terminal before it was given it, and been stopped for that.
        let _ = kill(server, Signal::SIGCONT);
    }
    for signal in incoming.forever() {
        if signal == SIGCHLD {
            if let Some(code) = reap(server).map_err(|errno| failed(errno.into()))? {
                return Ok(ExitCode::from(code));
            }
            continue;
        }
        // By number, since real-time signals have no name. A server that is gone is noticed by
        // the SIGCHLD that follows.
        let sent = sys::send(server, signal);
        debug!(stage = %Stage::Exec, event = "forwarded", signal, sent, "forwards a signal");
    }
    Err(failed(io::Error::other("the signals ended")))
}

/// Takes in everything that has ended; the exit code, if the server is among it.
fn reap(server: Pid) -> Result<Option<u8>, Errno> {
    loop {
        let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Err(Errno::EINTR) | Ok(_) => continue,
            Err(errno) => return Err(errno),
        };
        if pid == server {
            return Ok(Some(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        debug!(stage = %Stage::Exec, event = "reaped", pid = pid.as_raw(), code, "an orphan has ended");
    }
}
