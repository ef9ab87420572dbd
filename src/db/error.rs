//! What can go wrong between prelaunch and a database, observed once and classified once.
//!
//! Classes come from the step that failed, the SQLSTATE, SQLite's result code and the
//! operating system's error; never from the text of a message.

use std::{io, time::Duration};

use crate::signals::Signal;

/// A request to a database that failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The name of the host has no address (yet).
    #[error("cannot look up `{host}`")]
    Lookup {
        /// The host, as the URL names it.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection, or one that broke while it was being set up.
    #[error("cannot connect to {address}")]
    Connect {
        /// Address and port, or the path of a socket.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer within {}", crate::pause::spoken(*.0))]
    Slow(Duration),
    /// The server runs, but takes no changes: it is a standby, or was told to be read-only.
    #[error("the server is a read-only standby")]
    Standby,
    /// TLS was asked for and could not be had.
    #[error("TLS failed")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// PostgreSQL answered with an error.
    #[error("{message} (SQLSTATE {sqlstate})")]
    Server {
        /// Its five characters.
        sqlstate: String,
        /// The primary message.
        message: String,
        /// Where the error is in the statement, in characters from 1, where it says so.
        position: Option<usize>,
    },
    /// SQLite answered with an error.
    #[error("{message} (SQLite code {code})")]
    Sqlite {
        /// The extended result code.
        code: i32,
        /// Its text.
        message: String,
        /// Where the error is in the statement, in characters from 1, where it says so.
        position: Option<usize>,
    },
    /// A connection that had been up broke.
    #[error("the connection was lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A pooler gave the keeper a server connection, and none to the worker.
    #[error(
        "the pooler has no second server connection for the worker beside the keeper of the lock; \
         raise its pool size, or give MIGRATION_DATABASE_URL the direct address"
    )]
    Pooler(#[source] Box<DbError>),
    /// A limit that role or database have as their default, where it cannot be set aside.
    #[error(
        "the default `{setting}` of {} ended it, and outside of a transaction a pooler does not \
         let it be set aside; give MIGRATION_DATABASE_URL the direct address, or \
         `alter role {role} set {setting} = 0`",
        crate::pause::spoken(*.limit)
    )]
    Imposed {
        /// Which setting.
        setting: &'static str,
        /// What it says.
        limit: Duration,
        /// As whom we came.
        role: String,
        /// What the server said.
        source: Box<DbError>,
    },
    /// The directory of a SQLite file, or the file, cannot be used.
    #[error("cannot open {path}")]
    File {
        /// The absolute path.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No schema of the search path exists, so that there is nowhere to look or create.
    #[error(
        "no schema of the role's search_path exists or may be used; create one, \
         or set it with `ALTER ROLE … SET search_path`"
    )]
    NoSchema,
    /// A row of the ledger says what no prelaunch writes.
    #[error("the ledger has a row that cannot be read: {0}")]
    Ledger(String),
    /// Anything else that the client library reports.
    #[error("the database client failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a failure means for somebody who waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It passes by itself: wait.
    Transient,
    /// The server is up and says no; it may only not be initialised yet: a short grace.
    Refused,
    /// Waiting does not help.
    Permanent,
}

impl DbError {
    /// Whether waiting helps.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            // A socket that belongs to somebody else will not change hands.
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Class::Refused
            }
            // Not known yet, refused, reset, unreachable, a socket file that is not there yet.
            Self::Lookup { .. }
            | Self::Connect { .. }
            | Self::Slow(_)
            | Self::Standby
            | Self::Pooler(_)
            | Self::Lost(_) => Class::Transient,
            Self::Server { sqlstate, .. } => class_of_sqlstate(sqlstate),
            Self::Imposed { source, .. } => source.class(),
            Self::Sqlite { code, .. } => match code & 0xff {
                sqlite::BUSY | sqlite::LOCKED => Class::Transient,
                _ => Class::Permanent,
            },
            // A schema may come true as late as the database that it is in.
            Self::Tls(_) | Self::NoSchema | Self::Other(_) => Class::Refused,
            Self::File { .. } | Self::Ledger(_) => Class::Permanent,
        }
    }

    /// Its SQLSTATE, if PostgreSQL said one; else the empty text, which is none.
    fn sqlstate(&self) -> &str {
        if let Self::Server { sqlstate, .. } = self { sqlstate } else { "" }
    }

    /// SQLite's extended result code; else 0, which is no error.
    fn sqlite_code(&self) -> i32 {
        if let Self::Sqlite { code, .. } = self { *code } else { 0 }
    }

    /// Whether the statement may be tried again in a new transaction: it gave way to a lock
    /// (`lock_timeout`, a deadlock) or found a SQLite file busy.
    #[must_use]
    pub fn gave_way(&self) -> bool {
        matches!(self.sqlstate(), "55P03" | "40P01")
            || matches!(self.sqlite_code() & 0xff, sqlite::BUSY | sqlite::LOCKED)
    }

    /// The setting that ends a statement or its session in this way; others may do so, too.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self.sqlstate() {
            "57014" => Some("statement_timeout"),
            "55P03" => Some("lock_timeout"),
            "25P04" => Some("transaction_timeout"),
            _ => None,
        }
    }

    /// Whether somebody has cancelled the statement, or ended its session.
    pub(crate) fn was_ended(&self) -> bool {
        matches!(self.sqlstate(), "57014" | "57P01")
    }

    /// Whether a row with the same key is there already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.sqlstate() == "23505"
            || matches!(
                self.sqlite_code(),
                sqlite::CONSTRAINT_PRIMARYKEY | sqlite::CONSTRAINT_UNIQUE
            )
    }

    /// Whether a table that was asked for does not exist.
    #[must_use]
    pub(crate) fn is_missing_table(&self) -> bool {
        self.sqlstate() == "42P01"
    }

    /// Whether a pooler gave up on finding a server connection for us.
    pub(crate) fn is_pooler_full(&self) -> bool {
        self.sqlstate() == "08P01"
    }

    /// Whether rights are missing.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.sqlstate() == "42501"
    }

    /// Whether the outcome of the request is unknown, because the answer never came.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let broken = matches!(
            self,
            Self::Lost(_)
                | Self::Slow(_)
                | Self::Pooler(_)
                | Self::Connect { .. }
                | Self::Lookup { .. }
        );
        // The server ends the session: 57P01 admin, 57P02 crash, 57P05 idle; 08 connection.
        broken
            || self.sqlstate().starts_with("08")
            || matches!(self.sqlstate(), "57P01" | "57P02" | "57P03" | "57P05")
    }

    /// Whether the database as a whole is unfit: full, read-only, corrupt.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        let nowhere = matches!(self, Self::File { .. } | Self::NoSchema | Self::Ledger(_));
        // 53100 disk full, 58030 I/O error, 25006 read-only, XX001 and XX002 corrupt.
        nowhere
            || matches!(self.sqlstate(), "53100" | "58030" | "25006" | "XX001" | "XX002")
            || matches!(
                self.sqlite_code() & 0xff,
                sqlite::READONLY
                    | sqlite::IOERR
                    | sqlite::CORRUPT
                    | sqlite::FULL
                    | sqlite::CANTOPEN
                    | sqlite::NOTADB
                    | sqlite::PERM
            )
    }
}

/// PostgreSQL's Appendix A, as far as waiting is concerned.
fn class_of_sqlstate(sqlstate: &str) -> Class {
    match sqlstate {
        // Starting up or shutting down; every slot taken; a standby that was asked to write.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "55P03" | "40P01" | "25006" => {
            Class::Transient
        }
        // A pooler that has no server yet; other resources that come back.
        _ if sqlstate.starts_with("08") || sqlstate.starts_with("53") => Class::Transient,
        // 28P01 and 28000 password, role, pg_hba; 3D000 database; all come true late in compose.
        _ => Class::Refused,
    }
}

/// SQLite's result codes, as far as they are told apart: <https://www.sqlite.org/rescode.html>.
mod sqlite {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
    pub(super) const CONSTRAINT_UNIQUE: i32 = 2067;
}

impl DbError {
    /// What sqlx reports of a request on a connection that is up.
    pub(crate) fn from_request(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) {
            return Self::Lost(Box::new(error));
        }
        Self::from_any(error)
    }

    /// What sqlx reports of an attempt to connect to `address`.
    pub(crate) fn from_connect(error: sqlx::Error, address: &str) -> Self {
        if let sqlx::Error::Io(source) = error {
            // What TLS does not like comes as an error of the socket.
            if source.kind() == io::ErrorKind::InvalidData {
                return Self::Tls(Box::new(source));
            }
            return Self::Connect { address: address.to_owned(), source };
        }
        Self::from_any(error)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "sqlx's enum is theirs, and open")]
    fn from_any(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(told) => {
                let message = cut(told.message());
                if let Some(told) = told.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                    let position = match told.position() {
                        Some(sqlx::postgres::PgErrorPosition::Original(at)) => Some(at),
                        Some(sqlx::postgres::PgErrorPosition::Internal { .. }) | None => None,
                    };
                    let sqlstate = told.code().to_owned();
                    return Self::Server { sqlstate, message, position };
                }
                let code = told.code().and_then(|code| code.parse().ok()).unwrap_or(1);
                Self::Sqlite { code, message, position: None }
            }
            sqlx::Error::Tls(source) => Self::Tls(source),
            // A peer that breaks off in the middle of the protocol, or does not speak it yet.
            sqlx::Error::Protocol(_) => Self::Lost(Box::new(error)),
            other => Self::Other(Box::new(other)),
        }
    }
}

/// A message that may have any length, for a line that people read.
fn cut(message: &str) -> String {
    const LONGEST: usize = 1000;
    let end = message.floor_char_boundary(LONGEST);
    if end == message.len() { message.to_owned() } else { format!("{}…", &message[..end]) }
}

/// Why work under the lock ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The database said no, or nothing.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A signal came; what was running has been cancelled.
    #[error("stopped by {}", .signal.name())]
    Stopped {
        /// Which.
        signal: Signal,
        /// What became of the statement that was running.
        outcome: Outcome,
    },
    /// Somebody else may have the lock by now; what was running has been cancelled.
    #[error("the lock was lost: {why}")]
    LockLost {
        /// How it came to light.
        why: String,
        /// What became of the statement that was running.
        outcome: Outcome,
    },
    /// What an earlier runner left at work did not end in time.
    #[error(
        "session `{name}` of an earlier run is still at work; end it with \
         `select pg_terminate_backend({pid})`"
    )]
    Orphan {
        /// Its application name.
        name: String,
        /// Its backend.
        pid: i64,
    },
    /// Rows point at rows that are not there, and did not before this revision.
    #[error("{} foreign keys, the first in table `{table}`", if *.count == 1 { "1 row violates".to_owned() } else { format!("{count} rows violate") })]
    ForeignKeys {
        /// How many.
        count: usize,
        /// The first table with one.
        table: String,
    },
}

/// What became of a statement that was broken off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It had run to its end.
    Done,
    /// It has had no effect.
    Undone,
    /// Nobody can tell.
    Open,
}

impl WorkError {
    /// Stopped where nothing was running.
    pub(crate) fn stopped(signal: Signal) -> Self {
        Self::Stopped { signal, outcome: Outcome::Undone }
    }

    /// The lock was lost where nothing was running.
    pub(crate) fn lock_lost(why: String) -> Self {
        Self::LockLost { why, outcome: Outcome::Undone }
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Db(error) if error.is_unanswered() => 11,
            Self::Db(error) if error.is_unfit() => 12,
            Self::Db(_) | Self::ForeignKeys { .. } => 14,
            Self::Stopped { signal, .. } => signal.exit_code(),
            Self::LockLost { .. } => 11,
            Self::Orphan { .. } => 13,
        }
    }

    /// The exit code where it was no script that failed: what the database then refuses is
    /// refused to us.
    #[must_use]
    pub(crate) fn exit_code_of_ours(&self) -> u8 {
        match (self, self.exit_code()) {
            (Self::Db(error), 14) if error.gave_way() => 14,
            (Self::Db(error), 14) if error.class() == Class::Transient => 11,
            (Self::Db(_), 14) => 12,
            (_, code) => code,
        }
    }

    /// Whether a row with the same key is there already: somebody else was here.
    #[must_use]
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_duplicate())
    }

    /// Whether nobody can tell what became of what was asked.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Db(error) => error.is_unanswered(),
            Self::Stopped { outcome, .. } | Self::LockLost { outcome, .. } => {
                *outcome == Outcome::Open
            }
            Self::Orphan { .. } | Self::ForeignKeys { .. } => false,
        }
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Stopped { signal, .. } => Some(*signal),
            Self::Db(_)
            | Self::LockLost { .. }
            | Self::Orphan { .. }
            | Self::ForeignKeys { .. } => None,
        }
    }
}
