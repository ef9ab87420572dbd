//! The command line: subcommands and flags, no decisions.

use std::{ffi::OsString, fmt::Write as _};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{config, error::EXIT_CODES};

/// Waits for the database, takes a lock, applies pending migrations, reindexes where asked, and
/// becomes the server.
#[derive(Debug, Parser)]
#[command(name = "prelaunch", version, after_long_help = tables(), arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Do what must be done before the server starts, then become the server.
    ///
    /// Without a command it ends when the schema is ready: for init containers and jobs.
    #[command(after_long_help = tables())]
    Run {
        /// The server's command and its arguments.
        #[arg(last = true, value_name = "CMD")]
        server: Vec<OsString>,
    },
}

/// Reads the arguments; an error is help that was asked for, or wrong usage.
pub fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse_from(arguments)?;
    let Command::Run { server } = &cli.command;
    if server.is_empty() && arguments.last().is_some_and(|last| last == "--") {
        return Err(clap::Error::raw(
            ErrorKind::MissingRequiredArgument,
            "`prelaunch run --` has no command behind `--`\n\n\
             An image that sets ENTRYPOINT must repeat its CMD: Docker empties the one that it \
             inherits.\nWithout a server, write `prelaunch run`.\n",
        ));
    }
    Ok(cli)
}

/// The variables and the exit codes, for the long help.
fn tables() -> String {
    let mut text = config::help();
    text.push_str("\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {code:<6} {meaning}");
    }
    text
}
