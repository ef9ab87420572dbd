//! `postgres://` URLs, every part resolved from the URL, then from `PG*`, then by libpq's rules.
//!
//! `db/` sets every connect option from here: sqlx is never left to read the environment. Like in
//! libpq, a query parameter beats the part of the URL that says the same, and an empty part is one
//! that is left out. Unlike in libpq the system user is no default: in a container it is `root` or
//! a number. Where several things speak of TLS, the strictest holds.

use std::{fmt, net::IpAddr, path::PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{DatabaseUrlError, IgnoredParameter, decoded, parameters};

/// A PostgreSQL server and database, every part resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresUrl {
    /// Where it listens.
    pub host: Host,
    /// The port, of a Unix socket too (it is part of the socket's name).
    pub port: u16,
    /// Who connects.
    pub user: String,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// The database.
    pub database: String,
    /// How far to insist on TLS.
    pub ssl_mode: SslMode,
    /// The authorities to trust (PEM); `None` are those that are built in.
    pub ssl_root_cert: Option<PathBuf>,
    /// The client's certificate (PEM).
    pub ssl_client_cert: Option<PathBuf>,
    /// The client's key (PEM).
    pub ssl_client_key: Option<PathBuf>,
    /// Settings of the session, in the order in which they were given. Not to be sent at connect:
    /// PgBouncer refuses that.
    pub options: Vec<(String, String)>,
}

/// Where a server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// A name to resolve.
    Name(String),
    /// An address.
    Ip(IpAddr),
    /// The directory of a Unix socket.
    UnixSocket(PathBuf),
}

/// libpq's variables of TLS, with their values.
pub type Tls = Vec<(&'static str, String)>;

/// A password, which neither `Debug` nor `Display` shows.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(String);

impl Password {
    /// The password itself: for the connection alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// libpq's `sslmode`, from lax to strict.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server insists.
    Allow,
    /// TLS if the server can.
    #[default]
    Prefer,
    /// TLS, whoever answers.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// The same, and for this host.
    VerifyFull,
}

impl SslMode {
    /// libpq's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// `sslmode=`, or `ssl=` of asyncpg (the same words, also with `_`) and JDBC (a truth word).
    fn parse(text: &str, part: &'static str) -> Result<Self, DatabaseUrlError> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" => Ok(Self::Disable),
            "allow" => Ok(Self::Allow),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            "true" if part == "`ssl`" => Ok(Self::Require),
            "false" if part == "`ssl`" => Ok(Self::Disable),
            _ => Err(DatabaseUrlError::SslMode { part }),
        }
    }
}

/// `PG*`: what a URL may leave out. `envy` fills it, by the lower-cased names.
#[derive(Clone, Default, Deserialize)]
#[expect(missing_docs, reason = "the fields are libpq's variables")]
pub struct PgVariables {
    pub pghost: Option<String>,
    pub pgport: Option<String>,
    pub pguser: Option<String>,
    pub pgpassword: Option<String>,
    pub pgdatabase: Option<String>,
    pub pgsslmode: Option<String>,
    pub pgsslrootcert: Option<String>,
    pub pgsslcert: Option<String>,
    pub pgsslkey: Option<String>,
    pub pgoptions: Option<String>,
}

/// What a URL says, decoded, before anything is filled in. An empty text is left out.
#[derive(Default)]
struct Parts {
    host: String,
    port: String,
    user: String,
    password: String,
    database: String,
    sslmode: Option<SslMode>,
    sslrootcert: String,
    sslcert: String,
    sslkey: String,
    options: String,
    ignored: Vec<IgnoredParameter>,
}

/// Parameters that change nothing that prelaunch does: how a driver keeps, names, times and pools
/// what it has. Those whose name begins with `keepalives` are among them.
const DRIVER_PARAMETERS: &[&str] = &[
    "application_name",
    "async_fallback",
    "channel_binding",
    "client_encoding",
    "command_timeout",
    "connect_timeout",
    "connection_limit",
    "executemany_batch_page_size",
    "executemany_mode",
    "fallback_application_name",
    "gssencmode",
    "load_balance_hosts",
    "max_cacheable_statement_size",
    "max_cached_statement_lifetime",
    "max_overflow",
    "pgbouncer",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "prepare_threshold",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
    "target_session_attrs",
    "tcp_user_timeout",
    "timeout",
];

impl PostgresUrl {
    /// Reads what follows `postgres://`; also gives the names of parameters that are not
    /// understood, and what the URL itself says of TLS.
    pub(super) fn parse(
        rest: &str,
        variables: &PgVariables,
    ) -> Result<(Self, Vec<IgnoredParameter>, Tls), DatabaseUrlError> {
        let mut parts = Parts::default();
        let query = parts.read_authority(rest)?;
        parts.read_query(query)?;
        let ignored = std::mem::take(&mut parts.ignored);
        let says_mode = parts.sslmode.is_some() || parts.sslrootcert == SYSTEM;
        let mut tls = parts.tls_files();
        let url = parts.resolve(variables)?;
        if says_mode {
            tls.insert(0, ("PGSSLMODE", url.ssl_mode.word().to_owned()));
        }
        Ok((url, ignored, tls))
    }
}

impl Parts {
    /// `[user[:password]@][host][:port][/database]`; gives the query that follows.
    ///
    /// The first `@` ends the password to SQLAlchemy, whatever stands before it. To libpq a `/`
    /// before that `@` has already ended the host. A URL that the two read differently is refused,
    /// and so is one where parameters seem to begin before the `@`: to both, half of a password in
    /// them is the user and the other half the host, which are shown.
    fn read_authority<'a>(&mut self, rest: &'a str) -> Result<&'a str, DatabaseUrlError> {
        let (credentials, rest) = rest.split_once('@').unwrap_or(("", rest));
        let parameters = credentials.split_once('?').is_some_and(|(_, rest)| rest.contains('='));
        if credentials.contains('/') || parameters {
            return Err(DatabaseUrlError::Unclear);
        }
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.user = decoded(user, "user")?;
        self.password = decoded(password, "password")?;

        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        // In the name of a database, too: `u:p@ss/word@host` has a password that is not encoded, and
        // `u@host/d&password=p` was to have a question mark.
        let parameters = place.split_once('&').is_some_and(|(_, rest)| rest.contains('='));
        if place.contains('@') || parameters {
            return Err(DatabaseUrlError::Unclear);
        }
        if authority.contains(',') {
            return Err(DatabaseUrlError::Hosts { part: "it" });
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(DatabaseUrlError::Ipv6)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| DatabaseUrlError::Ipv6)?;
            match port.strip_prefix(':') {
                Some(port) => (host, port),
                None if port.is_empty() => (host, ""),
                None => return Err(DatabaseUrlError::Ipv6),
            }
        } else {
            authority.split_once(':').unwrap_or((authority, ""))
        };
        self.host = decoded(host, "host")?;
        self.port = decoded(port, "port")?;
        self.database = decoded(database, "database")?;
        Ok(query)
    }

    /// The parameters, which beat what stands before them.
    fn read_query(&mut self, query: &str) -> Result<(), DatabaseUrlError> {
        let mut hosts = 0;
        for (name, value) in parameters(query)? {
            let name = decoded(name, "query")?;
            match name.as_str() {
                "host" => {
                    hosts += 1;
                    self.host = decoded(value, "host")?;
                }
                "port" => self.port = decoded(value, "port")?,
                "user" => self.user = decoded(value, "user")?,
                "password" => self.password = decoded(value, "password")?,
                "dbname" => self.database = decoded(value, "database")?,
                "sslmode" => self.insist(SslMode::parse(&decoded(value, "query")?, "`sslmode`")?),
                "ssl" => self.insist(SslMode::parse(&decoded(value, "query")?, "`ssl`")?),
                "sslrootcert" => self.sslrootcert = decoded(value, "query")?,
                "sslcert" => self.sslcert = decoded(value, "query")?,
                "sslkey" => self.sslkey = decoded(value, "query")?,
                // SQLAlchemy reads `+` as a blank, libpq as itself; only here can it not be meant.
                "options" => self.options = decoded(&value.replace('+', " "), "query")?,
                "schema" | "search_path" | "currentSchema" => {
                    return Err(DatabaseUrlError::Schema { parameter: name });
                }
                known if DRIVER_PARAMETERS.contains(&known) || known.starts_with("keepalives") => {}
                _ => self.ignored.push(name),
            }
        }
        if hosts > 1 { Err(DatabaseUrlError::Hosts { part: "it" }) } else { Ok(()) }
    }

    /// The files that are named, as libpq's variables.
    fn tls_files(&self) -> Tls {
        let files = [
            ("PGSSLROOTCERT", &self.sslrootcert),
            ("PGSSLCERT", &self.sslcert),
            ("PGSSLKEY", &self.sslkey),
        ];
        let named = files.into_iter().filter(|(_, file)| !file.is_empty());
        named.map(|(name, file)| (name, file.clone())).collect()
    }

    fn insist(&mut self, mode: SslMode) {
        self.sslmode = self.sslmode.max(Some(mode));
    }

    /// Fills what is left out.
    fn resolve(self, variables: &PgVariables) -> Result<PostgresUrl, DatabaseUrlError> {
        let or = |part: String, variable: &Option<String>| {
            Some(part).filter(|part| !part.is_empty()).or_else(|| variable.clone())
        };
        let host_part = if self.host.is_empty() { "`PGHOST`" } else { "it" };
        let no_port =
            if self.port.is_empty() { DatabaseUrlError::PgPort } else { DatabaseUrlError::Port };
        let options_part = if self.options.is_empty() { "`PGOPTIONS`" } else { "`options`" };
        let host = or(self.host, &variables.pghost).unwrap_or_else(|| "localhost".to_owned());
        let port = or(self.port, &variables.pgport).unwrap_or_else(|| "5432".to_owned());
        let user = or(self.user, &variables.pguser).ok_or(DatabaseUrlError::NoUser)?;
        let database = or(self.database, &variables.pgdatabase).unwrap_or_else(|| user.clone());
        let options = or(self.options, &variables.pgoptions).unwrap_or_default();
        let mode = match (self.sslmode, &variables.pgsslmode) {
            (Some(mode), _) => mode,
            (None, Some(text)) => SslMode::parse(text.trim(), "`PGSSLMODE`")?,
            (None, None) => SslMode::default(),
        };
        let (ssl_mode, ssl_root_cert) = trust(mode, or(self.sslrootcert, &variables.pgsslrootcert));
        Ok(PostgresUrl {
            host: host_of(host, host_part)?,
            port: port_of(&port).ok_or(no_port)?,
            user,
            password: or(self.password, &variables.pgpassword).map(Password),
            database,
            ssl_mode,
            ssl_root_cert,
            ssl_client_cert: or(self.sslcert, &variables.pgsslcert).map(PathBuf::from),
            ssl_client_key: or(self.sslkey, &variables.pgsslkey).map(PathBuf::from),
            options: settings(&options).ok_or(DatabaseUrlError::Options { part: options_part })?,
        })
    }
}

/// What stands for the usual authorities.
const SYSTEM: &str = "system";

/// libpq's two rules about `sslrootcert`: `system` are the usual authorities, which vouch for so
/// many that the host must be checked as well; and who names a file and asks for `require` gets
/// `verify-ca`.
fn trust(mode: SslMode, root_cert: Option<String>) -> (SslMode, Option<PathBuf>) {
    match root_cert {
        None => (mode, None),
        Some(word) if word == SYSTEM => (SslMode::VerifyFull, None),
        Some(file) if mode == SslMode::Require => (SslMode::VerifyCa, Some(file.into())),
        Some(file) => (mode, Some(file.into())),
    }
}

fn host_of(text: String, part: &'static str) -> Result<Host, DatabaseUrlError> {
    if text.starts_with('/') {
        return Ok(Host::UnixSocket(text.into()));
    }
    if text.contains(',') {
        return Err(DatabaseUrlError::Hosts { part });
    }
    Ok(text.parse().map(Host::Ip).unwrap_or(Host::Name(text)))
}

fn port_of(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

/// `-c name=value`, `-cname=value` and `--name=value`, as the server itself reads them: split at
/// blanks, which a backslash keeps; `-` in a name is `_`. `None` if there is anything else.
fn settings(text: &str) -> Option<Vec<(String, String)>> {
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") if word == "-c" => words.next()?,
            Some(setting) => setting.to_owned(),
            None => return None,
        };
        let (name, value) = setting.split_once('=').filter(|(name, _)| !name.is_empty())?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

/// Splits at blanks; a backslash takes the next character as it stands.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.extend(if character == '\\' { characters.next() } else { Some(character) });
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What stands for itself in an address that is shown; all else, control characters included, is
/// percent-encoded.
const SHOWN_ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |text| utf8_percent_encode(text, SHOWN_ENCODED);
        write!(f, "postgres://{}@{}:{}/", encoded(&self.user), self.host, self.port)?;
        write!(f, "{}", encoded(&self.database))
    }
}

/// As it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", utf8_percent_encode(name, SHOWN_ENCODED)),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::UnixSocket(directory) => {
                let directory = directory.to_string_lossy();
                write!(f, "{}", utf8_percent_encode(&directory, SHOWN_ENCODED))
            }
        }
    }
}
