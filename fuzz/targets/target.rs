//! Targets and ranges: as typed, and looked up in a graph that has a bit of everything.
#![no_main]

use std::{path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use prelaunch::{
    database::range::Range,
    graph::{Graph, target::Target},
    script::Script,
};

/// Two roots, a branch that is labelled, a merge, a dependency, and tags with signs in them.
const GRAPH: [&str; 8] = [
    "a000",
    "a001\n-- revises: a000\n-- tag: 1.8",
    "abcd01\n-- revises: a001\n-- branch: left",
    "abcd02\n-- revises: a001\n-- tag: 1.8-rc1",
    "m000\n-- revises: abcd01, abcd02\n-- tag: 1.8-1",
    "r000\n-- branch: right",
    "r001\n-- revises: r000\n-- depends-on: a001\n-- tag: 1.8-rc1-2",
    "r002\n-- revises: r001\n-- tag: left-1",
];

static SEEN: LazyLock<Graph> = LazyLock::new(|| {
    let revision = |header: &&str| {
        let text = format!("-- title\n-- revision: {header}\n-- migrate:up\n");
        Script::parse(Path::new("s.sql"), &text).unwrap().revision
    };
    Graph::new(GRAPH.iter().map(revision).collect()).unwrap()
});

fuzz_target!(|text: &str| {
    if let Ok(target) = Target::parse(text) {
        assert_eq!(target.to_string(), text.trim());
        assert_eq!(Target::parse(&target.to_string()), Ok(target.clone()));
        let _ = target.is_relative_or_base();
        match SEEN.resolve(&target) {
            Ok(ids) => assert!(ids.iter().all(|id| SEEN.contains(id))),
            Err(error) => assert!(!error.to_string().contains('\n') || text.contains('\n')),
        }
    }
    if let Ok(range) = Range::parse(text) {
        if let Ok(ids) = range.of(&SEEN) {
            assert!(ids.iter().all(|id| SEEN.contains(id)));
        }
    }
});
