//! PostgreSQL: looking. Connecting is in `address`, the lock in `lock`, the work under it in `work`.
//!
//! Everything here works through a transaction-pooling PgBouncer, which is what decides how
//! things are said: no start-up option of ours but the application name, no `SET` that outlives
//! its transaction, no named prepared statement; outside a transaction only the simple query
//! protocol, which has no parameters.

mod address;
mod guard;
mod keeper;
mod limit;
mod lock;
pub(super) mod scratch;
mod settle;
mod watch;
mod work;

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow, raw_sql};

use self::address::Address;
pub use self::{lock::Queue, work::Locked};
use super::{
    AppliedRow, DbError, HistoryLine, Holder, Kept, Observed, Runner, Tables, Terms,
    ledger::ids,
    sql::{self, literal},
};
use crate::{config::url::PostgresUrl, version_table::VersionTable};

/// How often the server looks whether its client is still there while it works for it.
const CLIENT_CHECK: &str = "500ms";

/// How long a goodbye may take; nobody waits for its answer.
const GOODBYE: Duration = Duration::from_millis(200);

/// What the server says of itself with the first query.
#[derive(Clone, Debug)]
struct Facts {
    /// The schema in which the migrating role creates: where the ledger is.
    schema: String,
    /// As `server_version_num`: 15.4 is 150004.
    version: u32,
    tables: Tables,
    /// A table to be looked at besides ours.
    versions: Option<VersionTable>,
}

impl Facts {
    /// The version table, quoted.
    fn versions(&self) -> Option<String> {
        self.versions.as_ref().map(table)
    }

    /// Whether no table is missing any more.
    fn are_final(&self) -> bool {
        self.tables.complete() && (self.versions.is_none() || self.tables.versions)
    }

    /// The quoted schema with its dot.
    fn prefix(&self) -> String {
        format!("{}.", quoted(&self.schema))
    }
}

/// A session that looks.
#[derive(Debug)]
pub struct Session {
    address: Address,
    facts: Facts,
    /// None after it broke: the next look connects anew.
    connection: Option<PgConnection>,
    /// Whether the facts are older than the last look.
    looked: bool,
}

impl Session {
    /// Looks up the host, connects, and asks whether this is a primary: one round trip after
    /// the connection is up.
    pub(super) async fn connect(
        url: &PostgresUrl,
        runner: &Runner,
        versions: Option<VersionTable>,
    ) -> Result<Self, DbError> {
        let address = Address { url: url.clone(), runner: runner.clone() };
        let mut connection = address.connect("", "look").await?;
        let facts = facts(&mut connection, versions).await?;
        Ok(Self { address, facts, connection: Some(connection), looked: false })
    }

    /// See [`super::Database::look`].
    pub(super) async fn look(&mut self) -> Result<Observed, DbError> {
        let stale = self.connection.is_some();
        match self.look_once().await {
            // It was idle, for as long as other dependencies were waited for, and broke meanwhile.
            Err(error) if stale && error.is_unanswered() => self.look_once().await,
            looked => looked,
        }
    }

    async fn look_once(&mut self) -> Result<Observed, DbError> {
        let (mut connection, known) = match self.connection.take() {
            Some(connection) => (connection, !self.looked || self.facts.are_final()),
            None => (self.address.connect("", "look").await?, false),
        };
        if !known {
            // Another server may answer there now; and whoever migrates creates the tables, while
            // somebody in mode `wait` looks again and again.
            self.facts = facts(&mut connection, self.facts.versions.clone()).await?;
        }
        self.looked = true;
        let (observed, _) = observe(&mut connection, &mut self.facts, None).await?;
        self.connection = Some(connection);
        Ok(observed)
    }

    /// See [`super::Database::applied`].
    pub(super) async fn applied(&mut self) -> Result<Vec<AppliedRow>, DbError> {
        if !self.facts.tables.ledger {
            return Ok(Vec::new());
        }
        let query = sql::applied(&self.facts.prefix(), sql::time_on_postgres);
        self.read(query).await?.iter().map(applied_row).collect()
    }

    /// See [`super::Database::kept`].
    pub(super) async fn kept(&mut self, revisions: &[String]) -> Result<Vec<Kept>, DbError> {
        let query = sql::kept(&self.facts.prefix(), revisions);
        self.read(query).await?.iter().map(kept).collect()
    }

    /// See [`super::Database::history`].
    pub(super) async fn history(&mut self) -> Result<Vec<HistoryLine>, DbError> {
        if !self.facts.tables.history {
            return Ok(Vec::new());
        }
        let query = sql::history(&self.facts.prefix(), sql::time_on_postgres);
        self.read(query).await?.iter().map(history_line).collect()
    }

    async fn read(&mut self, query: String) -> Result<Vec<PgRow>, DbError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.address.connect("", "look").await?,
        };
        let found = rows(&mut connection, query).await?;
        self.connection = Some(connection);
        Ok(found)
    }

    /// See [`super::Database::schema`].
    pub(super) fn schema(&self) -> &str {
        &self.facts.schema
    }

    /// See [`super::Database::version_table`].
    pub(super) fn version_table(&self) -> Option<&VersionTable> {
        self.facts.versions.as_ref()
    }

    /// See [`super::Database::close`].
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            goodbye(connection).await;
        }
    }

    /// See [`super::Database::queue`]. The session that looked is given up: keeper and worker
    /// have names of their own, and behind a pooler two server connections are enough.
    pub(super) async fn queue(self, terms: Terms) -> Queue {
        if let Some(connection) = self.connection {
            goodbye(connection).await;
        }
        Queue::new(self.address, self.facts, terms)
    }
}

/// Tells the server that the session ends, and waits for nothing.
async fn goodbye(connection: PgConnection) {
    // A server that is gone needs no goodbye.
    let _ = tokio::time::timeout(GOODBYE, connection.close()).await;
}

/// Runs a query of our own by the simple protocol and gives its rows.
async fn rows(connection: &mut PgConnection, sql: String) -> Result<Vec<PgRow>, DbError> {
    let version = connection.server_version_num().unwrap_or_default();
    let sql = format!("{}{sql}", limit::untimed(version));
    raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.map_err(DbError::from_request)
}

/// Runs statements by the simple protocol; rows are thrown away as they come.
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), DbError> {
    raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(DbError::from_request)?;
    Ok(())
}

/// The first query of a session: is this a primary, where is the ledger, is there one.
async fn facts(
    connection: &mut PgConnection,
    versions: Option<VersionTable>,
) -> Result<Facts, DbError> {
    // Without a schema there is nothing to be quoted, and no table.
    let exists = |table: &str| format!("to_regclass(quote_ident(s) || '.{table}') is not null");
    let query = format!(
        "select s::text, pg_is_in_recovery(), {}, {}, {}, {} from current_schema() as s",
        exists(sql::LEDGER),
        exists(sql::HISTORY),
        exists(sql::JOURNAL),
        versions.as_ref().map_or_else(
            || "false".to_owned(),
            |versions| format!("to_regclass({}) is not null", literal(&table(versions))),
        ),
    );
    let row = rows(connection, query).await?.into_iter().next().ok_or(DbError::NoSchema)?;
    if cell::<bool>(&row, 1)? {
        return Err(DbError::Standby);
    }
    let Some(schema) = cell::<Option<String>>(&row, 0)? else { return Err(DbError::NoSchema) };
    let tables = Tables {
        ledger: cell(&row, 2)?,
        history: cell(&row, 3)?,
        journal: cell(&row, 4)?,
        versions: cell(&row, 5)?,
    };
    let version = connection.server_version_num().unwrap_or_default();
    Ok(Facts { schema, version, tables, versions })
}

/// The look, and on request the holder of a lock, in one query and one snapshot.
async fn observe(
    connection: &mut PgConnection,
    facts: &mut Facts,
    holder: Option<&str>,
) -> Result<(Observed, Option<Holder>), DbError> {
    let mut asked_again = false;
    loop {
        let look = sql::look(&facts.prefix(), facts.tables, facts.versions().as_deref(), holder);
        match rows(connection, format!("{}{look}", client_check(facts.version))).await {
            Ok(found) => return read(&found, facts.tables.versions),
            // Created or dropped since the first query was answered.
            Err(error) if error.is_missing_table() && !asked_again => {
                asked_again = true;
                *facts = self::facts(connection, facts.versions.clone()).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Has the server notice within a moment that its client is gone, while the statements that
/// follow in the same request run. They form one transaction, whose end ends the setting.
fn client_check(version: u32) -> String {
    if version >= 140_000 {
        format!("set local client_connection_check_interval = '{CLIENT_CHECK}'; ")
    } else {
        String::new()
    }
}

/// Has the server notice within half a minute that the machine of its client is gone, which sends
/// no goodbye: the lock would be held, and locks on tables, for the two hours that are usual. While
/// an answer is on its way, it is not asked whether the client is alive; that has a limit of its own.
fn keepalives(version: u32) -> &'static str {
    if version >= 120_000 {
        "set local tcp_keepalives_idle = 10; set local tcp_keepalives_interval = 5; \
         set local tcp_keepalives_count = 4; set local tcp_user_timeout = 30000; "
    } else {
        "set local tcp_keepalives_idle = 10; set local tcp_keepalives_interval = 5; \
         set local tcp_keepalives_count = 4; "
    }
}

fn read(found: &[PgRow], has_versions: bool) -> Result<(Observed, Option<Holder>), DbError> {
    let mut observed = Observed { has_versions, ..Observed::default() };
    let mut holder = None;
    for row in found {
        let (what, name): (String, String) = (cell(row, 0)?, cell(row, 1)?);
        let (detail, extra): (Option<String>, Option<String>) = (cell(row, 2)?, cell(row, 3)?);
        let seq: Option<i64> = cell(row, 4)?;
        if what == "holder" {
            holder = Some(Holder { name, pid: seq, since: extra, statement: detail });
        } else {
            observed.add(&what, name, &detail.unwrap_or_default(), extra, seq)?;
        }
    }
    Ok((observed, holder))
}

/// A row of [`sql::applied`].
fn applied_row(row: &PgRow) -> Result<AppliedRow, DbError> {
    Ok(AppliedRow {
        revision: cell(row, 0)?,
        parents: ids(cell(row, 1)?),
        tag: cell(row, 2)?,
        title: cell(row, 3)?,
        at: cell(row, 4)?,
        by: cell(row, 5)?,
    })
}

/// A row of [`sql::kept`].
fn kept(row: &PgRow) -> Result<Kept, DbError> {
    Ok(Kept {
        revision: cell(row, 0)?,
        parents: ids(cell(row, 1)?),
        depends_on: ids(cell(row, 2)?),
        tag: cell(row, 3)?,
        title: cell(row, 4)?,
        up: cell(row, 5)?,
        down: cell(row, 6)?,
    })
}

/// A row of [`sql::history`].
fn history_line(row: &PgRow) -> Result<HistoryLine, DbError> {
    let took: Option<i64> = cell(row, 5)?;
    Ok(HistoryLine {
        seq: cell(row, 0)?,
        event: cell(row, 1)?,
        subject: cell(row, 2)?,
        heads: ids(cell(row, 3)?),
        at: cell(row, 4)?,
        took: took.and_then(|took| u64::try_from(took).ok()).map(Duration::from_millis),
        by: cell(row, 6)?,
        run: cell(row, 7)?,
        tool: cell(row, 8)?,
    })
}

/// A value of a row, in the text form that the simple protocol has.
fn cell<'row, T>(row: &'row PgRow, column: usize) -> Result<T, DbError>
where
    T: sqlx::Decode<'row, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| DbError::Ledger(error.to_string()))
}

/// What is shown of the statement of another session, in a column: up to the first constant, which
/// may be a secret, without numbers, in 200 characters. The column itself may be cut anywhere.
fn shown(column: &str) -> String {
    format!(
        "left(rtrim(regexp_replace(regexp_replace(regexp_replace(\
           {column}, '[[:space:]]+', ' ', 'g'), '(''|[$]([^0-9]|$)).*', '…'), \
           '[[:<:]][0-9][[:alnum:]_.]*', '…', 'g'), '; '), 200)"
    )
}

/// A version table, quoted.
fn table(versions: &VersionTable) -> String {
    let schema = versions.schema.as_ref().map(|schema| format!("{}.", quoted(schema)));
    format!("{}{}", schema.unwrap_or_default(), quoted(&versions.table))
}

/// An identifier in quotes.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
