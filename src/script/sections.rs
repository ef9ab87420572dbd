//! Cuts a file at its section markers: the header above the first one, the sections below.
//!
//! Promises: every line that is no marker lands, unchanged, in the header or in one section.
//!
//! Surprising: a line that merely resembles a marker (`-- Migrate:Down`, `-- migrate: the users`)
//! is a fault rather than a comment. Taken as a comment, it would let the statements that take
//! everything down run right behind those that set it up.

use super::{
    Direction, Section,
    fault::{Faults, ScriptFaultKind},
};
use crate::engine::Engine;

/// A line of the file with its number, counted from 1.
pub(super) type Line<'t> = (usize, &'t str);

/// The lines of the header, and the sections.
///
/// A faulty marker opens a section all the same, so that what is below it is not reported too.
pub(super) fn cut<'t>(text: &'t str, faults: &mut Faults) -> (Vec<Line<'t>>, Vec<Section>) {
    let mut header = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if let Some(marker) = after_marker(line) {
            let (direction, engine) = section(marker).unwrap_or_else(|| {
                faults.add(number, ScriptFaultKind::Marker { line: line.trim().to_owned() });
                (Direction::Up, None)
            });
            sections.push(Section { direction, engine, line: number + 1, text: String::new() });
        } else if let Some(section) = sections.last_mut() {
            section.text.push_str(line);
        } else {
            header.push((number, line));
        }
    }
    if sections.is_empty() {
        faults.add(1, ScriptFaultKind::NoSection);
    }
    (header, sections)
}

/// What follows the dashes of a line that begins like a marker, in whatever case.
fn after_marker(line: &str) -> Option<&str> {
    let text = line.trim().strip_prefix("--")?.trim_start();
    let (word, _) = text.split_once(':')?;
    word.trim_end().eq_ignore_ascii_case("migrate").then_some(text)
}

/// Takes `migrate:up sqlite` and the like.
fn section(marker: &str) -> Option<(Direction, Option<Engine>)> {
    let mut words = marker.split_whitespace();
    let direction = match words.next()? {
        "migrate:up" => Direction::Up,
        "migrate:down" => Direction::Down,
        _ => return None,
    };
    let engine = match words.next() {
        None => None,
        Some("postgres" | "postgresql") => Some(Engine::Postgres),
        Some("sqlite") => Some(Engine::Sqlite),
        Some(_) => return None,
    };
    words.next().is_none().then_some((direction, engine))
}
