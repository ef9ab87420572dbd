//! Environments that do not say enough without Python: it is asked once, only for that, and its answer
//! is held to what files are held to.
//!
//! Whether Python was started is told by a `python3` that writes a file.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, time::Instant};

use nix::sys::signal::{SIGINT, SIGTERM};

use crate::{
    alembic::{ENV, environment, revision, titled, venv},
    database::{Database, eventually, on_both},
    postgres::Postgres,
    prelaunch::{PATH, Prelaunch},
    process::Process,
    sqlite::Sqlite,
};

/// A first revision whose label a call computes; it says something of its own on the way.
fn computed(body: &str) -> String {
    let table = "op.create_table('things', sa.Column('n', sa.Integer))";
    let text = revision("a1", "", table);
    titled("one", &format!("{text}\nbranch_labels = ('x'.strip() + 'y',)\n{body}\n"))
}

/// The environment of the other tests, with this label.
fn unknown(start: Prelaunch) -> Prelaunch {
    unknown_that(start, "")
}

/// The same, with something more that is run when the revision is loaded.
fn unknown_that(start: Prelaunch, body: &str) -> Prelaunch {
    environment(start)
        .env("AUTO_MIGRATION", "true")
        .file("app/versions/a1.py", computed(body))
        .stand(format!("{}/bin/", fs::canonicalize(venv()).unwrap().display()), "VENV/")
        .stand(format!("{}/bin/", venv()), "VENV/")
}

/// Where the label is, as it is told.
const WHERE: &str = "DIR/app/versions/a1.py:13: `branch_labels` is the result of a call, which is known only when Python runs it; write it as plain text";

/// Has `alembic`, `python3` and `python` be programs that leave a file, and nothing else be there.
fn marked(start: Prelaunch) -> (Prelaunch, PathBuf) {
    let directory = start.directory();
    let marker = directory.join("started");
    let text = format!("#!/bin/sh\necho started >>{}\nexit 3\n", marker.display());
    let mut start = start.env("PATH", format!("{}/bin:{PATH}", directory.display()));
    for name in ["python3", "python"] {
        start = program(start, name, &text);
    }
    let alembic = format!("#!{}/bin/python3\n", directory.display());
    (program(start, "alembic", &alembic), marker)
}

/// A program in `bin/`.
fn program(start: Prelaunch, name: &str, text: &str) -> Prelaunch {
    let start = start.file(&format!("bin/{name}"), text);
    let path = start.directory().join("bin").join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    start
}

on_both! {
    fn a_label_that_a_call_computes_is_asked_for_and_migrates(database: &dyn Database) {
        let start = unknown(Prelaunch::on(database));
        let check = start.clone().env("AUTO_MIGRATION", "check");
        check.run().assert_status(17);
        // Nothing of it is kept, in the image neither.
        assert!(!start.directory().join("app/versions/__pycache__").exists());
        let first = start.server(&["echo", "the server runs"]).run();
        first.assert_status(0).assert_stdout("the server runs");
        first.assert_said(&format!(
            "INFO configure: asks Python, which takes as long as its imports why=\"{WHERE}\" python=VENV/python3 left=…"
        ));
        first.assert_said("INFO configure: Python has told the revisions revisions=3 took=…");
        assert_eq!(first.count("asks Python"), 1);
        // Before the database is.
        let lines = first.stderr();
        assert!(lines.find("has told") < lines.find("INFO wait: answers"), "{lines}");
        assert_eq!(database.query("select version_num from alembic_version"), "c3");
        assert_eq!(database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
        let second = check.env("MIGRATION_TARGET", "xy@head").run();
        second.assert_status(0);
        assert_eq!(second.count("asks Python"), 1);
    }

    fn the_off_switch_does_not_ask_python(database: &dyn Database) {
        let (start, marker) = marked(unknown(Prelaunch::on(database)));
        start.env("AUTO_MIGRATION", "false").run().assert_status(0).assert_said(&format!(
            "WARN configure: cannot compare the database with the scripts why=\"{WHERE}\""
        ));
        assert!(!marker.exists());
    }

    fn the_terminal_asks_where_it_needs_the_graph(database: &dyn Database) {
        let start = unknown(Prelaunch::on(database));
        start.clone().env("MIGRATION_TARGET", "b2").run().assert_status(0);
        let ask = |arguments: &[&str]| {
            let outcome = start.clone().args(&[&["database"], arguments].concat()).run();
            (outcome.count("asks Python"), outcome)
        };
        for (arguments, asked, status, answer) in [
            (&["heads"][..], 1, 0, "c3 (xy) (head)"),
            (&["current"], 1, 0, "b2"),
            (&["check"], 1, 17, "b2 -> c3 (xy) (head), three"),
            (&["history", "b2:"], 1, 0, "b2 -> c3 (xy) (head), three\na1 -> b2 (xy), two"),
            (&["migrate", "--plan", "--revision", "a1:b2"], 1, 0, "up    a1 -> b2 (xy), two"),
            (&["migrate"], 0, 10, ""),
            (&["stamp", "a1"], 0, 10, ""),
        ] {
            let (count, outcome) = ask(arguments);
            outcome.assert_status(status).assert_stdout(answer);
            assert_eq!(count, asked, "{arguments:?}");
        }
        // Which table says where the database is, the environment says.
        let start = start.env("PATH", "/nowhere").args(&["database", "current"]);
        let outcome = start.run();
        outcome.assert_status(20).assert_stdout("").assert_said("no Python is found");
    }
}

/// A name, files (an empty one is removed), a target, and what the answer is.
type Answered<'a> = (&'a str, Vec<(String, String)>, &'a str, i32, &'a str);

/// What is wrong with files, graph, target or database, as far as the files say it.
#[test]
fn what_the_files_say_is_answered_before_python_is_started() {
    let database = Postgres::create();
    environment(Prelaunch::on(&database)).env("AUTO_MIGRATION", "true").run().assert_status(0);
    let file = |id: &str, text: String| (format!("app/versions/{id}.py"), text);
    let root = computed("");
    let cases: [Answered<'_>; 9] = [
        (
            "a self-loop",
            vec![file("d4", revision("d4", "d4", "pass"))],
            "head",
            20,
            "in configure: DIR/app/versions/d4.py:2: revision `d4` comes before itself; name the revision that does",
        ),
        (
            "a duplicate id",
            vec![file("d4", revision("b2", "a1", "pass"))],
            "head",
            20,
            "in configure: DIR/app/versions/d4.py:2: revision `b2` is already in DIR/app/versions/b2.py:3; give one of them another id",
        ),
        (
            "a missing parent",
            vec![file("d4", revision("d4", "nowhere", "pass"))],
            "head",
            20,
            "in configure: DIR/app/versions/d4.py:2: revision `d4` revises `nowhere`, which no script here has; add that script or correct the parent",
        ),
        (
            "a ring",
            vec![
                file("d4", revision("d4", "e5", "pass")),
                file("e5", revision("e5", "d4", "pass")),
            ],
            "head",
            20,
            "in configure: DIR/app/versions/d4.py:2: revisions form a ring, `d4` before `e5` before `d4`; change what one of them revises or depends on",
        ),
        (
            "no Python",
            vec![file("d4", "revision = 'd4\n".to_owned())],
            "head",
            20,
            "in configure: DIR/app/versions/d4.py:1: Python cannot read this: missing closing quote in string literal; correct the file",
        ),
        ("an unknown target", vec![], "nowhere", 21, "in configure: MIGRATION_TARGET: "),
        (
            "two heads",
            vec![file("d4", revision("d4", "b2", "pass"))],
            "head",
            21,
            "in configure: MIGRATION_TARGET: the graph has 2 heads, `c3` and `d4`; ",
        ),
        (
            "a target behind",
            vec![],
            "b2",
            16,
            "in plan: the database is newer than the target `b2`: ",
        ),
        (
            "a database ahead",
            vec![file("c3", String::new())],
            "head",
            16,
            "in plan: the database is ahead: this image lacks revision `c3`; ",
        ),
    ];
    for (name, files, target, status, words) in cases {
        // With files that say everything, and with one that does not.
        for partly in [false, true] {
            let (mut start, marker) = marked(environment(Prelaunch::on(&database)));
            for (path, text) in &files {
                start = start.file(path, text);
                if text.is_empty() {
                    fs::remove_file(start.directory().join(path)).unwrap();
                }
            }
            if partly && status != 20 {
                continue;
            }
            if partly {
                start = start.file("app/versions/a1.py", &root);
            }
            let start = start.env("AUTO_MIGRATION", "true").env("MIGRATION_TARGET", target);
            let outcome = start.run();
            outcome.assert_status(status);
            let last = outcome.last_words();
            let expected = format!("prelaunch: exit {status} {words}");
            // The words of a syntax error are the parser's, and there is more than one.
            assert!(last.starts_with(&expected), "{name}, {partly}: {last}\n{expected}");
            assert!(!marker.exists(), "{name}, {partly}: Python was started");
        }
    }
    // And what they do not say is asked for, by the same program.
    let (start, marker) = marked(unknown(Prelaunch::on(&database)));
    start.run().assert_status(20).assert_last_words(&format!(
        "prelaunch: exit 20 in configure: {WHERE}; asking Python failed: `DIR/bin/python3` ended with exit code 3"
    ));
    assert!(marker.exists());
}

#[test]
fn without_python_the_place_is_told_and_why() {
    let database = Sqlite::create();
    let start = unknown(Prelaunch::on(&database));
    let failed = |start: &Prelaunch, words: &str| {
        start.run().assert_status(20).assert_last_words(&format!(
            "prelaunch: exit 20 in configure: {WHERE}; asking Python failed: {words}"
        ));
        assert_eq!(database.tables(), [""; 0]);
    };
    failed(
        &start.clone().env("PATH", "/nowhere"),
        "no Python is found, neither beside the settings, nor in `/opt/venv`, `/venv` and `/app/.venv`, nor in PATH",
    );
    let without = format!("#!/bin/sh\nexec {}/bin/python3 -S \"$@\"\n", venv());
    let bare = program(start.clone().env("PATH", "bin:/nowhere"), "python3", &without)
        // Where the settings are, which the relative entry of PATH is not for.
        .env("PATH", format!("{}/bin", start.directory().display()));
    failed(&bare, "`DIR/bin/python3`: ModuleNotFoundError: No module named 'alembic'");
    let broken = program(bare.clone(), "python3", "#!/nowhere/python\n");
    failed(&broken, "cannot run `DIR/bin/python3`: No such file or directory (os error 2)");
    let other = program(bare, "python3", "#!/bin/sh\necho welcome\n");
    failed(
        &other,
        "`DIR/bin/python3`: its answer is no list of revisions; does something else write to its stdout?",
    );
}

#[test]
fn a_revision_that_cannot_be_loaded_is_told_in_pythons_words() {
    let database = Sqlite::create();
    let start = unknown_that(Prelaunch::on(&database), "import application");
    let outcome = start.run();
    outcome.assert_status(20).assert_last_words(&format!(
        "prelaunch: exit 20 in configure: {WHERE}; asking Python failed: `VENV/python3`: ModuleNotFoundError: No module named 'application'"
    ));
    // The traceback says where.
    outcome.assert_said("a1.py\", line 14, in <module>");
}

#[test]
fn an_unsound_answer_is_told_as_unsound_files_are() {
    let database = Sqlite::create();
    let twice = titled("again", &revision("b2", "a1", "pass")).replace("'b2'", "''.join('b2')");
    let start = unknown(Prelaunch::on(&database)).file("app/versions/d4.py", twice);
    start.run().assert_status(20).assert_last_words(
        "prelaunch: exit 20 in configure: DIR/app/versions/d4.py:1: revision `b2` is already in DIR/app/versions/b2.py:1; give one of them another id",
    );
}

/// A name, what is different in an environment, and why Python is asked.
type Asked<'a> = (&'a str, fn(Prelaunch) -> Prelaunch, &'a str);

/// A file may leave everything to Python, a package be found by it alone, a source be gone.
#[test]
fn whatever_only_python_knows_is_asked_for() {
    let cases: [Asked<'_>; 4] = [
        (
            "an id that is computed",
            |start| {
                let text = revision("c3", "b2", "pass").replace("'c3'", "''.join(['c', '3'])");
                start.file("app/versions/c3.py", text)
            },
            "why=\"DIR/app/versions/c3.py:2: `revision` is the result of a call, which is known only when Python runs it; write it as plain text\"",
        ),
        (
            "an encoding",
            |start| {
                let mut text = b"# coding: shift_jis\n\"\"\"\x95\x5c\"\"\"\n".to_vec();
                text.extend(revision("c3", "b2", "pass").into_bytes());
                start.file("app/versions/c3.py", text)
            },
            "why=\"DIR/app/versions/c3.py:2: characters in the encoding `shift_jis` cannot be read here; save the file as UTF-8\"",
        ),
        (
            "a source that is gone",
            |start| {
                let ini = "[alembic]\nscript_location = %(here)s\nsourceless = true\n";
                let start = start.file("app/alembic.ini", ini);
                let path = start.directory().join("app/versions/c3.py");
                let compile =
                    "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[1] + 'c')";
                let python = format!("{}/bin/python", venv());
                let compiled = Command::new(python).args(["-c", compile]).arg(&path).status();
                assert!(compiled.unwrap().success());
                fs::remove_file(path).unwrap();
                start
            },
            "why=\"DIR/app/versions/c3.pyc:1: the revision is compiled, and its source is not beside it; bring the `.py` file\"",
        ),
        (
            "a package",
            |start| {
                let directory = start.directory();
                fs::create_dir_all(directory.join("lib/hidden")).unwrap();
                fs::rename(directory.join("app/versions"), directory.join("lib/hidden/versions"))
                    .unwrap();
                start
                    .file("app/alembic.ini", "[alembic]\nscript_location = hidden:\n")
                    .file("lib/hidden/__init__.py", "")
                    .file(
                        "lib/hidden/env.py",
                        ENV.replace("configure(", "configure(version_table='done', "),
                    )
                    .file("lib/hidden/script.py.mako", "")
                    .env("PYTHONPATH", directory.join("lib"))
            },
            "why=\"DIR/app/alembic.ini:2: `script_location` is `hidden:`, and the package `hidden` is found in none of the directories of packages ",
        ),
    ];
    for (name, change, why) in cases {
        let database = Sqlite::create();
        let start = environment(Prelaunch::on(&database)).env("AUTO_MIGRATION", "true");
        let start = change(start);
        let outcome = start.run();
        outcome.assert_status(0).assert_said(why);
        assert_eq!(database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"], "{name}");
        start.env("AUTO_MIGRATION", "check").run().assert_status(0);
    }
}

#[test]
fn python_has_the_environment_of_commands_and_not_our_stdout() {
    let database = Postgres::create();
    let body = "import os\nprint('role', os.environ['DATABASE_URL'].split('//')[1].split(':')[0], \
                sorted(name for name in os.environ if name.startswith('MIGRATION_')), os.getcwd())\n\
                os.write(1, b'and by hand\\n')\n";
    let other = "postgres://somebody@else/where";
    let start = unknown_that(Prelaunch::new(), body)
        .database("MIGRATION_DATABASE_URL", &database)
        .env("DATABASE_URL", other)
        .env("MIGRATE_COMMAND", "true")
        .env("AUTO_MIGRATION", "check");
    let outcome = start.run();
    outcome.assert_status(17).assert_stdout("");
    outcome.assert_said("role ROLE ['MIGRATION_DATABASE_URL'] DIR").assert_said("and by hand");
}

/// Each chain that needs it, and no other; with what commands of that chain are told.
#[test]
fn of_several_chains_those_are_asked_for_that_need_it() {
    let databases = [Sqlite::create(), Sqlite::create()];
    let config = "
        [[chain]]
        name = 'plain'
        database_url = '${ONE}'
        dir = 'app'
        version_table = 'alembic_version'
        [[chain]]
        name = 'odd'
        database_url = '${OTHER}'
        dir = 'odd'
    ";
    let body =
        "import os\nprint('asked with', os.environ['DATABASE_URL'] == os.environ['OTHER'])\n";
    let start = environment(Prelaunch::new())
        .knows(&databases[0])
        .knows(&databases[1])
        .env("ONE", databases[0].url())
        .env("OTHER", databases[1].url())
        .env("AUTO_MIGRATION", "true")
        .file("prelaunch.toml", config)
        .env("PRELAUNCH_CONFIG", "prelaunch.toml")
        .file("odd/alembic.ini", "[alembic]\nscript_location = %(here)s\n")
        .file("odd/env.py", ENV)
        .file("odd/versions/o1.py", computed(body));
    let outcome = start.run();
    outcome.assert_status(0).assert_said("asked with True");
    assert_eq!(outcome.count("asks Python"), 1, "{}", outcome.transcript());
    outcome
        .assert_said("INFO configure: Python has told the revisions chain=odd revisions=1 took=…");
    assert_eq!(databases[0].history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
    assert_eq!(databases[1].history(), ["upgrade a1"]);
    let ask =
        start.clone().env("PATH", "/nowhere").args(&["database", "heads", "--chain", "plain"]);
    ask.run().assert_status(0).assert_stdout("c3 (head)");
    start.env("PATH", "/nowhere").run().assert_status(20).assert_said("chain `odd`");
}

/// One that hangs when it is loaded, as does a child of it.
const HANGS: &str = "import subprocess, sys\n\
    subprocess.Popen(['sleep', '600'])\nprint('hangs', file=sys.stderr, flush=True)\n\
    import time\ntime.sleep(600)\n";

#[test]
fn a_signal_ends_python_and_what_it_has_started() {
    for signal in [SIGTERM, SIGINT] {
        let database = Sqlite::create();
        let running = unknown_that(Prelaunch::on(&database), HANGS).spawn();
        running.wait_for("hangs");
        let python = Process::child_of(running.pid(), "python3");
        let child = Process::child_of(python.0, "sleep");
        let began = Instant::now();
        running.signal(signal);
        let code = 128 + signal as i32;
        running.wait().assert_status(code).assert_last_words(&format!(
            "prelaunch: exit {code} in configure: stopped by {signal}"
        ));
        assert!(began.elapsed().as_secs() < 2, "it took {:?}", began.elapsed());
        assert!(python.has_ended());
        eventually("the child of Python is gone", || child.has_ended().then_some(()));
    }
}

#[test]
fn python_has_as_long_as_the_dependencies_and_not_less_than_ten_seconds() {
    let database = Sqlite::create();
    let began = Instant::now();
    let running = unknown_that(Prelaunch::on(&database), HANGS).env("WAIT_TIMEOUT", "1s").spawn();
    running.wait_for("hangs");
    let python = Process::child_of(running.pid(), "python3");
    let child = Process::child_of(python.0, "sleep");
    running.wait().assert_status(20).assert_last_words(&format!(
        "prelaunch: exit 20 in configure: {WHERE}; asking Python failed: `VENV/python3` took longer than 10s; set WAIT_TIMEOUT to more",
    ));
    let took = began.elapsed().as_secs();
    assert!((10..14).contains(&took), "it took {took} s");
    assert!(python.has_ended());
    eventually("the child of Python is gone", || child.has_ended().then_some(()));
}
