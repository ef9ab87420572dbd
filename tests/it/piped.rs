//! Scripts of `migrate --sql`, in the hands of `psql` and `sqlite3`: that these make nothing of a
//! script but what `migrate` does, and that a script ends where that would.

use crate::{
    database::{Database, Engine, eventually, on_both},
    migrate::{another, migrate, pipe, pipe_to, remembered},
    postgres::Postgres,
    prelaunch::Prelaunch,
    shape::shape,
};

/// What a script says that is for another state.
const ELSEWHERE: &str = "this script is for another state of the ledger than it is in";

/// Text that a program could take for something else: variables, its own commands, escapes,
/// semicolons and comments in strings, bodies with semicolons, no end of a line at the end.
const A01: &str = r#"
    -- it's "quoted" \q :USER $1 $$ `id` /* é
    -- revision: a01
    -- migrate:up postgres
    create table a01 (n integer[], t text default 'a\b;''x' /* ; */);
    insert into a01 values (array[1, 2, 3], ':USER :''HOST'' $1 $$ \echo -- no comment
    \q
    ');
    insert into a01 select n[1:ENCODING], e'\'\\:USER;\n'::text from a01, (select 2 as ENCODING) s;
    insert into a01 select n[1:"USER"], $x$;\q$$$x$ from a01, (select 1 as "USER") s;
    create function f() returns integer language plpgsql as $f$ begin return 1; /* ; */ end $f$;
    create function g(x integer) returns integer begin atomic select 1; select case when x = 1 then 2 end; end;
    create view v as select n[1:cardinality(n)] from a01 -- the end
    -- migrate:down postgres
    drop view v; drop function f(), g(integer); drop table a01 -- :USER
    -- migrate:up sqlite
    create table a01 (n text default 'a\b;''x' /* ; */);
    create table a02 (n);
    insert into a01 values ('
    .quit
    go
    /
    # $1 :USER');
    create trigger a01_added after insert on a01 begin
      insert into a02 values (1);
      select case when 1 then 2 end;
    end;
    insert into a01 values ('x') -- the end
    -- migrate:down sqlite
    drop table a01; drop table a02 -- the end
"#;

on_both! {
    fn a_program_makes_nothing_else_of_a_text(database: &dyn Database) {
        let by_hand = another(database);
        // What a database may be set to, and neither way may be led astray by.
        let set = |settings: [&str; 3]| {
            for database in [database, &*by_hand] {
                if database.engine() == Engine::Postgres {
                    let name = database.query("select current_database()");
                    let all = settings.map(|one| format!("alter database {name} {one};")).concat();
                    database.query(&format!("begin read write; {all} commit"));
                }
            }
        };
        let carriage_returns = "-- b01\r\n-- revision: b01\r\n-- revises: a01\r\n-- migrate:up\r\n\
            create table b01 (n integer);\r\n\r\ncreate table b02 (n integer);\r\n\
            -- migrate:down\r\ndrop table b01;\r\ndrop table b02;\r\n";
        let chain = |start: Prelaunch| {
            start.script("a01.sql", A01).file("migrations/b01.sql", carriage_returns)
        };
        let (ours, theirs) = (chain(Prelaunch::on(database)), chain(Prelaunch::on(&*by_hand)));
        for target in ["head", "base", "a01", "head"] {
            let script = migrate(&theirs, &["--sql", "--revision", target]);
            script.assert_status(0);
            set([
                "set client_encoding = latin1",
                "set default_transaction_read_only = on",
                "set default_transaction_isolation = serializable",
            ]);
            pipe(&*by_hand, &script.raw_stdout).unwrap();
            migrate(&ours, &["--revision", target, "--allow-downgrade", "--yes"]).assert_status(0);
            set([
                "reset client_encoding",
                "reset default_transaction_read_only",
                "reset default_transaction_isolation",
            ]);
            assert_eq!(remembered(&*by_hand), remembered(database), "{target}");
            let shapes = [shape(&*by_hand), shape(database)].map(|shape| shape.replace('\r', ""));
            assert_eq!(shapes[0], shapes[1], "{target}");
            if target != "base" {
                let rows = "select * from a01";
                assert_eq!(by_hand.query(rows), database.query(rows), "{target}");
            }
        }
        let up = database.query("select up from prelaunch_ledger where revision = 'b01'");
        assert!(up.contains("\r\n\r\n"), "{up:?}");
    }

    /// As under the lock, where each script finds a session as if it were the first.
    fn what_one_revision_sets_is_not_set_for_the_next(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .script("a01.sql", "
                -- a01
                -- revision: a01
                -- migrate:up postgres
                create temp table t (n integer);
                set search_path = pg_catalog;
                set lock_timeout = 1;
                -- migrate:up sqlite
                create table a01 (n integer primary key);
                pragma ignore_check_constraints = on;
            ")
            .script("b01.sql", "
                -- b01
                -- revision: b01
                -- revises: a01
                -- migrate:up postgres
                create temp table t (n integer);
                create table b01 (n integer);
                -- migrate:up sqlite
                create table b01 (n integer references a01 (n));
                insert into b01 values (1);
            ");
        let script = migrate(&start, &["--sql"]);
        script.assert_status(0);
        let ended = pipe(database, &script.raw_stdout);
        match database.engine() {
            Engine::Postgres => {
                assert_eq!(ended, Ok(()));
                assert_eq!(database.ledger(), ["a01", "b01"]);
            }
            Engine::Sqlite => {
                let words = ended.unwrap_err();
                assert!(words.contains("foreign keys point at nothing"), "{words}");
                assert_eq!(database.ledger(), ["a01"]);
            }
        }
    }

    fn a_database_that_is_refused_stays_as_it_is(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .revision("a01", "", "create table a01 (n integer);")
            .revision("b01", "a01", "create table b01 (n integer);");
        let script = migrate(&start, &["--sql", "--revision", "a01:b01"]);
        script.assert_status(0);
        let words = pipe(database, &script.raw_stdout).unwrap_err();
        assert!(words.contains(ELSEWHERE), "{words}");
        assert_eq!(database.tables(), [""; 0]);
    }

    fn a_way_back_without_a_transaction_is_marked(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- transaction: false
            -- migrate:up
            create table a01 (n integer);
            create table a02 (n integer);
            -- migrate:down
            drop table a01;
            drop table a03;
        ");
        migrate(&start, &[]).assert_status(0);
        let script = migrate(&start, &["--sql", "--revision", "base"]);
        script.assert_status(0);
        pipe(database, &script.raw_stdout).unwrap_err();
        start.clone().env("AUTO_MIGRATION", "true").run().assert_status(16)
            .assert_said("revision `a01` is half reverted");
        migrate(&start, &["--sql", "--revision", "base"]).assert_status(16).assert_stdout("")
            .assert_said("revision `a01` is half reverted");
        let words = pipe(database, &script.raw_stdout).unwrap_err();
        assert!(words.contains(ELSEWHERE), "{words}");
        start.clone().args(&["database", "stamp", "base"]).run().assert_status(0);
        assert_eq!(database.ledger(), [""; 0]);
    }

    /// What of it has run is in the journal, and a script cannot go on from there.
    fn a_revision_that_has_stopped_part_way_is_not_begun_again(database: &dyn Database) {
        let start = Prelaunch::on(database).script("a01.sql", "
            -- a01
            -- revision: a01
            -- transaction: false
            -- migrate:up
            create table a01 (n integer);
            create table a02 as select n from a03;
        ");
        migrate(&start, &[]).assert_status(15);
        let script = migrate(&start, &["--sql"]);
        script.assert_status(0);
        let words = pipe(database, &script.raw_stdout).unwrap_err();
        assert!(words.contains(ELSEWHERE), "{words}");
        database.query("create table a03 (n integer)");
        migrate(&start, &[]).assert_status(0);
    }
}

/// On SQLite whoever comes second is refused as long as the first is at work.
#[test]
fn a_step_that_another_has_taken_ends_a_script() {
    let database = Postgres::create();
    let start = Prelaunch::on(&database).script(
        "a01.sql",
        "
        -- a01
        -- revision: a01
        -- migrate:up
        create table a01 (n integer);
        -- migrate:down
        drop table if exists a01;
        ",
    );
    migrate(&start, &[]).assert_status(0);
    let script = migrate(&start, &["--sql", "--revision", "base"]);
    script.assert_status(0);
    let mut first = database.session();
    first.execute("begin");
    first.execute("delete from prelaunch_ledger where revision = 'a01'");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| pipe(&database, &script.raw_stdout));
        eventually("the second at the row of the first", || {
            let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
            (database.query(waiting) == "1").then_some(())
        });
        first.execute("commit");
        let words = second.join().unwrap().unwrap_err();
        assert!(words.contains(ELSEWHERE), "{words}");
    });
    assert_eq!(database.tables().iter().filter(|name| *name == "a01").count(), 1);
    assert_eq!(database.history(), ["upgrade a01"]);
}

/// What a script creates is where its ledger is, or nowhere.
#[test]
fn a_script_for_another_schema_ends_before_it_begins() {
    let database = Postgres::create();
    database.query("create schema \"The'App\"");
    let elsewhere = format!("{}?options=-c%20search_path%3D%22The%27App%22", database.url());
    let start = Prelaunch::on(&database).env("DATABASE_URL", &elsewhere).revision(
        "a01",
        "",
        "create table a01 (n integer);",
    );
    let script = migrate(&start, &["--sql"]);
    script.assert_status(0);
    let words = pipe(&database, &script.raw_stdout).unwrap_err();
    assert!(
        words.contains("this script is for the schema `The'App`; let search_path lead there"),
        "{words}"
    );
    assert_eq!(
        database.query("select count(*) from pg_tables where schemaname !~ '^(pg_|inf)'"),
        "0"
    );
    pipe_to(&database, &elsewhere, &script.raw_stdout).unwrap();
    start.args(&["database", "check"]).run().assert_status(0);
}
