//! The disk is full, or read-only.

use super::{JOURNALS, disk, in_use, migrating};
use crate::{database::Database as _, prelaunch::Prelaunch};

/// A small transaction meets it in its commit, a large one in a statement.
#[test]
fn a_full_disk_leaves_what_was_there() {
    for journal in JOURNALS {
        for (rows, place) in [(1500, ""), (6000, " at migrations/b000.sql:9:22")] {
            let database = in_use(journal);
            let start = migrating(&database).revision(
                "b000",
                "a000",
                &format!(
                    "insert into effects values ('b');
                     create table large (filling blob);
                     with recursive c (n) as (select 1 union all select n + 1 from c where n < {rows})
                     insert into large select zeroblob(1000) from c;"
                ),
            );
            disk::on(&database, &start, "512k", "").run().assert_status(12).assert_last_words(
                &format!(
                    "prelaunch: exit 12 in apply: revision `b000` failed{place} and was rolled \
                     back: database or disk is full (SQLite code 13)"
                ),
            );
            assert_eq!(database.query("pragma integrity_check"), "ok");
            assert_eq!(database.ledger(), ["a000"]);
            assert_eq!(database.query("select what from effects"), "a");
            // With more room it goes on.
            disk::on(&database, &start, "32m", "").run().assert_status(0);
            assert_eq!(database.upgrades(), ["a000", "b000"]);
            assert_eq!(database.query("select count(*) from large"), rows.to_string());
            assert_eq!(database.query("pragma journal_mode"), journal);
        }
    }
}

/// Between transactions, too: what has run is written down, and the rest runs with more room.
#[test]
fn a_full_disk_stops_a_script_without_a_transaction_where_it_is() {
    let database = in_use("delete");
    let script = "-- a\n-- revision: a000\n-- transaction: false\n\n-- migrate:up\n\
                  create table effects (what text);\n\
                  create table large as with recursive c (n) as (select 1 union all select n + 1 \
                  from c where n < 2000) select zeroblob(1000) as filling from c;\n\
                  insert into effects values ('a');\n";
    let start = Prelaunch::on(&database).env("AUTO_MIGRATION", "true").script("a000.sql", script);
    disk::on(&database, &start, "512k", "").run().assert_status(12).assert_last_words(
        "prelaunch: exit 12 in apply: revision `a000` stopped at migrations/a000.sql:7:1: 1 \
             of its 3 statements have run, and the next start goes on from there: database or disk \
             is full (SQLite code 13)",
    );
    assert_eq!(database.ledger(), [""; 0]);
    disk::on(&database, &start, "8m", "").run().assert_status(0);
    assert_eq!(database.upgrades(), ["a000"]);
    assert_eq!(database.query("select what from effects"), "a");
    assert_eq!(database.query("select count(*) from prelaunch_journal"), "0");
}

#[test]
fn a_read_only_file_can_be_looked_at_and_not_migrated() {
    let database = in_use("delete");
    let start = migrating(&database);
    let on = |start: &Prelaunch| disk::on(&database, start, "1m", disk::READ_ONLY_FILE);
    on(&start.clone().env("AUTO_MIGRATION", "check")).run().assert_status(17);
    on(&start).run().assert_status(12).assert_last_words(
        "prelaunch: exit 12 in apply: cannot create the tables `prelaunch_ledger`, \
         `prelaunch_history` and `prelaunch_journal`: attempt to write a readonly database (SQLite code 8)",
    );
    start.run().assert_status(0);
    // With nothing due there is nothing to write.
    let start = migrating(&database).server(&["echo", "the server runs"]);
    on(&start).run().assert_status(0).assert_stdout("the server runs");
    let start = start.revision("b000", "a000", "insert into effects values ('b');");
    on(&start).run().assert_status(12).assert_stdout("").assert_last_words(
        "prelaunch: exit 12 in apply: revision `b000` failed at migrations/b000.sql:7:1 and was \
         rolled back: attempt to write a readonly database (SQLite code 8)",
    );
    assert_eq!(database.ledger(), ["a000"]);
}

#[test]
fn a_read_only_directory_can_be_looked_at_and_not_migrated() {
    let database = in_use("delete");
    let start = migrating(&database);
    let on = |start: &Prelaunch| disk::on(&database, start, "1m", disk::READ_ONLY);
    on(&start.clone().env("AUTO_MIGRATION", "check")).run().assert_status(17);
    on(&start).run().assert_status(12).assert_last_words(
        "prelaunch: exit 12 in lock: cannot take the lock: cannot open \
         DIR/disk/test.db.prelaunch-lock: Read-only file system (os error 30)",
    );
    // A file in WAL mode cannot be read without writing beside it.
    let database = in_use("wal");
    let start = migrating(&database).env("AUTO_MIGRATION", "check");
    disk::on(&database, &start, "1m", disk::READ_ONLY).run().assert_status(12).assert_last_words(
        "prelaunch: exit 12 in wait: sqlite:DIR/disk/test.db refuses: unable to open database file \
         (SQLite code 14)",
    );
}
