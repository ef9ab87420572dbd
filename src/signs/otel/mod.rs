//! A run as one trace for an OpenTelemetry collector: OTLP over HTTP, in its JSON. Only with the cargo
//! feature `otel`.
//!
//! Like the other signs of life it is told what the log is told, and nothing else: `record` keeps the
//! events, and [`end`] makes spans of them and sends them in one request. Nothing is sent while it
//! works, so that a collector can hold up a start only once, and only for `LONGEST`.
//!
//! - `settings` the variables, which are OpenTelemetry's own
//! - `spans` events into a tree of spans
//! - `json` the tree as OTLP has it
//!
//! The encoding is our own: the crate for it brings gRPC, protobuf and an asynchronous client with it,
//! for a text that is as long as this file.

mod json;
mod settings;
mod spans;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tracing::{
    Event, debug,
    field::{Field, Visit},
    warn,
};

use self::{
    settings::{Fault, Settings},
    spans::{Ended, Heard},
};
use crate::{error::Error, pause::spoken, stage::Stage};

/// How long a collector may hold us up. `OTEL_EXPORTER_OTLP_TIMEOUT` can only shorten it.
const LONGEST: Duration = Duration::from_secs(1);

/// What was heard, and when it began.
struct Record {
    settings: Settings,
    wall: Duration,
    began: Instant,
    events: Vec<Heard>,
}

/// None where nobody asked for a trace, and once it is sent.
static RECORD: Mutex<Option<Record>> = Mutex::new(None);

fn record_of_this_run() -> MutexGuard<'static, Option<Record>> {
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to record, if the environment names a collector.
pub fn begin(variables: &[(OsString, OsString)]) {
    let named = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str()).map(str::trim).filter(|text| !text.is_empty())
    };
    match settings::read(named) {
        Ok(None) => {}
        Ok(Some(settings)) => {
            let (wall, began) = (since_1970(), Instant::now());
            *record_of_this_run() = Some(Record { settings, wall, began, events: Vec::new() });
        }
        Err(Fault { what, why }) => unsent(what, &why),
    }
}

/// Keeps an event of the log.
pub(super) fn record(event: &Event<'_>) {
    if let Some(record) = &mut *record_of_this_run() {
        let mut heard = Heard { at: record.now(), ..Heard::default() };
        event.record(&mut heard);
        record.events.push(heard);
    }
}

/// Sends the trace of a run that ends here, or whose server starts now. Only the first call does.
pub fn end(failed: Option<&Error>) {
    let Some(record) = record_of_this_run().take() else { return };
    let ended = Ended {
        at: record.now(),
        code: failed.map_or(0, Error::exit_code),
        failure: failed.map(|error| (error.stage(), error.chain())),
    };
    let tree = spans::spans(record.nanoseconds(Duration::ZERO), &record.events, &ended);
    let (trace, text) = json::request(&record.settings, &tree, &mut random);
    let (what, began) = (record.settings.what, Instant::now());
    match send(record.settings, text) {
        Ok(()) => debug!(
            stage = %Stage::Configure, event = "traced", trace, spans = tree.len(),
            took = spoken(began.elapsed()), "has sent its trace"
        ),
        Err(why) => unsent(what, &why),
    }
}

fn unsent(what: &'static str, why: &str) {
    warn!(
        stage = %Stage::Configure, event = "no_sign", what, why,
        "cannot send the trace; goes on without"
    );
}

impl Record {
    fn now(&self) -> u64 {
        self.nanoseconds(self.began.elapsed())
    }

    /// Since 1970. The clock is asked once, so that one that is set meanwhile turns nothing around.
    fn nanoseconds(&self, since: Duration) -> u64 {
        u64::try_from((self.wall + since).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Sends it, and waits no longer than was agreed, whatever a look-up of the collector's name does.
fn send(settings: Settings, text: String) -> Result<(), String> {
    let patience = settings.timeout.map_or(LONGEST, |timeout| timeout.min(LONGEST));
    let (tell, told) = mpsc::channel();
    let work = move || {
        let sent = post(&settings, &text, patience);
        // Nobody listens any more if it took too long.
        let _ = tell.send(sent);
    };
    thread::Builder::new().spawn(work).map_err(|error| error.to_string())?;
    match told.recv_timeout(patience) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if !matches!(error, ureq::Error::Timeout(_)) => Err(error.to_string()),
        Ok(Err(_)) | Err(_) => Err(format!("no answer within {}", spoken(patience))),
    }
}

fn post(settings: &Settings, text: &str, patience: Duration) -> Result<(), ureq::Error> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        // Who is redirected to would be shown the headers.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .new_agent();
    let mut request = agent.post(&settings.url).content_type("application/json");
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    match request.send(text)?.status().as_u16() {
        200..=299 => Ok(()),
        status => Err(ureq::Error::StatusCode(status)),
    }
}

impl Visit for Heard {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::from(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::from(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::from(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "stage" => self.stage = Stage::ALL.into_iter().find(|stage| stage.name() == value),
            "event" => value.clone_into(&mut self.event),
            name => self.fields.push((name, Value::from(value))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The seed of a hash map is the randomness that std has; an id need not be secret.
fn random() -> u64 {
    use std::hash::BuildHasher as _;
    // All zeros is no id.
    std::hash::RandomState::new().hash_one(std::process::id()).max(1)
}

#[expect(clippy::disallowed_methods, reason = "it dates a trace, and decides nothing")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
