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

#[test]
fn an_answer_is_a_graph() {
    let answer = r#"[
        {"path": "/b.py", "id": "b", "parents": ["a"], "depends_on": [], "labels": ["x"], "doc": "t\n\nmore"},
        {"path": "/a.py", "id": "a", "parents": [], "depends_on": [], "labels": [], "doc": ""}
    ]"#;
    let graph = Question::answer(answer.as_bytes()).expect("a graph");
    let told: Vec<String> = graph.revisions().map(|revision| told(Ok(revision.clone()))).collect();
    assert_eq!(told, ["a", "b <- a [x] t"]);
}

#[test]
fn an_unsound_answer_is_refused_as_files_are() {
    let error = |answer: &str| {
        Question::answer(answer.as_bytes())
            .map(|graph| graph.len())
            .expect_err("an error")
            .to_string()
    };
    let row = |id: &str, parent: &str| {
        format!(
            r#"{{"path":"/{id}.py","id":"{id}","parents":["{parent}"],"depends_on":[],"labels":[],"doc":""}}"#
        )
    };
    let none = "Python's answer is no list of revisions; run the same command to see what it says";
    for answer in ["", "Traceback", "{}", "[1]", "[{\"id\":1}]"] {
        assert_eq!(error(answer), none, "{answer}");
    }
    assert_eq!(
        error(&format!("[{}]", row("a", "a"))),
        "/a.py:1: revision `a` comes before itself; name the revision that does"
    );
    assert_eq!(
        error(&format!("[{}]", row("a-b", "a"))),
        "/a-b.py:1: revision id `a-b` contains `-`"
    );
}

#[test]
fn a_graph_that_was_answered_makes_an_environment() {
    let directory = files(&[
        ("env.py", "context.configure(version_table='t')"),
        ("versions/x.py", "revision = f()\ndown_revision = None\n"),
    ]);
    let graph = crate::graph::notation::graph("a; b<-a");
    let found = ask::read_answered(directory.path(), &Options::default(), graph);
    assert_eq!(ids(directory.path(), &found), "a b");
    assert_eq!(found.expect("an environment").version_table.named(), Some("t"));
}
