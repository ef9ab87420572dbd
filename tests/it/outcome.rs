//! How a process ended, and what it said.
//!
//! Assertions give the outcome back, so that they can follow each other, and show all of it when
//! they fail.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use crate::words::{Stand, normalised, unindent};

/// A process that has ended.
#[derive(Debug)]
#[must_use = "an outcome says nothing until something is asserted about it"]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    /// As it was written; [`Outcome::stderr`] is what to compare.
    pub(crate) raw_stderr: String,
    /// As it was written; [`Outcome::stdout`] is what to compare.
    pub(crate) raw_stdout: String,
    pub(crate) stands: Vec<Stand>,
}

impl Outcome {
    /// The exit code, or 128 and the signal that ended it, as a shell has it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// What it wrote to stderr, without what differs from run to run (see `words`).
    pub(crate) fn stderr(&self) -> String {
        normalised(&self.raw_stderr, &self.stands)
    }

    /// What it wrote to stdout, likewise.
    pub(crate) fn stdout(&self) -> String {
        normalised(&self.raw_stdout, &self.stands)
    }

    /// The last line on stderr.
    pub(crate) fn last_words(&self) -> String {
        self.stderr().lines().last().unwrap_or_default().to_owned()
    }

    /// That it ended by itself with this exit code.
    #[track_caller]
    pub(crate) fn assert_status(&self, code: i32) -> &Self {
        assert!(
            self.status.code() == Some(code),
            "expected exit code {code}\n{}",
            self.transcript()
        );
        self
    }

    /// That it was ended by this signal, and not by an exit of its own.
    #[track_caller]
    pub(crate) fn assert_killed_by(&self, signal: nix::sys::signal::Signal) -> &Self {
        let killed = self.status.signal() == Some(signal as i32);
        assert!(killed, "expected to be ended by {signal}\n{}", self.transcript());
        self
    }

    /// All of stderr; the literal may be indented like the code around it.
    #[track_caller]
    pub(crate) fn assert_stderr(&self, expected: &str) -> &Self {
        self.compare("stderr", &self.stderr(), expected)
    }

    /// All of stdout, likewise.
    #[track_caller]
    pub(crate) fn assert_stdout(&self, expected: &str) -> &Self {
        self.compare("stdout", &self.stdout(), expected)
    }

    /// The last line on stderr, where those before it depend on the time it took.
    #[track_caller]
    pub(crate) fn assert_last_words(&self, expected: &str) -> &Self {
        self.compare("last words", &self.last_words(), expected)
    }

    /// That a line on stderr contains these words.
    #[track_caller]
    pub(crate) fn assert_said(&self, words: &str) -> &Self {
        let said = self.stderr().lines().any(|line| line.contains(words));
        assert!(said, "expected a line with `{words}`\n{}", self.transcript());
        self
    }

    /// That no line on stderr contains these words.
    #[track_caller]
    pub(crate) fn assert_never_said(&self, words: &str) -> &Self {
        let said = self.stderr().lines().any(|line| line.contains(words));
        assert!(!said, "expected no line with `{words}`\n{}", self.transcript());
        self
    }

    /// How many lines on stderr contain these words.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.stderr().lines().filter(|line| line.contains(words)).count()
    }

    #[track_caller]
    fn compare(&self, what: &str, actual: &str, expected: &str) -> &Self {
        let expected = unindent(expected);
        let (expected, actual) = (expected.trim_end_matches('\n'), actual.trim_end_matches('\n'));
        let differs =
            actual.lines().zip(expected.lines()).find(|(actual, expected)| actual != expected);
        let first = match differs {
            Some((actual, expected)) => {
                format!("first differs\n  {actual}\nwhere this was expected\n  {expected}\n")
            }
            None => String::new(),
        };
        assert!(
            actual == expected,
            "{what} is not as expected; {first}--- expected {what}\n{expected}\n{}",
            self.transcript()
        );
        self
    }

    /// Everything, for a failing test.
    pub(crate) fn transcript(&self) -> String {
        format!(
            "--- {}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.status,
            self.stdout(),
            self.stderr()
        )
    }
}
