//! Tables that are rebuilt, with children that would go with them.

use super::{JOURNALS, REBUILD, in_use, migrating};
use crate::database::Database as _;

#[test]
fn a_table_rebuild_keeps_the_rows_that_would_cascade() {
    for journal in JOURNALS {
        let database = in_use(journal);
        database.query(
            "create table orders (customer integer not null references customers (id) \
             on delete cascade, what text); \
             insert into orders values (1, 'tea'), (2, 'milk'), (2, 'rice')",
        );
        migrating(&database)
            .revision("b000", "a000", REBUILD)
            .revision("c000", "b000", "pragma foreign_keys = on; drop table effects;")
            .run()
            .assert_status(0);
        assert_eq!(database.query("select count(*) from orders"), "3");
        assert_eq!(database.query("pragma foreign_key_check"), "");
    }
}

/// Outside of transactions the pragma works; the next script must not find it on.
#[test]
fn what_a_script_sets_is_not_set_in_the_next() {
    let database = in_use("delete");
    database.query(
        "create table orders (customer integer not null references customers (id) \
         on delete cascade, what text); insert into orders values (1, 'tea'), (2, 'milk')",
    );
    let sets = "-- b\n-- revision: b000\n-- revises: a000\n-- transaction: false\n\n-- migrate:up\n\
                pragma foreign_keys = on;\npragma legacy_alter_table = on;\n\
                pragma ignore_check_constraints = on;\n";
    migrating(&database)
        .script("b000.sql", sets)
        .revision("c000", "b000", REBUILD)
        .script(
            "d000.sql",
            "-- d\n-- revision: d000\n-- revises: c000\n-- transaction: false\n\n-- migrate:up\n\
             create table checked (n integer check (n > 0));\n\
             insert or ignore into checked values (0);\n",
        )
        .run()
        .assert_status(0);
    assert_eq!(database.query("select count(*) from orders"), "2");
    assert_eq!(database.query("select count(*) from checked"), "0");
}
