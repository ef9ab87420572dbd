//! Signals during the work: noticed once, acted on by the stage that is running.
//!
//! Handlers, not masks: PID 1 has no default actions, and `execve` resets handlers by itself.
//! They are installed before anything else and stay until `execve`, so that no instant is unguarded.
//!
//! A second signal ends the process at once with 128+n, whatever it is doing: the database
//! rolls back what was open, and the next run finds out what is left. So does the first one
//! where nobody could act on it: before the work, while the configuration is read (a secret may be
//! a pipe that nobody writes to), and after it, while the server is looked for.
//!
//! A SIGHUP that was ignored at the start stays ignored: that is what `nohup` asks for. The others
//! stop us although they were ignored (a shell does that to SIGINT behind an `&`, where `kill -INT`
//! is meant all the same) or blocked; the server has them as they were found.

use std::{
    future::Future,
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use nix::sys::signal::{SigSet, Signal as Named};
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};

use crate::sys;

/// A signal that asks prelaunch to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signal(i32);

impl Signal {
    /// Its number, as in `kill -15`.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Its name, as in `SIGTERM`.
    #[must_use]
    pub fn name(self) -> &'static str {
        low_level::signal_name(self.0).unwrap_or("a signal")
    }

    /// What a process that it ended exits with: 128 and its number.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

/// The signals noticed since the start.
#[derive(Debug)]
pub struct Signals {
    first: Arc<AtomicUsize>,
    /// Whether the next one ends the process at once.
    at_once: Arc<AtomicBool>,
    bell: UnixStream,
    heard: OnceLock<tokio::net::UnixStream>,
    actions: Vec<SigId>,
}

impl Signals {
    /// Installs the handlers. A signal ends the process at once until [`Signals::take_note`].
    pub fn install() -> io::Result<Self> {
        let first = Arc::new(AtomicUsize::new(0));
        let at_once = Arc::new(AtomicBool::new(true));
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let mut actions = Vec::new();
        sys::remember();
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            if signal == SIGHUP && sys::ignored_at_start(signal) {
                continue;
            }
            let exit_code = i32::from(Signal(signal).exit_code());
            let number = usize::try_from(signal).unwrap_or_default();
            // The order matters: the first signal to be noticed finds the flag unset and sets it,
            // the second, whichever it is, finds it set and ends the process.
            actions.extend([
                flag::register_conditional_shutdown(signal, exit_code, Arc::clone(&at_once))?,
                flag::register(signal, Arc::clone(&at_once))?,
                flag::register_usize(signal, Arc::clone(&first), number)?,
                low_level::pipe::register(signal, rope.try_clone()?)?,
            ]);
        }
        let ours = [Named::SIGTERM, Named::SIGINT, Named::SIGHUP];
        SigSet::from_iter(ours).thread_unblock()?;
        Ok(Self { first, at_once, bell, heard: OnceLock::new(), actions })
    }

    /// From now on the first signal is noticed, for whoever works to act on.
    pub fn take_note(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// From now on a signal ends the process at once. What has been noticed stays noticed: who
    /// asks for that afterwards misses none.
    pub fn end_at_once(&self) {
        self.at_once.store(true, Ordering::SeqCst);
    }

    /// The signal that came, if one did.
    #[must_use]
    pub fn noticed(&self) -> Option<Signal> {
        match self.first.load(Ordering::SeqCst) {
            0 => None,
            number => i32::try_from(number).ok().map(Signal),
        }
    }

    /// Stops acting on signals, for somebody else who does from now on. What has been
    /// noticed stays noticed.
    pub fn hand_over(&self) {
        for action in &self.actions {
            low_level::unregister(*action);
        }
    }

    /// Waits for a signal; returns at once if one has come already.
    pub async fn raised(&self) -> Signal {
        loop {
            if let Some(signal) = self.noticed() {
                return signal;
            }
            // The bell is never read, so that it goes on ringing for everyone who asks.
            let rung = match self.heard() {
                Ok(bell) => bell.readable().await,
                Err(fault) => Err(fault),
            };
            if rung.is_err() {
                // Without a bell the flag is still looked at by `noticed`.
                std::future::pending::<()>().await;
            }
        }
    }

    fn heard(&self) -> io::Result<&tokio::net::UnixStream> {
        if let Some(bell) = self.heard.get() {
            return Ok(bell);
        }
        let bell = tokio::net::UnixStream::from_std(self.bell.try_clone()?)?;
        Ok(self.heard.get_or_init(|| bell))
    }

    /// Does `work` unless a signal comes first; then the work is dropped where it stands.
    ///
    /// Only for work that leaves nothing behind: what changes the database or has
    /// children ends itself.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Signal> {
        tokio::select! {
            biased;
            signal = self.raised() => Err(signal),
            done = work => Ok(done),
        }
    }
}
