//! Log lines while it works, and the last words when it fails.
//!
//! One event is one line on stderr, with its stage, a name for machines, and typed fields. On
//! failure the last line stands alone, since it may be all that a person sees of us; the
//! same goes as JSON to the termination log, where Kubernetes picks it up. On success nothing
//! is written there: it would be shown when the server fails later.
#![expect(clippy::disallowed_methods, reason = "writes the termination log; ends after a panic")]

use std::{fmt, fmt::Write as _, io::IsTerminal as _, io::Write as _, path::Path};

use serde_json::json;
use tracing::{Event, Level, Subscriber, field::Field, field::Visit, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

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
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            lines.with_target(false).boxed()
        }
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

/// `2026-01-01T00:00:00.000000Z  INFO wait: answers chain=core what=… tries=1`
#[derive(Debug)]
struct Text {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        SystemTime.format_time(&mut writer)?;
        let level = *event.metadata().level();
        let (on, off) = match (self.colour, level) {
            (true, Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        };
        write!(writer, " {on}{level:>5}{off} ")?;
        if !line.stage.is_empty() {
            write!(writer, "{}: ", line.stage)?;
        }
        write!(writer, "{}", line.message)?;
        // The chain, where there are several.
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer, "{}", line.fields)
    }
}

/// The fields of an event, in the order in which they were given.
#[derive(Default)]
struct Line {
    stage: String,
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "stage" => self.stage = value,
            "message" => self.message = value,
            // The name for machines says what the message says.
            "event" => (),
            name => {
                let quoted = value.is_empty() || value.contains([' ', '"', '=', '\n']);
                let value = if quoted { format!("{value:?}") } else { value };
                // Writing to a `String` cannot fail.
                let _ = write!(self.fields, " {name}={value}");
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}
