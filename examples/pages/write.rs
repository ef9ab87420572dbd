//! Completions and manual pages out of `Cli::command()`, variables and exit codes out of their
//! tables: nothing here names a verb, a flag or a variable.
#![expect(clippy::disallowed_methods, reason = "what it is for is writing files")]

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory as _, ValueEnum as _};
use clap_complete::{Shell, generate_to};
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};
use prelaunch::{
    cli::Cli,
    config::{VARIABLES, Variable},
    error::EXIT_CODES,
};

/// For each shell one file, named as that shell looks for it.
pub(crate) fn completions(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for shell in Shell::value_variants() {
        generate_to(*shell, &mut Cli::command(), "prelaunch", directory)?;
    }
    Ok(())
}

/// A page for the program, and one for each command below it: `prelaunch-database-check.1`.
pub(crate) fn manual(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // A page `help` would say nothing that the others do not.
    let mut program = without_tables(Cli::command()).disable_help_subcommand(true);
    program.build();
    pages(&program, directory, true)
}

fn pages(command: &Command, directory: &Path, is_program: bool) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, directory, false)?;
    }
    // By itself a page would name its version only where the command has the flag for it.
    let man = Man::new(command.clone())
        .source(concat!("prelaunch ", env!("CARGO_PKG_VERSION")))
        .manual("prelaunch");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut ours = Roff::new();
    if is_program {
        environment(&mut ours);
        exit_status(&mut ours);
    } else {
        ours.control("SH", ["ENVIRONMENT AND EXIT STATUS"]);
        ours.text([roman("See "), bold("prelaunch"), roman("(1).")]);
    }
    page.extend(ours.to_roff().into_bytes());
    fs::write(directory.join(man.get_filename()), page)
}

/// The help's own tables are set for a terminal, and would stand on every page.
fn without_tables(command: Command) -> Command {
    command.after_long_help("").mut_subcommands(without_tables)
}

fn environment(page: &mut Roff) {
    page.control("SH", ["ENVIRONMENT"]);
    page.text(words(
        "Each is read as `PRELAUNCH_<NAME>`, then with the prefix that `ENV_PREFIX` names, then \
         bare; those of PostgreSQL (`PG*`) only bare.",
    ));
    for Variable { name, default, meaning, file, .. } in VARIABLES {
        page.control("TP", []);
        let mut head = vec![bold(*name)];
        if *file {
            head.extend([roman(", "), bold(format!("{name}_FILE"))]);
        }
        if !default.is_empty() {
            head.extend([roman(" ["), italic(*default), roman("]")]);
        }
        page.text(head);
        page.text(words(meaning));
    }
}

fn exit_status(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        page.control("TP", []);
        page.text([bold(*code)]);
        page.text(words(meaning));
    }
}

/// A line of Markdown: what stands between backticks is bold.
fn words(line: &str) -> Vec<Inline> {
    let parts = line.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
