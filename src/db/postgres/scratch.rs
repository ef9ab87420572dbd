//! Throwaway databases beside the one that a URL names, and what is in them, for `revision import`.
//!
//! The named database itself is not touched: it is where `CREATE DATABASE` is sent from.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::{address::Address, literal, quoted, rows};
use crate::{
    config::url::PostgresUrl,
    db::{DbError, Runner},
};

async fn connect(url: &PostgresUrl) -> Result<PgConnection, DbError> {
    Address { url: url.clone(), runner: Runner::this() }.connect("", "import").await
}

/// Sends statements that no transaction may hold.
pub(in crate::db) async fn send(url: &PostgresUrl, sql: &str) -> Result<(), DbError> {
    let mut connection = connect(url).await?;
    // Not by `rows`, which puts statements in front, and so makes a transaction of all.
    let sent = super::run(&mut connection, sql.to_owned()).await;
    // What was sent is done, or not, whatever becomes of the connection.
    let _ = connection.close().await;
    sent
}

pub(in crate::db) async fn create(url: &PostgresUrl, name: &str) -> Result<(), DbError> {
    send(url, &format!("create database {} template template0", quoted(name))).await
}

pub(in crate::db) async fn drop(url: &PostgresUrl, name: &str) -> Result<(), DbError> {
    send(url, &format!("drop database if exists {} with (force)", quoted(name))).await
}

/// All that the catalogue says of what was made here, a line each, sorted; the tables of those who
/// keep the books, and what belongs to an extension, left out. The line of a column ends with
/// ` position N`.
pub(in crate::db) async fn shape(
    url: &PostgresUrl,
    version_table: &str,
) -> Result<Vec<String>, DbError> {
    let mut connection = connect(url).await?;
    let query = SHAPE.replace("{version_table}", &literal(version_table));
    let found = rows(&mut connection, query).await;
    let _ = connection.close().await;
    let line = |row: &sqlx::postgres::PgRow| {
        row.try_get::<String, _>(0).map_err(|error| DbError::Ledger(error.to_string()))
    };
    found?.iter().map(line).collect()
}

const SHAPE: &str = r"
    with spaces as (
        select oid, nspname from pg_namespace
        where nspname <> 'information_schema' and nspname not like 'pg\_%'
    ), theirs as (
        select objid from pg_depend where deptype = 'e'
    ), mine as (
        select c.oid, c.relkind, c.reltype, s.nspname || '.' || c.relname as name
        from pg_class c join spaces s on s.oid = c.relnamespace
        where c.oid not in (select objid from theirs)
        and c.relname not like 'prelaunch\_%' and c.relname <> {version_table}
        and c.relname <> {version_table} || '_pkc'
    )
    select line from (
        select 'schema ' || nspname as line from spaces
        union all
        select format('%s %s', case relkind when 'r' then 'table' when 'p' then 'partitioned table'
            when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
            when 'f' then 'foreign table' else 'relation' end, name)
        from mine where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        union all
        select format('column %s.%s %s %s%s%s%s default %s position %s', m.name, a.attname,
            format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then 'not null' else 'null' end,
            case when a.attidentity <> '' then ' identity ' || a.attidentity::text else '' end,
            case when a.attgenerated <> '' then ' generated' else '' end,
            case when a.attcollation <> t.typcollation then ' collation ' || a.attcollation else '' end,
            pg_get_expr(d.adbin, d.adrelid),
            row_number() over (partition by m.oid order by a.attnum))
        from mine m join pg_attribute a on a.attrelid = m.oid
        join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = m.oid and d.adnum = a.attnum
        where a.attnum > 0 and not a.attisdropped and m.relkind in ('r', 'p', 'v', 'm', 'f')
        union all
        select format('constraint %s.%s %s valid %s', m.name, k.conname,
            pg_get_constraintdef(k.oid), k.convalidated)
        from mine m join pg_constraint k on k.conrelid = m.oid
        union all
        select format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
        from mine m join pg_index i on i.indrelid = m.oid
        union all
        select format('definition of %s %s', name, pg_get_viewdef(oid))
        from mine where relkind in ('v', 'm')
        union all
        select format('trigger %s', pg_get_triggerdef(g.oid))
        from mine m join pg_trigger g on g.tgrelid = m.oid where not g.tgisinternal
        union all
        select format('policy %s %s', m.name, p.polname)
        from mine m join pg_policy p on p.polrelid = m.oid
        union all
        select format('comment on %s.%s %s', m.name, d.objsubid, d.description)
        from mine m join pg_description d on d.objoid = m.oid and d.classoid = 'pg_class'::regclass
        union all
        select format('enum %s.%s %s', s.nspname, t.typname,
            string_agg(quote_literal(e.enumlabel), ',' order by e.enumsortorder))
        from pg_type t join spaces s on s.oid = t.typnamespace join pg_enum e on e.enumtypid = t.oid
        where t.oid not in (select objid from theirs) group by s.nspname, t.typname
        union all
        select format('domain %s.%s %s', s.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
        from pg_type t join spaces s on s.oid = t.typnamespace
        where t.typtype = 'd' and t.oid not in (select objid from theirs)
        union all
        select format('function %s', pg_get_functiondef(p.oid))
        from pg_proc p join spaces s on s.oid = p.pronamespace
        where p.prokind in ('f', 'p') and p.oid not in (select objid from theirs)
        union all
        select format('extension %s', extname) from pg_extension
    ) lines order by line";
