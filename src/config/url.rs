//! The URL of a database, as SQLAlchemy, asyncpg, psycopg and libpq write it.
//!
//! It is taken apart by hand. What these four call a URL is not what a URL parser reads: a `#` in
//! a password is no fragment to them, and `sqlite:///x` is a relative path. Where they agree, they
//! are followed; where two of them would reach different databases, the URL is refused, since the
//! server and prelaunch must never work on two. Neither `Debug` nor `Display` nor an error shows a
//! password, or a part of the text that might be one.

use std::fmt;

use crate::engine::Engine;

pub mod postgres;
pub mod sqlite;
#[cfg(test)]
mod tests;

pub use postgres::{Host, Password, PgVariables, PostgresUrl, SslMode, Tls};
pub use sqlite::SqliteUrl;

/// A database, and the text that named it.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl {
    written: String,
    address: Address,
    tls: Tls,
}

/// Where a database is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A PostgreSQL server, every part resolved.
    Postgres(PostgresUrl),
    /// A SQLite file.
    Sqlite(SqliteUrl),
}

/// Why a text is no database URL that can be served. What may be secret is never a field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// There is no scheme.
    #[error("is no URL; {ACCEPTED}")]
    NoUrl,
    /// An engine that is not served, or none at all.
    #[error("scheme `{scheme}` is not served; {ACCEPTED}")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// A raw `@` or `/` that makes it unclear where the password ends.
    #[error(
        "it is not clear where the password ends and the host begins; percent-encode special \
         characters in user, password and parameters (`@` is `%40`, `/` is `%2F`, `#` is `%23`)"
    )]
    Unclear,
    /// A part that is not UTF-8, or holds a NUL, once it is percent-decoded.
    #[error("its {part} is not UTF-8 text after percent-decoding; encode it as UTF-8")]
    Encoding {
        /// Which part.
        part: &'static str,
    },
    /// A bracket that is not closed, or no IPv6 address in brackets.
    #[error("its host is no IPv6 address in brackets; write `[::1]`")]
    Ipv6,
    /// Several hosts.
    #[error("{part} names several hosts; name one, the primary")]
    Hosts {
        /// `it` or the variable.
        part: &'static str,
    },
    /// No port, or a password that was cut in two.
    #[error(
        "its port is not a number from 1 to 65535; special characters in a password must be \
         percent-encoded"
    )]
    Port,
    /// `PGPORT` is no port.
    #[error("`PGPORT` is not a number from 1 to 65535")]
    PgPort,
    /// No user, neither in the URL nor in `PGUSER`.
    #[error("names no user; write `postgres://user@host/database` or set `PGUSER`")]
    NoUser,
    /// No mode of TLS.
    #[error(
        "{part} is not understood; accepted are `disable`, `allow`, `prefer`, `require`, \
         `verify-ca` and `verify-full`"
    )]
    SslMode {
        /// The parameter or the variable.
        part: &'static str,
    },
    /// Something in `options` that is no setting.
    #[error("{part} holds something other than `-c name=value` and `--name=value`")]
    Options {
        /// The parameter or the variable.
        part: &'static str,
    },
    /// A query parameter without a value.
    #[error("a query parameter has no `=`; write `name=value`, with `&` between them")]
    Parameter,
    /// A parameter that says in which schema to work. To ignore it would migrate the wrong one.
    #[error(
        "parameter `{parameter}` is not read; write `options=-c%20search_path%3D<schema>` or \
         `ALTER ROLE … SET search_path`"
    )]
    Schema {
        /// The parameter.
        parameter: String,
    },
    /// SQLite without a file.
    #[error("a memory database is gone when prelaunch becomes the server; name a file")]
    Memory,
    /// SQLite with two slashes.
    #[error(
        "two slashes begin a host, which SQLite has not; write `sqlite:///relative.db` or \
         `sqlite:////absolute.db`"
    )]
    Slashes,
    /// SQLite's own `file:` form.
    #[error("SQLite's own `file:` form is not read; write `sqlite:///relative.db`")]
    FileForm,
    /// A percent-encoded path, which SQLAlchemy 2.0 takes literally and 2.1 decodes.
    #[error(
        "its path holds a percent-encoded character, which SQLAlchemy takes literally up to 2.0 \
         and decodes from 2.1 on; name the file without it"
    )]
    PercentPath,
}

/// What may be written, for messages.
const ACCEPTED: &str = "accepted are `postgres://`, `postgresql://`, `sqlite:` and SQLAlchemy's \
                        `+driver` forms of them";

/// A parameter that was not understood, and had no effect.
pub type IgnoredParameter = String;

impl DatabaseUrl {
    /// Reads a URL; what a PostgreSQL URL leaves out comes from `variables`.
    ///
    /// Also gives the names of the parameters that are unknown here and had no effect. Those that
    /// are known to matter only to drivers are not among them.
    pub fn parse(
        text: &str,
        variables: &PgVariables,
    ) -> Result<(Self, Vec<IgnoredParameter>), DatabaseUrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(DatabaseUrlError::NoUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        let engine = scheme.split_once('+').map_or(scheme.as_str(), |(engine, _)| engine);
        let (address, ignored, tls) = match (engine, rest.strip_prefix("//")) {
            ("postgres" | "postgresql", Some(rest)) => {
                let (url, ignored, tls) = PostgresUrl::parse(rest, variables)?;
                (Address::Postgres(url), ignored, tls)
            }
            ("sqlite", _) => {
                let (url, ignored) = SqliteUrl::parse(rest)?;
                (Address::Sqlite(url), ignored, Tls::new())
            }
            // Without `//` it may be `user:password@host`, and the "scheme" a name or worse.
            (_, Some(_))
                if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
            {
                return Err(DatabaseUrlError::Scheme { scheme });
            }
            _ => return Err(DatabaseUrlError::NoUrl),
        };
        Ok((Self { written: text.to_owned(), address, tls }, ignored))
    }

    /// Where the database is.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What the text itself says of TLS, as libpq's variables: for those who do not read it there.
    #[must_use]
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Another database on the same server; a SQLite file is what it is.
    #[must_use]
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        if let Address::Postgres(url) = &mut other.address {
            name.clone_into(&mut url.database);
        }
        other
    }

    /// Which engine serves it.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self.address {
            Address::Postgres(_) => Engine::Postgres,
            Address::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The text as it was given, **password included**: for the environment of children alone,
    /// never for a log, an error or a table.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

/// The address, without password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Postgres(url) => url.fmt(f),
            Address::Sqlite(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// Percent-decodes one part.
fn decoded(text: &str, part: &'static str) -> Result<String, DatabaseUrlError> {
    let text = percent_encoding::percent_decode_str(text).decode_utf8();
    // A NUL would end the text inside the protocol, and so reach another user or database.
    let text = text.ok().filter(|text| !text.contains('\0'));
    text.map(Into::into).ok_or(DatabaseUrlError::Encoding { part })
}

/// The parameters of a query, still encoded.
fn parameters(query: &str) -> Result<Vec<(&str, &str)>, DatabaseUrlError> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').ok_or(DatabaseUrlError::Parameter)).collect()
}
