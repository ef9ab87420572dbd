//! `prelaunch install`: the binary as a file, for an image that does not have it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::Uid;

use crate::{outcome::Outcome, prelaunch::Prelaunch};

/// `prelaunch install PATH` in a new directory.
fn install(start: &Prelaunch, path: &str) -> Outcome {
    start.clone().args(&["install", path]).run()
}

/// That this is the binary, whole, for everybody to run, and alone in its directory.
#[track_caller]
fn assert_is_it(path: &Path) {
    let wanted = fs::read(env!("CARGO_BIN_EXE_prelaunch")).unwrap();
    assert!(fs::read(path).unwrap() == wanted, "{} is something else", path.display());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode(), 0o100_755);
    assert_eq!(names(path.parent().unwrap()), [path.file_name().unwrap().to_str().unwrap()]);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn into_a_directory_it_goes_under_its_own_name() {
    let start = Prelaunch::new();
    let shared = start.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    for path in ["shared", "shared/"] {
        let outcome = install(&start, path);
        outcome.assert_status(0).assert_stderr("").assert_stdout("shared/prelaunch\n");
        assert_is_it(&shared.join("prelaunch"));
    }
    let version = Command::new(shared.join("prelaunch")).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        concat!("prelaunch ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_path_that_is_no_directory_names_the_file() {
    let start = Prelaunch::new();
    install(&start, "entrypoint").assert_status(0).assert_stdout("entrypoint\n");
    assert_is_it(&start.directory().join("entrypoint"));
}

/// A second init container, a restarted pod: what runs from the volume runs on.
#[test]
fn one_that_runs_is_replaced() {
    let start = Prelaunch::new().file("shared/keep", "");
    fs::remove_file(start.directory().join("shared/keep")).unwrap();
    install(&start, "shared").assert_status(0);
    let path = start.directory().join("shared/prelaunch");

    // Nothing answers on this port: it waits.
    let mut running = Command::new(&path)
        .args(["run"])
        .env_clear()
        .envs([("WAIT_FOR", "tcp://127.0.0.1:1"), ("WAIT_TIMEOUT", "1h")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    install(&start, "shared").assert_status(0).assert_stderr("");
    assert_is_it(&path);
    assert!(running.try_wait().unwrap().is_none());
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn neither_the_umask_nor_the_variables_count() {
    let start = Prelaunch::new()
        .under(&["sh", "-c", "umask 077; exec \"$@\"", "sh"])
        .env("AUTO_MIGRATION", "perhaps")
        .env("DATABASE_URL_FILE", "/nowhere");
    install(&start, "entrypoint").assert_status(0).assert_stderr("");
    assert_is_it(&start.directory().join("entrypoint"));
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let start = Prelaunch::new().file("file", "");
    for (path, directory) in [("shared/", "shared"), ("a/b", "a"), ("file/b", "file")] {
        install(&start, path).assert_status(10).assert_stdout("").assert_stderr(&format!(
            "prelaunch: exit 10 in configure: there is no directory `{directory}`; \
             make it, or mount the volume there\n",
        ));
    }
}

#[test]
fn a_directory_in_its_place_stays() {
    let start = Prelaunch::new().file("shared/prelaunch/file", "");
    install(&start, "shared").assert_status(10).assert_stderr(
        "prelaunch: exit 10 in configure: `shared/prelaunch` is a directory; \
         remove it, or name another path\n",
    );
    assert_eq!(names(&start.directory().join("shared")), ["prelaunch"]);
}

/// A volume that belongs to root, as Docker makes them.
#[test]
fn a_directory_of_somebody_else_is_refused_with_the_way_out() {
    assert!(Uid::effective().is_root(), "only root can become another user: `sudo ./test.sh`");
    let start = Prelaunch::new().under(&[
        "setpriv",
        "--reuid",
        "65532",
        "--regid",
        "65532",
        "--clear-groups",
    ]);
    let open = start.directory();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    install(&start, "shared").assert_status(10).assert_stderr(
        "prelaunch: exit 10 in configure: user 65532 may not write to `.`; \
         give it the directory, in Kubernetes by `fsGroup`\n",
    );
    chown(&open, None, Some(65532)).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o775)).unwrap();
    install(&start, "shared").assert_status(0);
    assert_is_it(&open.join("shared"));
}

#[test]
fn a_read_only_root_and_a_full_volume_are_told_apart() {
    assert!(Uid::effective().is_root(), "only root can mount: `sudo ./test.sh`");
    let mounted = |options: &str| {
        let script = format!("mount -t tmpfs -o {options} none volume && exec \"$@\"");
        let start = Prelaunch::new().file("volume/keep", "");
        let start = start.under(&["unshare", "--mount", "sh", "-c", &script, "sh"]);
        install(&start, "volume/")
    };
    mounted("ro").assert_status(10).assert_stderr(
        "prelaunch: exit 10 in configure: `volume` is read-only; \
         name a path in a volume that can be written to\n",
    );
    mounted("size=64k").assert_status(10).assert_stderr(
        "prelaunch: exit 10 in configure: cannot write `volume/prelaunch`: \
         No space left on device (os error 28)\n",
    );
}
