//! Waiting until everything answers that the server will need.
//!
//! All dependencies are tried at once under one deadline. What passes by itself is waited for;
//! a server that is up and says no gets a short grace, begun anew by every sign that it
//! is still on its way; the last failure is what the timeout reports.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use futures_util::future::try_join_all;
use tokio::{net::TcpStream, time::timeout};
use tracing::{Instrument as _, Span, debug, info};

use crate::{
    config::{Config, DatabaseUrl, Dependency},
    db::{self, Class, Database, DbError, Runner},
    pause::{Pause, spoken},
    stage::Stage,
    version_table::VersionTable,
};

/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);

/// How long a refusal is believed to be of the moment: a role or a database that an
/// initialising server is about to create, a password that is about to be set.
pub const GRACE: Duration = Duration::from_secs(10);

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why the waiting ended.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("{what} did not answer {}", patience(*.limit, *.tries))]
    Timeout {
        /// Address of the dependency.
        what: String,
        /// The deadline.
        limit: Duration,
        /// How many tries there were.
        tries: u32,
        /// Why the last one failed.
        source: ProbeError,
    },
    /// It answered no, and stayed with that.
    #[error("{what} refuses")]
    Refused {
        /// Address of the dependency.
        what: String,
        /// With which words.
        source: ProbeError,
    },
}

/// How long it was tried, and how often.
fn patience(limit: Duration, tries: u32) -> String {
    match (limit.is_zero(), tries) {
        (true, _) => "when tried once".to_owned(),
        (false, 1) => format!("within {} (1 try)", spoken(limit)),
        (false, tries) => format!("within {} ({tries} tries)", spoken(limit)),
    }
}

impl WaitError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Timeout { .. } => 11,
            Self::Refused { .. } => 12,
        }
    }
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// An HTTP server that answers with another status than 2xx or 3xx.
    #[error("it answers with status {0}")]
    Status(u16),
    /// An HTTP server that does not answer.
    #[error("no HTTP answer")]
    Http(#[source] Box<ureq::Error>),
    /// The try itself could not be made.
    #[error("the try was broken off")]
    Broken(#[source] tokio::task::JoinError),
}

impl ProbeError {
    fn class(&self) -> Class {
        match self {
            Self::Database(error) => error.class(),
            Self::Status(_) | Self::Http(_) | Self::Broken(_) => Class::Transient,
        }
    }
}

/// A database to be waited for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Where it is.
    pub url: &'a DatabaseUrl,
    /// A table to be looked at besides our own.
    pub versions: Option<&'a VersionTable>,
    /// Where what is said of it belongs.
    pub span: Span,
}

/// Waits for the databases and for everything in `WAIT_FOR`.
pub async fn until_ready(
    config: &Config,
    runner: &Runner,
    wanted: Vec<Wanted<'_>>,
) -> Result<Vec<Database>, WaitError> {
    let others = config.wait_for.iter().map(|dependency| async move {
        let what = dependency.to_string();
        until(&what, config.wait_timeout, || probe(dependency)).await
    });
    let databases = wanted.into_iter().map(|Wanted { url, versions, span }| {
        until_connected(url, runner, versions, config.wait_timeout).instrument(span)
    });
    let (databases, _) = tokio::try_join!(try_join_all(databases), try_join_all(others))?;
    Ok(databases)
}

async fn until_connected(
    url: &DatabaseUrl,
    runner: &Runner,
    versions: Option<&VersionTable>,
    limit: Duration,
) -> Result<Database, WaitError> {
    let what = db::address(url);
    let connect =
        || async { Database::connect(url, runner, versions).await.map_err(ProbeError::from) };
    until(&what, limit, connect).await
}

/// Tries until it works, refuses for good, or the limit has passed.
async fn until<T, F: Future<Output = Result<T, ProbeError>>>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, WaitError> {
    let mut pause = Pause::new(PAUSES.0, PAUSES.1, limit);
    let mut grace: Option<Pause> = None;
    loop {
        // The last try, right at the deadline, still gets a moment.
        let longest = pause.left().clamp(Duration::from_secs(1), TRY);
        let error = match timeout(longest, attempt()).await {
            Ok(Ok(answer)) => {
                info!(
                    stage = %Stage::Wait, event = "ready", what, tries = pause.tries() + 1,
                    took = spoken(pause.elapsed()), "answers"
                );
                return Ok(answer);
            }
            Ok(Err(error)) => error,
            Err(_) => ProbeError::Database(DbError::Slow(longest)),
        };
        let next = pause.next();
        let next = match error.class() {
            Class::Permanent => None,
            Class::Transient => {
                grace = None;
                next
            }
            Class::Refused => {
                let grace = grace.get_or_insert_with(|| Pause::new(PAUSES.0, PAUSES.1, GRACE));
                next.and_then(|next| grace.next().map(|graceful| next.min(graceful)))
            }
        };
        let Some(next) = next else {
            let what = what.to_owned();
            return Err(match error.class() {
                Class::Transient => {
                    WaitError::Timeout { what, limit, tries: pause.tries(), source: error }
                }
                Class::Refused | Class::Permanent => WaitError::Refused { what, source: error },
            });
        };
        info!(
            stage = %Stage::Wait, event = "not_ready", what, why = chain(&error), try = pause.tries(),
            next = spoken(next), left = spoken(grace.as_ref().unwrap_or(&pause).left().min(pause.left())), "no answer yet"
        );
        tokio::time::sleep(next).await;
    }
}

/// An error with its causes, for a log line.
fn chain(error: &ProbeError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn probe(dependency: &Dependency) -> Result<(), ProbeError> {
    match dependency {
        Dependency::Tcp { host, port } => Ok(probe_tcp(host, *port).await?),
        Dependency::Http { url } => probe_http(url.to_string()).await,
    }
}

/// A connection is all that is asked for; it is closed at once.
async fn probe_tcp(host: &str, port: u16) -> Result<(), DbError> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|source| DbError::Lookup { host: host.to_owned(), source })?
        .collect();
    TcpStream::connect(&*found)
        .await
        .map(drop)
        .map_err(|source| DbError::Connect { address: format!("{host}:{port}"), source })
}

/// A GET that ends with 2xx or 3xx; redirects are answers, not followed.
///
/// In a thread of its own, since the client blocks; it bounds itself by the length of a try.
async fn probe_http(url: String) -> Result<(), ProbeError> {
    let request = move || {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TRY))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .new_agent();
        agent.get(&url).call().map(|answer| answer.status().as_u16())
    };
    let asked = tokio::task::spawn_blocking(request).await.map_err(ProbeError::Broken)?;
    match asked.map_err(|error| ProbeError::Http(Box::new(error)))? {
        200..=399 => Ok(()),
        status => {
            debug!(stage = %Stage::Wait, event = "unready_status", status, "an HTTP server that is not ready");
            Err(ProbeError::Status(status))
        }
    }
}
