//! The SQL that both engines understand alike, and the tables of each.
//!
//! `prefix` is the quoted schema with its dot on PostgreSQL (a script may have changed the
//! search path) and empty on SQLite.
//!
//! `$1` and so on are parameters; [`super::offline`] puts literals there.

/// The three tables, in the order in which [`super::Tables`] names them.
pub(super) const LEDGER: &str = "prelaunch_ledger";
pub(super) const HISTORY: &str = "prelaunch_history";
pub(super) const JOURNAL: &str = "prelaunch_journal";

/// The tables on PostgreSQL.
pub(super) fn create_on_postgres(prefix: &str) -> String {
    format!(
        "create table if not exists {prefix}{LEDGER} (
           revision text primary key,
           parents text not null,
           depends_on text not null default '',
           tag text,
           title text not null,
           checksum text,
           up text,
           down text,
           origin text not null,
           applied_at timestamptz not null default clock_timestamp(),
           duration_ms bigint,
           applied_by text not null,
           tool text not null
         );
         create table if not exists {prefix}{HISTORY} (
           seq bigint generated always as identity primary key,
           event text not null,
           subject text not null,
           heads text not null,
           recorded_at timestamptz not null default clock_timestamp(),
           duration_ms bigint,
           recorded_by text not null,
           run text not null,
           tool text not null
         );
         create table if not exists {prefix}{JOURNAL} (
           revision text not null,
           statement integer not null,
           checksum text not null,
           started_at timestamptz not null default clock_timestamp(),
           done_at timestamptz,
           primary key (revision, statement)
         )"
    )
}

/// The tables on SQLite; times are UTC, as ISO 8601 with milliseconds.
pub(super) fn create_on_sqlite() -> String {
    const NOW: &str = "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
    format!(
        "create table if not exists {LEDGER} (
           revision text primary key not null,
           parents text not null,
           depends_on text not null default '',
           tag text,
           title text not null,
           checksum text,
           up text,
           down text,
           origin text not null,
           applied_at text not null default {NOW},
           duration_ms integer,
           applied_by text not null,
           tool text not null
         );
         create table if not exists {HISTORY} (
           seq integer primary key autoincrement,
           event text not null,
           subject text not null,
           heads text not null,
           recorded_at text not null default {NOW},
           duration_ms integer,
           recorded_by text not null,
           run text not null,
           tool text not null
         );
         create table if not exists {JOURNAL} (
           revision text not null,
           statement integer not null,
           checksum text not null,
           started_at text not null default {NOW},
           done_at text,
           primary key (revision, statement)
         )"
    )
}

/// The one query of the look: five columns `what, name, detail, extra, seq`.
///
/// * `revision`, or `reverting` where it is half gone: id, parents and dependencies with a
///   colon between them, checksum, the newest line of the
///   history that applied it;
/// * `version`: an id in the version table `versions` (quoted), and the same;
/// * `hook`, `reindex`: subject, heads, —, the newest line that says so;
/// * `last`: the newest line of the history, which dates this look on the database's own count.
///
/// Only the tables that exist may be named. `more` is one more `select` of the same columns.
pub(super) fn look(
    prefix: &str,
    tables: super::Tables,
    versions: Option<&str>,
    more: Option<&str>,
) -> String {
    const WHAT: &str = "case origin when 'reverting' then 'reverting' else 'revision' end";
    let mut parts = Vec::new();
    if tables.ledger {
        parts.push(if tables.history {
            format!(
                "select {WHAT} as what, l.revision as name, l.parents || ':' || l.depends_on as detail, \
                        l.checksum as extra, u.seq as seq \
                 from {prefix}{LEDGER} l left join (\
                   select subject, max(seq) as seq from {prefix}{HISTORY} \
                   where event in ('upgrade', 'external') group by subject\
                 ) u on u.subject = l.revision"
            )
        } else {
            format!(
                "select {WHAT} as what, revision as name, parents || ':' || depends_on as detail, \
                        checksum as extra, cast(null as bigint) as seq from {prefix}{LEDGER}"
            )
        });
    }
    if tables.history {
        parts.push(format!(
            "select event, subject, heads, cast(null as text), max(seq) from {prefix}{HISTORY} \
             where event in ('hook', 'reindex') group by event, subject, heads"
        ));
        parts.push(format!(
            "select 'last', '', '', cast(null as text), coalesce(max(seq), 0) \
             from {prefix}{HISTORY}"
        ));
    }
    if let Some(versions) = versions.filter(|_| tables.versions) {
        parts.push(if tables.history {
            format!(
                "select 'version' as what, v.version_num as name, '' as detail, \
                        cast(null as text) as extra, u.seq as seq \
                 from {versions} v left join (\
                   select subject, max(seq) as seq from {prefix}{HISTORY} \
                   where event in ('upgrade', 'external') group by subject\
                 ) u on u.subject = v.version_num"
            )
        } else {
            format!(
                "select 'version' as what, version_num as name, '' as detail, \
                        cast(null as text) as extra, cast(null as bigint) as seq from {versions}"
            )
        });
    }
    parts.extend(more.map(str::to_owned));
    if parts.is_empty() {
        // The same five columns without a row, so that the caller has one way to read.
        parts.push(
            "select '' as what, '' as name, '' as detail, '' as extra, cast(0 as bigint) as seq \
             where 1 = 0"
                .to_owned(),
        );
    }
    parts.join(" union all ")
}

/// Adds the row of an applied revision: the fence, or the end of a non-transactional one.
pub(super) fn insert_ledger(prefix: &str) -> String {
    format!(
        "insert into {prefix}{LEDGER} \
           (revision, parents, depends_on, tag, title, checksum, up, down, origin, duration_ms, \
            applied_by, tool) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    )
}

/// Takes a revision out: the fence of the way back.
pub(super) fn delete_ledger(prefix: &str) -> String {
    format!("delete from {prefix}{LEDGER} where revision = $1")
}

/// Notes that a revision which is whole begins to go, statement by statement.
pub(super) fn mark_ledger(prefix: &str) -> String {
    format!(
        "update {prefix}{LEDGER} set origin = 'reverting' \
         where revision = $1 and origin <> 'reverting'"
    )
}

/// Puts another script of the same revision in the place of the one that was run.
pub(super) fn accept_ledger(prefix: &str) -> String {
    format!(
        "update {prefix}{LEDGER} set parents = $3, depends_on = $4, tag = $5, title = $6, \
           checksum = $7, up = $8, down = $9, tool = $10 \
         where revision = $1 and checksum = $2"
    )
}

/// Notes how long a revision took.
pub(super) fn time_ledger(prefix: &str) -> String {
    format!("update {prefix}{LEDGER} set duration_ms = $2 where revision = $1")
}

/// Adds a line to the history.
pub(super) fn insert_history(prefix: &str) -> String {
    format!(
        "insert into {prefix}{HISTORY} \
           (event, subject, heads, duration_ms, recorded_by, run, tool) \
         values ($1, $2, $3, $4, $5, $6, $7)"
    )
}

/// When something in a column of times happened, as ISO 8601 in UTC with milliseconds.
pub(super) fn time_on_postgres(column: &str) -> String {
    format!("to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
}

/// The ledger for people: revision, parents, tag, title, when, by whom. `time` makes text of a
/// column of times.
pub(super) fn applied(prefix: &str, time: impl Fn(&str) -> String) -> String {
    let at = time("applied_at");
    format!(
        "select revision, parents, tag, title, {at}, applied_by from {prefix}{LEDGER} \
         order by applied_at, revision"
    )
}

/// What the ledger keeps of some revisions: id, parents, dependencies, tag, title, up, down. The ids
/// are literals.
pub(super) fn kept(prefix: &str, ids: &[String]) -> String {
    format!(
        "select revision, parents, depends_on, tag, title, up, down from {prefix}{LEDGER} \
         where revision in ({}) order by applied_at, revision",
        ids.join(", ")
    )
}

/// The whole history, oldest line first.
pub(super) fn history(prefix: &str, time: impl Fn(&str) -> String) -> String {
    let at = time("recorded_at");
    format!(
        "select seq, event, subject, heads, {at}, duration_ms, recorded_by, run, tool \
         from {prefix}{HISTORY} order by seq"
    )
}

/// The ids of all applied revisions.
pub(super) fn recorded(prefix: &str) -> String {
    format!("select revision from {prefix}{LEDGER}")
}

/// What is known of the statements of a non-transactional revision.
pub(super) fn journal(prefix: &str) -> String {
    format!(
        "select statement, checksum, done_at is not null from {prefix}{JOURNAL} \
         where revision = $1 order by statement"
    )
}

/// Writes that a statement is about to run.
pub(super) fn journal_started(prefix: &str) -> String {
    format!("insert into {prefix}{JOURNAL} (revision, statement, checksum) values ($1, $2, $3)")
}

/// Writes that a statement has run; `now` is the engine's clock.
pub(super) fn journal_done(prefix: &str, now: &str) -> String {
    format!("update {prefix}{JOURNAL} set done_at = {now} where revision = $1 and statement = $2")
}

/// Forgets one statement that is known not to have run.
pub(super) fn journal_undone(prefix: &str) -> String {
    format!("delete from {prefix}{JOURNAL} where revision = $1 and statement = $2")
}

/// Forgets the statements of a revision that is recorded as a whole.
pub(super) fn journal_forget(prefix: &str) -> String {
    format!("delete from {prefix}{JOURNAL} where revision = $1")
}

/// The version table as Alembic makes it, `primary_key` being the quoted name of its constraint.
pub(super) fn create_versions(table: &str, primary_key: &str) -> String {
    format!(
        "create table if not exists {table} (version_num VARCHAR(32) not null, \
           constraint {primary_key} primary key (version_num))"
    )
}

/// The rows of a version table.
pub(super) fn versions(table: &str) -> String {
    format!("select version_num from {table}")
}

/// One row more in a version table.
pub(super) fn insert_version(table: &str) -> String {
    format!("insert into {table} (version_num) values ($1)")
}

/// One row of a version table becomes another.
pub(super) fn update_version(table: &str) -> String {
    format!("update {table} set version_num = $2 where version_num = $1")
}

/// One row less in a version table.
pub(super) fn delete_version(table: &str) -> String {
    format!("delete from {table} where version_num = $1")
}

/// A text constant, as both engines read it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
