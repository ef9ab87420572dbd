//! Texts that mean the same wherever they are written: truth words and durations.
//!
//! Variables, flags and script headers all take them from here, so that `5m` is never five
//! milliseconds in one place and five minutes in another. Nothing here fails with a message: the
//! caller knows which variable or line it reads, and says so.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// What a truth word may be, for messages.
pub const TRUTH_WORDS: &str = "`true 1 t y yes on enable enabled` or `false 0 f n no off disable \
                               disabled`";

/// What a duration may be, for messages.
pub const DURATIONS: &str = "`500ms`, `5s`, `2m`, `1h` or a bare number of seconds, up to a year";

/// A year. Deadlines are points in time plus a duration: without a bound that sum can overflow.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Reads a truth word, in any case and trimmed; `None` if it is none.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "y" | "yes" | "on" | "enable" | "enabled" => Some(true),
        "false" | "0" | "f" | "n" | "no" | "off" | "disable" | "disabled" => Some(false),
        _ => None,
    }
}

/// Reads `500ms`, `5s`, `2m`, `1h` or a bare number of seconds, decimals allowed; `None` if it is
/// none of these or longer than a year.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    // `f64` also reads `.5` and `5.`, which are more often a slip than a number.
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? * seconds_per_unit;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= LONGEST)
}
