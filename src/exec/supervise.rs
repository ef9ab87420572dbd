//! Staying as the init of a container: starts the server, forwards every signal to it, reaps
//! whatever is orphaned to us, and ends with the server's exit code.
//!
//! The server leads a process group of its own, which gets the terminal if we have it: what is
//! typed there reaches it once, and not a second time through us. A signal that is sent to us goes
//! to the server alone, which decides what its children are told.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{ExitCode, ExitStatus},
};

use nix::{
    libc,
    sys::signal::SigSet,
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};
use signal_hook::{consts::SIGCHLD, iterator::Signals as Incoming};
use tracing::debug;

use super::{ExecError, Server};
use crate::{
    signals::Signals,
    stage::Stage,
    sys::{self, ANY},
};

/// Signals that are not for forwarding: what cannot be caught, what the kernel means for this
/// process (faults, the terminal's job control), and the one that is for us.
const OURS: [i32; 13] = [
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
];

/// Runs the server to its end.
pub(super) fn supervise(server: &Server, signals: &Signals) -> Result<ExitCode, ExecError> {
    let failed = |source| ExecError::Supervise { server: server.name(), source };
    let mut incoming = Incoming::new(forwarded().chain([SIGCHLD])).map_err(failed)?;
    // From here on a signal is the server's; one that came before was for us.
    signals.hand_over();
    if let Some(signal) = signals.noticed() {
        return Err(ExecError::Stopped { server: server.name(), signal });
    }
    // What is blocked must come here too; whether it comes to the server is for the server.
    SigSet::all().thread_unblock().map_err(|errno| failed(errno.into()))?;

    let mut command = server.command();
    command.process_group(0);
    let terminal = tcgetpgrp(io::stdin()) == Ok(getpgrp());
    if terminal {
        // Without it we would be stopped when we say something, or take the terminal back.
        sys::ignore(libc::SIGTTOU);
        sys::with_terminal(&mut command);
    }
    sys::as_found(&mut command);
    let ended = match command.spawn() {
        Ok(child) => {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
            follow(pid, &mut incoming)
                .map(exit_code)
                .ok_or_else(|| failed(io::Error::other("the signals ended")))
        }
        Err(source) => Err(server.fault(source)),
    };
    if terminal {
        // For whoever started us, a script perhaps, which does not take it by itself.
        let _ = tcsetpgrp(io::stdin(), getpgrp());
    }
    ended
}

/// The numbers of the signals that are forwarded. Between the two kinds there are some that the C
/// library keeps for itself, two or three.
fn forwarded() -> impl Iterator<Item = i32> {
    let plain = (1..32).filter(|signal| !OURS.contains(signal));
    plain.chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
}

/// Forwards and reaps until the server has ended.
fn follow(server: Pid, incoming: &mut Incoming) -> Option<ExitStatus> {
    for signal in incoming.forever() {
        if signal == SIGCHLD {
            if let Some(status) = reap(server) {
                return Some(status);
            }
            continue;
        }
        // By number, since real-time signals have no name. A server that is gone is noticed by
        // the SIGCHLD that follows.
        let sent = sys::send(server, signal);
        debug!(stage = %Stage::Exec, event = "forwarded", signal, sent, "forwards a signal");
    }
    None
}

/// Takes in everything that has ended; how the server ended, if it is among it.
fn reap(server: Pid) -> Option<ExitStatus> {
    while let Some((pid, status)) = sys::reap(ANY) {
        if pid == server {
            return Some(status);
        }
        let code = shell_code(status);
        debug!(stage = %Stage::Exec, event = "reaped", pid = pid.as_raw(), code, "an orphan has ended");
    }
    None
}

/// As a shell has it: a server that was ended by signal n gives 128 and n.
fn shell_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(shell_code(status)).unwrap_or(u8::MAX))
}
