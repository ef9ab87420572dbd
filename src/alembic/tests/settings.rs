//! `alembic.ini` and `pyproject.toml`: the dialect, and what the keys mean.

use std::fmt::Write as _;

use super::*;
use crate::alembic::{
    ini::Ini,
    settings::{File, Settings, read as read_settings},
};

/// A value of `[s]`, or the fault with its line.
fn value(text: &str, key: &str) -> String {
    let found = Ini::read(text, "/here").and_then(|ini| ini.get("s", key));
    match found {
        Ok(Some((value, line))) => format!("{line}: {value}"),
        Ok(None) => "none".to_owned(),
        Err((line, fault)) => format!("{line}: {fault}"),
    }
}

#[track_caller]
fn check_ini(text: &str, expected: &str) {
    assert_eq!(value(text, "a"), expected, "{text}");
}

#[test]
fn keys_end_at_the_first_sign_and_count_in_small_letters() {
    check_ini("[s]\na = 1", "2: 1");
    check_ini("[s]\n\nA: b = c ", "3: b = c");
    check_ini("[s]\r\na=b:c\r\n", "2: b:c");
    check_ini("[s]\na =\n", "2: ");
    check_ini("[s]\nb = 1", "none");
    check_ini("[t]\na = 1", "none");
    check_ini("\u{feff}[s]\na = 1", "2: 1");
}

#[test]
fn comments_have_lines_of_their_own() {
    check_ini(
        "# c\n[s]\n; c\n  # c\na = 1 # no comment ; nor this",
        "5: 1 # no comment ; nor this",
    );
}

#[test]
fn values_go_on_where_lines_are_deeper() {
    check_ini("[s]\na = 1\n  2\n\t3\nb = 4", "2: 1\n2\n3");
    check_ini("[s]\na =\n  1\n\n  # c\n\n  2\n\n\nb = 4", "2: \n1\n\n\n2");
    check_ini("[s]\n  a = 1\n    2\n  b = 4", "2: 1\n2");
    check_ini("[s]\na = 1\n  [t]\nb = 2", "2: 1\n[t]");
    check_ini("[s]\na = 1\n  b = 2", "2: 1\nb = 2");
}

#[test]
fn defaults_are_lent_to_sections_that_are_there() {
    check_ini("[DEFAULT]\na = 1\n[s]\n", "2: 1");
    check_ini("[DEFAULT]\na = 1\n[s]\na = 2\n", "4: 2");
    check_ini("[DEFAULT]\na = 1\n", "none");
}

#[test]
fn references_are_replaced_in_the_value_that_is_asked_for() {
    check_ini("[s]\na = %(here)s/x%%y", "2: /here/x%y");
    check_ini("[s]\na = %(B)s\nb = %(c)s\nc = 1\nd = %", "2: 1");
    let percent =
        "2: `a` has a `%` that is not followed by `(name)s`; write `%%` for the sign itself";
    check_ini("[s]\na = 100%", percent);
    check_ini("[s]\na = %(here)x", percent);
    check_ini("[s]\na = %p", percent);
    check_ini(
        "[s]\na = %(b)s",
        "2: `a` refers to `%(b)s`, which its section does not have; correct the name",
    );
    let endless = "2: `a` refers to itself; write out one of the values that it refers to";
    check_ini("[s]\na = %(b)s\nb = %(a)s", endless);
}

#[test]
fn what_configparser_refuses_is_refused() {
    check_ini("a = 1", "1: this line belongs to no section; write `[alembic]` above it");
    check_ini("[s]\na", "2: this line has no `=`; write `key = value`");
    check_ini("[s]\n= 1", "2: this line has no `=`; write `key = value`");
    check_ini("[s]\na = 1\nA = 2", "3: `a` is given twice in its section; line 2 has it already");
    check_ini("[s]\n[t]\n[s]", "3: section `[s]` is given twice; line 1 has it already");
}

/// The settings of an ini and a TOML, or the fault.
fn settings(ini: Option<&str>, toml: Option<&str>) -> Result<Settings, String> {
    let (ini_path, toml_path) = (Path::new("/app/alembic.ini"), Path::new("/app/pyproject.toml"));
    let ini = ini.map(|text| File { path: ini_path, text });
    let toml = toml.map(|text| File { path: toml_path, text });
    read_settings(ini.as_ref(), "alembic", toml.as_ref()).map_err(|fault| fault.to_string())
}

/// `location | version locations | words`, or the fault.
#[track_caller]
fn check_settings(ini: &str, toml: &str, expected: &str) {
    let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    // Leaked, since tests give literals and formatted texts alike.
    let (ini, toml) = (String::leak(ini.to_owned()), String::leak(toml.to_owned()));
    let found = match settings(some(ini), some(toml)) {
        Ok(found) => {
            let location = found.script_location.map(|(location, _)| location).unwrap_or_default();
            let mut text = format!("{location} | {}", found.version_locations.join(" & "));
            for (is, word) in [(found.recursive, "recursive"), (found.sourceless, "sourceless")] {
                if is {
                    let _ = write!(text, " | {word}");
                }
            }
            text
        }
        Err(fault) => fault,
    };
    assert_eq!(found, expected, "{ini}\n{toml}");
}

#[test]
fn version_locations_are_cut_as_the_separator_says() {
    let with = |separator: &str, value: &str, expected: &str| {
        let ini = format!("[alembic]\n{separator}\nversion_locations = {value}\n");
        check_settings(&ini, "", &format!(" | {expected}"));
    };
    with("", "a b, c,d", "a & b & c & d");
    with("path_separator = os", "%(here)s/a:b c", "/app/a & b c");
    with("version_path_separator = os", "a:b", "a & b");
    with("version_path_separator = :", "a:b", "a & b");
    with("path_separator = ;\nversion_path_separator = :", "a;b:c", "a & b:c");
    with("path_separator = space", "a  b:c", "a & b:c");
    with("path_separator = newline", "\n  a\n  b c", "a & b c");
    check_settings(
        "[alembic]\nversion_locations = a\npath_separator = comma",
        "",
        "/app/alembic.ini:3: `path_separator` is `comma`; write one of `os`, `newline`, `space`, \
         `:` or `;`",
    );
}

#[test]
fn only_the_word_true_is_true() {
    check_settings(
        "[alembic]\nrecursive_version_locations = true\nsourceless = true",
        "",
        " |  | recursive | sourceless",
    );
    check_settings("[alembic]\nrecursive_version_locations = True\nsourceless = 1", "", " | ");
}

#[test]
fn the_ini_wins_over_the_toml_key_by_key() {
    let toml = "[tool.alembic]\nscript_location = \"%(here)s/t\"\nversion_locations = ['x', 'y%%']\nsourceless = true\n";
    check_settings("", toml, "/app/t | x & y% | sourceless");
    check_settings("[alembic]\nscript_location = i\nsourceless = false", toml, "i | x & y%");
    check_settings("[loggers]\nkeys = root", toml, "/app/t | x & y% | sourceless");
    check_settings("[alembic]\nversion_locations = v", toml, "/app/t | v | sourceless");
}

#[test]
fn a_toml_is_held_to_its_types() {
    let fault = |text: &str, expected: &str| {
        check_settings("", text, &format!("/app/pyproject.toml:{expected}"));
    };
    fault("[tool]\nalembic = 1", "2: `tool.alembic` is a number; write a table");
    fault("[tool.alembic]\nscript_location = 1", "2: `script_location` is a number; write a text");
    fault(
        "[tool.alembic]\nversion_locations = 'a:b'",
        "2: `version_locations` is a text; write a list of texts",
    );
    fault("[tool.alembic]\nsourceless = 'true'", "2: `sourceless` is a text; write true or false");
    let broken = settings(None, Some("[tool.alembic]\nx = ")).expect_err("no TOML");
    assert!(broken.starts_with("/app/pyproject.toml:2: this is no TOML: "), "{broken}");
}
