//! Which Python is asked, and where programs are looked for.

use std::{ffi::OsStr, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::*;
use crate::alembic::python::{Places, path_of};

/// The Python for these programs in a directory with these executable files; `ROOT` in them is that
/// directory, and PATH is `ROOT/bin:ROOT/usr`.
#[track_caller]
fn check(programs: &[&str], contents: &[(&str, &str)], expected: &str) {
    let directory = files(&[]);
    let root = directory.path().canonicalize().unwrap();
    let shown = root.display().to_string();
    for (name, text) in contents {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "tests write what is read")]
        std::fs::write(&path, text.replace("ROOT", &shown)).unwrap();
        let mode = if name.contains(".data") { 0o644 } else { 0o755 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let path = format!("{shown}/bin:{shown}/usr");
    let found = Places::of(Some(OsStr::new(&path)), &root.join("app")).python(programs);
    let found = found.map(|python: PathBuf| python.display().to_string().replace(&shown, "ROOT"));
    assert_eq!(found.as_deref().unwrap_or("none"), expected);
}

#[test]
fn it_is_that_of_the_command() {
    let alembic = ("bin/alembic", "#!ROOT/venv/bin/python3.12\n");
    check(&["alembic"], &[alembic, ("bin/python3", "")], "ROOT/venv/bin/python3.12");
    check(
        &["alembic"],
        &[("bin/alembic", "#! /opt/my/bin/python -I\nimport x\n"), ("bin/python3", "")],
        "/opt/my/bin/python",
    );
    let of_ours = ("usr/migrate", "#!ROOT/other/bin/pypy3\n");
    check(&["migrate", "alembic"], &[of_ours, alembic], "ROOT/other/bin/pypy3");
    // A command that is a Python, by name or by path; and one that is neither, nor a script of one.
    check(&["python3.11", "alembic"], &[("usr/python3.11", ""), alembic], "ROOT/usr/python3.11");
    check(&["./python", "alembic"], &[("app/python", ""), alembic], "ROOT/app/./python");
    for other in ["\x7fELF", "#!/bin/sh\nalembic upgrade head\n", "#!", ""] {
        check(&["sh", "alembic"], &[("bin/sh", other), alembic], "ROOT/venv/bin/python3.12");
    }
}

#[test]
fn a_script_may_name_it_in_other_ways() {
    let env = ("bin/alembic", "#!/usr/bin/env -S python3 -u\n");
    check(&["alembic"], &[env, ("bin/python", ""), ("usr/python3", "")], "ROOT/usr/python3");
    let bash = ("bin/alembic", "#!/usr/bin/env bash\n");
    check(&["alembic"], &[bash, ("usr/python", "")], "ROOT/usr/python");
    // What installers write where the path is too long for the kernel.
    let long = "#!/bin/sh\n'''exec' ROOT/app/venv/bin/python3 \"$0\" \"$@\"\n' '''\nimport x\n";
    check(
        &["alembic"],
        &[("app/venv/bin/alembic", long), ("app/venv/bin/python3", ""), ("usr/python3", "")],
        "ROOT/app/venv/bin/python3",
    );
}

#[test]
fn without_a_command_it_is_that_of_an_environment_or_the_one_in_path() {
    let system = ("usr/python3", "");
    check(&["alembic"], &[system], "ROOT/usr/python3");
    check(&["alembic"], &[("usr/python", "")], "ROOT/usr/python");
    check(&["alembic"], &[("app/.venv/bin/python", ""), system], "ROOT/app/.venv/bin/python");
    // Above the settings, and with a command that is in no PATH.
    check(
        &["alembic"],
        &[(".venv/bin/alembic", "#!ROOT/.venv/bin/python\n"), system],
        "ROOT/.venv/bin/python",
    );
    check(&["alembic"], &[], "none");
    // What cannot be run is none.
    let text = "#!ROOT/venv/bin/python\n";
    check(&["alembic.data"], &[("bin/alembic.data", text), system], "ROOT/usr/python3");
}

#[test]
fn commands_may_have_a_path_of_their_own() {
    let ours = Some(OsStr::new("/ours"));
    let path = |changed: &[(&str, &str)]| {
        let changed: Vec<_> = changed.iter().map(|(n, v)| (n.into(), v.into())).collect();
        path_of(&changed, ours).map(|path| path.to_string_lossy().into_owned())
    };
    assert_eq!(path(&[("X", "y")]).as_deref(), Some("/ours"));
    assert_eq!(path(&[("X", "y"), ("PATH", "/theirs")]).as_deref(), Some("/theirs"));
}
