//! Becoming the server: the process is the one that prelaunch was, and everything is as it was
//! found; or there is no server, with a shell's exit code.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::Command,
};

use nix::{
    libc,
    sys::signal::{
        Signal,
        Signal::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2},
        kill,
    },
};

use crate::{
    database::{Database, on_both},
    prelaunch::{PATH, Prelaunch},
    process::{Dispositions, Process, as_init},
    running::Running,
    sqlite::Sqlite,
};

/// A server that changes nothing of what it was given, and stays until it is killed.
pub(crate) const SERVER: [&str; 2] = ["sleep", "600"];

/// Has it start with a umask of its own and the descriptors 0, 1, 2 and 7 only, whatever the one
/// who runs the tests has open.
#[expect(unsafe_code, reason = "there is no other way into the time between fork and exec")]
pub(crate) fn given(command: &mut Command) {
    let give = || {
        // SAFETY: these are system calls on descriptors of a process that is about to be replaced;
        // the one through which a failure is told stays open until then.
        unsafe {
            libc::umask(0o027);
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            libc::dup2(libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC), 7);
            // Where the one that was opened is 7 already, nothing was done.
            libc::fcntl(7, libc::F_SETFD, 0);
        }
        Ok(())
    };
    // SAFETY: only system calls are made, each of which is allowed between fork and exec.
    unsafe { command.pre_exec(give) };
}

/// The signals that a parent may have ignored.
const IGNORED: [Signal; 4] = [SIGHUP, SIGINT, SIGUSR1, SIGCHLD];

/// A start that has everything to do: revisions, a hook and a reindex.
fn everything(database: &dyn Database) -> Prelaunch {
    Prelaunch::on(database)
        .revision("aaaa", "", "create table a (b integer);")
        .env("AUTO_MIGRATION", "true")
        .env("AFTER_MIGRATE", "true")
        .env("REINDEX_DATASETS", "true")
        .env("REINDEX_COMMAND", "true")
}

/// That a process has what prelaunch was given by [`given`].
#[track_caller]
pub(crate) fn assert_given(process: Process) {
    let open = process.descriptors();
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 7], "{open:?}");
    assert_eq!((&*open[&0], &*open[&7]), ("/dev/null", "/dev/zero"));
    assert_eq!(process.status("Umask"), "0027");
}

/// That the server is as prelaunch was.
#[track_caller]
fn assert_as_found(server: Process, prelaunch: &Prelaunch, dispositions: &Dispositions) {
    assert_eq!(server.dispositions(), *dispositions);
    assert_given(server);
    assert_eq!(server.directory(), prelaunch.directory().display().to_string());
    assert_eq!(server.status("Threads"), "1");
    assert!(server.children().is_empty());
}

/// That nothing was said on stdout, by the end of the server.
fn assert_silent(running: Running) {
    running.signal(SIGKILL);
    running.wait().assert_killed_by(SIGKILL).assert_stdout("");
}

on_both! {
    fn after_all_the_work_everything_is_as_it_was_found(database: &dyn Database) {
        let prelaunch = everything(database).changed(given).server(&SERVER);
        let running = prelaunch.spawn();
        let server = Process::once(running.pid(), "sleep");
        assert_as_found(server, &prelaunch, &Dispositions::of(&[], &[]));
        assert_eq!(database.history(), ["upgrade aaaa", "hook", "reindex *"]);
        assert_silent(running);
    }

    fn signals_that_were_ignored_or_blocked_are_so_again_after_all_the_work(
        database: &dyn Database
    ) {
        let mut prelaunch = everything(database).changed(given).server(&SERVER).blocking(SIGUSR2);
        for signal in IGNORED {
            prelaunch = prelaunch.ignoring(signal);
        }
        let running = prelaunch.spawn();
        let server = Process::once(running.pid(), "sleep");
        assert_as_found(server, &prelaunch, &Dispositions::of(&IGNORED, &[SIGUSR2]));
        assert_eq!(database.history(), ["upgrade aaaa", "hook", "reindex *"]);
        assert_silent(running);
    }
}

#[test]
fn without_a_database_everything_is_as_it_was_found() {
    let cases: [(&[Signal], &[Signal]); 3] =
        [(&[], &[]), (&IGNORED, &[SIGUSR2]), (&[], &[SIGTERM, SIGINT, SIGHUP, SIGCHLD])];
    for (ignored, blocked) in cases {
        let mut prelaunch = Prelaunch::new().changed(given).server(&SERVER);
        prelaunch = ignored.iter().fold(prelaunch, |prelaunch, one| prelaunch.ignoring(*one));
        prelaunch = blocked.iter().fold(prelaunch, |prelaunch, one| prelaunch.blocking(*one));
        let running = prelaunch.spawn();
        let server = Process::once(running.pid(), "sleep");
        assert_as_found(server, &prelaunch, &Dispositions::of(ignored, blocked));
        assert_silent(running);
    }
}

/// What it was before is lost by the time that anybody can look.
#[test]
fn a_broken_pipe_ends_the_server_even_where_it_was_ignored() {
    let running = Prelaunch::new().ignoring(SIGPIPE).ignoring(SIGUSR1).server(&SERVER).spawn();
    let server = Process::once(running.pid(), "sleep");
    assert_eq!(server.dispositions(), Dispositions::of(&[SIGUSR1], &[]));
}

#[test]
fn a_signal_that_was_blocked_stops_prelaunch_all_the_same() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let running = Prelaunch::new()
            .env("WAIT_FOR", "tcp://127.0.0.1:1")
            .blocking(signal)
            .server(&SERVER)
            .spawn();
        running.wait_for("no answer yet");
        running.signal(signal);
        let ended = running.wait();
        ended.assert_status(128 + signal as i32);
        ended.assert_last_words(&format!(
            "prelaunch: exit {} in wait: stopped by {signal}",
            128 + signal as i32
        ));
    }
}

#[test]
fn of_the_signals_that_were_ignored_only_a_hang_up_does_not_stop_prelaunch() {
    let waiting = |ignored| {
        let running = Prelaunch::new()
            .env("WAIT_FOR", "tcp://127.0.0.1:1")
            .ignoring(ignored)
            .server(&SERVER)
            .spawn();
        running.wait_for("no answer yet");
        running.signal(ignored);
        running
    };
    let hung_up = waiting(SIGHUP);
    hung_up.wait_for_nth("no answer yet", 3);
    hung_up.signal(SIGTERM);
    hung_up.wait().assert_last_words("prelaunch: exit 143 in wait: stopped by SIGTERM");
    // A shell ignores SIGINT for what it starts in the background.
    waiting(SIGINT).wait().assert_last_words("prelaunch: exit 130 in wait: stopped by SIGINT");
}

#[test]
fn the_server_is_the_same_process_with_exactly_the_given_arguments() {
    let arguments = ["", " two words ", "--", "--help", "-e", "$HOME", "é"].map(OsStr::new);
    let binary = OsStr::from_bytes(b"\xff\xfe\x01");
    for name in ["perl", "/usr/bin/perl"] {
        let words = [name, "-e", "sleep", "--"].map(OsStr::new);
        let words: Vec<&OsStr> =
            words.into_iter().chain(arguments).chain([binary, OsStr::new("")]).collect();
        let running = Prelaunch::new().server(&words).spawn();
        let server = Process::once(running.pid(), "perl");
        assert_eq!(server.arguments(), words);
        assert_silent(running);
    }
}

#[test]
fn the_environment_is_as_it_was_found_less_what_was_only_ours() {
    const OURS: bool = false;
    const STAYS: bool = true;
    let path = format!("PATH={PATH}");
    let entries = [
        ("Z=1", STAYS),
        ("PRELAUNCH_AUTO_MIGRATION=false", OURS),
        ("A=", STAYS),
        ("MIGRATION_DATABASE_URL=", OURS),
        ("ENV_PREFIX=ARGILLA_", STAYS),
        ("ARGILLA_MIGRATION_DATABASE_URL=", OURS),
        (path.as_str(), STAYS),
        ("MIGRATION_DATABASE_URL_FILE=", OURS),
        ("C==x", STAYS),
        ("ARGILLA_MIGRATION_DATABASE_URL_FILE=", OURS),
        ("PRELAUNCH_MIGRATION_DATABASE_URL=", OURS),
        ("ARGILLA_X= a b ", STAYS),
        ("PRELAUNCH_MIGRATION_DATABASE_URL_FILE=", OURS),
        ("PRELAUNCH_DATABASE_URL=", OURS),
        ("MIGRATION_DATABASE_URL_FILE_NAME=d", STAYS),
        ("PRELAUNCH_=", OURS),
        ("PRELAUNCH_SOMETHING_ELSE=x", OURS),
        ("DATABASE_URL=", STAYS),
        ("B=2", STAYS),
    ];
    let start: Vec<&str> =
        ["env", "-i"].into_iter().chain(entries.map(|(entry, _)| entry)).collect();
    let running = Prelaunch::new().under(&start).server(&SERVER).spawn();
    let server = Process::once(running.pid(), "sleep");
    let expected: Vec<&str> =
        entries.into_iter().filter(|(_, stays)| *stays).map(|(entry, _)| entry).collect();
    assert_eq!(server.environment(), expected);
    assert_silent(running);
}

#[test]
fn no_spelling_of_the_owner_s_url_reaches_the_server() {
    let database = Sqlite::create();
    let spellings = [
        "MIGRATION_DATABASE_URL",
        "PRELAUNCH_MIGRATION_DATABASE_URL",
        "ARGILLA_MIGRATION_DATABASE_URL",
    ];
    for spelling in spellings {
        for file in [false, true] {
            let (name, value) = if file {
                (format!("{spelling}_FILE"), "secret".to_owned())
            } else {
                (spelling.to_owned(), database.url())
            };
            let running = Prelaunch::new()
                .knows(&database)
                .file("secret", database.url())
                .env("ENV_PREFIX", "ARGILLA_")
                .env("DATABASE_URL", "sqlite:other.db")
                .env(&name, value)
                .server(&SERVER)
                .spawn();
            let server = Process::once(running.pid(), "sleep");
            let expected =
                ["DATABASE_URL=sqlite:other.db", "ENV_PREFIX=ARGILLA_", &format!("PATH={PATH}")];
            assert_eq!(server.environment(), expected, "with {name}");
        }
    }
}

#[test]
fn names_and_values_that_are_no_text_pass() {
    let running = Prelaunch::new()
        .env("PRELAUNCH_LOG_LEVEL", "info")
        .env(OsStr::from_bytes(b"N\xff"), OsStr::from_bytes(b"\xfe\n\x80"))
        .env(OsStr::from_bytes(b"PRELAUNCH_\xff"), "x")
        .server(&SERVER)
        .spawn();
    let server = Process::once(running.pid(), "sleep");
    let path = format!("PATH={PATH}");
    let expected = [OsStr::from_bytes(b"N\xff=\xfe\n\x80"), OsStr::new(&path)];
    assert_eq!(server.environment(), expected);
}

#[test]
fn a_server_that_is_not_found_is_127() {
    for name in ["no-such-server", "./no-such-server", "/no/such/server", ""] {
        Prelaunch::new().server(&[name]).run().assert_status(127).assert_stdout("").assert_stderr(
            &format!(
                "INFO exec: becomes the server server={}\n\
                 prelaunch: exit 127 in exec: cannot run `{name}`: \
                 No such file or directory (os error 2)\n",
                if name.is_empty() { "\"\"" } else { name },
            ),
        );
    }
}

#[test]
fn a_server_whose_interpreter_is_missing_is_127_and_says_so() {
    Prelaunch::new()
        .file("server.sh", "#!/bin/sh\r\necho a\r\n")
        .under(&["sh", "-c", "chmod 755 server.sh; exec \"$@\"", "sh"])
        .server(&["./server.sh"])
        .run()
        .assert_status(127)
        .assert_last_words(
            "prelaunch: exit 127 in exec: cannot run `./server.sh`: what its `#!` line names, or \
             the loader that it was linked for, is not there (does the line end in CR LF?): \
             No such file or directory (os error 2)",
        );
}

#[test]
fn a_server_that_cannot_be_executed_is_126() {
    for name in ["./server.sh", "/"] {
        Prelaunch::new()
            .file("server.sh", "#!/bin/sh\n")
            .server(&[name])
            .run()
            .assert_status(126)
            .assert_stdout("")
            .assert_stderr(&format!(
                "INFO exec: becomes the server server={name}\n\
                 prelaunch: exit 126 in exec: cannot run `{name}`: \
                 Permission denied (os error 13)\n",
            ));
    }
}

/// The last words are for nobody then; the exit code is for everybody.
#[test]
fn a_server_that_is_not_found_is_127_even_if_nobody_listens() {
    let deaf = "pipe R, W; open STDERR, '>&W'; close W; close R; exec @ARGV";
    Prelaunch::new()
        .under(&["perl", "-e", deaf])
        .server(&["no-such-server"])
        .run()
        .assert_status(127)
        .assert_stderr("");
}

#[test]
fn two_dashes_with_nothing_behind_them_are_wrong_usage() {
    Prelaunch::new().args(&["run", "--"]).run().assert_status(2).assert_stdout("").assert_stderr(
        "
        error: `prelaunch run --` has no command behind `--`

        An image that sets ENTRYPOINT must repeat its CMD: Docker empties the one that it inherits.
        Without a server, write `prelaunch run`.
        ",
    );
}

#[test]
fn without_a_server_there_is_nothing_to_say() {
    Prelaunch::new().run().assert_status(0).assert_stdout("").assert_stderr("");
}

#[test]
fn pid_1_becomes_pid_1() {
    let running = Prelaunch::new().under(&as_init()).server(&SERVER).spawn();
    let server = Process::child_of(running.pid(), "sleep");
    assert_eq!(server.numbers("NSpid").last(), Some(&1));
    assert_eq!(server.dispositions(), Dispositions::of(&[], &[]));
    assert_eq!(server.status("Threads"), "1");
    kill(server.0, SIGKILL).unwrap();
    running.wait().assert_stdout("");
}

/// The kernel gives PID 1 no default actions: without handlers it would go on waiting.
#[test]
fn pid_1_is_stopped_by_a_signal_while_it_waits() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let running = Prelaunch::new()
            .under(&as_init())
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/absent")
            .env("AUTO_MIGRATION", "true")
            .revision("aaaa", "", "create table a (b integer);")
            .server(&SERVER)
            .spawn();
        running.wait_for("no answer yet");
        kill(Process::child_of(running.pid(), "prelaunch").0, signal).unwrap();
        let code = 128 + signal as i32;
        running
            .wait()
            .assert_status(code)
            .assert_stdout("")
            .assert_last_words(&format!("prelaunch: exit {code} in wait: stopped by {signal}"));
    }
}

/// As PID 1 prelaunch is given what its commands leave behind, of which the server knows nothing.
#[test]
fn the_server_inherits_no_zombies_of_the_hook() {
    let database = Sqlite::create();
    // Ends before anybody has waited for its child, which has ended before.
    let hook = "my $child = fork || exit; \
                until (qx{cat /proc/$child/stat} =~ /\\) Z/) {}";
    let running = Prelaunch::on(&database)
        .under(&as_init())
        .revision("aaaa", "", "create table a (b integer);")
        .env("AUTO_MIGRATION", "true")
        .env("AFTER_MIGRATE", format!("perl -e '{hook}'"))
        .server(&SERVER)
        .spawn();
    let server = Process::child_of(running.pid(), "sleep");
    assert!(server.children().is_empty(), "{:?}", server.children());
    assert_eq!(database.history(), ["upgrade aaaa", "hook"]);
    kill(server.0, SIGKILL).unwrap();
    running.wait().assert_stdout("");
}
