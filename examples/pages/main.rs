//! Writes the shell completions and the manual pages, both made of the command line itself.
//!
//! ```text
//! $ cargo run --example pages -- DIR
//! ```
//!
//! gives `DIR/completions` for bash, zsh, fish, elvish and PowerShell, and `DIR/man` with a page
//! for `prelaunch` and one for each command below it. An example and no part of the program: what
//! a container starts need not be able to explain itself to a shell.

mod write;

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args_os().nth(1).ok_or("give the directory to write to")?;
    let directory = PathBuf::from(directory);
    write::completions(&directory.join("completions"))?;
    write::manual(&directory.join("man"))?;
    Ok(())
}
