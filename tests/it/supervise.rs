//! `SUPERVISE=true`: prelaunch stays, forwards, reaps, and ends as the server ended.

use std::{fs::File, io::Write as _, process::Command, thread};

use nix::{
    pty::{OpenptyResult, openpty},
    sys::signal::{
        Signal,
        Signal::{SIGCHLD, SIGFPE, SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2},
        kill,
    },
    unistd::Pid,
};

use crate::{
    database::on_both,
    exec::{SERVER, assert_given, given},
    prelaunch::{PATH, Prelaunch},
    process::{Dispositions, Process, as_init},
};

fn supervised() -> Prelaunch {
    Prelaunch::new().env("SUPERVISE", "true")
}

/// Sends a signal by its number, as some have no name.
fn send(process: Pid, signal: i32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn every_exit_code_is_the_server_s() {
    thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                let mut prelaunch = supervised();
                for code in (part..256).step_by(4) {
                    prelaunch = prelaunch.server(&["sh", "-c", &format!("exit {code}")]);
                    prelaunch
                        .run()
                        .assert_status(code)
                        .assert_stdout("")
                        .assert_stderr("INFO exec: starts the server server=sh\n");
                }
            });
        }
    });
}

#[test]
fn a_server_that_is_ended_by_a_signal_gives_128_and_its_number() {
    // 40 is a real-time signal, which has no name.
    for signal in [1, 2, 9, 10, 13, 15, 34, 40, 64] {
        supervised()
            .server(&["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")])
            .run()
            .assert_status(128 + signal)
            .assert_stdout("")
            .assert_stderr("INFO exec: starts the server server=sh\n");
    }
}

#[test]
fn every_signal_reaches_the_server_once() {
    // Less those that cannot be caught, that mean the process itself (faults, job control, the end
    // of a child, a broken pipe), and that the C library keeps for itself (on musl 34 is a third).
    let theirs = [4, 5, 6, 7, 8, 9, 11, 13, 17, 19, 21, 22, 31, 32, 33, 34];
    let signals: Vec<i32> = (1..=64).filter(|signal| !theirs.contains(signal)).collect();
    let program = "$| = 1; for my $signal (@ARGV) { \
                     my $tell = sub { print qq{got $signal.\\n}; exit 42 if $signal == 15 }; \
                     my $action = POSIX::SigAction->new($tell); $action->safe(1); \
                     sigaction($signal, $action) or die; \
                   } \
                   print qq{ready\\n}; sleep 1 while 1";
    let mut server: Vec<String> =
        ["perl", "-MPOSIX", "-e", program].map(str::to_owned).into_iter().collect();
    server.extend(signals.iter().map(i32::to_string));
    let running = supervised().server(&server).spawn();
    running.wait_for_stdout("ready");

    let mut expected = String::from("ready\n");
    let last = SIGTERM as i32;
    for signal in signals.into_iter().filter(|signal| *signal != last).chain([last]) {
        send(running.pid(), signal);
        let got = format!("got {signal}.");
        running.wait_for_stdout(&got);
        expected.push_str(&got);
        expected.push('\n');
    }
    running.wait().assert_status(42).assert_stdout(&expected);
}

#[test]
fn pid_1_reaps_orphans_however_they_end() {
    // A process between the server and the orphan ends first; the orphan when PID 1 has it.
    let program = "$| = 1; for my $signal (0, 9, 40) { \
                     pipe R, W; \
                     unless (fork) { \
                       unless (fork) { \
                         syswrite W, $$; close W; \
                         select undef, undef, undef, 0.001 until getppid == 1; \
                         kill $signal, $$; exit; \
                       } \
                       exit; \
                     } \
                     close W; my $orphan = <R>; wait; \
                     select undef, undef, undef, 0.001 while -e qq{/proc/$orphan}; \
                     print qq{reaped\\n}; \
                   } \
                   exit 42";
    supervised()
        .under(&as_init())
        .server(&["perl", "-e", program])
        .run()
        .assert_status(42)
        .assert_stdout("reaped\nreaped\nreaped\n")
        .assert_stderr("INFO exec: starts the server server=perl\n");
}

#[test]
fn under_pid_1_a_server_ends_as_it_likes_on_sigterm() {
    let obeys = "trap 'exit 42' TERM; echo ready; sleep 600 & wait";
    let cares_not = "echo ready; exec sleep 600";
    for (server, code) in [(obeys, 42), (cares_not, 143)] {
        let running = supervised().under(&as_init()).server(&["sh", "-c", server]).spawn();
        running.wait_for_stdout("ready");
        let init = Process::child_of(running.pid(), "prelaunch");
        kill(init.0, SIGTERM).unwrap();
        running.wait().assert_status(code).assert_stdout("ready\n");
    }
}

on_both! {
    fn the_server_has_everything_as_it_was_found(database: &dyn Database) {
        let most = [SIGHUP, SIGINT, SIGUSR1, SIGCHLD];
        let cases: [(&[Signal], &[Signal]); 3] =
            [(&[], &[]), (&most, &[SIGUSR2]), (&[], &[SIGTERM, SIGINT, SIGHUP, SIGCHLD])];
        for (ignored, blocked) in cases {
            let mut prelaunch = supervised()
                .database("MIGRATION_DATABASE_URL", database)
                .env("AUTO_MIGRATION", "true")
                .env("PRELAUNCH_LOG_LEVEL", "info")
                .revision("aaaa", "", "create table a (b integer);")
                .changed(given)
                .server(&SERVER);
            prelaunch = ignored.iter().fold(prelaunch, |prelaunch, one| prelaunch.ignoring(*one));
            prelaunch = blocked.iter().fold(prelaunch, |prelaunch, one| prelaunch.blocking(*one));
            let running = prelaunch.spawn();
            let server = Process::child_of(running.pid(), "sleep");
            assert_eq!(server.dispositions(), Dispositions::of(ignored, blocked));
            assert_given(server);
            assert_eq!(server.group(), server.0);
            let mut environment = server.environment();
            environment.sort();
            assert_eq!(environment, ["AUTO_MIGRATION=true", &format!("PATH={PATH}"), "SUPERVISE=true"]);
            kill(server.0, SIGKILL).unwrap();
            running.wait().assert_status(137).assert_stdout("");
        }
        assert_eq!(database.upgrades(), ["aaaa"]);
    }
}

/// Its end is noticed by SIGCHLD.
#[test]
fn the_end_of_the_server_is_noticed_where_sigchld_was_blocked_or_ignored() {
    let server = ["sh", "-c", "exit 5"];
    supervised().blocking(SIGCHLD).server(&server).run().assert_status(5);
    supervised().ignoring(SIGCHLD).server(&server).run().assert_status(5);
}

#[test]
fn a_server_that_cannot_be_had_gives_a_shell_s_exit_code() {
    let cases = [
        ("no-such-server", 127, "No such file or directory (os error 2)"),
        ("/", 126, "Permission denied (os error 13)"),
    ];
    for (server, code, why) in cases {
        supervised().server(&[server]).run().assert_status(code).assert_stdout("").assert_stderr(
            &format!(
                "INFO exec: starts the server server={server}\n\
                 prelaunch: exit {code} in exec: cannot run `{server}`: {why}\n"
            ),
        );
    }
}

/// A start on a terminal of its own, with what is typed there.
fn at_a_terminal(before: &[&str]) -> (Prelaunch, File) {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let start = [&["setsid", "--ctty"], before].concat();
    let prelaunch = supervised().under(&start).changed(move |command| {
        command.stdin(slave.try_clone().unwrap());
    });
    (prelaunch, File::from(master))
}

#[test]
fn what_is_typed_reaches_the_server_once_and_the_terminal_is_given_back() {
    let server = "$| = 1; $SIG{INT} = sub { print qq{interrupted\\n} }; \
                  $SIG{TERM} = sub { exit 42 }; print qq{ready\\n}; sleep 1 while 1";
    let script = "my $status = system @ARGV; \
                  print POSIX::tcgetpgrp(0) == getpgrp() ? qq{given back\\n} : qq{kept\\n}; \
                  exit $status >> 8";
    let (prelaunch, mut typed) = at_a_terminal(&["perl", "-MPOSIX", "-e", script]);
    let running = prelaunch.server(&["perl", "-e", server]).spawn();
    running.wait_for_stdout("ready");
    typed.write_all(b"\x03").unwrap();
    running.wait_for_stdout("interrupted");
    let ours = Process::child_of(running.pid(), "prelaunch");
    // Perl ignores one signal itself.
    let ignored = Process::child_of(ours.0, "perl").dispositions().ignored;
    assert_eq!(ignored, [SIGFPE as u32]);
    kill(ours.0, SIGTERM).unwrap();
    running.wait().assert_status(42).assert_stdout("ready\ninterrupted\ngiven back\n");
}

/// Taking it would stop prelaunch, and take it from whoever has it.
#[test]
fn in_the_background_the_terminal_is_left_alone() {
    let script = "if (my $job = fork) { waitpid $job, 0; \
                  print POSIX::tcgetpgrp(0) == getpgrp() ? qq{kept\\n} : qq{lost\\n}; \
                  exit $? >> 8 } setpgrp; exec @ARGV";
    let (prelaunch, _typed) = at_a_terminal(&["perl", "-MPOSIX", "-e", script]);
    prelaunch
        .server(&["perl", "-MPOSIX", "-e", "exit(POSIX::tcgetpgrp(0) == getpgrp() ? 1 : 42)"])
        .run()
        .assert_status(42)
        .assert_stdout("kept\n");
}
