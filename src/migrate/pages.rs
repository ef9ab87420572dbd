//! A route, for people and for machines.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Serialize;

use super::{MigrateError, course::Course};
use crate::{
    database::{json_line, lines::Lines, pages::Paint},
    files::Chain,
    graph::{Way, revision::RevisionId},
    script::{
        Direction,
        losses::{Loss, losses},
    },
};

/// The object of `migrate --plan --json`.
#[derive(Serialize)]
struct Plan<'a> {
    from: Vec<&'a str>,
    to: Vec<&'a str>,
    steps: Vec<PlannedStep<'a>>,
}

#[derive(Serialize)]
struct PlannedStep<'a> {
    direction: &'static str,
    revision: &'a str,
    /// Who takes it, where that is not us.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
}

/// What would be done, and what it would throw away.
pub(super) fn plan(
    course: &Course,
    chain: &Chain,
    json: bool,
    paint: Paint,
) -> Result<String, MigrateError> {
    let theirs = chain.delegated();
    Ok(if json {
        as_json(course, &theirs)
    } else {
        for_people(course, &lost(course, chain)?, &theirs, paint)
    })
}

/// The same, of a route for which no scripts are at hand.
pub(super) fn route(course: &Course, json: bool, paint: Paint) -> String {
    let nobodys = BTreeSet::new();
    if json { as_json(course, &nobodys) } else { for_people(course, &[], &nobodys, paint) }
}

/// What each step of a way back throws away.
pub(super) fn lost(course: &Course, chain: &Chain) -> Result<Vec<Vec<Loss>>, MigrateError> {
    let work = course.work(chain)?;
    let steps = work.steps.iter().filter(|_| work.direction == Direction::Down);
    Ok(steps.map(|(_, statements)| losses(statements)).collect())
}

fn as_json(course: &Course, theirs: &BTreeSet<String>) -> String {
    fn texts(ids: &[RevisionId]) -> Vec<&str> {
        ids.iter().map(RevisionId::as_str).collect()
    }
    let (direction, steps) = steps(course);
    let by = |id: &str| (direction == "up" && theirs.contains(id)).then_some("alembic");
    let steps = texts(steps).into_iter();
    let steps = steps.map(|revision| PlannedStep { direction, revision, by: by(revision) });
    let (from, to) = (texts(&course.route.from), texts(&course.route.to));
    json_line(&Plan { from, to, steps: steps.collect() })
}

fn steps(course: &Course) -> (&'static str, &[RevisionId]) {
    match &course.route.way {
        Way::There => ("up", &[]),
        Way::Up(steps) => ("up", steps),
        Way::Down(steps) => ("down", steps),
    }
}

fn for_people(
    course: &Course,
    lost: &[Vec<Loss>],
    theirs: &BTreeSet<String>,
    paint: Paint,
) -> String {
    let lines = Lines::of(&course.graph);
    let (direction, steps) = steps(course);
    let mut text = String::new();
    for (number, id) in steps.iter().enumerate() {
        let Some(revision) = course.graph.get(id) else { continue };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{direction:<4}  {}", lines.full(revision));
        if direction == "up" && theirs.contains(id.as_str()) {
            text.push_str("      by Alembic\n");
        }
        for loss in lost.get(number).into_iter().flatten() {
            let _ = writeln!(text, "      {}", paint.yellow(&loss.to_string()));
        }
    }
    text
}
