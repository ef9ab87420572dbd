//! The binary: the world in (arguments, environment, secret files), an exit code out.
#![expect(clippy::disallowed_methods, reason = "here, and only here, the environment is read")]

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use prelaunch::{
    cli::{self, Command, Verb},
    config::{self, ConfigErrors},
    database,
    error::Error,
    exec::{Server, run_as},
    files, install, migrate, report, revision, run,
    signals::Signals,
};

/// See `Cargo.toml`.
#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    report::end_on_panic();
    let signals = Signals::install();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = match cli::parse(&arguments) {
        Ok(cli) => cli.command,
        Err(help) => {
            // Nobody is left to tell that the help could not be printed.
            let _ = help.print();
            return ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(2));
        }
    };
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let log = config::log_settings(&variables, files::read_value);
    report::init(log);
    #[cfg(feature = "otel")]
    if matches!(command, Command::Run { .. }) {
        prelaunch::signs::otel::begin(&variables);
    }

    let ended = signals.map_err(Error::Setup).and_then(|signals| {
        let config = match &command {
            Command::Run { .. } => config::read(&variables, files::read_value),
            Command::Database { .. } | Command::Revision { .. } => {
                config::read_for_terminal(&variables, files::read_value)
            }
            // A pod's variables may be for its other containers.
            Command::Install { path } => {
                let installed = install::install(path).map_err(Error::Install)?;
                let path = format!("{}\n", installed.display());
                database::write(&path).map_err(Error::Output)?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let notes = config.as_ref().map_or_else(ConfigErrors::notes, |config| &config.notes);
        notes.iter().for_each(report::note);
        let mut config = config.map_err(Error::Config)?;
        if let Some(user) = &config.run_as
            && let Some(home) = run_as::become_user(user).map_err(Error::RunAs)?
        {
            config.set_for_all(&home);
        }
        let signals = Arc::new(signals);
        match command {
            Command::Run { server } => {
                run::run(&config, Server::from_words(&server, &variables).as_ref(), &signals)
            }
            Command::Database { chain, verb: Verb::Ask(question) } => {
                database::run(&config, chain.as_deref(), &question, &signals)
            }
            Command::Database { chain, verb: Verb::Change(change) } => {
                migrate::run(&config, chain.as_deref(), &change, &signals)
            }
            Command::Revision { chain, verb } => {
                revision::run(&config, chain.as_deref(), &verb, &signals)
            }
            // It has ended above, before the variables were read.
            Command::Install { .. } => Ok(ExitCode::SUCCESS),
        }
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            // Nothing is said after the last words.
            #[cfg(feature = "otel")]
            prelaunch::signs::otel::end(Some(&error));
            report::failure(&error, log, &config::termination_log(&variables, files::read_value));
            ExitCode::from(error.exit_code())
        }
    }
}
