//! The one home of `backoff`: how long until the next try, and when to stop trying.
//!
//! A [`Pause`] is finite: it ends at its deadline, and its last pause is cut so that one
//! more try happens right at the deadline. Pauses grow by half each time and are
//! spread by up to half in either direction, so that replicas that started together drift apart.
//!
//! The crate `backoff` is no longer maintained; whoever replaces it has this file to change.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};
use tokio::time::Instant;

/// The pauses between the tries of one thing.
#[derive(Debug)]
pub(crate) struct Pause {
    schedule: ExponentialBackoff,
    started: Instant,
    limit: Duration,
    tries: u32,
}

impl Pause {
    /// Pauses from `first` up to `longest`, for `limit` in all; a limit of zero allows one try.
    pub(crate) fn new(first: Duration, longest: Duration, limit: Duration) -> Self {
        let mut schedule = ExponentialBackoff {
            initial_interval: first,
            max_interval: longest,
            multiplier: 1.5,
            randomization_factor: 0.5,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        schedule.reset();
        Self { schedule, started: Instant::now(), limit, tries: 0 }
    }

    /// Counts a failed try; how long to pause before the next, or none once the limit has passed.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        let left = self.left();
        if left.is_zero() {
            return None;
        }
        let pause = self.schedule.next_backoff().unwrap_or(self.schedule.max_interval);
        Some(pause.min(left))
    }

    /// How many tries have failed.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// What is left of the limit.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }

    /// How long it has gone on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The limit it was made with.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

/// A duration as people read it in messages: `850ms`, `2.5s`, `5m`.
///
/// Milliseconds below a second, tenths below a minute, and whole seconds above.
#[must_use]
pub(crate) fn spoken(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    let seconds = duration.as_secs();
    if seconds < 60 {
        let tenths = (milliseconds / 100) % 10;
        return if tenths == 0 { format!("{seconds}s") } else { format!("{seconds}.{tenths}s") };
    }
    match (seconds / 60, seconds % 60) {
        (minutes, 0) => format!("{minutes}m"),
        (minutes, rest) => format!("{minutes}m{rest}s"),
    }
}
