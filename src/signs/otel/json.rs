//! Spans as the body of an OTLP request, in OTLP's JSON: protobuf's, with ids in hex, and 64-bit
//! numbers as text.

use serde_json::{Value, json};

use super::{
    settings::Settings,
    spans::{Heard, Span},
};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;

/// `STATUS_CODE_ERROR`. Without a failure there is none: that is for those to set who look on.
const FAILED: u8 = 2;

/// The id of the trace, and the text that has all of it.
pub(super) fn request(
    settings: &Settings,
    tree: &[Span],
    random: &mut impl FnMut() -> u64,
) -> (String, String) {
    let trace = match &settings.parent {
        Some(parent) => parent.trace.clone(),
        None => format!("{:016x}{:016x}", random(), random()),
    };
    let ids: Vec<String> = tree.iter().map(|_| format!("{:016x}", random())).collect();
    let spans: Vec<Value> = tree
        .iter()
        .zip(&ids)
        .map(|(span, id)| {
            let mut value = json!({
                "traceId": trace,
                "spanId": id,
                // This span and its parent were sampled.
                "flags": 1,
                "name": span.name,
                "kind": INTERNAL,
                "startTimeUnixNano": span.from.to_string(),
                "endTimeUnixNano": span.until.unwrap_or(span.from).to_string(),
                "attributes": attributes(&span.attributes),
                "events": span.events.iter().map(event).collect::<Vec<_>>(),
            });
            let parent = span.parent.map(|at| &ids[at]);
            let theirs = settings.parent.as_ref();
            if let Some(parent) = parent.or(theirs.map(|parent| &parent.span)) {
                value["parentSpanId"] = parent.as_str().into();
            }
            if let Some(state) =
                theirs.map(|parent| &parent.state).filter(|state| !state.is_empty())
            {
                value["traceState"] = state.as_str().into();
            }
            if let Some(words) = &span.failure {
                value["status"] = json!({"code": FAILED, "message": words});
            }
            value
        })
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": resource(&settings.resource)},
        "scopeSpans": [{
            "scope": {"name": "prelaunch", "version": version},
            "spans": spans,
        }],
    }]});
    (trace, request.to_string())
}

/// What was given, and what every trace has to say.
fn resource(given: &[(String, String)]) -> Vec<Value> {
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let ours = [
        ("service.name", Some("prelaunch")),
        ("host.name", host.as_deref()),
        ("telemetry.sdk.name", Some("prelaunch")),
        ("telemetry.sdk.language", Some("rust")),
        ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION"))),
    ];
    let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut all: Vec<(&str, &str)> = Vec::new();
    // The first one counts.
    for (name, value) in
        given.chain(ours.into_iter().filter_map(|(name, value)| Some((name, value?))))
    {
        if !all.iter().any(|(known, _)| *known == name) {
            all.push((name, value));
        }
    }
    all.into_iter().map(|(name, value)| attribute(name, &value.into())).collect()
}

fn event(heard: &Heard) -> Value {
    json!({
        "timeUnixNano": heard.at.to_string(),
        "name": heard.event,
        "attributes": attributes(&heard.fields),
    })
}

/// Under names of our own, unless they are OpenTelemetry's, which have a dot in them.
fn attributes(fields: &[(&'static str, Value)]) -> Vec<Value> {
    let named = fields.iter().map(|(name, value)| {
        if name.contains('.') {
            attribute(name, value)
        } else {
            attribute(&format!("prelaunch.{name}"), value)
        }
    });
    named.collect()
}

fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(truth) => json!({"boolValue": truth}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            json!({"stringValue": value.to_string()})
        }
    };
    json!({"key": name, "value": value})
}
