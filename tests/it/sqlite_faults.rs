//! SQLite under fault: somebody else uses the file, the disk is full or read-only, the file is
//! broken, prelaunch is killed. The file ends as it was or as it should be, and the words and the
//! exit code say which.

mod beside;
mod broken;
mod disk;
mod killed;
mod no_room;
mod rebuilds;

use crate::{database::Database as _, prelaunch::Prelaunch, sqlite::Sqlite};

/// How SQLite keeps what a transaction can go back to, as far as the file remembers it.
const JOURNALS: [&str; 2] = ["delete", "wal"];

/// As SQLite's own documentation has it: a new table, the rows, out with the old one.
const REBUILD: &str = "create table customers_new (id integer primary key, name text);
                       insert into customers_new select id, name from customers;
                       drop table customers;
                       alter table customers_new rename to customers;";

/// A database that keeps this journal, and has something in it already.
fn in_use(journal: &str) -> Sqlite {
    let database = Sqlite::create();
    database.query(&format!("pragma journal_mode = {journal}"));
    database.query("create table customers (id integer primary key, name text not null)");
    database.query("insert into customers values (1, 'ada'), (2, 'grace')");
    database
}

/// A start that applies one revision with two effects.
fn migrating(database: &Sqlite) -> Prelaunch {
    Prelaunch::on(database).env("AUTO_MIGRATION", "true").revision(
        "a000",
        "",
        "create table effects (what text); insert into effects values ('a');",
    )
}

/// Everything that must be as in an undisturbed run: schema, rows, ledger, history, journal.
fn state(database: &Sqlite) -> String {
    assert_eq!(database.query("pragma integrity_check"), "ok");
    let mut state = database.query("select type, name, sql from sqlite_schema order by 1, 2");
    for table in database.tables() {
        let columns = match table.as_str() {
            "prelaunch_ledger" => "revision, parents, tag, title, checksum, up, down, origin",
            "prelaunch_history" => "event, subject, heads",
            _ => "*",
        };
        let rows = database.query(&format!("select {columns} from {table}"));
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        state = format!("{state}\n-- {table}\n{}", rows.join("\n"));
    }
    state
}
