//! Log lines while it works, and the last words when it fails.
//!
//! One event is one line on stderr, with its stage, a name for machines, and typed fields. On
//! failure the last line stands alone, since it may be all that a person sees of us; the
//! same goes as JSON to the termination log, where Kubernetes picks it up. On success nothing
//! is written there: it would be shown when the server fails later.
#![expect(clippy::disallowed_methods, reason = "writes the termination log; ends after a panic")]

mod lines;

use std::{io::IsTerminal as _, io::Write as _, path::Path};

use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::lines::{Json, Text};
use crate::{
    config::{LogFormat, LogLevel, LogSettings, Note},
    error::Error,
    progress::Lines,
    signs::state::Watcher,
    stage::Stage,
};

/// What Kubernetes takes of a termination message.
const TERMINATION_MESSAGE: usize = 4096;

/// Where Kubernetes looks, unless it is told otherwise.
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

/// Sets up the log. Only prelaunch's own events are written, and at `debug` what the
/// PostgreSQL server gives notice of.
pub fn init(settings: LogSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let notices = if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF };
    let wanted = Targets::new()
        .with_target("prelaunch", level)
        .with_target("sqlx::postgres::notice", notices);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Lines);
    let lines = match settings.format {
        LogFormat::Text => {
            lines.event_format(Text { colour: std::io::stderr().is_terminal() }).boxed()
        }
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    // Signs of life do not depend on what is logged.
    let ours = Targets::new().with_target("prelaunch", LevelFilter::DEBUG);
    let watched = Watcher.with_filter(ours);
    // It fails only if there is one already, which then serves as well.
    let _ = tracing_subscriber::registry().with(lines.with_filter(wanted)).with(watched).try_init();
}

/// Has a panic end the process with 1 and one line. The default would abort, which for PID 1 the
/// kernel turns into 139.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(std::io::stderr(), "prelaunch: exit 1: a bug, please report it: {panic}");
        std::process::exit(1);
    }));
}

/// Something odd about the configuration.
pub fn note(note: &Note) {
    let (stage, note, level) = (Stage::Configure, note.to_string(), note.level());
    match level {
        LogLevel::Error | LogLevel::Warn => {
            tracing::warn!(stage = %stage, event = "odd", "{note}");
        }
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => {
            tracing::debug!(stage = %stage, event = "odd", "{note}");
        }
    }
}

/// The last words.
pub fn failure(error: &Error, settings: LogSettings, termination_log: &Path) {
    let (stage, code, words) = (error.stage(), error.exit_code(), error.chain());
    let line = format!("prelaunch: exit {code} in {stage}: {words}");
    match settings.format {
        // A closed stderr cannot be told about.
        LogFormat::Text => _ = writeln!(std::io::stderr(), "{line}"),
        LogFormat::Json => {
            tracing::error!(stage = %stage, event = "failed", code, "{words}");
        }
    }
    // Kubernetes makes its file before the container starts; one that the user names is made here.
    if termination_log.exists() || termination_log != Path::new(DEFAULT_TERMINATION_LOG) {
        let _ = std::fs::write(termination_log, termination_message(stage.name(), code, &words));
    }
}

fn termination_message(stage: &str, code: u8, words: &str) -> String {
    let mut shown = words.to_owned();
    loop {
        let message = json!({ "stage": stage, "code": code, "message": shown }).to_string();
        if message.len() <= TERMINATION_MESSAGE {
            return message;
        }
        // JSON may take several bytes for a character; halving what is too much always ends.
        let surplus = (message.len() - TERMINATION_MESSAGE).div_ceil(2).max(8);
        let keep = shown.len().saturating_sub(surplus);
        shown.truncate(shown.floor_char_boundary(keep));
    }
}
