//! Becoming the server: the same process id, everything as it was found.
//!
//! Arguments, environment (less what was only ours), descriptors, signal mask and dispositions
//! reach the server as they reached prelaunch; SIGPIPE alone is the default for it, whatever it
//! was, because the runtime of this language changes it before anybody can look.
//!
//! Exit codes are a shell's: 127 for a server that is not found, 126 for one that cannot be run.
//!
//! With `SUPERVISE=true` prelaunch stays and is the init of its container: see `supervise`.

pub mod run_as;
mod supervise;

use std::{
    convert::Infallible,
    ffi::{CString, OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::{Command, ExitCode},
};

use nix::{libc::SIGPIPE, unistd::execvpe};
use tracing::info;

use crate::{
    config::{Config, EnvironmentChange},
    signals::{Signal, Signals},
    stage::Stage,
    sys,
};

/// The server: its name and its arguments, and the environment that it gets.
///
/// No `Debug`, since the environment has secrets.
#[derive(Clone)]
pub struct Server {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Server {
    /// From the words behind `--`, none if there are none, and the environment as found.
    #[must_use]
    pub fn from_words(words: &[OsString], environment: &[(OsString, OsString)]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            environment: environment.to_vec(),
        })
    }

    /// The name as it was given, which is also its `argv[0]`.
    #[must_use]
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// The same with another environment; what stays keeps its place.
    fn with(&self, change: &EnvironmentChange) -> Self {
        let mut server = self.clone();
        let removed = |name: &OsStr| change.remove.iter().any(|other| other == name);
        let set = |name: &OsStr| change.set.iter().any(|(other, _)| other == name);
        server.environment.retain(|(name, _)| !removed(name) && !set(name));
        server.environment.extend_from_slice(&change.set);
        server
    }

    /// What starts it as a child.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Becomes it, if no signal has come.
    ///
    /// Not by the `exec` of std, which sorts the environment.
    fn execute(&self, signals: &Signals) -> Result<Infallible, ExecError> {
        let fault = |source| self.fault(source);
        let words = std::iter::once(&self.program).chain(&self.arguments).cloned();
        let words = c_strings(words).map_err(fault)?;
        let entries = self.environment.iter().map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            entry
        });
        let environment = c_strings(entries).map_err(fault)?;
        // The last look at what the handlers saw. They stay until `execve`, and end the process
        // where a signal comes while the server is looked for.
        signals.end_at_once();
        if let Some(signal) = signals.noticed() {
            return Err(ExecError::Stopped { server: self.name(), signal });
        }
        sys::restore();
        execvpe(&words[0], &words, &environment).map_err(|errno| {
            // The last words may go to somebody who has stopped listening.
            sys::ignore(SIGPIPE);
            fault(errno.into())
        })
    }

    /// Why it cannot be run.
    fn fault(&self, source: io::Error) -> ExecError {
        let server = self.name();
        let is_path = server.contains('/');
        if source.kind() == io::ErrorKind::NotFound && is_path && Path::new(&self.program).exists()
        {
            return ExecError::Interpreter { server, source };
        }
        ExecError::Run { server, source }
    }
}

fn c_strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    // What was given to us as such texts has no zero byte inside.
    texts.map(|text| CString::new(text.into_vec()).map_err(io::Error::from)).collect()
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The command cannot be run.
    #[error("cannot run `{server}`")]
    Run {
        /// Its first word.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program that is there, and yet is said not to be.
    #[error(
        "cannot run `{server}`: what its `#!` line names, or the loader that it was linked for, \
         is not there (does the line end in CR LF?)"
    )]
    Interpreter {
        /// Its first word.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A signal came just before.
    #[error("stopped before `{server}` was started")]
    Stopped {
        /// Its first word.
        server: String,
        /// Which.
        signal: Signal,
    },
    /// Supervising failed.
    #[error("cannot supervise `{server}`")]
    Supervise {
        /// Its first word.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ExecError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Interpreter { .. } => 127,
            Self::Run { .. } => 126,
            Self::Stopped { signal, .. } => signal.exit_code(),
            Self::Supervise { .. } => 1,
        }
    }
}

/// Becomes the server, or supervises it and gives its exit code. Returns only if there is no
/// server (any more).
pub fn exec(server: &Server, config: &Config, signals: &Signals) -> Result<ExitCode, ExecError> {
    let name = server.name();
    let server = server.with(&config.for_server);
    if config.supervise {
        info!(stage = %Stage::Exec, event = "supervise", server = name, "starts the server");
        return supervise::supervise(&server, signals);
    }
    info!(stage = %Stage::Exec, event = "exec", server = name, "becomes the server");
    // Orphans of our commands came to us if we are PID 1; the server knows nothing of them.
    while sys::reap(sys::ANY).is_some() {}
    match server.execute(signals)? {}
}
