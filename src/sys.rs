//! What has no safe wrapper: the one module with `unsafe`, a few calls with a reason each.
//!
//! *Ignored signals.* `execve` resets handlers to the default, but a signal that was *ignored*
//! when prelaunch started must be ignored again in the server (a `nohup`, a shell that shields
//! its children), and the libraries here have put handlers in its place by then. Nothing that we
//! have reads a disposition without changing it, or does something between `fork` and `execve`.
//!
//! *Signals by number.* Real-time signals have no name in the wrapper.
//!
//! *Where SQLite found an error.* sqlx does not ask.
#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

use std::{
    mem::MaybeUninit, os::unix::process::CommandExt as _, process::Command, ptr, sync::OnceLock,
};

use libsqlite3_sys::sqlite3_error_offset;
use nix::{libc, unistd::Pid};
use sqlx::sqlite::LockedSqliteHandle;

/// Numbers of the signals that were ignored when the process started.
static IGNORED: OnceLock<Vec<i32>> = OnceLock::new();

/// Remembers which signals are ignored now; to be called before the first handler is installed.
pub(crate) fn remember_ignored() {
    IGNORED.get_or_init(|| (1..=libc::SIGRTMAX()).filter(|signal| is_ignored(*signal)).collect());
}

/// Whether a signal was ignored when the process started.
#[must_use]
pub(crate) fn ignored_at_start(signal: i32) -> bool {
    ignored().contains(&signal)
}

/// Ignores again what was ignored at the start, in this process, right before it becomes another.
pub(crate) fn restore_ignored() {
    // SIGPIPE is the exception: std ignores it at its own start, so that what was before
    // cannot be known, and gives it back as the default.
    for &signal in ignored().iter().filter(|signal| **signal != libc::SIGPIPE) {
        // SAFETY: `SIG_IGN` runs no code of ours in a signal context, and the call is one of
        // those that may be made between `fork` and `execve`.
        // A failure leaves the default, and there is nobody left to tell.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Has a child ignore what we were told to ignore.
pub(crate) fn ignore_as_found(command: &mut Command) {
    if !ignored().is_empty() {
        let restore = || {
            restore_ignored();
            Ok(())
        };
        // SAFETY: `restore_ignored` allocates nothing and takes no lock: it reads a list that was
        // written before there was a second thread, and calls `signal`.
        unsafe { command.pre_exec(restore) };
    }
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

fn ignored() -> &'static [i32] {
    IGNORED.get().map_or(&[], Vec::as_slice)
}

fn is_ignored(signal: i32) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only reads; `found` is written when the call returns 0.
    unsafe {
        libc::sigaction(signal, ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
