//! Asks the scripts and the database, with the same steps and errors as a run.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use tracing::{Span, warn};

use crate::{
    alembic::asking::Asker,
    config::{ChainConfig, Config, DatabaseUrl},
    db::{AppliedRow, Database, DbError, Event, HistoryLine, Observed, Recorded, Runner},
    error::Error,
    files::{self, Chain, ChainError},
    graph::{Graph, target::Target},
    look::{Asked, Look},
    plan::{self, State},
    signals::Signals,
    stage::Stage,
    version_table::VersionTable,
    wait::{self, Wanted},
};

/// What a database remembers of its revisions.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The look of a run.
    pub(super) observed: Observed,
    /// The same revisions with when and by whom.
    pub(super) applied: Vec<AppliedRow>,
    /// The heads of the database.
    pub(super) current: BTreeSet<String>,
    /// How the database stands to the image.
    pub(super) state: State,
}

/// Where to ask.
pub(crate) struct Reading<'a> {
    pub(crate) config: &'a Config,
    /// The chain that is asked about.
    pub(crate) chain: &'a ChainConfig,
    pub(crate) signals: &'a Arc<Signals>,
}

impl<'a> Reading<'a> {
    /// Of the chain that is named; where there is one alone it need not be.
    pub(crate) fn of(
        config: &'a Config,
        named: Option<&str>,
        signals: &'a Arc<Signals>,
    ) -> Result<Self, Error> {
        let chain = config.chain(named).map_err(Error::WhichChain)?;
        Ok(Self { config, chain, signals })
    }

    /// Of the chain that is named, else of all of them.
    pub(super) fn all(
        config: &'a Config,
        named: Option<&str>,
        signals: &'a Arc<Signals>,
    ) -> Result<Vec<Self>, Error> {
        if named.is_some() {
            return Ok(vec![Self::of(config, named, signals)?]);
        }
        Ok(config.chains.iter().map(|chain| Self { config, chain, signals }).collect())
    }

    /// The revisions of the image, for whatever engine.
    pub(crate) async fn graph(&self) -> Result<Graph, Error> {
        self.asker().load(|answer| files::load_graph(self.chain, answer)).await
    }

    /// What asks Python, where the files do not say enough.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker { config: self.config, chain: self.chain, signals: self.signals }
    }

    /// The scripts, all of whose heads are wanted, and what the database remembers.
    /// `offline` is whether the verb could do without the latter.
    pub(super) async fn chain_and_ledger(&self, offline: bool) -> Result<(Chain, Ledger), Error> {
        let chain = self.chain(offline).await?;
        let ledger = self.ledger(Some(&chain)).await?;
        Ok((chain, ledger))
    }

    /// What the database remembers, which can be told without scripts too: the graph is empty
    /// where they are unsound or absent.
    pub(super) async fn ledger_and_perhaps_graph(&self) -> Result<(Graph, Ledger), Error> {
        match self.chain(false).await {
            Ok(chain) => {
                let ledger = self.ledger(Some(&chain)).await?;
                Ok((chain.graph, ledger))
            }
            // Where Alembic has written what is applied, only its environment tells.
            Err(Error::Chain(error)) if !matches!(error, ChainError::Alembic(_)) => {
                warn!(
                    stage = %Stage::Configure, event = "unsound", why = error.to_string(),
                    "cannot compare the database with the scripts"
                );
                Ok((Graph::default(), self.ledger(None).await?))
            }
            Err(error) => Err(error),
        }
    }

    /// The whole history.
    pub(super) async fn history(&self) -> Result<Vec<HistoryLine>, Error> {
        let url = self.url(false)?;
        let mut database = self.open(None).await?;
        let history = Box::pin(async {
            database.look().await?;
            database.history().await
        });
        let found = self.stopped_by_a_signal(history).await?;
        let history = found.map_err(|error| Error::unreadable(error, url, &database))?;
        database.close().await;
        Ok(history)
    }

    /// The scripts, all of whose heads are wanted. `offline` is whether the verb could do without a
    /// database.
    async fn chain(&self, offline: bool) -> Result<Chain, Error> {
        let engine = self.url(offline)?.engine();
        let load = |answer| files::load(self.chain, &Target::Heads, engine, answer);
        self.asker().load(load).await
    }

    /// The same as far as it can be known without Python.
    pub(crate) fn chain_in_text(&self, offline: bool) -> Result<Chain, Error> {
        let engine = self.url(offline)?.engine();
        files::load(self.chain, &Target::Heads, engine, None).map_err(Error::Chain)
    }

    /// Where the database is. `offline` is whether the verb could do without one.
    pub(crate) fn url(&self, offline: bool) -> Result<&'a DatabaseUrl, Error> {
        self.chain.database.as_ref().ok_or(Error::NoDatabase { offline })
    }

    async fn ledger(&self, chain: Option<&Chain>) -> Result<Ledger, Error> {
        let url = self.url(false)?;
        let mut database = self.open(chain.and_then(Chain::version_table)).await?;
        let ledger = Box::pin(async {
            let observed = database.look().await?;
            let applied = match chain {
                Some(chain) if chain.alembic.is_some() => {
                    delegated(chain, &observed, &database.history().await?)
                }
                Some(chain) => in_step(chain, &observed, database.applied().await?),
                None => database.applied().await?,
            };
            Ok((observed, applied))
        });
        let found = self.stopped_by_a_signal(ledger).await?;
        let (observed, applied) =
            found.map_err(|error| Error::unreadable(error, url, &database))?;
        database.close().await;
        let Look { heads: current, state, .. } = Look::judge(&observed, chain, &Asked::nothing());
        let observed = match chain {
            Some(chain) => plan::applied(chain, &observed).into_owned(),
            None => observed,
        };
        Ok(Ledger { observed, applied, current, state })
    }

    /// Waits until everything answers, as a run does.
    pub(crate) async fn open(&self, versions: Option<&VersionTable>) -> Result<Database, Error> {
        let runner = Runner::this();
        // What speaks to a database is a large future, and would be one inside of each verb.
        let wanted = vec![Wanted { url: self.url(false)?, versions, span: Span::none() }];
        let connecting = Box::pin(wait::until_ready(self.config, &runner, wanted));
        self.signals.take_note();
        let ready = self.signals.or(connecting).await;
        let ready = ready.map_err(|signal| Error::Stopped { stage: Stage::Wait, signal })?;
        ready.map_err(Error::Wait)?.pop().ok_or(Error::NoDatabase { offline: false })
    }

    pub(crate) async fn stopped_by_a_signal<T>(
        &self,
        reading: impl Future<Output = Result<T, DbError>>,
    ) -> Result<Result<T, DbError>, Error> {
        let read = self.signals.or(reading).await;
        read.map_err(|signal| Error::Stopped { stage: Stage::Look, signal })
    }
}

/// What is applied, in a database whose version table may say more than the ledger, or less.
fn in_step(chain: &Chain, observed: &Observed, mut rows: Vec<AppliedRow>) -> Vec<AppliedRow> {
    let Cow::Owned(applied) = plan::applied(chain, observed) else { return rows };
    rows.retain(|row| applied.ledger.iter().any(|one| one.revision == row.revision));
    let new =
        applied.ledger.iter().filter(|one| rows.iter().all(|row| row.revision != one.revision));
    let new: Vec<AppliedRow> = new.map(|one| known_from(chain, &one.revision, None)).collect();
    rows.extend(new);
    rows
}

/// A revision with what a line of the history says of it.
fn known_from(chain: &Chain, id: &str, line: Option<&HistoryLine>) -> AppliedRow {
    let revision = chain.graph.get_str(id);
    AppliedRow {
        revision: id.to_owned(),
        parents: revision
            .map(|revision| revision.parents.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        tag: revision.and_then(|revision| revision.tag.clone()),
        title: revision.map(|revision| revision.title.clone()).unwrap_or_default(),
        at: line.map(|line| line.at.clone()).unwrap_or_default(),
        by: line.map(|line| line.by.clone()).unwrap_or_default(),
    }
}

/// What a version table says is applied, with when and by whom as far as the history knows.
fn delegated(chain: &Chain, observed: &Observed, history: &[HistoryLine]) -> Vec<AppliedRow> {
    let row = |row: &Recorded| {
        let line = history
            .iter()
            .rev()
            .find(|line| line.event == Event::Upgrade.name() && line.subject == row.revision);
        known_from(chain, &row.revision, line)
    };
    plan::applied(chain, observed).ledger.iter().map(row).collect()
}
