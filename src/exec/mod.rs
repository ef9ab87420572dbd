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
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use tracing::info;

use crate::{
    config::{Config, EnvironmentChange},
    signals::{Signal, Signals},
    stage::Stage,
    sys,
};

/// The server's command: its name and its arguments, not empty.
#[derive(Clone, Debug)]
pub struct Server {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Server {
    /// From the words behind `--`; none if there are none.
    #[must_use]
    pub fn from_words(words: &[OsString]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    /// The name as it was given, which is also its `argv[0]`.
    #[must_use]
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    fn command(&self, change: &EnvironmentChange) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for name in &change.remove {
            command.env_remove(name);
        }
        for (name, value) in &change.set {
            command.env(name, value);
        }
        command
    }
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
    info!(
        stage = %Stage::Exec, event = "exec", server = name, supervise = config.supervise,
        "becomes the server"
    );
    let mut command = server.command(&config.for_server);
    if config.supervise {
        return supervise::supervise(command, signals, &name);
    }
    // Handlers stay until `execve`, which resets them: this is the last look at what they saw.
    if let Some(signal) = signals.noticed() {
        return Err(ExecError::Stopped { server: name, signal });
    }
    sys::restore_ignored();
    let source = command.exec();
    Err(ExecError::Run { server: name, source })
}
