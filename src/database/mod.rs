//! The verbs of the terminal that read: where the database is, and which revisions there are.
//!
//! A verb reads what it needs, in the order of a run (scripts, wait, look), and makes one text of
//! it, which [`run`] writes to stdout at its end: what fails leaves no half an answer. Nothing is
//! locked and nothing changed; SELECT rights suffice.
//!
//! - `reading` asks the scripts and the database
//! - `listing` revisions with what the ledger says of them, as one value; its JSON
//! - `lines` a revision on one line, as Alembic prints it
//! - `pages` the answers for people
//! - `drawing` the graph as `git log --graph` draws it; `diagrams` Mermaid and Graphviz
//! - `range` the `A:B` of `history`
//!
//! All but `reading` and the last step here, the writing, is pure.

mod diagrams;
mod drawing;
pub(crate) mod lines;
mod listing;
pub(crate) mod pages;
pub mod range;
pub(crate) mod reading;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::Arc,
};

use serde::Serialize;
use serde_json::json;

use self::{
    listing::{Line, Listing},
    pages::Paint,
    reading::Reading,
};
use crate::{
    cli::{Format, Question},
    config::{AutoMigration, Config, DatabaseAhead},
    error::Error,
    plan::{self, Due, Next, Refusal},
    signals::Signals,
};

/// What a verb has found out.
struct Answer {
    /// For stdout.
    text: String,
    /// Why the exit code is not 0 although the question was answered.
    refused: Option<Error>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, refused: None }
    }
}

/// Answers one question on stdout.
pub fn run(
    config: &Config,
    chain: Option<&str>,
    question: &Question,
    signals: &Arc<Signals>,
) -> Result<ExitCode, Error> {
    let readings = if question.is_diagram() {
        // It is one diagram.
        vec![Reading::of(config, chain, signals)?]
    } else {
        Reading::all(config, chain, signals)?
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Setup)?;
    let paint = Paint { on: io::stdout().is_terminal() };
    let answer = runtime.block_on(answers(&readings, question, paint));
    // A look-up of a name may block its thread for long, and must not hold us.
    runtime.shutdown_background();
    let Answer { text, refused } = answer?;
    // Whoever reads what follows may stop reading it.
    signals.end_at_once();
    write(&text).map_err(Error::Output)?;
    refused.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The answers of all chains under their names, as an object where they are JSON.
async fn answers(
    readings: &[Reading<'_>],
    question: &Question,
    paint: Paint,
) -> Result<Answer, Error> {
    if let [only] = readings {
        return answer(only, question, paint).await;
    }
    let (mut texts, mut first) = (Vec::new(), None);
    for reading in readings {
        let name = &reading.chain.name;
        let of_chain = |error| Error::InChain { chain: name.clone(), source: Box::new(error) };
        let Answer { text, refused } = answer(reading, question, paint).await.map_err(of_chain)?;
        first = first.or(refused.map(of_chain));
        texts.push((name, text));
    }
    let text = if question.is_json() {
        let pairs = texts.iter().map(|(name, text)| format!("{}:{}", json!(name), text.trim_end()));
        format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(","))
    } else {
        let parts = texts.iter().map(|(name, text)| format!("[{name}]\n{text}"));
        parts.collect::<Vec<_>>().join("\n")
    };
    Ok(Answer { text, refused: first })
}

async fn answer(reading: &Reading<'_>, question: &Question, paint: Paint) -> Result<Answer, Error> {
    Ok(match question {
        Question::Revisions { graph, json, format, offline } => {
            let listing = if *offline {
                Listing::offline(reading.graph().await?)
            } else {
                let (chain, seen) = reading.chain_and_ledger(true).await?;
                let delegated = chain.delegated();
                Listing::online(chain.graph, &seen).delegating(delegated)
            };
            let format = if *json { Some(Format::Json) } else { *format };
            match format {
                Some(Format::Json) => json_line(&listing.json()),
                Some(Format::Mermaid) => diagrams::mermaid(&listing),
                Some(Format::Dot) => diagrams::dot(&listing),
                None if *graph => drawing::draw(&listing, paint),
                None => pages::revisions(&listing, paint),
            }
            .into()
        }
        Question::Current { json } => {
            let (graph, seen) = reading.ledger_and_perhaps_graph().await?;
            let listing = Listing::online(graph, &seen);
            let ids = listing.current();
            if *json { json_line(&ids) } else { pages::current(&listing) }.into()
        }
        Question::Heads { json, offline: _ } => {
            let listing = Listing::offline(reading.graph().await?);
            if *json { json_line(&listing.heads()) } else { pages::heads(&listing) }.into()
        }
        Question::History { range, json, offline: _ } => {
            let listing = Listing::offline(reading.graph().await?);
            let range = range.clone().unwrap_or_default();
            let wanted = range.of(listing.graph()).map_err(Error::Range)?;
            if *json {
                json_line(&listing.rows_of(&wanted))
            } else {
                pages::history(&listing, &wanted)
            }
            .into()
        }
        Question::Check { json } => {
            let (chain, seen) = reading.chain_and_ledger(false).await?;
            let state = seen.state.clone();
            let nothing_else = Due { hook: false, reindex: false, external: false };
            let refusal = match plan::decide(
                AutoMigration::Check,
                DatabaseAhead::Refuse,
                &state,
                nothing_else,
            ) {
                // What lets a start go on all the same does not count here.
                Next::Refuse(Refusal::Ahead { unknown }) => Some(Refusal::Foreign { unknown }),
                Next::Refuse(refusal) | Next::Await(refusal) => Some(refusal),
                Next::Start | Next::Work => None,
            };
            let pending: Vec<String> = state.steps().iter().map(ToString::to_string).collect();
            let listing = Listing::online(chain.graph, &seen);
            let text = if *json {
                let (ready, current) = (refusal.is_none(), listing.current());
                let why = refusal.as_ref().map(ToString::to_string);
                json_line(&Checked { ready, pending: &pending, current, why })
            } else {
                pages::pending(&listing, &pending)
            };
            Answer { text, refused: refusal.map(Error::Refused) }
        }
        Question::Log { json } => {
            let history = reading.history().await?;
            if *json {
                let lines: Vec<Line<'_>> = history.iter().map(Line::of).collect();
                json_line(&lines)
            } else {
                pages::log(&history)
            }
            .into()
        }
    })
}

/// The answer of `check`.
#[derive(Serialize)]
struct Checked<'a> {
    /// Whether the exit code is 0.
    ready: bool,
    /// What would be applied, in order.
    pending: &'a [String],
    /// Where the database is.
    current: Vec<&'a str>,
    /// Why it is not ready.
    why: Option<String>,
}

/// One line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    // Texts, numbers and lists of them: there is nothing that could not be written.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Writes an answer to stdout; whoever has read enough may hang up.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough: `… | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
