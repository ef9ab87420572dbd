//! Limits that role or database have as their defaults: they are for the application, and not for
//! the work. In a transaction they are set aside for it alone; outside of one that takes a session
//! without them, or somebody who says what to do.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Address, Locked, cell, goodbye, literal, rows};
use crate::db::DbError;

/// How long it may take to find the reason of an error.
const REASON: Duration = Duration::from_millis(500);

/// What may end a session or its statement by the clock; 0 is never.
fn limits(version: u32) -> Vec<&'static str> {
    let mut limits =
        vec!["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    if version >= 140_000 {
        limits.push("idle_session_timeout");
    }
    if version >= 170_000 {
        limits.push("transaction_timeout");
    }
    limits
}

/// In front of what is our own: how long that may take is ours to say, and not the role's. With
/// what follows in the same request it is one transaction, or a part of one.
pub(super) fn untimed(version: u32) -> &'static str {
    if version >= 170_000 {
        "set local statement_timeout = 0; set local transaction_timeout = 0; "
    } else {
        "set local statement_timeout = 0; "
    }
}

impl Address {
    /// A session that works, without the limits that role or database have as their defaults: what
    /// runs outside of a transaction cannot set them aside for itself.
    ///
    /// They are options of the connection, which `reset all` leaves in place. A pooler may refuse
    /// them, and they are not asked for without need; what it lets through stays limited.
    pub(super) async fn connect_worker(
        &self,
        key: &str,
        version: u32,
    ) -> Result<PgConnection, DbError> {
        let mut worker = self.connect(key, "worker").await?;
        let limits = limits(version);
        let names: Vec<String> = limits.iter().map(|name| literal(name)).collect();
        let limited = format!(
            "select exists (select from pg_settings where reset_val <> '0' and name in ({}))",
            names.join(", ")
        );
        let found = match rows(&mut worker, limited).await {
            // It is the pooler itself that let us in.
            Err(error) if error.is_pooler_full() => return Err(DbError::Pooler(Box::new(error))),
            found => found?,
        };
        let limited: bool = found.first().map_or(Ok(false), |row| cell(row, 0))?;
        if !limited {
            return Ok(worker);
        }
        // Perhaps there may be no third one.
        goodbye(worker).await;
        let options = self.options(&self.application_name(key, "worker"));
        let options = options.options(limits.iter().map(|name| (name, "0")));
        match self.connect_with(options).await {
            Ok(worker) => Ok(worker),
            Err(_) => self.connect(key, "worker").await,
        }
    }
}

impl Locked {
    /// An error with its reason, if that is a limit that role or database impose.
    pub(super) async fn explained(&mut self, error: DbError) -> DbError {
        let Some(setting) = error.limit() else { return error };
        let query = format!(
            "select reset_val::bigint from pg_settings where name = {} and reset_val <> '0'",
            literal(setting)
        );
        let ask = async {
            if let Ok(found) = rows(&mut self.worker, query.clone()).await {
                return Ok(found);
            }
            // Some limits end the session, too.
            let mut connection = self.address.connect(&self.key.short(), "look").await?;
            let found = rows(&mut connection, query).await;
            goodbye(connection).await;
            found
        };
        let asked = Box::pin(tokio::time::timeout(REASON, ask)).await;
        let found = asked.ok().and_then(Result::ok).unwrap_or_default();
        match found.first().map(|row| cell::<i64>(row, 0)) {
            Some(Ok(limit)) => DbError::Imposed {
                setting,
                limit: Duration::from_millis(limit.unsigned_abs()),
                role: self.address.url.user.clone(),
                source: Box::new(error),
            },
            Some(Err(_)) | None => error,
        }
    }
}
