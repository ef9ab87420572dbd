//! Throwaway databases, in which `revision import` tries what it will write.
//!
//! On SQLite a file in a directory of the caller's, which goes with it; on PostgreSQL a database of
//! its own on the server that was named for the purpose, which is dropped by [`Scratch::drop`].

use std::path::{Path, PathBuf};

use super::{DbError, postgres, sqlite};
use crate::{
    config::url::{Address, DatabaseUrl, PgVariables},
    engine::Engine,
};

/// A throwaway database.
#[derive(Debug)]
pub struct Scratch {
    /// Where it is: for prelaunch itself.
    pub url: DatabaseUrl,
    /// The server's own URL, **password included**, or that of the file: for Alembic.
    pub alembic_url: String,
    /// The name of the database; none on SQLite.
    pub database: Option<String>,
    server: Option<DatabaseUrl>,
}

impl Scratch {
    /// A file in this directory, which is not there yet.
    #[must_use]
    pub fn file(directory: &Path, name: &str) -> Option<Self> {
        let text = format!("sqlite:///{}", directory.join(format!("{name}.db")).display());
        let (url, _) = DatabaseUrl::parse(&text, &PgVariables::default()).ok()?;
        Some(Self { url, alembic_url: text, database: None, server: None })
    }

    /// A database on this server.
    pub async fn create(server: &DatabaseUrl, name: &str) -> Result<Self, DbError> {
        if let Address::Postgres(url) = server.address() {
            postgres::scratch::create(url, name).await?;
        }
        Ok(Self {
            url: server.with_database(name),
            alembic_url: server.as_written().to_owned(),
            database: Some(name.to_owned()),
            server: Some(server.clone()),
        })
    }

    /// Which engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.url.engine()
    }

    /// All that was made in it, a line each: two databases with the same lines have the same schema.
    pub async fn shape(&self, version_table: &str) -> Result<Vec<String>, DbError> {
        match self.url.address() {
            Address::Postgres(url) => postgres::scratch::shape(url, version_table).await,
            Address::Sqlite(url) => {
                let path: PathBuf = sqlite::resolved(&url.path);
                sqlite::scratch::statements(&path, version_table).await
            }
        }
    }

    /// Takes it away.
    pub async fn drop(self) -> Result<(), DbError> {
        match (self.server.as_ref().map(DatabaseUrl::address), &self.database) {
            (Some(Address::Postgres(url)), Some(name)) => postgres::scratch::drop(url, name).await,
            (Some(Address::Postgres(_) | Address::Sqlite(_)) | None, _) => Ok(()),
        }
    }
}
