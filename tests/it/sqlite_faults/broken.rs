//! The file is corrupt, or somebody died while he wrote to it.

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use super::{disk, in_use, migrating, state};
use crate::{database::Database as _, sqlite::Sqlite};

#[test]
fn a_file_that_was_cut_short_is_refused_as_it_is() {
    let database = filled();
    let length = fs::metadata(database.path()).unwrap().len();
    let file = OpenOptions::new().write(true).open(database.path()).unwrap();
    file.set_len(length / 2 - 100).unwrap();
    let before = fs::read(database.path()).unwrap();
    for mode in ["true", "check", "wait"] {
        migrating(&database)
            .env("AUTO_MIGRATION", mode)
            .server(&["echo", "the server runs"])
            .run()
            .assert_status(12)
            .assert_stdout("")
            .assert_last_words(
                "prelaunch: exit 12 in wait: sqlite:DB refuses: database disk image is malformed \
                 (SQLite code 11)",
            );
    }
    assert!(fs::read(database.path()).unwrap() == before, "it was written to");
}

#[test]
fn a_ledger_that_is_garbage_is_refused() {
    let database = filled();
    let page = "select rootpage from sqlite_schema where name = 'prelaunch_ledger'";
    overwrite(&database, database.query(page).parse().unwrap());
    migrating(&database)
        .server(&["echo", "the server runs"])
        .run()
        .assert_status(12)
        .assert_stdout("")
        .assert_last_words(
            "prelaunch: exit 12 in wait: sqlite:DB refuses: database disk image is malformed \
             (SQLite code 11)",
        );
}

#[test]
fn a_revision_that_meets_garbage_is_rolled_back() {
    let database = filled();
    let page = "select rootpage from sqlite_schema where name = 'filling'";
    overwrite(&database, database.query(page).parse().unwrap());
    let start = migrating(&database);
    // Where nothing is due, nothing of it is read.
    start.run().assert_status(0);
    start
        .revision(
            "b000",
            "a000",
            "insert into effects values ('b'); create table lengths as select length(what) from \
             filling;",
        )
        .server(&["echo", "the server runs"])
        .run()
        .assert_status(12)
        .assert_stdout("")
        .assert_last_words(
            "prelaunch: exit 12 in apply: revision `b000` failed at migrations/b000.sql:7:35 \
             and was rolled back: database disk image is malformed (SQLite code 11)",
        );
    assert_eq!(database.ledger(), ["a000"]);
    assert_eq!(database.query("select what from effects"), "a");
}

/// Writes over a page, counted from 1.
fn overwrite(database: &Sqlite, page: u64) {
    let mut file = OpenOptions::new().write(true).open(database.path()).unwrap();
    file.seek(SeekFrom::Start((page - 1) * 4096)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
}

#[test]
fn what_a_dead_writer_left_behind_is_rolled_back() {
    for mode in ["true", "check"] {
        let database = filled();
        let before = state(&database);
        let mut writer = database.session();
        writer
            .execute("pragma cache_size = 1; begin; update filling set what = hex(zeroblob(500))");
        // It is killed.
        drop(writer);
        let journal = database.path().with_file_name("test.db-journal");
        assert!(fs::metadata(&journal).unwrap().len() > 0, "the journal is hot");
        let start = migrating(&database).env("AUTO_MIGRATION", mode);
        start.run().assert_status(0);
        assert!(!journal.exists());
        assert_eq!(state(&database), before);
    }
}

/// What a dead writer left can only be rolled back by who may write.
#[test]
fn a_read_only_directory_with_a_hot_journal_is_refused() {
    let database = filled();
    kill_a_writer(&database);
    let start = migrating(&database);
    for mode in ["true", "check"] {
        let start = start.clone().env("AUTO_MIGRATION", mode);
        disk::on(&database, &start, "2m", disk::READ_ONLY).run().assert_status(12).assert_last_words(
            "prelaunch: exit 12 in wait: sqlite:DIR/disk/test.db refuses: attempt to write a readonly \
             database (SQLite code 776)",
        );
    }
}

/// A file of some pages, of which the demonstration schema has the first.
fn filled() -> Sqlite {
    let database = in_use("delete");
    migrating(&database).run().assert_status(0);
    database.query(
        "create table filling (what text); \
         with recursive c (n) as (select 1 union all select n + 1 from c where n < 200) \
         insert into filling select hex(randomblob(500)) from c",
    );
    database
}

/// Kills somebody who writes, and gives the path of the journal that is hot then.
fn kill_a_writer(database: &Sqlite) -> PathBuf {
    let mut writer = database.session();
    writer.execute("pragma cache_size = 1; begin; update filling set what = hex(zeroblob(500))");
    drop(writer);
    let journal = database.path().with_file_name("test.db-journal");
    assert!(fs::metadata(&journal).unwrap().len() > 0, "the journal is hot");
    journal
}
