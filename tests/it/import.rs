//! `revision import`: what it promises whatever Alembic is. A shell script stands for Python, so that
//! each answer is one that a test chooses; `tests/alembic/import.sh` has the real one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::{database::eventually, outcome::Outcome, prelaunch::Prelaunch};

/// What a function sends.
fn sends(statements: &[&str]) -> Value {
    json!({ "statements": statements })
}

/// An environment with these revisions, each following the one before it, and a Python that gives
/// these answers about them: up and down, for whatever engine.
fn environment(revisions: &[(&str, Value, Value)]) -> Prelaunch {
    let mut start = Prelaunch::new()
        .file("app/alembic.ini", "[alembic]\nscript_location = migrations\n")
        .file("app/migrations/env.py", "");
    let mut parent = "None".to_owned();
    let mut answers = Vec::new();
    for (id, up, down) in revisions {
        let text = format!(
            "\"\"\"make {id}\n\nCreate Date: 2024-05-01 10:00:00.5\n\"\"\"\n\
             revision = \"{id}\"\ndown_revision = {parent}\n"
        );
        start = start.file(&format!("app/migrations/versions/{id}.py"), text);
        parent = format!("\"{id}\"");
        answers.push(json!({ "revision": id, "up": up, "down": down }));
    }
    python(start, &json!({ "revisions": answers }).to_string())
}

/// A Python with this answer to what is asked about revisions.
fn python(start: Prelaunch, answer: &str) -> Prelaunch {
    let text = format!(
        "#!/bin/sh\nwhile read -r line; do\n  case $line in\n    *'\"do\":\"open\"'*) echo '{{}}' ;;\n\
         \x20   *) cat <<'ANSWER'\n{answer}\nANSWER\n    ;;\n  esac\ndone\n"
    );
    let start = start.file("python", text);
    let path = start.directory().join("python");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    start
}

fn import(start: &Prelaunch, flags: &[&str]) -> Outcome {
    let python = start.directory().join("python").display().to_string();
    let mut words = vec!["revision", "import", "--alembic", "app", "--python", &python];
    words.extend_from_slice(flags);
    // Nothing may be left there.
    let temporary = start.directory().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let outcome =
        start.clone().env("TMPDIR", &temporary).env("LOG_LEVEL", "warn").args(&words).run();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something is left behind");
    outcome
}

fn migrations(start: &Prelaunch) -> PathBuf {
    start.directory().join("migrations")
}

#[test]
fn revisions_become_scripts_that_can_be_applied() {
    let start = environment(&[
        ("r1", sends(&["create table t (a int)"]), sends(&["drop table t"])),
        ("r2", sends(&["alter table t add b text"]), sends(&[])),
    ]);
    let done = import(&start, &["--tag", "r2=1.0"]);
    done.assert_status(0)
        .assert_stderr("")
        .assert_stdout("migrations/20240501_r1_make_r1.sql\nmigrations/20240501_r2_make_r2.sql");
    assert_eq!(
        start.read("migrations/20240501_r2_make_r2.sql"),
        "-- make r2
--
-- revision: r2
-- revises: r1
-- tag: 1.0
-- created: 2024-05-01 10:00:00

-- migrate:up
alter table t add b text;

-- migrate:down
-- nothing to undo
"
    );
    start.clone().args(&["revision", "lint", "--engine", "sqlite"]).run().assert_status(0);
    start
        .env("DATABASE_URL", "sqlite:x.db")
        .env("AUTO_MIGRATION", "true")
        .args(&["run"])
        .run()
        .assert_status(0);
}

#[test]
fn a_script_that_is_there_is_never_written_over() {
    let start = environment(&[("r1", sends(&["create table t (a int)"]), sends(&[]))]);
    import(&start, &[]).assert_status(0);
    let again = import(&start, &[]);
    again.assert_status(0).assert_stdout("migrations/20240501_r1_make_r1.sql (unchanged)");

    let path = "migrations/20240501_r1_make_r1.sql";
    let edited = start.read(path).replace("(a int)", "(a bigint)");
    let start = start.file(path, &edited);
    import(&start, &[]).assert_status(10).assert_stdout("").assert_stderr(
        "prelaunch: exit 10 in plan: `migrations/20240501_r1_make_r1.sql` has revision `r1` and is not \
         what would be written; move it away, or import into another directory with --out\n",
    );
    assert_eq!(start.read(path), edited);
    import(&start, &["--out", "other"]).assert_status(0);
}

#[test]
fn what_cannot_be_written_down_leaves_nothing_written() {
    let refused = json!({ "refused": "reads rows", "line": 9 });
    let start = environment(&[
        ("r1", sends(&["create table t (a int)"]), sends(&[])),
        ("r2", refused, sends(&[])),
    ]);
    let file = start.directory().join("app/migrations/versions/r2.py");
    let done = import(&start, &["--engine", "sqlite"]);
    done.assert_status(20).assert_stdout("");
    assert_eq!(
        done.raw_stderr,
        format!(
            "prelaunch: exit 20 in plan: 1 section cannot be imported, and nothing was written; with \
             --delegate it is left to Alembic, with --allow-missing scripts without it are: {}:9: revision `r2`, up for sqlite, \
             reads rows\n",
            file.display()
        )
    );
    assert!(!migrations(&start).exists());

    import(&start, &["--engine", "sqlite", "--allow-missing"]).assert_status(0);
    let run = start.env("DATABASE_URL", "sqlite:x.db").env("AUTO_MIGRATION", "true");
    let run = run.args(&["run"]);
    run.run().assert_status(20).assert_stderr(
        "prelaunch: exit 20 in configure: migrations/20240501_r2_make_r2.sql:3: no up section for \
         sqlite; add `-- migrate:up sqlite`, or `-- migrate:up` to serve each engine\n",
    );
    assert!(!run.directory().join("x.db").exists());
}

#[test]
fn what_needs_a_server_says_so_before_python_is_started() {
    let start = environment(&[]);
    import(&start, &["--verify"]).assert_status(10).assert_stderr(
        "prelaunch: exit 10 in plan: --verify needs a PostgreSQL server to try the scripts on; name \
         one with --scratch\n",
    );
    import(&start, &["--scratch", "mysql://u:secret-word@h/d"]).assert_status(10).assert_stderr(
        "prelaunch: exit 10 in plan: --scratch scheme `mysql` is not served; accepted are \
             `postgres://`, `postgresql://`, `sqlite:` and SQLAlchemy's `+driver` forms of them\n",
    );
    import(&start, &["--scratch", "sqlite:x.db"]).assert_status(10).assert_stderr(
        "prelaunch: exit 10 in plan: --scratch names no PostgreSQL server; for SQLite a temporary \
         file is used\n",
    );
}

#[test]
fn a_python_that_fails_is_named_with_what_it_said_and_no_password() {
    let one = ("r1", sends(&[]), sends(&[]));
    let answer = r#"{"error": "OperationalError: no postgresql://me:secret-word@db/x"}"#;
    let start = python(environment(&[one]), answer).secret("secret-word");
    import(&start, &[]).assert_status(19).assert_stdout("").assert_stderr(
        "prelaunch: exit 19 in plan: `DIR/python` could not render the revisions: OperationalError: \
         no postgresql://me:…@db/x\n",
    );
    let broken = "#!/bin/sh\necho 'Traceback: redis://:secret-word@cache is down' >&2\nexit 1\n";
    let start = start.file("python", broken);
    import(&start, &[]).assert_status(19).assert_stderr(
        "prelaunch: exit 19 in plan: `DIR/python` could not load the environment: it ended; it said: \
         Traceback: redis://:…@cache is down\n",
    );
    fs::remove_file(start.directory().join("python")).unwrap();
    import(&start, &[]).assert_status(19).assert_stderr(
        "prelaunch: exit 19 in plan: cannot run `DIR/python`; name the Python that has Alembic with \
         --python: No such file or directory (os error 2)\n",
    );
}

#[test]
fn the_report_has_each_section() {
    let absent = json!({ "absent": "there is no `downgrade`" });
    let start = environment(&[("r1", sends(&["select 1"]), absent)]);
    let done = import(&start, &["--json", "--engine", "postgres"]);
    done.assert_status(0).assert_stderr("");
    let report: Value = serde_json::from_str(&done.raw_stdout).unwrap();
    assert_eq!(
        report["revisions"][0]["sections"],
        json!([
            { "engine": "postgres", "direction": "up", "how": "offline" },
            { "engine": "postgres", "direction": "down", "how": "absent",
              "why": "there is no `downgrade`" },
        ])
    );
    assert_eq!(report["revisions"][0]["state"], "written");
    assert_eq!(report["version_table"], "alembic_version");
    let figures = &report["figures"];
    assert_eq!([&figures["revisions"], &figures["offline"], &figures["absent"]], [1, 1, 1]);
}

#[test]
fn a_signal_ends_it_and_the_python_that_it_started() {
    let start = environment(&[("r1", sends(&[]), sends(&[]))]);
    let hangs = "#!/bin/sh\necho $$ > pid.new && mv pid.new pid\nread line\nexec sleep 1000\n";
    let start = start.file("python", hangs);
    let python = start.directory().join("python").display().to_string();
    let words = ["revision", "import", "--alembic", "app", "--python", &python];
    let running = start.clone().args(&words).spawn();
    let pid = eventually("python is started", || {
        fs::read_to_string(start.directory().join("app/pid")).ok()
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.wait().assert_status(143);
    eventually("python is gone", || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.map_or(true, |status| status.contains("State:\tZ")).then_some(())
    });
}
