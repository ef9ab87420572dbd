//! Shell completions and manual pages, as `examples/pages` writes them.

#[path = "../../examples/pages/write.rs"]
mod write;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use clap::CommandFactory as _;
use prelaunch::{cli::Cli, config::VARIABLES, error::EXIT_CODES};

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    write::completions(directory.path()).unwrap();
    // As bash itself does it: the function that is registered for the program is called with the
    // program, the word that is completed, and the word before it.
    let script = r#"
        source "$1" || exit 1
        shift
        registered=$(complete -p prelaunch) || exit 1
        function=${registered#*-F }
        function=${function%% *}
        COMP_WORDS=("$@")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(directory.path().join("prelaunch.bash"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let mut offered: Vec<_> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes_commands_verbs_and_flags() {
    assert_eq!(offered(&["prelaunch", "data"]), ["database"]);
    assert_eq!(offered(&["prelaunch", "database", "rev"]), ["revisions"]);
    assert_eq!(offered(&["prelaunch", "database", "revisions", "--off"]), ["--offline"]);
    assert_eq!(
        offered(&["prelaunch", "database", "revisions", "--format", ""]),
        ["dot", "json", "mermaid"]
    );
}

#[test]
fn bash_offers_every_command_there_is() {
    let offered: BTreeSet<String> = offered(&["prelaunch", ""]).into_iter().collect();
    for command in Cli::command().get_subcommands() {
        assert!(offered.contains(command.get_name()), "{} is not offered", command.get_name());
    }
}

#[test]
fn each_shell_has_its_file() {
    let directory = tempfile::tempdir().unwrap();
    write::completions(directory.path()).unwrap();
    let expected =
        ["_prelaunch", "_prelaunch.ps1", "prelaunch.bash", "prelaunch.elv", "prelaunch.fish"];
    assert_eq!(names(directory.path()), expected);
}

#[test]
fn each_command_has_a_page() {
    let directory = manual();
    let mut expected = Vec::new();
    let mut commands = vec![("prelaunch".to_owned(), Cli::command())];
    while let Some((name, command)) = commands.pop() {
        for below in command.get_subcommands() {
            commands.push((format!("{name}-{}", below.get_name()), below.clone()));
        }
        expected.push(format!("{name}.1"));
    }
    expected.sort();
    assert_eq!(names(directory.path()), expected);
    assert!(expected.contains(&"prelaunch-database-revisions.1".to_owned()));
}

#[test]
fn the_program_s_page_has_every_variable_and_every_exit_code() {
    let page = rendered(&manual().path().join("prelaunch.1"));
    let lines: Vec<&str> = page.lines().map(str::trim_start).collect();
    for variable in VARIABLES {
        let words: String =
            variable.meaning.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(lines.iter().any(|line| line.starts_with(variable.name)), "{}", variable.name);
        assert!(flowing(&page).contains(&words), "{}: {words}", variable.name);
    }
    for (code, meaning) in EXIT_CODES {
        assert!(lines.iter().any(|line| line.starts_with(code)), "{code}");
        assert!(flowing(&page).contains(&meaning.replace('`', "")), "{code}");
    }
}

#[test]
fn every_page_is_set_without_a_warning() {
    let directory = manual();
    for name in names(directory.path()) {
        let page = rendered(&directory.path().join(&name));
        assert!(page.contains("SYNOPSIS"), "{name}\n{page}");
        // What is for the terminal's help alone is nowhere else set as running text.
        assert!(!page.contains("EXTRA"), "{name}\n{page}");
    }
}

fn manual() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write::manual(directory.path()).unwrap();
    directory
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The page as a reader sees it, on one long line a paragraph; a warning fails the test.
fn rendered(page: &Path) -> String {
    let output = Command::new("groff")
        .args(["-ww", "-man", "-Kutf8", "-Tutf8", "-P-c", "-P-b", "-P-u", "-rLL=1000n"])
        .arg("-rHY=0")
        .arg(page)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("groff: {error}; run the tests with ./test.sh"));
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
    String::from_utf8(output.stdout).unwrap()
}

/// With single blanks.
fn flowing(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}
