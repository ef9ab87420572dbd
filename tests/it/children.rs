//! Commands under the lock: what they are given, how their end is told, and how they are ended.

use nix::sys::signal::{
    Signal,
    Signal::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
};

use crate::{
    database::{Database, eventually, on_both},
    exec::{assert_given, given},
    prelaunch::{PATH, Prelaunch},
    process::{Dispositions, Process},
    running::Running,
    sqlite::Sqlite,
};

/// What is said before the first command of a run on an empty SQLite database.
const BEFORE: &str = "\
INFO wait: answers what=sqlite:DB tries=1 took=…
INFO look: has looked heads=\"\" pending=1 hook=false reindex=0
INFO lock: has the lock lock=\"lock file DB.prelaunch-lock\" waited=…
INFO apply: applies a revision revision=aaaa title=aaaa number=1 total=1
INFO apply: has applied it revision=aaaa number=1 total=1 took=…
";

/// A start that applies one revision and then has a command to run.
fn with_revision(database: &dyn Database) -> Prelaunch {
    Prelaunch::new()
        .database("MIGRATION_DATABASE_URL", database)
        .revision("aaaa", "", "create table a (b integer);")
        .env("AUTO_MIGRATION", "true")
        .server(&["echo", "the server runs"])
}

/// The same, with a program in Perl as its hook.
fn with_hook(database: &dyn Database, program: &str) -> Prelaunch {
    with_revision(database).env("AFTER_MIGRATE", format!("perl -e '{program}'"))
}

/// The hook, once it has said that it is ready.
fn hook_of(running: &Running) -> Process {
    running.wait_for("ready");
    Process::child_of(running.pid(), "perl")
}

on_both! {
    fn a_command_is_given_the_database_that_we_work_on(database: &dyn Database) {
        let running = with_revision(database)
            .env("DATABASE_URL", "postgres://server@pooler/db")
            .env("AFTER_MIGRATE", "sleep 600")
            .spawn();
        let hook = Process::child_of(running.pid(), "sleep");
        let mut environment = hook.environment();
        environment.sort();
        let url = database.url();
        let expected = [
            "AFTER_MIGRATE=sleep 600",
            "AUTO_MIGRATION=true",
            &format!("DATABASE_URL={url}"),
            &format!("MIGRATION_DATABASE_URL={url}"),
            &format!("PATH={PATH}"),
        ];
        assert_eq!(environment, expected);
        running.signal(SIGTERM);
        running.wait().assert_status(143).assert_stdout("");
    }

    fn a_command_has_nothing_of_ours_open_and_all_else_as_it_was_found(database: &dyn Database) {
        let most = [SIGHUP, SIGINT, SIGUSR1, SIGCHLD];
        let cases: [(&[Signal], &[Signal]); 2] = [(&[], &[SIGTERM]), (&most, &[SIGUSR2])];
        for (ignored, blocked) in cases {
            let mut prelaunch =
                with_revision(database).env("AFTER_MIGRATE", "sleep 600").changed(given);
            prelaunch = ignored.iter().fold(prelaunch, |prelaunch, one| prelaunch.ignoring(*one));
            prelaunch = blocked.iter().fold(prelaunch, |prelaunch, one| prelaunch.blocking(*one));
            let running = prelaunch.env("STOP_TIMEOUT", "0").spawn();
            let hook = Process::child_of(running.pid(), "sleep");
            assert_given(hook);
            let open = hook.descriptors();
            assert_eq!(open[&1], open[&2], "stdout is our stderr");
            assert_eq!(hook.dispositions(), Dispositions::of(ignored, blocked));
            assert_eq!(hook.group(), hook.0);
            assert_eq!(hook.directory(), prelaunch_directory(&running));
            running.signal(SIGTERM);
            running.wait().assert_status(143).assert_stdout("");
        }
    }

    fn commands_run_in_their_order_and_are_remembered(database: &dyn Database) {
        let prelaunch = with_revision(database)
            .env("AFTER_MIGRATE", "sh -c 'echo hook'")
            .env("REINDEX_DATASETS", "first, second")
            .env("REINDEX_COMMAND", "echo reindex {} now");
        let ended = prelaunch.run();
        ended.assert_status(0).assert_stdout("the server runs\n");
        let said = ended.stderr();
        let said: Vec<&str> = said
            .lines()
            .skip_while(|line| !line.contains("runs a command"))
            .map(|line| line.split(" took=").next().unwrap())
            .collect();
        assert_eq!(
            said,
            [
                "INFO apply: runs a command what=AFTER_MIGRATE",
                "hook",
                "INFO apply: has run it what=AFTER_MIGRATE",
                "INFO reindex: runs a command what=\"REINDEX_COMMAND for `first`\"",
                "reindex first now",
                "INFO reindex: has run it what=\"REINDEX_COMMAND for `first`\"",
                "INFO reindex: runs a command what=\"REINDEX_COMMAND for `second`\"",
                "reindex second now",
                "INFO reindex: has run it what=\"REINDEX_COMMAND for `second`\"",
                "INFO exec: becomes the server server=echo",
            ]
        );
        let history = ["upgrade aaaa", "hook", "reindex first", "reindex second"];
        assert_eq!(database.history(), history);
    }
}

fn prelaunch_directory(running: &Running) -> String {
    Process(running.pid()).directory()
}

#[test]
fn how_a_command_failed_is_in_the_last_words() {
    let cases = [
        ("sh -c \"exit 7\"", "`sh` ended with exit code 7"),
        ("sh -c \"exit 255\"", "`sh` ended with exit code 255"),
        ("sh -c \"kill -9 \\$\\$\"", "`sh` was ended by signal 9"),
        ("sh -c \"kill -40 \\$\\$\"", "`sh` was ended by signal 40"),
        ("no-such-hook x", "cannot run `no-such-hook`: No such file or directory (os error 2)"),
        ("/ x", "cannot run `/`: Permission denied (os error 13)"),
    ];
    for (command, why) in cases {
        let database = Sqlite::create();
        let hook = with_revision(&database).env("AFTER_MIGRATE", command);
        hook.run().assert_status(19).assert_stdout("").assert_stderr(&format!(
            "{BEFORE}INFO apply: runs a command what=AFTER_MIGRATE\n\
             prelaunch: exit 19 in apply: AFTER_MIGRATE failed: {why}\n"
        ));
        assert_eq!(database.history(), ["upgrade aaaa"]);

        let reindex = with_revision(&database)
            .env("REINDEX_DATASETS", "true")
            .env("REINDEX_COMMAND", command)
            .run();
        reindex.assert_status(18).assert_stdout("").assert_last_words(&format!(
            "prelaunch: exit 18 in reindex: REINDEX_COMMAND failed: {why}"
        ));
        let reindex = with_revision(&database)
            .env("REINDEX_DATASETS", "some")
            .env("REINDEX_COMMAND", command)
            .run();
        reindex.assert_status(18).assert_stdout("").assert_last_words(&format!(
            "prelaunch: exit 18 in reindex: REINDEX_COMMAND for `some` failed: {why}"
        ));
        assert_eq!(database.history(), ["upgrade aaaa"]);
    }
}

/// An ignored SIGCHLD would have the kernel throw away how a child ended.
#[test]
fn how_a_command_ended_is_known_where_sigchld_was_ignored() {
    let database = Sqlite::create();
    let prelaunch = with_revision(&database).ignoring(SIGCHLD);
    prelaunch.env("AFTER_MIGRATE", "sh -c 'exit 7'").run().assert_status(19).assert_last_words(
        "prelaunch: exit 19 in apply: AFTER_MIGRATE failed: `sh` ended with exit code 7",
    );
}

#[test]
fn a_signal_reaches_the_command_and_its_children_which_may_take_their_time() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let database = Sqlite::create();
        let name = signal.as_str().trim_start_matches("SIG");
        let program = format!(
            "$| = 1; pipe R, W; my $child = fork; my $who = $child ? \"parent\" : \"child\"; \
             $SIG{{{name}}} = sub {{ wait; print \"$who has ended\\n\"; exit 3 }}; \
             close W; if ($child) {{ <R>; print \"ready\\n\" }} else {{ close R }} \
             sleep 1 while 1"
        );
        let running = with_hook(&database, &program).spawn();
        running.wait_for("ready");
        running.signal(signal);
        let number = signal as i32;
        let code = 128 + number;
        running.wait().assert_status(code).assert_stdout("").assert_stderr(&format!(
            "{BEFORE}INFO apply: runs a command what=AFTER_MIGRATE\n\
             ready\n\
             INFO apply: forwards the signal to the command pid=PID signal={number} left=…\n\
             child has ended\n\
             parent has ended\n\
             prelaunch: exit {code} in apply: AFTER_MIGRATE failed: `perl` was stopped by {signal}\n"
        ));
        assert_eq!(database.history(), ["upgrade aaaa"]);
    }
}

#[test]
fn a_command_that_does_not_end_in_time_is_killed_with_its_children() {
    let database = Sqlite::create();
    let program = "$SIG{TERM} = \"IGNORE\"; $| = 1; fork or do { print \"ready\\n\" }; sleep 600";
    let prelaunch = with_hook(&database, program).env("STOP_TIMEOUT", "300ms");
    let running = prelaunch.spawn();
    let hook = hook_of(&running);
    let child = Process::child_of(hook.0, "perl");
    running.signal(SIGTERM);
    running.wait().assert_status(143).assert_stdout("").assert_stderr(&format!(
        "{BEFORE}INFO apply: runs a command what=AFTER_MIGRATE\n\
         ready\n\
         INFO apply: forwards the signal to the command pid=PID signal=15 left=…\n\
         WARN apply: the command did not end in time pid=PID\n\
         prelaunch: exit 143 in apply: AFTER_MIGRATE failed: `perl` was stopped by SIGTERM\n"
    ));
    assert!(hook.has_ended());
    eventually("the child of the hook is gone", || child.has_ended().then_some(()));
    assert_eq!(database.history(), ["upgrade aaaa"]);
}

/// A shell ends at the signal and leaves behind what it was running, which works on the database
/// that is under our lock.
#[test]
fn children_that_outlive_the_command_are_waited_for() {
    let database = Sqlite::create();
    let program = "my $parent = $$; $| = 1; unless (fork) { \
                     $SIG{TERM} = sub { \
                       select undef, undef, undef, 0.001 while getppid == $parent; \
                       print \"done at last\\n\"; exit \
                     }; \
                     print \"ready\\n\"; sleep 1 while 1 \
                   } sleep 600";
    let running = with_hook(&database, program).spawn();
    hook_of(&running);
    running.signal(SIGTERM);
    running.wait().assert_status(143).assert_stdout("").assert_stderr(&format!(
        "{BEFORE}INFO apply: runs a command what=AFTER_MIGRATE\n\
         ready\n\
         INFO apply: forwards the signal to the command pid=PID signal=15 left=…\n\
         done at last\n\
         prelaunch: exit 143 in apply: AFTER_MIGRATE failed: `perl` was stopped by SIGTERM\n"
    ));
}

#[test]
fn children_that_outlive_the_command_are_killed_in_the_end() {
    let database = Sqlite::create();
    let program = "$| = 1; \
                   unless (fork) { $SIG{TERM} = \"IGNORE\"; print \"ready\\n\"; sleep 600 } \
                   sleep 600";
    let running = with_hook(&database, program).env("STOP_TIMEOUT", "300ms").spawn();
    let hook = hook_of(&running);
    let child = Process::child_of(hook.0, "perl");
    running.signal(SIGTERM);
    running
        .wait()
        .assert_status(143)
        .assert_said("WARN apply: the command did not end in time pid=PID");
    eventually("the child of the hook is gone", || child.has_ended().then_some(()));
}
