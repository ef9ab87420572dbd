//! The chain that is run under faults, and what tells that it was run once.
//!
//! It holds every kind of script: transactional ones of several statements whose repetition would
//! show, indexes that are built concurrently, a script that may run twice and one that may not, two
//! branches and their merge; and a version table is kept in step with it. Everything that a statement does can be seen afterwards.

use std::time::Duration;

use crate::{
    database::{Database, Engine},
    prelaunch::Prelaunch,
};

/// A revision, with its lines of the header and its sections.
const SCRIPTS: [(&str, &str); 7] = [
    (
        "a000",
        "-- migrate:up
         create table counters (name text primary key, n bigint not null);
         insert into counters values ('t', 0), ('c', 0), ('e', 0), ('n', 0);
         create table effects (what text not null);
         create table once (what text primary key);
         create table parents (id bigint primary key, name text not null);
         create table children (parent bigint not null references parents (id) on delete cascade);
         insert into parents values (1, 'one'), (2, 'two');
         insert into children values (1), (2), (2);
         create table bulk (n bigint not null, text text);
         insert into bulk with recursive g (n) as (select 1 union all select n + 1 from g where n < 2000)
           select n, 'row ' || n from g;
         -- migrate:up postgres
         create function slow (n bigint) returns bigint language plpgsql immutable as $$ begin
           if n % 4000 = 0 then
             perform pg_sleep(coalesce(current_setting('campaign.slow', true), '0')::float);
           end if;
           return n;
         end $$;",
    ),
    (
        "b000",
        "-- revises: a000
         -- migrate:up
         update counters set n = n + 1 where name = 't';
         insert into effects values ('b1');
         alter table bulk add column more bigint;
         update bulk set more = n * 2;
         update counters set n = n * 3 + 1 where name = 't';",
    ),
    (
        "c000",
        "-- revises: a000
         -- migrate:up postgres
         insert into effects values ('c1');
         alter table parents add column size integer not null default 1;
         select pg_sleep(0.03), slow(0);
         update counters set n = n + 1 where name = 'c';
         -- migrate:up sqlite
         insert into effects values ('c1');
         create table parents_new (id bigint primary key, name text not null, size integer not null default 1);
         insert into parents_new (id, name) select id, name from parents;
         drop table parents;
         alter table parents_new rename to parents;
         update counters set n = n + 1 where name = 'c';",
    ),
    (
        "d000",
        "-- revises: b000
         -- transaction: false
         -- migrate:up postgres
         create index concurrently bulk_n on bulk (n);
         create unique index concurrently if not exists bulk_more on bulk (slow(more));
         -- migrate:up sqlite
         create index bulk_n on bulk (n);
         create unique index bulk_more on bulk (more);",
    ),
    (
        "e000",
        "-- revises: d000
         -- transaction: false
         -- idempotent: true
         -- migrate:up postgres
         insert into once values ('e1') on conflict do nothing;
         update counters set n = 7 where name = 'e';
         create index concurrently if not exists bulk_text on bulk (text);
         -- migrate:up sqlite
         insert into once values ('e1') on conflict do nothing;
         update counters set n = 7 where name = 'e';
         create index if not exists bulk_text on bulk (text);",
    ),
    (
        "f000",
        "-- revises: e000
         -- transaction: false
         -- migrate:up postgres
         insert into effects values ('f1');
         update counters set n = n + 1 where name = 'n' and slow(0) = 0;
         insert into effects select 'f3' where slow(0) = 0;
         -- migrate:up sqlite
         insert into effects values ('f1');
         update counters set n = n + 1 where name = 'n';
         insert into effects values ('f3');",
    ),
    (
        "g000",
        "-- revises: c000, f000
         -- migrate:up
         insert into effects select 'g ' || name || n from counters;
         update counters set n = n + 10;
         update bulk set more = more + 1;",
    ),
];

/// Has some statements take a while on a PostgreSQL database, so that they outlive who asked for
/// them: with and without a transaction, and an index that is built concurrently.
pub(crate) const SLOW: &str = "set campaign.slow = '1'";

/// How much longer a run takes then.
pub(crate) const SLOWER: Duration = Duration::from_secs(5);

/// What somebody looks at who has to say whether a statement of a script without a transaction has
/// run: revision, statement, and a query that gives a row if it has. Only these may be asked for.
const LOOKS: [(&str, &str, &str); 5] = [
    ("f000", "1", "select 1 from effects where what = 'f1'"),
    ("f000", "2", "select 1 from counters where name = 'n' and n = 1"),
    ("f000", "3", "select 1 from effects where what = 'f3'"),
    ("d000", "1", "select 1 from sqlite_schema where name = 'bulk_n'"),
    ("d000", "2", "select 1 from sqlite_schema where name = 'bulk_more'"),
];

/// How many revisions there are.
pub(crate) const REVISIONS: usize = SCRIPTS.len();

/// Writes the scripts.
pub(crate) fn write(mut start: Prelaunch) -> Prelaunch {
    for (revision, text) in SCRIPTS {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let text = format!("-- {revision}\n--\n-- revision: {revision}\n{}\n", lines.join("\n"));
        start = start.file(&format!("migrations/{revision}.sql"), text);
    }
    start
}

/// What a server that starts looks at: one line, which only a database at its target gives.
pub(crate) fn seen_by_servers(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "select (select string_agg(revision, ',' order by revision) from prelaunch_ledger) \
             || ' ' || (select string_agg(name || n, ',' order by name) from counters) \
             || ' ' || (select sum(more) from bulk) \
             || ' ' || (select count(*) from pg_index where not indisvalid) \
             || ' ' || (select string_agg(version_num, ',') from alembic_version)"
        }
        Engine::Sqlite => {
            "select (select group_concat(revision, ',') from \
                       (select revision from prelaunch_ledger order by revision)) \
             || ' ' || (select group_concat(name || n, ',') from \
                       (select name, n from counters order by name)) \
             || ' ' || (select sum(more) from bulk) \
             || ' ' || (select group_concat(version_num, ',') from alembic_version)"
        }
    }
}

/// All of schema, data and ledger but times, ids of sequences, and who did it.
pub(crate) fn snapshot(database: &dyn Database) -> String {
    let schema = match database.engine() {
        Engine::Postgres => {
            "select concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default) as line \
               from information_schema.columns where table_schema = 'public' \
             union all select concat_ws(' ', 'index', indexdef, i.indisvalid, i.indisready) \
               from pg_indexes x join pg_class c on c.relname = x.indexname \
                 and c.relnamespace = 'public'::regnamespace \
               join pg_index i on i.indexrelid = c.oid where schemaname = 'public' \
             union all select concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
               from pg_constraint where connamespace = 'public'::regnamespace \
             union all select concat_ws(' ', 'relation', relname, relkind) \
               from pg_class where relnamespace = 'public'::regnamespace"
        }
        Engine::Sqlite => {
            "select 'schema ' || type || ' ' || name || ' ' || coalesce(sql, '') as line from sqlite_schema \
             union all select 'integrity ' || integrity_check from pragma_integrity_check \
             union all select 'foreign key ' || count(*) from pragma_foreign_key_check"
        }
    };
    let data = "select 'counter ' || name || ' ' || n from counters \
         union all select 'effect ' || what from effects \
         union all select 'once ' || what from once \
         union all select 'parent ' || id || ' ' || name || ' ' || size from parents \
         union all select 'child ' || parent from children \
         union all select 'bulk ' || count(*) || ' ' || sum(n) || ' ' || sum(more) from bulk \
         union all select 'ledger ' || revision || ' ' || parents || ' ' || title || ' ' || checksum \
           || ' ' || origin || ' ' || up || ' ' || coalesce(down, '') || ' ' || \
           case when duration_ms >= 0 then 'took' else '' end from prelaunch_ledger \
         union all select 'history ' || event || ' ' || subject || ' ' || heads from prelaunch_history \
         union all select 'journal ' || revision || ' ' || statement from prelaunch_journal \
         union all select 'version ' || version_num from alembic_version";
    database.query(&format!("select line from ({schema} union all {data}) s order by line"))
}

/// Does what the message of exit code 15 says: looks, and tells the journal. Gives what it could
/// not do, because the message does not name a statement that may be left open.
pub(crate) fn way_out(database: &dyn Database, said: &str) -> Result<(), String> {
    let named = said.split_once("in the row ('").and_then(|(_, rest)| rest.split_once(')'));
    let (revision, statement) = named
        .and_then(|(row, _)| row.split_once("', "))
        .ok_or_else(|| "exit code 15, and no statement to tell about".to_owned())?;
    let look = LOOKS
        .iter()
        .find(|(r, s, look)| {
            let engine =
                if look.contains("sqlite_schema") { Engine::Sqlite } else { database.engine() };
            (*r, *s) == (revision, statement) && database.engine() == engine
        })
        .map(|(_, _, look)| look)
        .ok_or_else(|| format!("statement {statement} of `{revision}` should not be left open"))?;
    let row = format!("where revision = '{revision}' and statement = {statement}");
    let open = format!("select count(*) from prelaunch_journal {row} and done_at is null");
    if database.query(&open) != "1" {
        return Err(format!("the journal has no open row {row}"));
    }
    let has_run = !database.query(look).is_empty();
    database.query(&if has_run {
        format!("update prelaunch_journal set done_at = started_at {row}")
    } else {
        format!("delete from prelaunch_journal {row}")
    });
    Ok(())
}
