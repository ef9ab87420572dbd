//! The graph as `git log --graph` draws it, from head to base.
//!
//! Each lane is a column of two characters and stands for the revision that it leads down to. A
//! revision takes the place of its lane; its parents take its own and new ones right of it. Where
//! two lanes lead to the same revision, the right one goes over to the left one, and all that are
//! right of it move up. Dependencies are no lanes: they stand in the line, as in Alembic.

use super::{
    lines::{Lines, with_title},
    listing::{Listing, State},
    pages::Paint,
};
use crate::graph::revision::{Revision, RevisionId};

/// Draws all revisions.
pub(super) fn draw(listing: &Listing, paint: Paint) -> String {
    let lines = Lines::of(listing.graph());
    let mut picture = Picture::default();
    for row in listing.foreign().iter().rev() {
        // Where it hangs on to the graph, only another image knows.
        let line = with_title(&row.revision, &row.title);
        picture.text.extend(["? ", &line, "  ", &paint.yellow("not in this image"), "\n"]);
    }
    for revision in listing.graph().revisions().rev() {
        picture.revision(revision, &words(listing, &lines, revision, paint));
    }
    picture.text
}

fn words(listing: &Listing, lines: &Lines<'_>, revision: &Revision, paint: Paint) -> String {
    let id = revision.id.as_str();
    let mut marks = String::new();
    if let Some(tag) = &revision.tag {
        marks.extend([" (tag: ", tag, ")"]);
    }
    if listing.is_current(id) {
        marks.push_str(&paint.green(" (current)"));
    }
    if listing.state(id) == State::Pending {
        marks.push_str(&paint.yellow(" (pending)"));
    }
    lines.titled(revision, &marks)
}

/// What has been drawn, and the lanes that lead on.
#[derive(Default)]
struct Picture<'g> {
    text: String,
    lanes: Vec<&'g RevisionId>,
}

impl<'g> Picture<'g> {
    fn revision(&mut self, revision: &'g Revision, words: &str) {
        let at = self.lanes.iter().position(|lane| **lane == revision.id).unwrap_or_else(|| {
            self.lanes.push(&revision.id);
            self.lanes.len() - 1
        });
        let more = revision.parents.len().saturating_sub(1);
        let right = at + 1..self.lanes.len();

        // A merge of three or more needs room before it is drawn: `*-.`.
        let room = more.saturating_sub(1);
        let steps = if right.is_empty() { 0 } else { room };
        for moved in 0..steps {
            let mut row = Row::default();
            (0..=at).for_each(|lane| row.put(2 * lane, '|'));
            right.clone().for_each(|lane| row.put(2 * (lane + moved) + 1, '\\'));
            self.add(row, "");
        }
        let mut row = Row::default();
        (0..at).for_each(|lane| row.put(2 * lane, '|'));
        row.put(2 * at, '*');
        for dash in 1..=2 * room {
            row.put(2 * at + dash, if dash == 2 * room { '.' } else { '-' });
        }
        right.clone().for_each(|lane| row.put(2 * (lane + room), '|'));
        row.fill(2 * (self.lanes.len() + more));
        self.add(row, words);

        if more > 0 {
            let mut row = Row::default();
            (0..=at).for_each(|lane| row.put(2 * lane, '|'));
            (at..at + more).for_each(|lane| row.put(2 * lane + 1, '\\'));
            right.for_each(|lane| row.put(2 * (lane + room) + 1, '\\'));
            self.add(row, "");
        }
        self.lanes.splice(at..=at, &revision.parents);
        self.close_up(at, revision.parents.is_empty());
    }

    /// Draws how lanes go over to where they belong: to the first one that leads to the same
    /// revision, and left where there is room. Each row takes them one column further.
    fn close_up(&mut self, at: usize, ended: bool) {
        let mut after: Vec<&RevisionId> = Vec::new();
        let mut target = Vec::new();
        for lane in &self.lanes {
            let place = after.iter().position(|other| other == lane).unwrap_or_else(|| {
                after.push(lane);
                after.len() - 1
            });
            target.push(place);
        }
        // A lane that ended has left a gap.
        let gap = usize::from(ended);
        let mut place: Vec<usize> =
            (0..self.lanes.len()).map(|lane| if lane < at { lane } else { lane + gap }).collect();
        while place != target {
            let mut row = Row::default();
            for (place, target) in place.iter_mut().zip(&target) {
                if *place == *target {
                    row.put(2 * *place, '|');
                } else {
                    *place -= 1;
                    row.put(2 * *place + 1, '/');
                }
            }
            self.add(row, "");
        }
        self.lanes = after;
    }

    fn add(&mut self, row: Row, words: &str) {
        let line = row.0.into_iter().collect::<String>() + words;
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// A row of the picture.
#[derive(Default)]
struct Row(Vec<char>);

impl Row {
    /// Puts a character at a column; what stands there already stays.
    fn put(&mut self, column: usize, character: char) {
        self.fill(column + 1);
        if self.0[column] == ' ' {
            self.0[column] = character;
        }
    }

    fn fill(&mut self, width: usize) {
        self.0.resize(width.max(self.0.len()), ' ');
    }
}
