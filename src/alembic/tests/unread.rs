//! What is told where not every file can be read: mistakes first, then what is unsound whatever else
//! there is, and only then what Python may know.

use super::*;

/// The error of these files, and of a root whose label a call gives; and whether Python may help.
#[track_caller]
fn check(contents: &[(&str, &str)], python: bool, expected: &str) {
    let root = "revision = 'root'\ndown_revision = None\nbranch_labels = f()\n";
    let named = |(name, text): &(&str, &str)| (format!("m/versions/{name}"), (*text).to_owned());
    let mut all = vec![("m/env.py".to_owned(), String::new()), named(&("z.py", root))];
    all.extend(contents.iter().map(named));
    let all: Vec<(&str, &str)> = all.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let directory = files(&all);
    let error = read(&directory.path().join("m")).expect_err("an error");
    assert_eq!(error.python_may_know(), python, "{error}");
    let shown = error.to_string().replace(&directory.path().display().to_string(), "DIR");
    assert_eq!(shown.replace("DIR/m/versions/", ""), expected);
}

const LABEL: &str = "z.py:3: `branch_labels` is the result of a call, which is known only when Python runs it; write it as plain text";

#[test]
fn what_is_unsound_by_itself_needs_no_python() {
    check(&[], true, LABEL);
    check(
        &[("a.py", &text("a", Some("a")))],
        false,
        "a.py:1: revision `a` comes before itself; name the revision that does",
    );
    check(
        &[("a.py", &text("root", None))],
        false,
        "z.py:1: revision `root` is already in a.py:1; give one of them another id",
    );
    check(
        &[("a.py", &text("a", Some("b"))), ("b.py", &text("b", Some("a")))],
        false,
        "a.py:1: revisions form a ring, `a` before `b` before `a`; change what one of them revises or depends on",
    );
    check(
        &[("a.py", &text("a", Some("gone")))],
        false,
        "a.py:1: revision `a` revises `gone`, which no script here has; add that script or correct the parent",
    );
    let labelled = |id: &str| format!("{}branch_labels = 'x'\n", text(id, None));
    check(
        &[("a.py", &labelled("a")), ("b.py", &labelled("b"))],
        false,
        "b.py:1: branch label `x` is already in a.py:1; keep it where the branch begins",
    );
}

#[test]
fn what_the_unknown_may_put_right_is_left_to_python() {
    // A label that is missed may be the one that is not known.
    let depends = format!("{}depends_on = 'x'\n", text("a", Some("root")));
    check(&[("a.py", &depends)], true, LABEL);
    // A parent that is missed, the id that is not.
    let computed = "revision = f()\ndown_revision = 'root'\n";
    check(
        &[("a.py", &text("a", Some("gone"))), ("b.py", computed)],
        true,
        &format!(
            "b.py:1: `revision` is the result of a call, which is known only when Python runs it; write it as plain text; {LABEL}"
        ),
    );
    // But what comes before itself does so whatever else there is.
    check(
        &[("a.py", &text("a", Some("a"))), ("b.py", computed)],
        false,
        "a.py:1: revision `a` comes before itself; name the revision that does",
    );
}

#[test]
fn a_mistake_is_told_alone() {
    check(
        &[("x.py", "x = 1\n")],
        false,
        "x.py:1: the file declares no `revision`; declare it, or move the file out of the directory of revisions; \
         x.py:1: the file declares no `down_revision`; write `down_revision = None` if it is a root",
    );
}

#[test]
fn many_faults_are_told_in_brief() {
    let directory = files(&[
        ("env.py", ""),
        ("versions/a.py", "revision = f()\ndown_revision = None\n"),
        ("versions/b.py", "revision = f()\ndown_revision = f()\n"),
    ]);
    let error = read(directory.path()).expect_err("an error");
    let brief = error.brief().replace(&directory.path().display().to_string(), "DIR");
    assert_eq!(
        brief,
        "DIR/versions/a.py:1: `revision` is the result of a call, which is known only when Python runs it; write it as plain text (and 2 more of the kind)"
    );
}
