//! A route, for people and for machines.

use std::fmt::Write as _;

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
}

/// What would be done, and what it would throw away.
pub(super) fn plan(
    course: &Course,
    chain: &Chain,
    json: bool,
    paint: Paint,
) -> Result<String, MigrateError> {
    Ok(if json { as_json(course) } else { for_people(course, &lost(course, chain)?, paint) })
}

/// The same, of a route for which no scripts are at hand.
pub(super) fn route(course: &Course, json: bool, paint: Paint) -> String {
    if json { as_json(course) } else { for_people(course, &[], paint) }
}

/// What each step of a way back throws away.
pub(super) fn lost(course: &Course, chain: &Chain) -> Result<Vec<Vec<Loss>>, MigrateError> {
    let work = course.work(chain)?;
    let steps = work.steps.iter().filter(|_| work.direction == Direction::Down);
    Ok(steps.map(|(_, statements)| losses(statements)).collect())
}

fn as_json(course: &Course) -> String {
    fn texts(ids: &[RevisionId]) -> Vec<&str> {
        ids.iter().map(RevisionId::as_str).collect()
    }
    let (direction, steps) = steps(course);
    let steps = texts(steps).into_iter().map(|revision| PlannedStep { direction, revision });
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

fn for_people(course: &Course, lost: &[Vec<Loss>], paint: Paint) -> String {
    let lines = Lines::of(&course.graph);
    let (direction, steps) = steps(course);
    let mut text = String::new();
    for (number, id) in steps.iter().enumerate() {
        let Some(revision) = course.graph.get(id) else { continue };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{direction:<4}  {}", lines.full(revision));
        for loss in lost.get(number).into_iter().flatten() {
            let _ = writeln!(text, "      {}", paint.yellow(&loss.to_string()));
        }
    }
    text
}
