//! What has no safe wrapper: the one module with `unsafe`, a few calls with a reason each.
//!
//! *How the process was started*, as far as the kernel keeps it and libraries change it.
//! `execve` resets handlers to the default, but a signal that was *ignored* when prelaunch
//! started must be ignored again in the server (a `nohup`, a shell that shields its
//! children), and one that was *blocked* must be blocked. While we work it is otherwise: what
//! asks us to end must reach us, and the kernel must not throw away how a child ended, which it
//! does where SIGCHLD is ignored. Nothing in the libraries that we have reads a disposition
//! without changing it, or does something between `fork` and `execve`.
//!
//! *Signals by number*: a real-time signal cannot be sent, nor told as the end of a child,
//! through the wrapper.
//!
//! *Where SQLite found an error*: sqlx does not ask.
#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

use std::{
    io,
    mem::MaybeUninit,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitStatus},
    ptr,
    sync::OnceLock,
};

use libsqlite3_sys::sqlite3_error_offset;
use nix::{
    libc,
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
    unistd::{Pid, getpgrp, tcsetpgrp},
};
use sqlx::sqlite::LockedSqliteHandle;

/// What was found at the start.
#[derive(Debug)]
struct Found {
    /// The numbers of the signals that were ignored.
    ignored: Vec<i32>,
    /// The signals that were blocked.
    blocked: SigSet,
}

static FOUND: OnceLock<Found> = OnceLock::new();

/// The signals that may have been given another action, by us or by the runtime of this language.
const CHANGED: [i32; 3] = [libc::SIGCHLD, libc::SIGTTOU, libc::SIGPIPE];

/// The signals that may have a handler of ours.
const HANDLED: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Remembers what is ignored and blocked now; to be called before the first handler is installed.
pub(crate) fn remember() {
    FOUND.get_or_init(|| Found {
        // SIGPIPE is the exception: std ignores it at its own start, so that what was before
        // cannot be known.
        ignored: (1..=libc::SIGRTMAX())
            .filter(|signal| *signal != libc::SIGPIPE && is_ignored(*signal))
            .collect(),
        // As in `restore`.
        blocked: SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()),
    });
    set(libc::SIGCHLD, libc::SIG_DFL);
}

/// Whether a signal was ignored when the process started.
#[must_use]
pub(crate) fn ignored_at_start(signal: i32) -> bool {
    FOUND.get().is_some_and(|found| found.ignored.contains(&signal))
}

/// Ignores a signal from now on.
pub(crate) fn ignore(signal: i32) {
    set(signal, libc::SIG_IGN);
}

/// Puts everything back as it was found, in this process, right before it becomes another, but for
/// handlers: `execve` resets those, and until then they must end PID 1, for which there is no
/// default action.
pub(crate) fn restore() {
    let Some(found) = FOUND.get() else { return };
    for signal in CHANGED.iter().filter(|signal| !found.ignored.contains(signal)) {
        set(*signal, libc::SIG_DFL);
    }
    for signal in &found.ignored {
        set(*signal, libc::SIG_IGN);
    }
    // It fails only if it is asked for what is no operation.
    let _ = found.blocked.thread_set_mask();
}

/// Has a child start as we did.
pub(crate) fn as_found(command: &mut Command) {
    let restore = || {
        // A handler in a child would notice its signals as ours.
        for signal in HANDLED {
            set(signal, libc::SIG_DFL);
        }
        restore();
        Ok(())
    };
    // SAFETY: `restore` allocates nothing and takes no lock: it reads what was written before there
    // was a second thread, and makes system calls.
    unsafe { command.pre_exec(restore) };
}

/// Has a child killed as soon as the thread that starts it ends: the main thread, and so all of us.
pub(crate) fn die_with_us(command: &mut Command) {
    let ask = || {
        // Where it is not allowed, it is done without.
        let _ = prctl::set_pdeathsig(Some(Signal::SIGKILL));
        Ok(())
    };
    // SAFETY: one system call with two numbers, which may be made between `fork` and `execve`.
    unsafe { command.pre_exec(ask) };
}

/// Has a child, which must lead a process group, take the terminal before it does anything else.
/// SIGTTOU must be ignored here; so this comes before [`as_found`].
pub(crate) fn with_terminal(command: &mut Command) {
    let take = || {
        // Without a terminal the server runs all the same.
        let _ = tcsetpgrp(io::stdin(), getpgrp());
        Ok(())
    };
    // SAFETY: these are two system calls; `stdin` is only the number 0 here.
    unsafe { command.pre_exec(take) };
}

/// Sends a signal by its number; false if there is no such process any more.
pub(crate) fn send(process: Pid, signal: i32) -> bool {
    // SAFETY: `kill` takes two numbers and touches no memory of ours.
    unsafe { libc::kill(process.as_raw(), signal) == 0 }
}

/// Where in the text of the last statement SQLite found the error: the bytes before it, where it
/// says so.
pub(crate) fn sqlite_error_offset(connection: &mut LockedSqliteHandle<'_>) -> Option<usize> {
    // SAFETY: the handle is locked, so that it is open and no other thread uses it.
    let offset = unsafe { sqlite3_error_offset(connection.as_raw_handle().as_ptr()) };
    usize::try_from(offset).ok()
}

/// Takes in a child that has ended, if there is one: any, or with a negative number one of that
/// process group.
pub(crate) fn reap(which: Pid) -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call, which writes nothing else.
    let pid = unsafe { libc::waitpid(which.as_raw(), &raw mut status, libc::WNOHANG) };
    // It cannot be interrupted, since it does not wait; what is left is that there is no child.
    (pid > 0).then(|| (Pid::from_raw(pid), ExitStatus::from_raw(status)))
}

/// Any child, for [`reap`].
pub(crate) const ANY: Pid = Pid::from_raw(-1);

fn set(signal: i32, action: libc::sighandler_t) {
    // SAFETY: neither the default nor `SIG_IGN` runs code of ours in a signal context, and the call
    // is one of those that may be made between `fork` and `execve`.
    // It fails for numbers that nobody can set, which then are as they were.
    unsafe { libc::signal(signal, action) };
}

fn is_ignored(signal: i32) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only reads; `found` is written when the call returns 0.
    unsafe {
        libc::sigaction(signal, ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
