//! Others who use a SQLite file are waited for, by scripts of both kinds.

use crate::{
    database::{Database as _, eventually},
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// The reader comes while the statement runs, and is in the way of its commit.
#[test]
fn a_statement_without_a_transaction_waits_for_a_reader() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database).env("AUTO_MIGRATION", "true").revision(
        "a000",
        "",
        "create table t (a integer);",
    );
    start.run().assert_status(0);
    let slow = "-- revision: b000\n-- revises: a000\n-- transaction: false\n-- migrate:up\n\
                insert into t with recursive g (n) as \
                (select 1 union all select n + 1 from g where n < 2000000) \
                select count(*) from g;\n";
    let running = start.script("b000.sql", slow).spawn();
    eventually("the statement has begun", || {
        (database.query("select count(*) from prelaunch_journal") == "1").then_some(())
    });
    let mut reader = database.session();
    reader.execute("begin; select count(*) from t");
    running.wait_for("another process uses the SQLite file; waits for it");
    reader.execute("rollback");
    running.wait().assert_status(0);
    assert_eq!(database.query("select a from t"), "2000000");
}
