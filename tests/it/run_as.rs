//! `RUN_AS`: becoming another user before the first connection, with all that belongs to one.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use nix::{
    sys::signal::Signal::{SIGKILL, SIGTERM},
    unistd::{Uid, User},
};

use crate::{
    database::Database, exec::SERVER, postgres::Postgres, prelaunch::Prelaunch, process::Process,
};

/// A user and a group that are in no list.
const STRANGER: (u32, u32) = (12_345, 54_321);

/// A start as root, in a directory that is the user's.
#[track_caller]
fn start(run_as: &str, owner: (u32, u32)) -> Prelaunch {
    assert!(
        Uid::effective().is_root(),
        "only root can become another user: run the tests of RUN_AS with `sudo ./test.sh`"
    );
    let prelaunch = Prelaunch::new()
        .env("RUN_AS", run_as)
        .env("HOME", "/root")
        .env("AUTO_MIGRATION", "true")
        .env("DATABASE_URL", "sqlite:test.db")
        .revision("aaaa", "", "create table a (b integer);")
        .server(&SERVER);
    chown(prelaunch.directory(), Some(owner.0), Some(owner.1)).unwrap();
    prelaunch
}

/// That a process is this user in every respect.
#[track_caller]
fn assert_is(process: Process, uid: u32, gid: u32, groups: &[u32]) {
    assert_eq!(process.numbers("Uid"), [uid; 4]);
    assert_eq!(process.numbers("Gid"), [gid; 4]);
    let mut found = process.numbers("Groups");
    found.sort_unstable();
    assert_eq!(found, groups);
    // With nothing of root's powers.
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(process.status(set), "0000000000000000", "{set}");
    }
}

#[track_caller]
fn assert_home(process: Process, home: &str) {
    let home = format!("HOME={home}");
    let found = process.environment();
    let found: Vec<_> = found
        .iter()
        .filter_map(|entry| entry.to_str())
        .filter(|entry| entry.starts_with("HOME="))
        .collect();
    assert_eq!(found, [home]);
}

#[track_caller]
fn assert_owner(path: &Path, owner: (u32, u32)) {
    let found = fs::metadata(path).unwrap();
    assert_eq!((found.uid(), found.gid()), owner, "{}", path.display());
}

/// What the system says of a user: its entry in the list, and its groups, sorted.
fn known(name: &str) -> (User, Vec<u32>) {
    let user = User::from_name(name).unwrap().unwrap_or_else(|| panic!("no user {name}"));
    let groups = Command::new("id").args(["-G", name]).output().unwrap();
    let groups = String::from_utf8(groups.stdout).unwrap();
    let mut groups: Vec<u32> = groups.split_whitespace().map(|id| id.parse().unwrap()).collect();
    groups.sort_unstable();
    (user, groups)
}

#[test]
fn numbers_that_are_in_no_list_will_do() {
    let prelaunch = start("12345:54321", STRANGER);
    let running = prelaunch.spawn();
    let server = Process::once(running.pid(), "sleep");
    assert_is(server, STRANGER.0, STRANGER.1, &[STRANGER.1]);
    assert_home(server, "/root");
    for file in ["test.db", "test.db.prelaunch-lock"] {
        assert_owner(&prelaunch.directory().join(file), STRANGER);
    }
    running.signal(SIGKILL);
    running.wait().assert_killed_by(SIGKILL).assert_stdout("");
}

#[test]
fn a_name_brings_its_group_its_other_groups_and_its_home() {
    // A user with a group more than its own, where test.sh has installed it.
    let (user, groups) = known("postgres");
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    for run_as in ["postgres".to_owned(), uid.to_string()] {
        let prelaunch = start(&run_as, (uid, gid));
        let running = prelaunch.spawn();
        let server = Process::once(running.pid(), "sleep");
        assert_is(server, uid, gid, &groups);
        assert_home(server, user.dir.to_str().unwrap());
        assert_owner(&prelaunch.directory().join("test.db"), (uid, gid));
    }
}

#[test]
fn a_group_of_one_s_choice_is_the_only_one() {
    let (user, _) = known("postgres");
    let (other, _) = known("daemon");
    let (uid, gid) = (user.uid.as_raw(), other.gid.as_raw());
    for run_as in ["postgres:daemon".to_owned(), format!("{uid}:{gid}")] {
        let running = start(&run_as, (uid, gid)).spawn();
        let server = Process::once(running.pid(), "sleep");
        assert_is(server, uid, gid, &[gid]);
        assert_home(server, user.dir.to_str().unwrap());
    }
}

#[test]
fn commands_and_a_supervised_server_are_that_user_too() {
    let prelaunch = start("12345:54321", STRANGER)
        .env("SUPERVISE", "true")
        .env("AFTER_MIGRATE", "sh -c 'id -u; id -g; id -G'");
    let running = prelaunch.spawn();
    let server = Process::child_of(running.pid(), "sleep");
    assert_is(server, STRANGER.0, STRANGER.1, &[STRANGER.1]);
    running.signal(SIGTERM);
    let ended = running.wait();
    ended.assert_status(143).assert_stdout("");
    assert!(ended.stderr().contains("\n12345\n54321\n54321\n"), "{}", ended.transcript());
}

/// Mounted secrets are root's often.
#[test]
fn secrets_are_read_before() {
    let prelaunch =
        start("12345:54321", STRANGER).file("secret", "sqlite:test.db").env_remove("DATABASE_URL");
    let secret = prelaunch.directory().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_owner(&secret, (0, 0));
    prelaunch
        .env("DATABASE_URL_FILE", "secret")
        .server(&["true"])
        .run()
        .assert_status(0)
        .assert_said("INFO apply: has applied it revision=aaaa");
}

#[test]
fn postgresql_is_migrated_as_another_user() {
    let database = Postgres::create();
    start("12345:54321", STRANGER)
        .database("DATABASE_URL", &database)
        .server(&["id", "-u"])
        .run()
        .assert_status(0)
        .assert_stdout("12345");
    assert_eq!(database.upgrades(), ["aaaa"]);
}

#[test]
fn a_user_that_cannot_be_had_is_126() {
    let cases = [
        ("no-such-user", "there is no user `no-such-user`"),
        ("no-such-user:0", "there is no user `no-such-user`"),
        ("daemon:no-such-group", "there is no group `no-such-group`"),
        (
            "12345",
            "user 12345 is not in /etc/passwd, so that its group is not known; write `12345:<gid>`",
        ),
        (
            "4294967295:0",
            "cannot become 4294967295:0; start as root with CAP_SETUID and CAP_SETGID, or as that \
             user: EINVAL: Invalid argument",
        ),
    ];
    for (run_as, why) in cases {
        start(run_as, (0, 0))
            .run()
            .assert_status(126)
            .assert_stdout("")
            .assert_stderr(&format!("prelaunch: exit 126 in configure: RUN_AS: {why}\n"));
    }
}

#[test]
fn without_the_right_to_it_no_other_user_can_be_had() {
    let without = ["setpriv", "--bounding-set=-all"];
    start("12345:54321", STRANGER)
        .under(&without)
        .run()
        .assert_status(126)
        .assert_stdout("")
        .assert_stderr(
            "prelaunch: exit 126 in configure: RUN_AS: cannot become 12345:54321; start as root \
             with CAP_SETUID and CAP_SETGID, or as that user: EPERM: Operation not permitted\n",
        );
    // Who is that user already needs no right.
    start("0:0", (0, 0))
        .under(&without)
        .server(&["id", "-u"])
        .run()
        .assert_status(0)
        .assert_stdout("0");
}
