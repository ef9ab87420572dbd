//! How far it has come, as a bar at a terminal; and log lines that do not run into it.
//!
//! Where stderr is no terminal there is no bar: the lines say the same.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar shows the time that has passed.
const TICK: Duration = Duration::from_millis(200);

/// The bar that is shown, if one is. There is one stderr.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar that is gone with the value.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows how many of so many steps are done, if somebody watches.
    #[must_use]
    pub fn of(total: usize) -> Self {
        // With one step there is nothing to be seen that the log has not said.
        if total < 2 || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        // The template is a constant; were it wrong, the default would do.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(TICK);
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Self(Some(bar))
    }

    /// So many are done, and now this is at work.
    pub fn at(&self, done: usize, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
    }
}

/// stderr for whole lines, above the bar where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shown {
            Some(bar) => bar.suspend(|| io::stderr().write(line)),
            None => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
