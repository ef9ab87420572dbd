//! A process that has been started: its words as they come, signals to it, its end.
//!
//! Tests synchronise on what it says ([`Running::wait_for`]) and never on time. Everything is
//! bounded; what takes longer fails the test with all that was heard. A process that is
//! dropped is killed.

use std::{
    io::Read,
    process::{Child, ExitStatus},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    log,
    outcome::Outcome,
    words::{Stand, normalised},
};

/// How long to wait for words.
pub(crate) const WORDS: Duration = Duration::from_secs(20);

/// How long to wait for the end.
pub(crate) const END: Duration = Duration::from_secs(40);

/// A started process.
#[derive(Debug)]
#[must_use = "a process that is dropped is killed"]
pub(crate) struct Running {
    child: Child,
    status: Option<ExitStatus>,
    stdout: Heard,
    stderr: Heard,
    stands: Vec<Stand>,
    secrets: Vec<String>,
    /// Kept as long as the process may need it.
    _directory: Arc<TempDir>,
}

impl Running {
    /// Listens to a child whose outputs are pipes.
    pub(crate) fn new(
        mut child: Child,
        directory: Arc<TempDir>,
        stands: Vec<Stand>,
        secrets: Vec<String>,
    ) -> Self {
        let stdout = Heard::listen(child.stdout.take().unwrap());
        let stderr = Heard::listen(child.stderr.take().unwrap());
        Self { child, status: None, stdout, stderr, stands, secrets, _directory: directory }
    }

    /// The process id: prelaunch's, and so its server's.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits until a line on stderr contains the words, be it that it was said before; gives the
    /// whole line as it was written.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.hear(&self.stderr, "stderr", words, 1)
    }

    /// The same for the line that is the `count`th to contain the words.
    #[track_caller]
    pub(crate) fn wait_for_nth(&self, words: &str, count: usize) -> String {
        self.hear(&self.stderr, "stderr", words, count)
    }

    /// The same for a line on stdout.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&self, words: &str) -> String {
        self.hear(&self.stdout, "stdout", words, 1)
    }

    #[track_caller]
    fn hear(&self, heard: &Heard, what: &str, words: &str, count: usize) -> String {
        heard.wait_for(words, count).unwrap_or_else(|| {
            panic!("no line with `{words}` on {what}\n{}", self.so_far());
        })
    }

    /// What it has said so far on stderr, without what differs from run to run.
    pub(crate) fn stderr_so_far(&self) -> String {
        normalised(&self.stderr.text(), &self.stands)
    }

    /// The same as it was written.
    pub(crate) fn raw_stderr_so_far(&self) -> String {
        self.stderr.text()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_some()
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) -> &Self {
        assert!(self.status.is_none(), "it has ended already\n{}", self.so_far());
        kill(self.pid(), signal).unwrap();
        self
    }

    /// Waits for its end, and for that of everybody who writes where it wrote.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let deadline = Instant::now() + END;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it does not end\n{}", self.so_far());
            thread::sleep(Duration::from_millis(2));
        }
        let over = self.stdout.wait_for_end(deadline) && self.stderr.wait_for_end(deadline);
        assert!(over, "it has ended, but somebody holds its outputs open\n{}", self.so_far());
        let outcome = Outcome {
            status: self.status.unwrap(),
            raw_stderr: self.stderr.text(),
            raw_stdout: self.stdout.text(),
            stands: self.stands.clone(),
        };
        for secret in &self.secrets {
            let told = outcome.raw_stderr.contains(secret.as_str());
            assert!(!told, "a password is on stderr\n{}", outcome.transcript());
        }
        log::check(&outcome.raw_stderr);
        outcome
    }

    fn so_far(&self) -> String {
        format!(
            "--- stdout so far\n{}\n--- stderr so far\n{}\n---",
            self.stdout.text(),
            self.stderr.text()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What comes out of a pipe, as it comes.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<(Mutex<Text>, Condvar)>);

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    over: bool,
}

impl Heard {
    fn listen(mut pipe: impl Read + Send + 'static) -> Self {
        let heard = Self::default();
        let (ours, mut buffer) = (heard.clone(), [0; 4096]);
        thread::spawn(move || {
            loop {
                let count = pipe.read(&mut buffer).unwrap_or_default();
                let (text, changed) = &*ours.0;
                let mut text = text.lock().unwrap();
                text.bytes.extend_from_slice(&buffer[..count]);
                text.over = count == 0;
                changed.notify_all();
                if text.over {
                    return;
                }
            }
        });
        heard
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }

    /// The `count`th whole line that contains the words.
    fn wait_for(&self, words: &str, count: usize) -> Option<String> {
        let (text, changed) = &*self.0;
        let found = |text: &Text| {
            let heard = String::from_utf8_lossy(&text.bytes);
            let whole =
                heard.split_inclusive('\n').filter(|line| line.ends_with('\n') || text.over);
            whole
                .filter(|line| line.contains(words))
                .nth(count - 1)
                .map(|line| line.trim_end().to_owned())
        };
        let guard = text.lock().unwrap();
        let (text, _) = changed
            .wait_timeout_while(guard, WORDS, |text| !text.over && found(text).is_none())
            .unwrap();
        found(&text)
    }

    /// Whether the pipe was closed by then.
    fn wait_for_end(&self, deadline: Instant) -> bool {
        let (text, changed) = &*self.0;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let (text, _) =
            changed.wait_timeout_while(text.lock().unwrap(), left, |text| !text.over).unwrap();
        text.over
    }
}
