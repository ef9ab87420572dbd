//! The chains of a run: where each is, with what the image brings for it.
//!
//! [`Link::all`] is the stage *configure* as far as scripts are concerned: what cannot be meant is
//! refused before any database is asked.

use tracing::{Instrument as _, Span, error_span, warn};

use crate::{
    alembic::{asking::Asker, percent},
    config::{
        AutoMigration, ChainConfig, Config, DatabaseUrl,
        url::{Address, postgres::Host},
    },
    db,
    error::Error,
    files::{self, Chain, ChainError},
    signals::Signals,
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
    /// scripts, if they are unsound or absent, or if only Python knows them: its report is not worth
    /// the time that takes.
    pub async fn all(config: &'a Config, signals: &Signals) -> Result<Vec<Self>, Error> {
        let mut links: Vec<Self> = Vec::new();
        for (index, chain) in config.chains.iter().enumerate() {
            let Some(url) = &chain.database else { continue };
            let name = config.chain_name(index);
            // Of the loudest level, so that it is there whatever LOG_LEVEL says.
            let span = name.map_or_else(Span::none, |name| error_span!("chain", chain = %name));
            let mut link = Self { config: chain, url, chain: None, span, name };
            let loading = load(config, chain, url, signals).instrument(link.span.clone());
            link.chain = loading.await.map_err(|error| link.fault(error))?;
            let meeting = |other: &Self| Some((other.config.name.clone(), link.shared(other)?));
            if let Some((first, table)) = links.iter().find_map(meeting) {
                let second = link.config.name.clone();
                return Err(Error::SamePlace { first, second, table });
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

    /// A table that both would write to, which no two chains can: their records would be each other's.
    /// Scripts have their ledger there, whatever version table they keep in step with it. Two names of
    /// one server are not known for that before the second lock is asked for.
    fn shared(&self, other: &Self) -> Option<String> {
        if (self.database(), self.schemas()) != (other.database(), other.schemas()) {
            return None;
        }
        let writes = |link: &Self| {
            let chain = link.chain.as_ref();
            let ledger = chain.is_none_or(|chain| chain.alembic.is_none());
            let versions = chain.and_then(Chain::version_table).map(ToString::to_string);
            let ledger = ledger.then(|| "prelaunch_ledger".to_owned());
            versions.into_iter().chain(ledger).collect::<Vec<_>>()
        };
        let others = writes(other);
        writes(self).into_iter().find(|table| others.contains(table))
    }

    /// Where the URL has its session look for tables, if it says so.
    fn schemas(&self) -> Vec<&str> {
        let options = match self.url.address() {
            Address::Postgres(url) => url.options.as_slice(),
            Address::Sqlite(_) => &[],
        };
        let schemas = options.iter().filter(|(name, _)| name == "search_path");
        schemas.map(|(_, schemas)| schemas.as_str()).collect()
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

async fn load(
    config: &Config,
    chain: &ChainConfig,
    url: &DatabaseUrl,
    signals: &Signals,
) -> Result<Option<Chain>, Error> {
    let load = |answer| files::load(chain, &chain.target, url.engine(), answer);
    if config.auto_migration != AutoMigration::False {
        let loaded = Asker { config, chain, signals }.load(load).await?;
        percent::warn(loaded.alembic.as_ref(), url);
        return Ok(Some(loaded));
    }
    match load(None) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => {
            // An image without scripts needs none in this mode.
            let absent = matches!(error, ChainError::Directory { .. });
            if !(absent && chain.dir.is_none()) {
                warn!(stage = %Stage::Configure, event = "unsound", why = error.to_string(),
                      "cannot compare the database with the scripts");
            }
            Ok(None)
        }
    }
}
