//! Splitting and naming.

use super::*;

fn words(command: &CommandLine) -> Vec<&str> {
    let arguments = command.arguments().iter().map(String::as_str);
    std::iter::once(command.program()).chain(arguments).collect()
}

#[test]
fn words_are_split_by_posix_quoting_and_nothing_is_expanded() {
    let check = |text, expected: &[&str]| {
        assert_eq!(words(&CommandLine::parse(text).unwrap()), expected, "{text}");
    };
    check("python -m app", &["python", "-m", "app"]);
    check("  sh -c 'echo $HOME; true' ", &["sh", "-c", "echo $HOME; true"]);
    check(r#"a "b c" d\ e '' $X *"#, &["a", "b c", "d e", "", "$X", "*"]);
}

#[test]
fn a_faulty_command_is_refused_without_being_shown() {
    let check = |text, expected| {
        assert_eq!(CommandLine::parse(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("run 'secret", "a quote is not closed; words are split as by a POSIX shell");
    check("", "names no program");
    check("'' x", "names no program");
}

#[test]
fn a_name_replaces_the_braces_or_comes_last() {
    let check = |text, expected: &[&str]| {
        let command = CommandLine::parse(text).unwrap().with_name("a b");
        assert_eq!(words(&command), expected, "{text}");
    };
    check("reindex", &["reindex", "a b"]);
    check("reindex --all", &["reindex", "--all", "a b"]);
    check("reindex --name={} x", &["reindex", "--name=a b", "x"]);
    check("reindex {} {}", &["reindex", "a b", "a b"]);
    check("{}", &["{}", "a b"]);
}

#[test]
fn display_quotes_and_debug_hides_the_arguments() {
    let command = CommandLine::parse("sh -c 'echo hunter2'").unwrap();
    assert_eq!(command.to_string(), "sh -c 'echo hunter2'");
    assert_eq!(format!("{command:?}"), "CommandLine(\"sh\" and 2 arguments)");
}
