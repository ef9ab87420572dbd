//! The chains of a run: where each is, with what the image brings for it.
//!
//! [`Link::all`] is the stage *configure* as far as scripts are concerned: what cannot be meant is
//! refused before any database is asked.

use tracing::{Span, error_span, warn};

use crate::{
    config::{
        AutoMigration, ChainConfig, Config, DatabaseUrl,
        url::{Address, postgres::Host},
    },
    db,
    error::Error,
    files::{self, Chain, ChainError},
    stage::Stage,
    wait::Wanted,
};

/// One chain of a run.
#[derive(Debug)]
pub struct Link<'a> {
    /// How it is configured.
    pub config: &'a ChainConfig,
    /// Where its database is.
    pub url: &'a DatabaseUrl,
    /// What the image brings for it; none with the off switch, where that is unsound or absent.
    pub chain: Option<Chain>,
    /// Where what is said of it belongs: nowhere, if it is alone.
    pub span: Span,
    name: Option<&'a str>,
}

impl<'a> Link<'a> {
    /// All chains, with their scripts; none where no database is named. The off switch does without
    /// scripts, if they are unsound or absent.
    pub fn all(config: &'a Config) -> Result<Vec<Self>, Error> {
        let mut links: Vec<Self> = Vec::new();
        for (index, chain) in config.chains.iter().enumerate() {
            let Some(url) = &chain.database else { continue };
            let name = config.chain_name(index);
            // Of the loudest level, so that it is there whatever LOG_LEVEL says.
            let span = name.map_or_else(Span::none, |name| error_span!("chain", chain = %name));
            let mut link = Self { config: chain, url, chain: None, span, name };
            let loaded = link.span.in_scope(|| load(config, chain, url));
            link.chain = loaded.map_err(|error| link.fault(error))?;
            if let Some(other) = links.iter().find(|other| other.place() == link.place()) {
                return Err(Error::SamePlace {
                    first: other.config.name.clone(),
                    second: link.config.name.clone(),
                    table: link.table(),
                });
            }
            links.push(link);
        }
        Ok(links)
    }

    /// What is to be waited for.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        let versions = self.chain.as_ref().and_then(Chain::version_table);
        Wanted { url: self.url, versions, span: self.span.clone() }
    }

    /// An error of this chain, which says so if there are others.
    #[must_use]
    pub fn fault(&self, error: Error) -> Error {
        match self.name {
            None => error,
            Some(name) => Error::InChain { chain: name.to_owned(), source: Box::new(error) },
        }
    }

    /// Where in the one order of locks this one is: by what no two names of one server can change,
    /// and only then by the server.
    #[must_use]
    pub fn order(&self) -> (String, String, String) {
        let (server, database) = self.database();
        (database, self.table(), server)
    }

    /// What no two chains can share: their records would be each other's.
    fn place(&self) -> (String, String, String) {
        self.order()
    }

    fn table(&self) -> String {
        let versions = self.chain.as_ref().and_then(Chain::version_table);
        versions.map_or_else(|| "prelaunch_ledger".to_owned(), ToString::to_string)
    }

    /// Server and database, whoever comes.
    fn database(&self) -> (String, String) {
        match self.url.address() {
            Address::Postgres(url) => {
                let host = match &url.host {
                    Host::Name(name) => name.clone(),
                    Host::Ip(address) => address.to_string(),
                    Host::UnixSocket(path) => path.display().to_string(),
                };
                (format!("{host}:{}", url.port), url.database.clone())
            }
            Address::Sqlite(_) => (String::new(), db::address(self.url)),
        }
    }
}

fn load(config: &Config, chain: &ChainConfig, url: &DatabaseUrl) -> Result<Option<Chain>, Error> {
    match files::load(chain, &chain.target, url.engine()) {
        Ok(loaded) => {
            if loaded.alembic.is_some() && url.as_written().contains('%') {
                warn!(
                    stage = %Stage::Configure, event = "percent",
                    "the database URL contains `%`: an `env.py` that hands it to `set_main_option` must \
                     write `%%` for it, or Alembic fails"
                );
            }
            Ok(Some(loaded))
        }
        Err(error) => match config.auto_migration {
            AutoMigration::True | AutoMigration::Check | AutoMigration::Wait => {
                Err(Error::Chain(error))
            }
            AutoMigration::False => {
                // An image without scripts needs none in this mode.
                let absent = matches!(error, ChainError::Directory { .. });
                if !(absent && chain.dir.is_none()) {
                    warn!(stage = %Stage::Configure, event = "unsound", why = error.to_string(),
                          "cannot compare the database with the scripts");
                }
                Ok(None)
            }
        },
    }
}
