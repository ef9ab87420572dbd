//! What lints cannot say about this repository: how files open and what they are called, and that
//! the tables of the documentation are those of the code. `BLESS=1 ./test.sh tidy` rewrites them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use prelaunch::{config, error::EXIT_CODES, revision};

#[test]
fn every_file_opens_with_what_it_does() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let says = first.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty());
        assert!(says, "{} does not open with `//!` and what it does", path.display());
    }
}

#[test]
fn no_file_is_named_for_nothing() {
    for path in sources() {
        let vague = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "handler"];
        let parts = path.iter().filter_map(|part| part.to_str());
        let named = parts.filter(|part| vague.contains(&part.trim_end_matches(".rs")));
        let named: Vec<&str> = named.collect();
        assert!(named.is_empty(), "{}: `{}` says nothing", path.display(), named.join("/"));
    }
}

#[test]
fn no_test_is_ignored() {
    let ignored = concat!("#[", "ignore");
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(ignored), "{} has an ignored test", path.display());
    }
}

#[test]
fn the_readme_has_the_variables() {
    holds("README.md", "variables", &config::markdown_table());
}

#[test]
fn the_readme_has_the_exit_codes() {
    let rows = EXIT_CODES.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n"));
    holds(
        "README.md",
        "exit codes",
        &format!("| code | meaning |\n|---|---|\n{}", rows.collect::<String>()),
    );
}

#[test]
fn the_rules_of_lint_are_documented() {
    holds("docs/lint.md", "rules", &revision::rules_table());
    holds("docs/lint.md", "omitted", &revision::omitted_table());
}

/// What the linter is made of may change with each release of its own, and no start needs it.
#[test]
fn squawk_is_known_to_one_file() {
    for path in sources() {
        let may = path.ends_with("src/revision/lint/squawk.rs")
            || path.ends_with("src/revision/lint/tests.rs");
        let text = fs::read_to_string(&path).unwrap();
        let crates = ["linter", "syntax"].map(|part| format!("squawk_{part}"));
        let knows = crates.iter().any(|one| text.contains(one.as_str()));
        assert!(may || !knows, "{} knows squawk", path.display());
    }
}

/// That a file has this table between its marks, or, with `BLESS`, that it has from now on.
#[track_caller]
fn holds(file: &str, mark: &str, table: &str) {
    let path = root().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (open, close) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{file} has no {open}"));
    let (found, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{file} has no {close}"));
    if env::var_os("BLESS").is_some() && found.trim() != table.trim() {
        fs::write(&path, format!("{before}{open}\n{table}{close}{after}")).unwrap();
        return;
    }
    assert!(
        found.trim() == table.trim(),
        "the table of {mark} in {file} is not that of the code; BLESS=1 ./test.sh tidy writes it:\n{table}"
    );
}

/// All Rust files of this repository.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in ["src", "tests", "benches", "examples", "fuzz/targets"] {
        walk(&root().join(directory), &mut found);
    }
    assert!(found.len() > 50, "the files are somewhere else");
    found
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    // Not every directory has to be there.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        // A symbolic link leads to what is seen elsewhere.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
