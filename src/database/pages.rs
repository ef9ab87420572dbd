//! The answers for people, as text.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    lines::{self, Lines},
    listing::{Listing, State},
};
use crate::{
    db::{AppliedRow, HistoryLine},
    graph::revision::{Revision, RevisionId},
    pause::spoken,
};

/// Colours, which are never the only sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Whether stdout is a terminal.
    pub(crate) on: bool,
}

impl Paint {
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Three parts: tagged revisions, all revisions from head to base, where the database is.
pub(super) fn revisions(listing: &Listing, paint: Paint) -> String {
    let mut text = String::new();
    heading(&mut text, paint, "Tagged revisions");
    tagged(&mut text, listing, paint);
    text.push('\n');
    heading(&mut text, paint, "All revisions");
    all(&mut text, listing, paint);
    text.push('\n');
    let current = listing.current();
    let several = if current.len() > 1 { "Current revisions" } else { "Current revision" };
    heading(&mut text, paint, several);
    if !listing.is_online() {
        text.push_str("not asked: --offline\n");
    } else if current.is_empty() {
        text.push_str("none: no revision is applied\n");
    }
    let lines = Lines::of(listing.graph());
    for id in current {
        if let Some(revision) = listing.graph().get_str(id) {
            line(&mut text, &lines::with_title(&lines.marked(revision), &revision.title));
            line(&mut text, &format!("  {}", revision.place.path.display()));
        } else {
            let row = listing.foreign().iter().find(|row| row.revision == id);
            let title = row.map(|row| row.title.as_str()).unwrap_or_default();
            line(&mut text, &lines::with_title(id, title));
            line(&mut text, "  not in this image");
        }
    }
    text
}

/// The ids of where the database is, with the marks of Alembic's `current`.
pub(super) fn current(listing: &Listing) -> String {
    let lines = Lines::of(listing.graph());
    let mut text = String::new();
    for id in listing.current() {
        match listing.graph().get_str(id) {
            Some(revision) => {
                let head = lines.head(&revision.id);
                line(&mut text, &format!("{id}{head}"));
            }
            None => line(&mut text, id),
        }
    }
    text
}

/// The heads, with their labels.
pub(super) fn heads(listing: &Listing) -> String {
    let lines = Lines::of(listing.graph());
    let mut text = String::new();
    for id in listing.graph().heads() {
        if let Some(revision) = listing.graph().get(id) {
            line(&mut text, &lines.marked(revision));
        }
    }
    text
}

/// Some revisions from head to base, as Alembic's `history` prints them.
pub(super) fn history(listing: &Listing, wanted: &BTreeSet<RevisionId>) -> String {
    let lines = Lines::of(listing.graph());
    let mut text = String::new();
    for revision in listing.graph().revisions().rev().filter(|one| wanted.contains(&one.id)) {
        line(&mut text, &lines.full(revision));
    }
    text
}

/// What would be applied, in that order.
pub(super) fn pending(listing: &Listing, pending: &[String]) -> String {
    let lines = Lines::of(listing.graph());
    let mut text = String::new();
    for revision in pending.iter().filter_map(|id| listing.graph().get_str(id)) {
        line(&mut text, &lines.full(revision));
    }
    text
}

/// The history of the database as a table.
pub(super) fn log(history: &[HistoryLine]) -> String {
    let rows = history.iter().map(|line| {
        let took = line.took.map_or_else(String::new, spoken);
        let heads = format!("heads {}", line.heads.join(","));
        [line.at.clone(), line.event.clone(), line.subject.clone(), took, line.by.clone(), heads]
    });
    table(&rows.collect::<Vec<_>>())
}

/// When and by whom, to the second.
pub(super) fn applied(row: &AppliedRow) -> String {
    if row.at.is_empty() {
        return "applied".to_owned();
    }
    let seconds = row.at.split_once('.').map_or(row.at.clone(), |(time, _)| format!("{time}Z"));
    format!("applied {seconds} by {}", row.by)
}

fn tagged(text: &mut String, listing: &Listing, paint: Paint) {
    let tagged: Vec<(&str, &Revision)> = listing
        .graph()
        .revisions()
        .filter_map(|revision| revision.tag.as_deref().map(|tag| (tag, revision)))
        .collect();
    if tagged.is_empty() {
        text.push_str("none\n");
    }
    let width = |length: &dyn Fn(&(&str, &Revision)) -> usize| {
        tagged.iter().map(length).max().unwrap_or_default()
    };
    let (tags, ids) = (width(&|one| one.0.chars().count()), width(&|one| one.1.id.as_str().len()));
    for (tag, revision) in tagged {
        let id = revision.id.as_str();
        let state = match listing.state(id) {
            State::Unasked => String::new(),
            State::Pending => paint.yellow("pending"),
            State::Applied(_) => paint.green("applied"),
        };
        line(text, &format!("{tag:tags$}  {id:ids$}  {state}"));
    }
}

fn all(text: &mut String, listing: &Listing, paint: Paint) {
    let lines = Lines::of(listing.graph());
    let mut rows: Vec<(String, String)> = Vec::new();
    let there = |row: &AppliedRow| match paint.green(&applied(row)) {
        whole if !listing.is_half(&row.revision) => whole,
        half => format!("{half}, {}", paint.yellow("half reverted")),
    };
    for row in listing.foreign().iter().rev() {
        let state = format!("{}, {}", there(row), paint.yellow("not in this image"));
        rows.push((lines::foreign(row), state));
    }
    for revision in listing.graph().revisions().rev() {
        let state = match listing.state(revision.id.as_str()) {
            State::Unasked => String::new(),
            State::Pending if listing.is_delegated(revision.id.as_str()) => {
                paint.yellow("pending, by Alembic")
            }
            State::Pending => paint.yellow("pending"),
            State::Applied(row) => there(row),
        };
        rows.push((lines.full(revision), state));
    }
    let width = rows.iter().map(|(full, _)| full.chars().count()).max().unwrap_or_default();
    for (full, state) in rows {
        line(text, &format!("{full:width$}  {state}"));
    }
}

fn heading(text: &mut String, paint: Paint, words: &str) {
    line(text, &paint.bold(words));
    line(text, &"-".repeat(words.len()));
}

/// Columns as wide as their widest cell.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let mut text = String::new();
    for row in rows {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        line(&mut text, &cells.collect::<Vec<_>>().join("  "));
    }
    text
}

/// A line without blanks at its end.
fn line(text: &mut String, words: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{}", words.trim_end());
}
