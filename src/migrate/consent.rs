//! Whether it may go back: what would be lost is shown first, always.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::Arc,
};

use super::{MigrateError, course::Course, pages};
use crate::{
    cli::Migrate,
    database::{pages::Paint, write},
    error::Error,
    files::Chain,
    graph::Way,
    signals::Signals,
};

/// Shows what would be reverted, and asks if that has to be asked.
pub(super) fn ask(
    course: &Course,
    chain: &Chain,
    asked: &Migrate,
    signals: &Arc<Signals>,
    paint: Paint,
) -> Result<(), Error> {
    let Way::Down(reverted) = &course.route.way else { return Ok(()) };
    let steps = reverted.len();
    let page = pages::plan(course, chain, false, paint).map_err(Error::Migrate)?;
    write(&page).map_err(Error::Output)?;
    if !asked.allow_downgrade {
        let losses = pages::lost(course, chain).map_err(Error::Migrate)?;
        let (target, losses) = (asked.revision.to.to_string(), losses.concat());
        return Err(Error::Migrate(MigrateError::NotAllowed { target, steps, losses }));
    }
    if asked.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::Migrate(MigrateError::Unconfirmed { steps }));
    }
    // Nothing has begun: whoever presses Ctrl-C at the question wants to be out.
    signals.end_at_once();
    let confirmed = confirmed(steps).map_err(Error::Output)?;
    signals.take_note();
    if confirmed { Ok(()) } else { Err(Error::Migrate(MigrateError::Declined)) }
}

fn confirmed(steps: usize) -> io::Result<bool> {
    let it = if steps == 1 { "this revision" } else { "these revisions" };
    let mut stderr = io::stderr().lock();
    write!(stderr, "Revert {it}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
