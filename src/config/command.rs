//! A command that is given in a variable: words split by POSIX quoting, never by a shell.
//!
//! Nothing is expanded (a scratch image has no shell); whoever needs one writes `sh -c '…'`. As in
//! a shell, an unquoted `#` at the start of a word begins a comment.

use std::fmt;

#[cfg(test)]
mod tests;

/// A program and its arguments.
#[derive(Clone, Eq, PartialEq)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

/// Why a text is no command. Neither variant shows it: a command may hold a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// A quote is not closed.
    #[error("a quote is not closed; words are split as by a POSIX shell")]
    Quote,
    /// No program is named.
    #[error("names no program")]
    Empty,
}

impl CommandLine {
    /// Splits a text into words by POSIX quoting.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let mut words = shell_words::split(text).map_err(|_| CommandError::Quote)?.into_iter();
        let program = words.next().filter(|word| !word.is_empty()).ok_or(CommandError::Empty)?;
        Ok(Self { program, arguments: words.collect() })
    }

    /// What to execute: a path, or a name to be found in `PATH`.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What it is given.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// A command of these words; the first is the program.
    #[must_use]
    pub fn of(words: Vec<String>) -> Self {
        let mut words = words.into_iter();
        Self { program: words.next().unwrap_or_default(), arguments: words.collect() }
    }

    /// The same arguments for another program.
    #[must_use]
    pub fn with_program(&self, program: &str) -> Self {
        Self { program: program.to_owned(), arguments: self.arguments.clone() }
    }

    /// Whether it says where a name goes.
    #[must_use]
    pub fn takes_a_name(&self) -> bool {
        self.arguments.iter().any(|argument| argument.contains("{}"))
    }

    /// The command for one name: `{}` is replaced in each argument that has it (never in the
    /// program: a name must not choose what is run); where none has, the name is the last one.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        let mut arguments: Vec<_> =
            self.arguments.iter().map(|argument| argument.replace("{}", name)).collect();
        if !self.takes_a_name() {
            arguments.push(name.to_owned());
        }
        Self { program: self.program.clone(), arguments }
    }
}

/// Quoted, so that it can be pasted into a shell.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        f.write_str(&shell_words::join(words))
    }
}

/// The program alone: arguments may hold a secret, and `Debug` ends in logs by accident.
impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandLine({:?} and {} arguments)", self.program, self.arguments.len())
    }
}
