//! The shape of a schema as text, so that two databases can be compared: tables, columns, constraints,
//! indexes, enums; not prelaunch's own tables, and no rows.

use crate::database::{Database, Engine};

/// All that the catalogue says of the schema, a line each, sorted.
pub(crate) fn shape(database: &dyn Database) -> String {
    match database.engine() {
        Engine::Postgres => database.query(POSTGRES),
        Engine::Sqlite => {
            let statements = database.query(SQLITE);
            statements.lines().map(plain).collect::<Vec<_>>().join("\n")
        }
    }
}

const POSTGRES: &str = "
    with mine as (
        select c.oid, c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
        and c.relname not like 'prelaunch\\_%'
    )
    select string_agg(line, E'\\n' order by line) from (
        select format('table %s', relname) as line from mine
        union all
        select format('column %s.%s %s %s %s default %s', m.relname,
            row_number() over (partition by m.oid order by a.attnum), a.attname,
            format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then 'not null' else 'null' end,
            pg_get_expr(d.adbin, d.adrelid))
        from mine m join pg_attribute a on a.attrelid = m.oid
        left join pg_attrdef d on d.adrelid = m.oid and d.adnum = a.attnum
        where a.attnum > 0 and not a.attisdropped
        union all
        select format('constraint %s.%s %s', m.relname, k.conname, pg_get_constraintdef(k.oid))
        from mine m join pg_constraint k on k.conrelid = m.oid
        union all
        select format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
        from mine m join pg_index i on i.indrelid = m.oid
        union all
        select format('enum %s %s', t.typname, string_agg(e.enumlabel, ',' order by e.enumsortorder))
        from pg_type t join pg_enum e on e.enumtypid = t.oid group by t.typname
    ) lines";

/// One line for each object; the text of a statement has line breaks of its own.
const SQLITE: &str = "
    select type || ' ' || name || ' ' ||
        replace(replace(coalesce(sql, ''), char(10), ' '), char(13), ' ')
    from sqlite_schema
    where tbl_name not like 'prelaunch^_%' escape '^' and name not like 'sqlite^_%' escape '^'
    order by type, name";

/// A renamed table comes back with quotes around its name, and blanks as they were written.
fn plain(line: &str) -> String {
    let line = line.to_lowercase().replace('"', "");
    let line = line.replace("( ", "(").replace(" )", ")").replace('(', " (");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
