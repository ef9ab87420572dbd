//! The verbs of the terminal that write and examine scripts: `revision new`, `merge`, `lint`; and
//! `import`, which is in [`crate::alembic::import`].
//!
//! No database is asked. A verb reads the directory of scripts, decides, and only then writes: one
//! new file, which nothing that was there can be lost by. Its path is the answer on stdout.
//!
//! - `parents` what a new revision follows, with Alembic's rules
//! - `text` the script of a new revision: title, header, file name
//! - `lint` every fault of a directory, and what will hurt
//!
//! All of these are pure; here are the clock, the random id and the writing.
//!
//! What a reader may not expect: a directory that is missing or empty is no fault for `new`, which
//! begins a graph in it, although it is one for every verb that reads.

pub mod error;
mod lint;
mod parents;
#[cfg(test)]
mod tests;
pub mod text;

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tracing::info;

pub use error::RevisionError;
pub use lint::{omitted_table, rules_table};

use crate::{
    alembic::import,
    cli::RevisionVerb,
    config::Config,
    database::{json_line, write},
    error::Error,
    files::{self, ChainError},
    graph::{Graph, revision::RevisionId},
    signals::Signals,
    stage::Stage,
};
use text::{Created, Draft};

/// Writes or examines scripts.
pub fn run(
    config: &Config,
    chain: Option<&str>,
    verb: &RevisionVerb,
    signals: &Arc<Signals>,
) -> Result<ExitCode, Error> {
    let configured = || {
        let chain = config.chain(chain).map_err(Error::WhichChain)?;
        Ok(files::directory_of(chain.dir.as_deref()))
    };
    let named = |directory: Option<&PathBuf>| directory.cloned().map_or_else(configured, Ok);
    match verb {
        RevisionVerb::New { message, head, branch, splice, json } => {
            let directory = configured()?;
            let graph = graph_so_far(&directory)?;
            let draft = parents::of_new(&graph, head, *splice).and_then(|parents| {
                let label = branch.as_ref();
                label.map_or(Ok(()), |label| parents::free(&graph, label))?;
                Ok(Draft { id: fresh(&graph, label), title: message, parents, label })
            });
            create(&directory, &draft.map_err(Error::Revision)?, *json)
        }
        RevisionVerb::Merge { message, heads, json } => {
            let directory = configured()?;
            let graph = graph_so_far(&directory)?;
            let parents = parents::of_merge(&graph, heads).map_err(Error::Revision)?;
            let id = fresh(&graph, None);
            create(&directory, &Draft { id, title: message, parents, label: None }, *json)
        }
        RevisionVerb::Import(asked) => {
            import::run(config, asked, &named(asked.out.as_ref())?, signals)
        }
        RevisionVerb::Lint { directory, engine, strict, json } => {
            let directory = named(directory.as_ref())?;
            let scripts = files::read_each(&directory).map_err(Error::Chain)?;
            let findings = lint::examine(&scripts, *engine);
            let text = match (json, findings.as_slice()) {
                (true, findings) => json_line(&findings),
                (false, []) => lint::praise(&directory, scripts.len()),
                (false, findings) => lint::lines(findings),
            };
            let (rules, at_work) = lint::rules_at_work();
            if at_work < rules {
                info!(
                    stage = %Stage::Plan, event = "fewer_rules", rules, at_work,
                    "built without the feature `lint`, so that not every rule is held against the scripts"
                );
            }
            write(&text).map_err(Error::Output)?;
            match lint::verdict(&findings, *strict) {
                Some(refused) => Err(Error::Revision(refused)),
                None => Ok(ExitCode::SUCCESS),
            }
        }
    }
}

/// The graph of a directory in which there need not be anything yet.
fn graph_so_far(directory: &Path) -> Result<Graph, Error> {
    match files::graph_in(directory, None) {
        Err(ChainError::Empty { .. }) => Ok(Graph::default()),
        Err(ChainError::Directory { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Graph::default())
        }
        loaded => loaded.map_err(Error::Chain),
    }
}

/// An id that is no name here.
fn fresh(graph: &Graph, label: Option<&RevisionId>) -> RevisionId {
    // Each state has keys of its own, which begin with what the operating system calls random.
    parents::unused(graph, label, || RandomState::new().hash_one("revision"))
}

/// What was written.
#[derive(Serialize)]
struct Written<'a> {
    revision: &'a str,
    path: &'a str,
    parents: Vec<&'a str>,
}

fn create(directory: &Path, draft: &Draft<'_>, json: bool) -> Result<ExitCode, Error> {
    let failed = |path: &Path, error: &io::Error| {
        Error::Revision(RevisionError::Write { path: path.to_owned(), reason: error.to_string() })
    };
    let created = now();
    let path = directory.join(text::file_name(draft, created));
    if files::create_directory(directory).map_err(|error| failed(directory, &error))? {
        info!(
            stage = %Stage::Configure, event = "created", directory = %directory.display(),
            "the directory of scripts was not there and is made"
        );
    }
    files::create(&path, &text::script(draft, created)).map_err(|error| failed(&path, &error))?;
    let path = path.display().to_string();
    let answer = if json {
        let parents = draft.parents.iter().map(RevisionId::as_str).collect();
        json_line(&Written { revision: draft.id.as_str(), path: &path, parents })
    } else {
        format!("{path}\n")
    };
    write(&answer).map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::disallowed_methods,
    reason = "no database is asked: the author's clock says when a script was written"
)]
fn now() -> Created {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong by so much that it does not matter how.
    Created::at(since.map_or(0, |since: Duration| since.as_secs()))
}
