//! Statements that are refused, and those beside them that are not.

use super::{super::*, parse};

/// The words of the fault in each kind of script: transactional, or not.
fn fault(engine: Engine, transaction: bool, sql: &str) -> Option<String> {
    let text = format!("-- revision: a\n-- transaction: {transaction}\n-- migrate:up\n{sql}");
    let result = parse(&text).unwrap().statements(engine, Direction::Up);
    result.err().map(|fault| fault.to_string())
}

fn fine(engine: Engine, sql: &str) {
    assert_eq!(fault(engine, true, sql), None, "{sql}");
}

/// Refused in a transactional script, and only there.
fn refused(engines: &[Engine], sql: &str, expected: &str) {
    refused_in_both(engines, sql, expected, None);
}

/// Refused in a transactional script with some words, and in another one with others.
fn refused_in_both(engines: &[Engine], sql: &str, inside: &str, outside: Option<&str>) {
    let placed = |words: &str| format!("m/x.sql:4: {words}");
    for &engine in engines {
        assert_eq!(fault(engine, true, sql), Some(placed(inside)), "{engine}: {sql}");
        assert_eq!(fault(engine, false, sql), outside.map(placed), "{engine}: {sql}");
    }
}

/// What is said of `words` in a script that has no transaction.
fn spans(words: &str) -> String {
    format!(
        "`{words}` spans several statements, and with `transaction: false` each runs by itself; \
         remove it, or move what belongs together to a revision with a transaction"
    )
}

#[test]
fn a_transactional_script_leaves_the_transaction_alone() {
    let opens = |sql: &str, words: &str| {
        let expected = format!(
            "`{words}` opens a transaction inside of the one that prelaunch opened; remove it"
        );
        refused_in_both(&Engine::ALL, sql, &expected, Some(&spans(words)));
    };
    let ends = |sql: &str, words: &str| {
        let expected = format!("`{words}` ends the transaction that prelaunch opened; remove it");
        refused_in_both(&Engine::ALL, sql, &expected, Some(&spans(words)));
    };
    opens("begin;", "BEGIN");
    opens("BEGIN IMMEDIATE TRANSACTION", "BEGIN");
    opens("/* x */ start /* y */ transaction isolation level serializable;", "START TRANSACTION");
    ends("COMMIT", "COMMIT");
    ends("Commit Work;", "COMMIT");
    ends("COMMIT AND CHAIN", "COMMIT");
    ends("END;", "END");
    ends("end transaction;", "END");
    ends("ROLLBACK;", "ROLLBACK");
    ends("ROLLBACK TRANSACTION;", "ROLLBACK");
    ends("ABORT;", "ABORT");
    ends("PREPARE TRANSACTION 'x';", "PREPARE TRANSACTION");
    for engine in Engine::ALL {
        fine(engine, "SAVEPOINT a; RELEASE a; ROLLBACK TO a; ROLLBACK TO SAVEPOINT a;");
        fine(engine, "ROLLBACK WORK TO a; ROLLBACK TRANSACTION TO SAVEPOINT a;");
        fine(engine, "SELECT 'COMMIT'; /* COMMIT; */ SELECT 1 -- COMMIT;\n; \"commit\"");
    }
    fine(Engine::Postgres, "PREPARE q AS SELECT 1; START_IT; SET TRANSACTION READ ONLY");
    fine(
        Engine::Postgres,
        "DO $$ BEGIN NULL; END $$; CREATE FUNCTION f() AS $$ BEGIN COMMIT; END $$",
    );
    fine(Engine::Postgres, "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END;");
    fine(Engine::Sqlite, "CREATE TRIGGER t AFTER INSERT ON u BEGIN SELECT 1; END;");
}

#[test]
fn what_cannot_run_in_a_transaction_is_refused_there() {
    let check = |engines: &[Engine], sql: &str, words: &str| {
        let expected = format!(
            "`{words}` cannot run inside a transaction; set `transaction: false` in the header"
        );
        refused(engines, sql, &expected);
    };
    check(&Engine::ALL, "VACUUM;", "VACUUM");
    check(&Engine::ALL, "vacuum (analyze) t;", "VACUUM");
    check(&Engine::ALL, "COMMIT PREPARED 'x'", "COMMIT PREPARED");
    check(&Engine::ALL, "ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED");
    let postgres = |sql: &str, words: &str| {
        check(&[Engine::Postgres], sql, words);
        fine(Engine::Sqlite, sql);
    };
    postgres("CREATE INDEX CONCURRENTLY i ON t (a);", "CREATE INDEX CONCURRENTLY");
    postgres("create index concurrently on t (a);", "CREATE INDEX CONCURRENTLY");
    postgres("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE UNIQUE INDEX CONCURRENTLY");
    postgres("DROP INDEX CONCURRENTLY IF EXISTS i", "DROP INDEX CONCURRENTLY");
    postgres("REINDEX TABLE CONCURRENTLY t", "REINDEX CONCURRENTLY");
    postgres("REINDEX (VERBOSE, CONCURRENTLY) INDEX i", "REINDEX CONCURRENTLY");
    postgres("REINDEX DATABASE d", "REINDEX DATABASE");
    postgres("CREATE DATABASE d", "CREATE DATABASE");
    postgres("DROP DATABASE d", "DROP DATABASE");
    postgres("CREATE TABLESPACE s LOCATION '/x'", "CREATE TABLESPACE");
    postgres("ALTER SYSTEM SET a = 1", "ALTER SYSTEM");
    let detach = "ALTER TABLE t DETACH PARTITION p CONCURRENTLY";
    postgres(detach, "DETACH PARTITION CONCURRENTLY");
    fine(Engine::Postgres, "CREATE INDEX i ON t (a); DROP INDEX i; REINDEX TABLE t");
    fine(Engine::Postgres, "REFRESH MATERIALIZED VIEW CONCURRENTLY v; ALTER DATABASE d SET a = 1");
    fine(
        Engine::Postgres,
        "ALTER TABLE t DETACH PARTITION p; CREATE INDEX \"CONCURRENTLY\" ON t (a)",
    );
}

#[test]
fn what_only_psql_understands_is_refused_in_every_script() {
    let check = |sql: &str, expected: &str| {
        for transaction in [true, false] {
            let expected = format!("m/x.sql:{expected}");
            assert_eq!(fault(Engine::Postgres, transaction, sql), Some(expected), "{sql}");
        }
    };
    let psql = "is a command of psql, which prelaunch is not; write SQL instead";
    check("\\connect db\nSELECT 1;", &format!("4: `\\connect` {psql}"));
    check("SELECT 1;\n\n  \\.\n", &format!("6: `\\.` {psql}"));
    check("\\echo it's me\nSELECT 1;", &format!("4: `\\echo` {psql}"));
    let copy = "the rows of `COPY … FROM STDIN` are sent by psql, which prelaunch is not; \
                write `INSERT` instead";
    check("\nCOPY t FROM STDIN;\n1\n\\.\n", &format!("5: {copy}"));
    check("copy s.t (a, b) from stdin with (format csv);\nit's\n", &format!("4: {copy}"));
    fine(Engine::Postgres, "COPY t FROM '/stdin'; COPY t TO STDOUT; SELECT '\\copy'");
    fine(Engine::Sqlite, "\\.");
}

#[test]
fn down_sections_are_held_to_the_same() {
    let text = "-- revision: a\n-- migrate:up\nSELECT 1;\n-- migrate:down\n\nCOMMIT;\n";
    let script = parse(text).unwrap();
    assert!(script.statements(Engine::Sqlite, Direction::Up).is_ok());
    assert_eq!(
        script.statements(Engine::Sqlite, Direction::Down).unwrap_err().to_string(),
        "m/x.sql:6: `COMMIT` ends the transaction that prelaunch opened; remove it"
    );
}

#[test]
fn a_script_without_a_transaction_keeps_its_role() {
    for (sql, words) in [
        ("set role owner;", "SET ROLE OWNER"),
        ("SET SESSION AUTHORIZATION 'x';", "SET SESSION AUTHORIZATION"),
    ] {
        let expected = format!("m/x.sql:4: {}", spans(words));
        assert_eq!(fault(Engine::Postgres, false, sql), Some(expected), "{sql}");
        fine(Engine::Postgres, sql);
    }
}
