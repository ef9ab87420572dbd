//! What `revision lint` warns about, and that the servers behave as its rules say.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    database::{Database, on_both},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// Faults and warnings in one report, by line; what runs is not stopped by what may hurt.
#[test]
fn lint_warns_of_what_will_hurt_and_fails_only_where_it_is_strict() {
    let start = Prelaunch::new().revision("c01", "", "create table a (b int, c int);").script(
        "c02.sql",
        "
        -- c02
        --
        -- revision: c02
        -- revises: c01

        -- migrate:up
        alter table a drop column c;

        -- migrate:up postgres
        create index a_b
            on a (b);

        -- migrate:down
        drop table a;
        ",
    );
    let warnings = "
        migrations/c02.sql:7: warning[ban-drop-column]: the release that still runs reads and writes this column; stop using it in one release, and drop it in the next
        migrations/c02.sql:10: warning[require-concurrent-index-creation]: building an index blocks writes to its table until it is built; write `create index concurrently` in a revision of its own with `transaction: false`
        ";
    ask(&start, &["lint"]).assert_status(0).assert_stderr("").assert_stdout(warnings);
    ask(&start, &["lint", "--strict"])
        .assert_status(20)
        .assert_stdout(warnings)
        .assert_stderr("prelaunch: exit 20 in plan: 2 warnings in 1 script; with `--strict` each counts as a fault\n");
    ask(&start, &["lint", "--engine", "sqlite"])
        .assert_status(0)
        .assert_stdout(warnings.lines().take(2).collect::<Vec<_>>().join("\n").as_str());
    let json = ask(&start, &["lint", "--json"]);
    json.assert_status(0).assert_stderr("");
    let json: Value = serde_json::from_str(&json.raw_stdout).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({
            "path": "migrations/c02.sql",
            "line": 7,
            "severity": "warning",
            "rule": "ban-drop-column",
            "message": "the release that still runs reads and writes this column; \
                        stop using it in one release, and drop it in the next",
        })
    );
    assert_eq!(json.as_array().unwrap().len(), 2);

    // A fault elsewhere is told beside them, and decides.
    let start = start.revision("c03", "c02", "commit;");
    ask(&start, &["lint", "--strict"])
        .assert_status(20)
        .assert_stdout(&format!(
            "{}\n        migrations/c03.sql:7: `COMMIT` ends the transaction that prelaunch opened; remove it",
            warnings.trim_end()
        ))
        .assert_stderr("prelaunch: exit 20 in plan: 1 fault in 1 script\n");
}

#[test]
fn what_the_header_allows_is_not_warned_about() {
    let script = |allow: &str| {
        Prelaunch::new().script(
            "c01.sql",
            &format!("-- c01\n-- revision: c01\n-- allow: {allow}\n-- migrate:up\ndrop table a;\n"),
        )
    };
    ask(&script("ban-drop-table"), &["lint", "--strict"])
        .assert_status(0)
        .assert_stdout("migrations: 1 script, no fault and no warning");
    ask(&script("ban-drop-tables"), &["lint", "--strict"]).assert_status(20).assert_stdout(
        "
        migrations/c01.sql:3: warning[unknown-rule]: no rule is called `ban-drop-tables`; write `ban-drop-table`
        migrations/c01.sql:5: warning[ban-drop-table]: the release that still runs reads and writes this table; stop using it in one release, and drop it in the next
        ",
    );
    ask(&script("ban-drop-table,"), &["lint"]).assert_status(20).assert_stdout(
        "migrations/c01.sql:3: `allow` is `ban-drop-table,`; write names separated by single commas",
    );
}

on_both! {
    fn a_start_says_nothing_about_what_may_hurt(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .env("AUTO_MIGRATION", "true")
            .revision("c01", "", "create table a (b int, c int);")
            .script(
                "c02.sql",
                "-- c02\n-- revision: c02\n-- revises: c01\n-- allow: a-rule-of-tomorrow\n\
                 -- migrate:up\nalter table a drop column c;\ncreate index a_b on a (b);\n",
            );
        let linted = ask(&start, &["lint"]);
        linted.assert_status(0);
        assert!(linted.raw_stdout.contains("warning[ban-drop-column]"), "{}", linted.raw_stdout);
        let run = start.run();
        run.assert_status(0).assert_stdout("");
        for word in ["warning[", "WARN", "ban-drop-column", "a-rule-of-tomorrow"] {
            assert!(!run.raw_stderr.contains(word), "{}", run.raw_stderr);
        }
        assert_eq!(database.ledger(), ["c01", "c02"]);
    }
}

/// Where a rule says that a table is rewritten it is, and where no rule says so it is not.
#[test]
fn what_is_said_to_rewrite_a_table_does_so() {
    let database = Postgres::create();
    database.query(
        "create table t (id int, name varchar(20)); insert into t values (1, 'x'); \
         create materialized view v as select 1 as n",
    );
    let actions = [
        "alter id type bigint",
        "add column a1 uuid default gen_random_uuid()",
        "add column a2 timestamptz default clock_timestamp()",
        "add column a3 timestamptz default now()",
        "add column a4 timestamp default (now() at time zone 'utc')",
        "add column a5 timestamp default timezone('utc', now())",
        "add column a6 date default current_date",
        "add column a7 int default -1",
        "add column a8 numeric(10, 2) default 1.50::numeric(10, 2)",
        "add column a9 jsonb default jsonb_build_object('a', to_jsonb(1))",
        "add column b1 text default upper(md5('x')) || concat('a', 'b')",
        "add column b2 text default coalesce(null, lower('X'))",
        "add column b3 text not null default 'red' check (b3 <> upper(b3))",
        "add column b4 double precision default random()",
        "add column b5 bigserial",
        "add b6 smallserial",
        "add column b7 int generated always as identity",
        "add column b8 int generated always as (id + 1) stored",
        "add column b9 timestamptz default date_trunc('day', now())",
        "add column c1 interval default make_interval(days => 3)",
        "add column c2 text[] default array['a', 'b']",
        "add column c3 int",
        "alter column name type text using name || 'x'",
        "set unlogged",
        "set logged",
        "set (fillfactor = 70)",
        "alter id set default 5",
    ];
    let rewriting = [
        "adding-field-with-default",
        "adding-serial-field",
        "changing-column-type",
        "rewriting-table",
    ];
    let statements: Vec<String> =
        actions.iter().map(|action| format!("alter table t {action};")).collect();
    let said = warned(&statements, "", &rewriting);
    let filenode = || database.query("select pg_relation_filenode('t')");
    for (statement, said) in statements.iter().zip(said) {
        let before = filenode();
        database.query(statement);
        assert_eq!(before != filenode(), said, "{statement}");
    }
}

/// Where there is no transaction, what takes a lock that others wait for is warned about, and
/// nothing else.
#[test]
fn what_is_said_to_lock_a_table_does_so() {
    let database = Postgres::create();
    database.query(
        "create table t (id int not null, name text); insert into t values (1, 'x'); \
         create index i on t (name); alter table t add constraint c check (id > 0) not valid",
    );
    let statements = [
        "alter table t add column a int;",
        "alter table t validate constraint c;",
        "alter table t set (fillfactor = 70), alter name set statistics 5;",
        "alter table t reset (fillfactor);",
        "alter table t alter name set default 'y';",
        "create index j on t (name);",
        "drop index i;",
        "truncate table t;",
        "lock table t;",
        "reindex table t;",
        "create trigger s before update on t for each row execute function suppress_redundant_updates_trigger();",
        "drop table t;",
        "insert into t values (2, 'y');",
        "update t set name = 'z';",
        "comment on table t is 'x';",
        "analyze t;",
    ];
    let statements = statements.map(str::to_owned);
    let said = warned(&statements, "-- transaction: false", &["unbounded-lock-wait"]);
    for (statement, said) in statements.iter().zip(said) {
        let modes = database.query(&format!(
            "begin; {statement} select mode from pg_locks where pid = pg_backend_pid() \
             and relation = (select oid from pg_class where relname = 't'); rollback"
        ));
        let strong = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"];
        // A table that is gone is found by no name.
        let locked =
            modes.lines().any(|mode| strong.contains(&mode)) || statement == "drop table t;";
        assert_eq!(locked, said, "{statement} {modes}");
    }
}

#[test]
fn what_is_said_to_fail_on_sqlite_does_so() {
    let database = Sqlite::create();
    database.query("create table t (x); insert into t values (1)");
    let columns = [
        "a1 not null",
        "a2 text not null default (random())",
        "a3 text not null default (-1)",
        "a4 default current_timestamp",
        "a5 int unique",
        "a6 integer primary key",
        "a7 int generated always as (x) stored",
        "a8 int generated always as (x) virtual not null",
        "a9 int not null default 0",
        "b1 text default 'x' check (b1 <> '')",
        "b2 int references u (id)",
        "b3 int not null default null",
        "b4 text default ('x' || 'y')",
        "b5 text default ('x')",
    ];
    let statements: Vec<String> =
        columns.iter().map(|column| format!("alter table t add column {column};")).collect();
    let said = warned(&statements, "", &["failing-add-column"]);
    for (statement, said) in statements.iter().zip(said) {
        assert_eq!(database.try_query(statement).is_err(), said, "{statement}");
    }
}

/// For each of these statements, whether one of these rules is said to be broken in its line.
fn warned(statements: &[String], header: &str, rules: &[&str]) -> Vec<bool> {
    let script =
        format!("-- c01\n-- revision: c01\n{header}\n-- migrate:up\n{}\n", statements.join("\n"));
    let found = ask(&Prelaunch::new().script("c01.sql", &script), &["lint", "--json"]);
    found.assert_status(0);
    let found: Vec<Value> = serde_json::from_str(&found.raw_stdout).unwrap();
    let broken = found.iter().filter(|one| rules.contains(&one["rule"].as_str().unwrap()));
    let lines: BTreeSet<u64> = broken.map(|one| one["line"].as_u64().unwrap()).collect();
    (5..).take(statements.len()).map(|line| lines.contains(&line)).collect()
}

fn ask(start: &Prelaunch, arguments: &[&str]) -> Outcome {
    start.clone().args(&[&["revision"], arguments].concat()).run()
}
