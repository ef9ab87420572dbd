//! Somebody else uses the file: another runner, a reader, a writer.

use nix::{sys::signal::Signal, unistd::Uid};

use super::{JOURNALS, in_use, migrating, state};
use crate::{
    database::{Database as _, eventually},
    running::Running,
};

/// What a runner says that has to wait for another user of the file.
const BUSY: &str = "another process uses the SQLite file; waits for it";

#[test]
fn the_journal_mode_stays_whatever_it_is() {
    for journal in JOURNALS {
        let database = in_use(journal);
        let start = migrating(&database);
        let both = [start.spawn(), start.spawn()];
        for outcome in both.map(Running::wait) {
            outcome.assert_status(0);
        }
        assert_eq!(database.query("pragma journal_mode"), journal);
        assert_eq!(database.upgrades(), ["a000"]);
        assert_eq!(database.query("select what from effects"), "a");
        let left = database.path().with_file_name("test.db-wal");
        assert!(!left.exists(), "the last one to close a file tidies up");
    }
}

#[test]
fn a_reader_is_waited_for_before_the_commit() {
    let database = in_use("delete");
    let mut reader = database.session();
    assert_eq!(reader.execute("begin; select count(*) from customers"), "2");
    let running = migrating(&database).spawn();
    running.wait_for(BUSY);
    // It reads what was there before, until it is done.
    assert_eq!(reader.execute("select count(*) from sqlite_schema"), "1");
    reader.execute("commit");
    running.wait().assert_status(0);
    assert_eq!(database.upgrades(), ["a000"]);
}

#[test]
fn a_reader_does_not_hold_up_a_file_in_wal_mode() {
    let database = in_use("wal");
    let mut reader = database.session();
    assert_eq!(reader.execute("begin; select count(*) from customers"), "2");
    migrating(&database).run().assert_status(0).assert_never_said(BUSY);
    assert_eq!(reader.execute("select count(*) from sqlite_schema"), "1");
    reader.execute("commit");
    assert_eq!(database.upgrades(), ["a000"]);
    assert_eq!(database.query("pragma journal_mode"), "wal");
}

#[test]
fn a_reader_that_stays_ends_the_patience_and_leaves_nothing() {
    let database = in_use("delete");
    // The tables of prelaunch are there, so that it is the revision that has to wait.
    let start = migrating(&database);
    start.run().assert_status(0);
    let before = state(&database);
    let mut reader = database.session();
    assert_eq!(reader.execute("begin; select count(*) from customers"), "2");
    let start = start.revision("b000", "a000", "insert into effects values ('b');");
    start
        .clone()
        .env("LOCK_TIMEOUT", "300ms")
        .run()
        .assert_status(14)
        .assert_said(BUSY)
        .assert_last_words(
            "prelaunch: exit 14 in apply: revision `b000` failed and was rolled back: database is \
             locked (SQLite code 5)",
        );
    reader.execute("commit");
    assert_eq!(state(&database), before);
    start.run().assert_status(0);
    assert_eq!(database.upgrades(), ["a000", "b000"]);
}

#[test]
fn a_writer_that_lets_nobody_read_is_waited_for_and_named() {
    let database = in_use("delete");
    let mut writer = database.session();
    writer.execute("begin exclusive");
    migrating(&database).env("WAIT_TIMEOUT", "0").run().assert_status(11).assert_last_words(
        "prelaunch: exit 11 in wait: sqlite:DB did not answer when tried once: database is \
             locked (SQLite code 5)",
    );
    let running = migrating(&database).spawn();
    running.wait_for("database is locked");
    writer.execute("commit");
    running.wait().assert_status(0);
    assert_eq!(database.upgrades(), ["a000"]);
}

/// Once a transaction outgrows the cache, SQLite lets nobody read beside it until it ends.
#[test]
fn who_comes_while_a_large_revision_is_applied_waits_and_starts() {
    let database = in_use("delete");
    database.query("create table patience (amount integer)");
    database.query("insert into patience values (2000000000)");
    let start = migrating(&database).revision(
        "b000",
        "a000",
        "create table large (filling blob);
         with recursive c (n) as (select 1 union all select n + 1 from c where n < 4000)
         insert into large select randomblob(1000) from c;
         create table done as with recursive c (n) as (select 1 union all select n + 1 from c,
         patience where n < amount) select count(*) as n from c;",
    );
    start.clone().env("MIGRATION_TARGET", "a000").run().assert_status(0);
    let holder = start.spawn();
    holder.wait_for("applies a revision revision=b000");
    eventually("nobody can read any more", || {
        database
            .try_query("pragma busy_timeout = 0; select amount from patience")
            .is_err()
            .then_some(())
    });
    let late = start.server(&["echo", "the server runs"]).spawn();
    late.wait_for("database is locked");
    // It goes back, and lets in who waits.
    holder.signal(Signal::SIGTERM);
    holder.wait().assert_status(143);
    late.wait_for("applies a revision revision=b000");
    late.signal(Signal::SIGTERM);
    late.wait().assert_status(143).assert_stdout("");
    assert_eq!(database.ledger(), ["a000"]);
    assert_eq!(database.query("pragma integrity_check"), "ok");
}

#[test]
fn the_lock_holds_between_containers_on_one_volume() {
    let database = in_use("wal");
    let mut writer = database.session();
    writer.execute("begin immediate");
    let start = migrating(&database);
    let holder = start.spawn();
    holder.wait_for(BUSY);
    // A container is this: processes and mounts of its own, and the same file.
    let unshare = if Uid::effective().is_root() { "-mpf" } else { "-rmpf" };
    let other = start.clone().under(&["unshare", unshare]).spawn();
    other.wait_for("waits for the lock");
    writer.execute("rollback");
    holder.wait().assert_status(0);
    other.wait().assert_status(0).assert_said("another runner has done the work");
    assert_eq!(database.upgrades(), ["a000"]);
}
