//! Signals at both ends of a run, and those that are not the first.

use std::{fs, net::TcpListener, process::Command, time::Instant};

use nix::{
    libc,
    sys::signal::{Signal, kill},
};

use super::{
    Gate, SOON, Silent, completes, ended, held, nothing_left, signals, soon, start, told,
    work::is_in_the_command,
};
use crate::{
    database::on_both,
    prelaunch::{PATH, Prelaunch},
    process::{Process, as_init},
    sqlite::Sqlite,
};

/// Nothing has begun then, and so nothing is said.
#[test]
fn a_value_that_does_not_come() {
    let start = Prelaunch::new().env("DATABASE_URL_FILE", "secret").env("AUTO_MIGRATION", "true");
    let path = start.directory().join("secret");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let running = start.spawn();
        held::is_in(&running, libc::SYS_openat, "0xffffff9c");
        ended(running, signal).assert_stderr("");
    }
}

/// A long way to the same shell: the line that names it is longer than all others together.
fn far_away() -> String {
    format!("/bin/{}sh", "./".repeat(900))
}

on_both! {
    /// Held at its last line, which says what it is about to become.
    fn the_instant_before_the_server(database: &dyn Database) {
        let server = far_away();
        let start = start(database)
            .server(&[&server, "-c", "echo the server runs"])
            .stand(&server, "SERVER");
        start.run().assert_status(0).assert_stdout("the server runs");
        for (supervise, words) in [("false", "becomes the server"), ("true", "starts the server")] {
            for signal in signals(database) {
                let mut gate = Gate::with_room(&start, 1500);
                let held = start.clone().env("SUPERVISE", supervise).under(Gate::UNDER);
                let running = held.spawn();
                Gate::holds(&running);
                running.signal(signal);
                gate.open();
                let mut outcome = running.wait();
                outcome.raw_stderr = gate.heard();
                outcome.assert_status(128 + signal as i32).assert_stdout("");
                outcome.assert_said(words).assert_last_words(&told(
                    signal,
                    "exit CODE in exec: stopped before `SERVER` was started",
                ));
                nothing_left(&start, database);
            }
        }
        completes(&start, database, &["a"]);
    }
}

/// Between the last look at the signals and the server there is the search for it. Whoever
/// gets the signal in the end, it ends the one process that there is: it must not get lost.
#[test]
fn a_signal_that_comes_while_the_server_is_looked_for_is_not_lost() {
    let detour = "/n:".repeat(40_000) + PATH;
    let start = Prelaunch::new().env("PATH", detour).server(&["sleep", "60"]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut running = start.spawn();
        running.wait_for("becomes the server");
        running.signal(signal);
        soon("it ends", || running.has_ended());
        assert_eq!(running.wait().code(), 128 + signal as i32);
    }
}

/// The kernel gives PID 1 no default action that could end it.
#[test]
fn nor_is_it_lost_on_pid_1() {
    let detour = "/n:".repeat(40_000) + PATH;
    let start = Prelaunch::new().env("PATH", detour).under(&as_init()).server(&["sleep", "60"]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut running = start.spawn();
        running.wait_for("becomes the server");
        let Process(init) = Process(running.pid()).children()[0];
        kill(init, signal).unwrap();
        soon("it ends", || running.has_ended());
        assert_eq!(running.wait().code(), 128 + signal as i32);
    }
}

/// The command that is waited for ends with it, although it does not listen.
#[test]
fn a_second_signal_ends_it_at_once() {
    let database = Sqlite::create();
    let start = start(&database).env("STOP_TIMEOUT", "30s");
    let deaf = "sh -c 'trap \"\" TERM INT HUP; echo $$ >child; exec sleep 60'";
    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGTERM, Signal::SIGINT),
        (Signal::SIGHUP, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGHUP),
    ] {
        let running = start.clone().env("AFTER_MIGRATE", deaf).spawn();
        fs::remove_file(is_in_the_command(&start)).unwrap();
        running.signal(first);
        running.wait_for("forwards the signal to the command");
        let sent = Instant::now();
        let outcome = ended(running, second);
        assert!(sent.elapsed() < SOON);
        assert!(outcome.last_words().contains("forwards the signal to the command"));
        nothing_left(&start, &database);
    }
    completes(&start.clone().env("AFTER_MIGRATE", "true"), &database, &["a"]);
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_does_not_end_it() {
    let port = Silent::listen().port();
    let start = Prelaunch::new()
        .env("WAIT_FOR", format!("tcp://127.0.0.1:{port}"))
        .server(&["sh", "-c", "echo the server runs"])
        .ignoring(Signal::SIGHUP);
    let running = start.spawn();
    running.wait_for("no answer yet");
    running.signal(Signal::SIGHUP);
    // It would be the second one, if that had been a first.
    running.signal(Signal::SIGHUP);
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    running.wait().assert_status(0).assert_stdout("the server runs");

    // And SIGTERM is the first one then.
    let start = start.env("WAIT_FOR", "tcp://127.0.0.1:1");
    let running = start.spawn();
    running.wait_for("no answer yet");
    running.signal(Signal::SIGHUP);
    ended(running, Signal::SIGTERM)
        .assert_last_words("prelaunch: exit 143 in wait: stopped by SIGTERM");
}

/// Where the first process of a container takes in nobody, what a shell leaves behind when it ends
/// would stay in the group of the command for ever.
#[test]
fn an_init_that_does_not_reap_holds_nobody() {
    let database = Sqlite::create();
    let start = start(&database).env("STOP_TIMEOUT", "30s");
    let init = "if (my $one = fork) { waitpid $one, 0; exit $? >> 8 } exec @ARGV";
    let words = [as_init(), vec!["perl", "-e", init]].concat();
    let command = "sh -c 'echo $$ >child; sleep 60; true'";
    let mut running = start.clone().under(&words).env("AFTER_MIGRATE", command).spawn();
    is_in_the_command(&start);
    let Process(prelaunch) = Process(running.pid()).children()[0].children()[0];
    kill(prelaunch, Signal::SIGTERM).unwrap();
    soon("it ends", || running.has_ended());
    running.wait().assert_status(143).assert_last_words(
        "prelaunch: exit 143 in apply: AFTER_MIGRATE failed: `sh` was stopped by SIGTERM",
    );
    nothing_left(&start, &database);
}
