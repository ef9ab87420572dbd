//! What the events of the log have said so far, as one value.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use tokio::sync::Notify;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{format::Writer, time::FormatTime as _, time::SystemTime as Clock},
    layer::Context,
};

use crate::stage::Stage;

/// The revision at work.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Step {
    id: String,
    number: u64,
    total: u64,
}

/// Where a run is. Its JSON is what `/status` answers; the keys are stable.
#[derive(Clone, Debug, Serialize)]
pub(super) struct State {
    stage: &'static str,
    /// When the stage began: ISO 8601 in UTC.
    since: String,
    /// `applying`, and so on: the last event of the log.
    event: String,
    /// The revision at work, if one is.
    revision: Option<Step>,
    /// Whom or what it waits for, if it does.
    waiting_for: Option<String>,
    /// With what it has ended, if it has.
    code: Option<u8>,
    #[serde(skip)]
    pub(super) figures: Figures,
}

/// What of a state is news, besides the time.
pub(super) type Said = (&'static str, String, Option<Step>, Option<String>, Option<u8>);

/// What can be counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// How long each stage took that has ended.
    pub(super) stages: BTreeMap<Stage, Duration>,
    /// By `applied`, `reverted` and so on.
    pub(super) events: BTreeMap<String, u64>,
}

/// What is known, and since when.
struct Known {
    state: State,
    stage: Stage,
    began: Instant,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(|| {
    Mutex::new(Known {
        state: State {
            stage: Stage::Configure.name(),
            since: clock(),
            event: "begins".to_owned(),
            revision: None,
            waiting_for: None,
            code: None,
            figures: Figures::default(),
        },
        stage: Stage::Configure,
        began: Instant::now(),
    })
});

static CHANGED: Notify = Notify::const_new();

/// What is known now.
pub(super) fn now() -> State {
    known().state.clone()
}

/// Waits for news, but not longer than this.
pub(super) async fn changed(longest: Duration) {
    // In both cases there is something to be said.
    let _ = tokio::time::timeout(longest, CHANGED.notified()).await;
}

/// What is known at the end, with the last stage closed.
pub(super) fn ended(code: u8) -> State {
    let mut known = known();
    known.close();
    known.state.code = Some(code);
    known.state.clone()
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time as the log has it.
fn clock() -> String {
    let mut text = String::new();
    // A `String` takes everything.
    let _ = Clock.format_time(&mut Writer::new(&mut text));
    text
}

impl Known {
    /// Adds the time that the stage took.
    fn close(&mut self) {
        *self.state.figures.stages.entry(self.stage).or_default() += self.began.elapsed();
        self.began = Instant::now();
    }

    fn hear(&mut self, heard: Heard) {
        let Some(event) = heard.event else { return };
        if let Some(stage) = Stage::ALL.into_iter().find(|stage| stage.name() == heard.stage)
            // A note about the configuration may come at any time.
            && stage > self.stage
        {
            self.close();
            self.stage = stage;
            self.state.stage = stage.name();
            self.state.since = clock();
            self.state.waiting_for = None;
        }
        match event.as_str() {
            "applying" | "reverting" => {
                let (number, total) = (heard.number, heard.total);
                self.state.revision = heard.revision.map(|id| Step { id, number, total });
            }
            "not_ready" => self.state.waiting_for = heard.what,
            "waiting" => self.state.waiting_for = heard.holder.or(heard.lock),
            "awaiting" => self.state.waiting_for = Some("another runner".to_owned()),
            "gave_way" => self.state.waiting_for = Some("locks of other sessions".to_owned()),
            _ => self.state.waiting_for = None,
        }
        *self.state.figures.events.entry(event.clone()).or_default() += 1;
        self.state.event = event;
    }
}

impl State {
    pub(super) fn said(&self) -> Said {
        let (revision, waiting) = (self.revision.clone(), self.waiting_for.clone());
        (self.stage, self.event.clone(), revision, waiting, self.code)
    }

    pub(super) fn code(&self) -> Option<u8> {
        self.code
    }

    /// In one line for people.
    pub(super) fn line(&self) -> String {
        let mut line = self.stage.to_owned();
        if let Some(Step { id, number, total }) = &self.revision {
            line = format!("{line}: revision {id}, {number} of {total}");
        }
        match &self.waiting_for {
            Some(whom) => format!("{line}, waits for {whom}"),
            None => line,
        }
    }
}

/// The layer that listens.
#[derive(Debug)]
pub struct Watcher;

impl<S: Subscriber> Layer<S> for Watcher {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut heard = Heard::default();
        event.record(&mut heard);
        #[cfg(feature = "otel")]
        super::otel::record(event);
        // That a sign cannot be shown is no news of the run: it would be told, and fail, and so on.
        if heard.event.as_deref() != Some("no_sign") {
            known().hear(heard);
            CHANGED.notify_one();
        }
    }
}

/// The fields that matter.
#[derive(Default)]
struct Heard {
    stage: String,
    event: Option<String>,
    revision: Option<String>,
    what: Option<String>,
    holder: Option<String>,
    lock: Option<String>,
    number: u64,
    total: u64,
}

impl Visit for Heard {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "number" => self.number = value,
            "total" => self.total = value,
            _ => {}
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            self.record_u64(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let field = match field.name() {
            "stage" => {
                value.clone_into(&mut self.stage);
                return;
            }
            "event" => &mut self.event,
            "revision" => &mut self.revision,
            "what" => &mut self.what,
            "holder" => &mut self.holder,
            "lock" => &mut self.lock,
            _ => return,
        };
        *field = Some(value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The time of this machine, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "it dates a figure, and decides nothing")]
pub(super) fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
