//! One event as one line: as text for people, or as JSON for collectors. Both say the same.

use std::{fmt, fmt::Write as _};

use serde_json::{Value, json};
use tracing::{Event, Level, Subscriber, field::Field, field::Visit};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

/// `2026-01-01T00:00:00.000000Z  INFO wait: answers chain=core what=… tries=1`
#[derive(Debug)]
pub(super) struct Text {
    pub(super) colour: bool,
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
        if let Some(chain) = chain(context) {
            write!(writer, " chain={}", quoted(&chain))?;
        }
        writeln!(writer, "{}", line.fields)
    }
}

/// `{"timestamp":"…","level":"INFO","chain":"core","message":"answers","stage":"wait",…}`
///
/// The library's own form would have the chain in an object of its own.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut pairs = Pairs::default();
        pairs.add("timestamp", &json!(time));
        pairs.add("level", &json!(event.metadata().level().as_str()));
        if let Some(chain) = chain(context) {
            pairs.add("chain", &json!(chain));
        }
        event.record(&mut pairs);
        writeln!(writer, "{{{}}}", pairs.0)
    }
}

/// The chain that an event belongs to, where there are several: the one field of the one kind of
/// span that there is.
fn chain<S, N>(context: &FmtContext<'_, S, N>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    context.event_scope()?.find_map(|span| {
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>()?;
        fields.fields.strip_prefix("chain=").map(str::to_owned)
    })
}

/// A value as it stands behind `name=`.
fn quoted(value: &str) -> String {
    let needs_quotes = value.is_empty() || value.contains([' ', '"', '=', '\n']);
    if needs_quotes { format!("{value:?}") } else { value.to_owned() }
}

/// The inside of a JSON object, in the order in which it was given.
#[derive(Default)]
struct Pairs(String);

impl Pairs {
    fn add(&mut self, name: &str, value: &Value) {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "{comma}{}:{value}", json!(name));
    }
}

impl Visit for Pairs {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), &json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &json!(format!("{value:?}")));
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
                // Writing to a `String` cannot fail.
                let _ = write!(self.fields, " {name}={}", quoted(&value));
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
