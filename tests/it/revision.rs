//! What the verbs of the terminal write and examine: new revisions, merges, faults of a directory.

use std::fs;

use serde_json::Value;

use crate::{database::on_both, outcome::Outcome, prelaunch::Prelaunch};

on_both! {
    /// Two authors who do not know of each other, and a third who finds both.
    fn two_revisions_of_one_parent_are_refused_until_they_are_merged(database: &dyn Database) {
        let start = Prelaunch::on(database).env("AUTO_MIGRATION", "true");
        let root = new(&start, &["-m", "root"]);
        let one = new(&start, &["-m", "one"]);
        let other = new(&start, &["-m", "other", "--head", &root, "--splice"]);
        for id in [&root, &one, &other] {
            fill(&start, id);
        }

        let mut heads = [one.as_str(), other.as_str()];
        heads.sort_unstable();
        let [first, second] = heads;
        let refused = start.run();
        refused.assert_status(21).assert_stdout("").assert_stderr(&format!(
            "prelaunch: exit 21 in configure: MIGRATION_TARGET: the graph has 2 heads, `{first}` and `{second}`; \
             merge them with `prelaunch revision merge -m TITLE {first} {second}`, \
             or name one of them, or `heads` for all\n"
        ));
        assert_eq!(database.tables(), [""; 0]);

        // Word for word what it said.
        let said = refused.last_words();
        let command = said.split('`').find(|part| part.starts_with("prelaunch ")).unwrap();
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let merge = id_of(&start.clone().args(&words).run());
        assert_eq!(parents(&start, &merge), [first, second]);

        start.run().assert_status(0);
        let mut applied = [root.as_str(), &one, &other, &merge];
        applied.sort_unstable();
        assert_eq!(database.ledger(), applied);
        let upgrades = database.upgrades();
        assert_eq!((&upgrades[0], &upgrades[3]), (&root, &merge));
    }

    fn what_was_just_written_can_be_applied_as_it_is(database: &dyn Database) {
        let start = Prelaunch::on(database).env("AUTO_MIGRATION", "true");
        let first = new(&start, &["-m", "nothing yet"]);
        let second = new(&start, &["-m", "nor here", "--branch", "side"]);
        start.run().assert_status(0);
        assert_eq!(database.upgrades(), [first, second]);
    }
}

#[test]
fn a_new_revision_is_a_script_that_follows_the_head() {
    let start = Prelaunch::new().migrations_from("demo");
    let written = start.clone().args(&["revision", "new", "-m", "Add a due date!"]).run();
    written.assert_status(0).assert_stderr("");
    let path = written.raw_stdout.strip_suffix('\n').unwrap();
    let id = id_of(&written);
    assert_eq!(id.len(), 12);
    assert!(id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)), "{id}");
    let text = fs::read_to_string(start.directory().join(path)).unwrap();
    let (_, rest) = text.split_once("-- created: ").unwrap();
    let created = rest.lines().next().unwrap();
    let day = created[..10].replace('-', "");
    assert_eq!(path, format!("migrations/{day}_{id}_add_a_due_date.sql"));
    assert_eq!(
        text,
        format!(
            "-- Add a due date!
--
-- revision: {id}
-- revises: 1e629a913727
-- created: {created}

-- migrate:up
-- the SQL that leads here; for one engine only, below `-- migrate:up postgres` or `sqlite`

-- migrate:down
-- the SQL that leads back
"
        )
    );
    start
        .args(&["database", "history", &format!("{id}:")])
        .run()
        .assert_status(0)
        .assert_stdout(&format!("1e629a913727 -> {id} (head), Add a due date!"));
}

#[test]
fn the_parent_is_what_a_target_says() {
    let start = Prelaunch::new().migrations_from("demo");
    let refused = ask(&start, &["new", "-m", "x", "--head", "1.8"]);
    refused.assert_status(21).assert_stdout("").assert_stderr(
        "prelaunch: exit 21 in plan: `ae5522b4c674` is no head, since `3ff6484f8b37` follows it; \
         to let another branch begin there, add `--splice`\n",
    );
    let spliced =
        ask(&start, &["new", "-m", "x", "--head", "1.8", "--splice", "--branch", "side", "--json"]);
    spliced.assert_status(0).assert_stderr("");
    let spliced: Value = serde_json::from_str(&spliced.raw_stdout).unwrap();
    assert_eq!(spliced["parents"], serde_json::json!(["ae5522b4c674"]));
    assert_eq!(spliced.as_object().unwrap().len(), 3);
    let (id, path) = (spliced["revision"].as_str().unwrap(), spliced["path"].as_str().unwrap());
    let text = fs::read_to_string(start.directory().join(path)).unwrap();
    assert!(text.contains("\n-- branch: side\n"), "{text}");

    let undecided = ask(&start, &["new", "-m", "x"]);
    undecided.assert_status(21).assert_stdout("");
    let undecided = undecided.last_words();
    assert!(undecided.contains("prelaunch revision merge -m TITLE "), "{undecided}");
    assert!(undecided.contains("or name the parent with `--head "), "{undecided}");

    assert_eq!(parents(&start, &new(&start, &["-m", "y", "--head", "side@head"])), [id]);
    let root = new(&start, &["-m", "z", "--head", "base"]);
    assert_eq!(parents(&start, &root), [""; 0]);
    ask(&start, &["new", "-m", "x", "--head", &root, "--branch", "side"])
        .assert_status(20)
        .assert_stderr(&format!(
            "prelaunch: exit 20 in plan: `side` is already the branch label in {path}:3; \
             choose another label\n"
        ));
    ask(&start, &["new", "-m", "x", "--head", "nowhere"]).assert_status(21);
}

#[test]
fn a_first_revision_makes_the_directory_and_says_so() {
    let start = Prelaunch::new().env("MIGRATIONS_DIR", "db/scripts");
    let first = ask(&start, &["new", "-m", "first"]);
    first.assert_status(0).assert_stderr(
        "INFO configure: the directory of scripts was not there and is made directory=db/scripts\n",
    );
    assert!(first.raw_stdout.starts_with("db/scripts/"), "{}", first.raw_stdout);
    assert_eq!(parents(&start, &id_of(&first)), [""; 0]);
    let second = ask(&start, &["new", "-m", "second"]);
    second.assert_status(0).assert_stderr("");
    assert_eq!(parents(&start, &id_of(&second)), [id_of(&first)]);
}

#[test]
fn nothing_is_written_where_the_scripts_are_unsound_or_the_directory_is_none() {
    let start = Prelaunch::new().revision("c02", "c01", "select 1;");
    ask(&start, &["new", "-m", "x"]).assert_status(20).assert_stdout("");
    ask(&start, &["merge", "-m", "x"]).assert_status(20).assert_stdout("");
    assert_eq!(fs::read_dir(start.directory().join("migrations")).unwrap().count(), 1);
    let start = start.file("text", "").env("MIGRATIONS_DIR", "text");
    ask(&start, &["new", "-m", "x"]).assert_status(10).assert_stdout("");
    // What is in the way is no directory, and cannot be made one.
    let start = start.env("MIGRATIONS_DIR", "text/below");
    ask(&start, &["new", "-m", "x"]).assert_status(10).assert_stdout("");
}

#[test]
fn a_title_that_would_be_read_as_something_else_is_wrong_usage() {
    let start = Prelaunch::new();
    for title in ["tag: 1.8", "migrate:up", "\x1b[31m", "", "..."] {
        let refused = ask(&start, &["new", "-m", title]);
        refused.assert_status(2).assert_stdout("").assert_said("for '--message <TITLE>': a ");
    }
    ask(&start, &["new"]).assert_status(2);
    ask(&start, &["new", "-m", "x", "--branch", "a b"]).assert_status(2);
    assert!(!start.directory().join("migrations").exists());
    let id = new(&start, &["-m", "fix: 'two\nlines'; $(x) /* "]);
    start
        .args(&["database", "history"])
        .run()
        .assert_status(0)
        .assert_stdout(&format!("<base> -> {id} (head), fix: 'two lines'; $(x) /*"));
}

#[test]
fn a_merge_takes_all_heads_or_those_that_are_named() {
    let start = Prelaunch::new()
        .revision("c01", "", "select 1;")
        .revision("c02", "c01", "select 1;")
        .revision("c03", "c01", "select 1;")
        .revision("c04", "c01", "select 1;");
    let refusals = [
        (&["c02"][..], "only `c02` is named; name two heads or more, or none to merge all"),
        (&["c02", "c02"], "`c02` is named twice; name two different heads"),
        (&["c01", "c02"], "`c02` comes after `c01`, so there is nothing to merge"),
        (
            &["c02", "c05"],
            "no revision, tag or label here is called `c05`; check the name, and whether the image \
             is the right one",
        ),
    ];
    for (named, words) in refusals {
        ask(&start, &[&["merge", "-m", "x"], named].concat())
            .assert_status(21)
            .assert_stdout("")
            .assert_stderr(&format!("prelaunch: exit 21 in plan: {words}\n"));
    }
    let two = id_of(&ask(&start, &["merge", "-m", "two", "c04", "c02"]));
    assert_eq!(parents(&start, &two), ["c04", "c02"]);
    let all = id_of(&ask(&start, &["merge", "-m", "all"]));
    let mut merged = parents(&start, &all);
    merged.sort();
    let mut expected = ["c03", two.as_str()];
    expected.sort_unstable();
    assert_eq!(merged, expected);
    ask(&start, &["merge", "-m", "more"]).assert_status(21).assert_stderr(&format!(
        "prelaunch: exit 21 in plan: there is nothing to merge, since the graph has one head, `{all}`\n"
    ));
}

#[test]
fn lint_prints_every_fault_and_fails() {
    let start = Prelaunch::new()
        .revision("c01", "", "select 1;\ncommit;\nselect 2;\nend;")
        .revision("c02", "c03", "select 'x")
        .script("c04.sql", "-- c04\n-- revisoin: c04\n-- migrate:up\n");
    let found = ask(&start, &["lint"]);
    found
        .assert_status(20)
        .assert_stderr("prelaunch: exit 20 in plan: 5 faults in 3 scripts\n")
        .assert_stdout(
            "
            migrations/c01.sql:8: `COMMIT` ends the transaction that prelaunch opened; remove it
            migrations/c01.sql:10: `END` ends the transaction that prelaunch opened; remove it
            migrations/c02.sql:7: the string that opens here is not closed; end it with `'`
            migrations/c04.sql:1: no `revision` in the header; add a line `-- revision: <id>`
            migrations/c04.sql:2: unknown key `revisoin`; write `revision`, or another first word if it is prose
            ",
        );
    let json = ask(&start, &["lint", "--json"]);
    json.assert_status(20);
    let json: Value = serde_json::from_str(&json.raw_stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 5);
    assert_eq!(
        json[0],
        serde_json::json!({
            "path": "migrations/c01.sql",
            "line": 8,
            "severity": "fault",
            "rule": null,
            "message": "`COMMIT` ends the transaction that prelaunch opened; remove it",
        })
    );
    let start = start.without_script("c04.sql");
    ask(&start, &["lint"]).assert_status(20).assert_stdout(
        "
        migrations/c01.sql:8: `COMMIT` ends the transaction that prelaunch opened; remove it
        migrations/c01.sql:10: `END` ends the transaction that prelaunch opened; remove it
        migrations/c02.sql:3: revision `c02` revises `c03`, which no script here has; add that script or correct the parent
        migrations/c02.sql:7: the string that opens here is not closed; end it with `'`
        ",
    );
}

#[test]
fn lint_has_a_short_word_for_a_sound_directory() {
    let start = Prelaunch::new().migrations_from("demo");
    ask(&start, &["lint"])
        .assert_status(0)
        .assert_stderr("")
        .assert_stdout("migrations: 12 scripts, no fault and no warning");
    ask(&start, &["lint", "--json", "migrations"]).assert_status(0).assert_stdout("[]");
    // Nobody is there, and nobody is asked.
    let start = start.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let _ = new(&start, &["-m", "one more"]);
    let other = start.env("MIGRATIONS_DIR", "nowhere");
    ask(&other, &["lint"]).assert_status(10).assert_stdout("");
    ask(&other, &["lint", "--engine", "sqlite", "migrations"])
        .assert_status(0)
        .assert_stdout("migrations: 13 scripts, no fault and no warning");
    ask(&other, &["lint", "--engine", "mysql"]).assert_status(2);
}

fn ask(start: &Prelaunch, arguments: &[&str]) -> Outcome {
    start.clone().args(&[&["revision"], arguments].concat()).run()
}

/// Writes a revision; its id.
#[track_caller]
fn new(start: &Prelaunch, arguments: &[&str]) -> String {
    id_of(&ask(start, &[&["new"], arguments].concat()))
}

/// The id in the path that was printed.
#[track_caller]
fn id_of(written: &Outcome) -> String {
    written.assert_status(0);
    written.raw_stdout.split('_').nth(1).unwrap().to_owned()
}

/// What a revision follows, in the order of its header.
fn parents(start: &Prelaunch, id: &str) -> Vec<String> {
    let listing = start.clone().args(&["database", "history", "--json"]).run();
    listing.assert_status(0);
    let listing: Vec<Value> = serde_json::from_str(&listing.raw_stdout).unwrap();
    let revision = listing.iter().find(|one| one["revision"] == id).unwrap();
    let parents = revision["parents"].as_array().unwrap().iter();
    parents.map(|parent| parent.as_str().unwrap().to_owned()).collect()
}

/// Gives the script of a revision something to do.
fn fill(start: &Prelaunch, id: &str) {
    for entry in fs::read_dir(start.directory().join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains(&format!("-- revision: {id}\n")) {
            let text = text.replacen(
                "-- migrate:up\n",
                &format!("-- migrate:up\ncreate table t{id} (n integer);\n"),
                1,
            );
            fs::write(&path, text).unwrap();
        }
    }
}
