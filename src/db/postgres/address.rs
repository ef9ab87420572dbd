//! Where to, as whom, under which name: connecting to PostgreSQL.

use std::net::SocketAddr;

use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::literal;
use crate::{
    config::url::{Host, PostgresUrl, SslMode},
    db::{DbError, Runner},
};

/// Where to, as whom, and how the sessions of this run are called.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) url: PostgresUrl,
    pub(super) runner: Runner,
}

impl Address {
    /// The application name of a session: what it does, in which run, on which host, in the 63
    /// bytes that PostgreSQL keeps.
    pub(super) fn application_name(&self, key: &str, role: &str) -> String {
        let mut name = format!("prelaunch:{key}:{role}:{}:", self.runner.id);
        for character in self.runner.host.chars() {
            if name.len() + character.len_utf8() > 63 {
                break;
            }
            name.push(character);
        }
        name
    }

    /// A condition on `pg_stat_activity a`, which lists the whole server: the sessions of this run
    /// that do this.
    ///
    /// Not the whole name is compared: the server replaces what is not ASCII in it, and a
    /// PgBouncer with `application_name_add_host` adds to its end.
    pub(super) fn sessions_of(&self, key: &str, role: &str) -> String {
        let name = format!("prelaunch:{key}:{role}:{}:%", self.runner.id);
        format!("a.datname = current_database() and a.application_name like {}", literal(&name))
    }

    pub(super) async fn connect(&self, key: &str, role: &str) -> Result<PgConnection, DbError> {
        self.connect_with(self.options(&self.application_name(key, role))).await
    }

    pub(super) async fn connect_with(
        &self,
        options: PgConnectOptions,
    ) -> Result<PgConnection, DbError> {
        self.check_files()?;
        match &self.url.host {
            Host::UnixSocket(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", self.url.port));
                let options = options.socket(directory);
                options
                    .connect()
                    .await
                    .map_err(|error| DbError::from_connect(error, &path.display().to_string()))
            }
            Host::Ip(ip) => {
                let address = SocketAddr::new(*ip, self.url.port);
                connect_to(options, address).await
            }
            Host::Name(name) => self.connect_by_name(options, name).await,
        }
    }

    /// The client would not say which file it is that is not there.
    fn check_files(&self) -> Result<(), DbError> {
        let PostgresUrl { ssl_root_cert, ssl_client_cert, ssl_client_key, .. } = &self.url;
        let files = match self.url.ssl_mode {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => [&None; 3],
            SslMode::Require => [&None, ssl_client_cert, ssl_client_key],
            SslMode::VerifyCa | SslMode::VerifyFull => {
                [ssl_root_cert, ssl_client_cert, ssl_client_key]
            }
        };
        for path in files.into_iter().flatten() {
            std::fs::File::open(path)
                .map_err(|source| DbError::File { path: path.display().to_string(), source })?;
        }
        Ok(())
    }

    /// The look-up is a step of its own: the system gives no code by which its failure could
    /// be told from others once it is inside of `connect`.
    async fn connect_by_name(
        &self,
        options: PgConnectOptions,
        name: &str,
    ) -> Result<PgConnection, DbError> {
        let found = tokio::net::lookup_host((name, self.url.port))
            .await
            .map_err(|source| DbError::Lookup { host: name.to_owned(), source })?;
        // Where TLS is insisted upon, the name must reach the handshake: it is what is verified
        // and what cloud providers route by (SNI). The client looks it up once more then.
        let by_name = match self.url.ssl_mode {
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
        };
        if by_name {
            let address = format!("{name}:{}", self.url.port);
            return options
                .host(name)
                .connect()
                .await
                .map_err(|error| DbError::from_connect(error, &address));
        }
        let mut last = None;
        for address in found {
            match connect_to(options.clone(), address).await {
                Ok(connection) => return Ok(connection),
                // `localhost` is ::1 first where the server listens on 127.0.0.1 alone.
                Err(error @ DbError::Connect { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| DbError::Lookup {
            host: name.to_owned(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        }))
    }

    /// Sets every option itself: sqlx would fill gaps from the environment by rules of its own.
    pub(super) fn options(&self, application_name: &str) -> PgConnectOptions {
        let url = &self.url;
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(url.port)
            .username(&url.user)
            .database(&url.database)
            .ssl_mode(match url.ssl_mode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Allow => PgSslMode::Allow,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            })
            .application_name(application_name)
            // PgBouncer refuses the default of sqlx.
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if let Some(password) = &url.password {
            options = options.password(password.expose());
        }
        if let Some(file) = &url.ssl_root_cert {
            options = options.ssl_root_cert(file);
        }
        if let Some(file) = &url.ssl_client_cert {
            options = options.ssl_client_cert(file);
        }
        if let Some(file) = &url.ssl_client_key {
            options = options.ssl_client_key(file);
        }
        if !url.options.is_empty() {
            options = options.options(url.options.iter().map(|(name, value)| (name, value)));
        }
        options
    }
}

async fn connect_to(
    options: PgConnectOptions,
    address: SocketAddr,
) -> Result<PgConnection, DbError> {
    options
        .host(&address.ip().to_string())
        .connect()
        .await
        .map_err(|error| DbError::from_connect(error, &address.to_string()))
}
