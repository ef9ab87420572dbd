//! The variables, and what becomes of events: trees as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    json,
    settings::{self, Fault, Settings},
    spans::{Ended, Heard, Span, spans},
};
use crate::stage::Stage;

const HERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn read(variables: &[(&str, &'static str)]) -> Result<Option<Settings>, Fault> {
    settings::read(|name| {
        variables.iter().rfind(|(known, _)| *known == name).map(|(_, value)| *value)
    })
}

#[track_caller]
fn settings(more: &[(&str, &'static str)]) -> Settings {
    read(&[&[HERE], more].concat()).unwrap().unwrap()
}

#[test]
fn nothing_is_sent_where_nobody_asks_for_it() {
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "shop")],
        &[HERE, ("OTEL_SDK_DISABLED", "True")],
        &[HERE, ("OTEL_TRACES_EXPORTER", "none")],
        &[HERE, ("TRACEPARENT", unsampled)],
    ] {
        assert!(read(variables).unwrap().is_none(), "{variables:?}");
    }
    assert!(read(&[HERE, ("OTEL_SDK_DISABLED", "1")]).unwrap().is_some());
}

#[test]
fn an_endpoint_for_all_signals_is_a_directory_and_one_for_traces_an_address() {
    for (endpoint, url) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://collector/", "https://collector/v1/traces"),
        ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
    ] {
        let read = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        assert_eq!(read.url, url);
        let read = settings(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)]);
        assert_eq!(read.url.trim_end_matches('/'), endpoint.trim_end_matches('/'));
    }
}

#[test]
fn what_cannot_be_meant_is_named_and_its_value_is_not() {
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (name, value, why) in [
        (endpoint, "collector:4318", "it is not understood"),
        (endpoint, "unix:///tmp/s3cret", "it is not understood"),
        (endpoint, "http://me:s3cret@collector", "it has a user or a password"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "it is not understood"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,=s3cret", "it is not understood"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%FF", "it is not understood"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "`grpc` is not spoken"),
    ] {
        let fault = read(&[HERE, (name, value)]).unwrap_err();
        assert_eq!(fault.what, name);
        assert!(fault.why.starts_with(why) && !fault.why.contains("s3cret"), "{fault:?}");
    }
}

#[test]
fn pairs_are_split_at_commas_and_decoded() {
    let read = settings(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", " x-key = a%2Cb , authorization=Basic%20dTpw=,"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=till"),
        ("OTEL_SERVICE_NAME", "shop"),
    ]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(read.headers, [pair("x-key", "a,b"), pair("authorization", "Basic dTpw=")]);
    assert_eq!(read.resource, [pair("team", "till"), pair("service.name", "shop")]);
}

#[test]
fn a_caller_that_is_not_understood_is_none() {
    let read = |text| settings(&[("TRACEPARENT", text)]).parent.map(|parent| parent.trace);
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(read(good).as_deref(), Some(TRACE));
    // A later version may say more.
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more";
    assert_eq!(read(later).as_deref(), Some(TRACE));
    for bad in [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

/// Events as `stage event name=value …`, one at each tick, and the tree that they make: each span
/// indented below its parent, with its times, attributes, events in brackets, and failure.
#[track_caller]
fn check(failure: Option<(Stage, &str)>, events: &str, expected: &str) {
    let heard: Vec<Heard> = (1..)
        .zip(events.lines().map(str::trim).filter(|line| !line.is_empty()))
        .map(|(at, line)| {
            let mut words = line.split(' ');
            let stage = words.next().unwrap();
            let stage = Stage::ALL.into_iter().find(|known| known.name() == stage);
            let event = words.next().unwrap().to_owned();
            let fields = words
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap();
                    let names = ["revision", "what", "why", "waited"];
                    (*names.iter().find(|known| **known == name).unwrap(), Value::from(value))
                })
                .collect();
            Heard { at, stage, event, fields }
        })
        .collect();
    let failure = failure.map(|(stage, words)| (stage, words.to_owned()));
    let code = if failure.is_some() { 14 } else { 0 };
    let tree = spans(0, &heard, &Ended { at: 99, code, failure });
    let mut text = String::new();
    for span in &tree {
        shown(&mut text, &tree, span);
    }
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| line.trim_start_matches(' ').to_owned()).collect()
    };
    assert_eq!(lines(&text), lines(expected), "\n{text}");
}

fn shown(text: &mut String, tree: &[Span], span: &Span) {
    let mut depth = 0;
    let mut parent = span.parent;
    while let Some(at) = parent {
        depth += 1;
        parent = tree[at].parent;
    }
    let until = span.until.unwrap();
    write!(text, "{}{} {}-{until}", ". ".repeat(depth), span.name, span.from).unwrap();
    for (name, value) in &span.attributes {
        write!(text, " {name}={}", value.to_string().trim_matches('"')).unwrap();
    }
    if !span.events.is_empty() {
        let names: Vec<&str> = span.events.iter().map(|event| event.event.as_str()).collect();
        write!(text, " [{}]", names.join(" ")).unwrap();
    }
    if let Some(words) = &span.failure {
        write!(text, " failed: {words}").unwrap();
    }
    text.push('\n');
}

#[test]
fn stages_follow_each_other_and_their_work_is_inside() {
    check(
        None,
        "
        wait begins
        wait not_ready what=db why=refused
        wait not_ready what=search why=refused
        wait not_ready what=db why=refused
        wait ready what=db
        wait ready what=search
        wait ready what=cache
        look begins
        look looked
        lock begins
        lock locked waited=0ms
        apply begins
        apply applying revision=a
        apply gave_way revision=a why=lock
        configure no_sign what=STATUS_FILE
        apply applied revision=a
        apply running what=AFTER_MIGRATE
        apply ran what=AFTER_MIGRATE
        ",
        "
        prelaunch run 0-99 process.exit.code=0
        . configure 0-1
        . wait 1-8
        . . wait for dependency 1-5 what=db [not_ready not_ready]
        . . wait for dependency 1-6 what=search [not_ready]
        . . wait for dependency 1-7 what=cache
        . look 8-10 [looked]
        . lock 10-12
        . . wait for lock 10-11 waited=0ms
        . apply 12-99
        . . apply revision 13-16 revision=a [gave_way no_sign]
        . . run command 17-18 what=AFTER_MIGRATE
        ",
    );
}

#[test]
fn what_was_at_work_when_a_run_failed_has_failed() {
    check(
        Some((Stage::Apply, "no such table")),
        "
        lock locked
        apply applying revision=a
        apply applied revision=a
        apply applying revision=b
        ",
        "
        prelaunch run 0-99 prelaunch.stage=apply process.exit.code=14 failed: no such table
        . configure 0-1
        . lock 1-2
        . . wait for lock 1-1
        . apply 2-99 failed: no such table
        . . apply revision 2-3 revision=a
        . . apply revision 4-99 revision=b failed: no such table
        ",
    );
}

#[test]
fn a_refusal_fails_the_stage_that_decides_it() {
    check(
        Some((Stage::Plan, "ahead")),
        "look looked",
        "
        prelaunch run 0-99 prelaunch.stage=plan process.exit.code=14 failed: ahead
        . configure 0-1
        . look 1-99 [looked]
        . plan 99-99 failed: ahead
        ",
    );
}

#[test]
fn a_revision_that_was_given_up_ends_where_the_next_one_begins() {
    check(
        None,
        "
        apply applying revision=a
        apply overtaken why=lost
        apply applying revision=b
        apply applied revision=b
        ",
        "
        prelaunch run 0-99 process.exit.code=0
        . configure 0-1
        . apply 1-99
        . . apply revision 1-3 revision=a [overtaken]
        . . apply revision 3-4 revision=b
        ",
    );
}

#[test]
fn ids_are_hex_and_long_numbers_are_text() {
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let settings = settings(&[("TRACEPARENT", caller), ("TRACESTATE", "a=1")]);
    let tree = spans(1 << 60, &[], &Ended { at: (1 << 60) + 5, code: 0, failure: None });
    let mut last = 0x10;
    let mut next = || {
        last += 1;
        last
    };
    let (trace, text) = json::request(&settings, &tree, &mut next);
    assert_eq!(trace, TRACE);
    let request: Value = serde_json::from_str(&text).unwrap();
    let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(
        spans[0],
        serde_json::json!({
            "traceId": TRACE, "spanId": "0000000000000011", "parentSpanId": "b7ad6b7169203331",
            "traceState": "a=1", "flags": 1, "name": "prelaunch run", "kind": 1,
            "startTimeUnixNano": "1152921504606846976", "endTimeUnixNano": "1152921504606846981",
            "attributes": [{"key": "process.exit.code", "value": {"intValue": "0"}}],
            "events": [],
        }),
    );
    assert_eq!(spans[1]["parentSpanId"], "0000000000000011");
}
