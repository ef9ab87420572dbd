//! The command that asks Python, and its answer.

use super::*;

fn arguments(question: &Question) -> Vec<String> {
    let shown = question.arguments.iter().map(|one| one.to_string_lossy().into_owned());
    // Less `-c` and the script.
    shown.skip(2).collect()
}

#[test]
fn python_is_told_what_the_settings_do_not_say() {
    let directory = files(&[
        ("a/alembic.ini", "[alembic]\nscript_location = m\n"),
        ("a/m/env.py", ""),
        ("a/m/versions/x.py", "revision = f()\ndown_revision = None\n"),
        ("b/env.py", ""),
        ("b/versions/x.py", "revision = f()\ndown_revision = None\n"),
        ("c/alembic.ini", "[alembic]\n"),
        ("c/env.py", ""),
        ("d/alembic.ini", "[other]\nscript_location = not_installed:m\n"),
    ]);
    let root = directory.path();
    let asked = |path: &str, section: &str| {
        let options = Options { section: section.to_owned(), ..Options::default() };
        let question = Question::about(&root.join(path), &options, Path::new("python3"));
        let question = question.expect("a question");
        let paths: Vec<String> =
            arguments(&question).iter().map(|one| inside(root, Path::new(one))).collect();
        format!("{}: {}", inside(root, &question.directory), paths.join(" | "))
    };
    assert_eq!(asked("a", "alembic"), "a: a/alembic.ini |  | alembic | ");
    assert_eq!(asked("a/m/versions", "alembic"), "a: a/alembic.ini |  | alembic | ");
    assert_eq!(asked("b", "alembic"), "b:  |  | alembic | b | b/versions");
    assert_eq!(asked("c", "alembic"), "c: c/alembic.ini |  | alembic | c");
    assert_eq!(asked("d", "other"), "d: d/alembic.ini |  | other | ");
}

/// What Python prints of an environment with these rows.
fn printed(rows: &str) -> String {
    format!("{{\"script_location\": \"/m\", \"revisions\": [{rows}]}}\n")
}

#[test]
fn an_answer_is_a_graph() {
    let rows = r#"
        {"path": "/m/versions/b.py", "id": "b", "parents": ["a"], "depends_on": [], "labels": ["x"], "doc": "t\n\nmore"},
        {"path": "/m/more/a.py", "id": "a", "parents": [], "depends_on": [], "labels": [], "doc": ""}
    "#;
    let answer = Question::answer(printed(&rows.replace('\n', " ")).as_bytes());
    let answer = answer.expect("an answer");
    let revisions = answer.graph.revisions();
    let told: Vec<String> = revisions.map(|revision| told(Ok(revision.clone()))).collect();
    assert_eq!(told, ["a", "b <- a [x] t"]);
    assert_eq!(answer.script_location, Path::new("/m"));
    assert_eq!(answer.version_locations(), [Path::new("/m/more"), Path::new("/m/versions")]);
}

fn error(answer: &str) -> String {
    Question::answer(answer.as_bytes())
        .map(|answer| answer.graph.len())
        .expect_err("an error")
        .to_string()
}

#[test]
fn an_unsound_answer_is_refused_as_files_are() {
    let row = |id: &str, parent: &str| {
        format!(
            r#"{{"path":"/{id}.py","id":"{id}","parents":["{parent}"],"depends_on":[],"labels":[],"doc":""}}"#
        )
    };
    let none = "its answer is no list of revisions; does something else write to its stdout?";
    for answer in ["", "Traceback", "{}", "[1]", "{\"revisions\": []}", &printed("1")] {
        assert_eq!(error(answer), none, "{answer}");
    }
    assert_eq!(error(&printed("")), "it finds no revision");
    assert_eq!(
        error(&printed(&row("a", "a"))),
        "/a.py:1: revision `a` comes before itself; name the revision that does"
    );
    assert_eq!(error(&printed(&row("a-b", "a"))), "/a-b.py:1: revision id `a-b` contains `-`");
}

#[test]
fn what_stands_above_the_answer_is_somebody_elses() {
    assert_eq!(error(&format!("welcome\n{}\n\n", printed(""))), "it finds no revision");
}

#[test]
fn an_exception_is_told_on_one_line_and_without_passwords() {
    let error = |text: &str| error(&serde_json::json!({ "error": text }).to_string());
    assert_eq!(
        error("ModuleNotFoundError: No module named 'alembic'"),
        "ModuleNotFoundError: No module named 'alembic'"
    );
    assert_eq!(
        error("ValueError: cannot use\n  postgresql://u:hunter2@h/d"),
        "ValueError: cannot use postgresql://u:…@h/d"
    );
    assert_eq!(error(&"é".repeat(500)), format!("{}…", "é".repeat(200)));
}

#[test]
fn an_answer_makes_an_environment() {
    let directory = files(&[
        ("env.py", "context.configure(version_table='t')"),
        ("versions/x.py", "revision = f()\ndown_revision = None\n"),
    ]);
    let graph = crate::graph::notation::graph("a; b<-a");
    let answer = Answer { graph, script_location: "/nowhere".into() };
    let found = ask::read_answered(directory.path(), &Options::default(), answer);
    assert_eq!(ids(directory.path(), &found), "a b");
    assert_eq!(found.expect("an environment").version_table.named(), Some("t"));
}

/// Only Python knows where it is, and so where its `env.py` is.
#[test]
fn a_package_that_is_nowhere_is_where_the_answer_says() {
    let directory = files(&[
        ("a/alembic.ini", "[alembic]\nscript_location = not_here:m\n"),
        ("b/m/env.py", "context.configure(version_table='t')"),
    ]);
    let answer = Answer {
        graph: crate::graph::notation::graph("a; b<-a"),
        script_location: directory.path().join("b/m"),
    };
    let path = directory.path().join("a");
    let found = ask::read_answered(&path, &Options::default(), answer).expect("an environment");
    assert_eq!(found.version_table.named(), Some("t"));
    assert_eq!(found.directory, path);
    assert_eq!(found.script_location, directory.path().join("b/m"));
}
