//! A small disk for a SQLite file, which can be full or read-only whoever runs the tests.
//!
//! It is a `tmpfs` in a mount namespace of prelaunch alone, so it is gone with the process: the
//! files are copied there before, and back afterwards.

use nix::unistd::Uid;

use crate::{prelaunch::Prelaunch, sqlite::Sqlite};

/// What makes the file read-only, and leaves its directory writable.
pub(super) const READ_ONLY_FILE: &str =
    "mount --bind disk/test.db disk/test.db; mount -o remount,bind,ro disk/test.db";

/// What makes all of it read-only.
pub(super) const READ_ONLY: &str = "mount -o remount,ro disk";

/// Has a start find the file on a disk of this size, after these commands have been run.
pub(super) fn on(database: &Sqlite, start: &Prelaunch, size: &str, setup: &str) -> Prelaunch {
    let path = database.path();
    let from = path.parent().unwrap().display();
    let script = format!(
        "set -e
         mkdir -p disk
         mount -t tmpfs -o size={size} tmpfs disk
         cp -a '{from}'/. disk/
         {setup}
         status=0
         \"$@\" || status=$?
         find '{from}' -mindepth 1 -delete
         cp -a disk/. '{from}'/
         exit $status"
    );
    // Who is not root is it in a user namespace.
    let unshare = if Uid::effective().is_root() { "-m" } else { "-rm" };
    start
        .clone()
        .env("DATABASE_URL", "sqlite:disk/test.db")
        .under(&["unshare", unshare, "sh", "-c", &script, "sh"])
}
