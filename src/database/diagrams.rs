//! The graph for documents: a Mermaid flowchart, a digraph for Graphviz.
//!
//! Arrows lead from what is applied first; those of dependencies are broken. What is pending has a
//! broken border and says so in words.

use std::{collections::HashMap, fmt::Write as _};

use super::listing::{Listing, State};
use crate::graph::revision::{Revision, RevisionId};

/// A flowchart. Ids need not be names that Mermaid accepts, so nodes are numbered.
pub(super) fn mermaid(listing: &Listing) -> String {
    let graph = listing.graph();
    let number: HashMap<&RevisionId, usize> =
        graph.revisions().enumerate().map(|(number, revision)| (&revision.id, number)).collect();
    let mut text = "flowchart TB\n".to_owned();
    for (number, revision) in graph.revisions().enumerate() {
        let label: Vec<String> =
            label(listing, revision).iter().map(|line| in_mermaid(line)).collect();
        let class = if is_pending(listing, revision) { ":::pending" } else { "" };
        add(&mut text, &format!("    r{number}[\"{}\"]{class}", label.join("<br/>")));
    }
    for (to, revision) in graph.revisions().enumerate() {
        for parent in revision.parents.iter().filter_map(|id| number.get(id)) {
            add(&mut text, &format!("    r{parent} --> r{to}"));
        }
        for needed in graph.dependencies(&revision.id).iter().filter_map(|id| number.get(id)) {
            add(&mut text, &format!("    r{needed} -.-> r{to}"));
        }
    }
    if graph.revisions().any(|revision| is_pending(listing, revision)) {
        add(&mut text, "    classDef pending stroke-dasharray: 5 5");
    }
    text
}

/// A digraph.
pub(super) fn dot(listing: &Listing) -> String {
    let graph = listing.graph();
    let mut text = "digraph revisions {\n    node [shape=box];\n".to_owned();
    for revision in graph.revisions() {
        let label: Vec<String> =
            label(listing, revision).iter().map(|line| in_quotes(line)).collect();
        let style = if is_pending(listing, revision) { ", style=dashed" } else { "" };
        let (id, label) = (in_quotes(revision.id.as_str()), label.join("\\n"));
        add(&mut text, &format!("    \"{id}\" [label=\"{label}\"{style}];"));
    }
    for revision in graph.revisions() {
        let to = in_quotes(revision.id.as_str());
        for parent in &revision.parents {
            add(&mut text, &format!("    \"{}\" -> \"{to}\";", in_quotes(parent.as_str())));
        }
        for needed in graph.dependencies(&revision.id) {
            let needed = in_quotes(needed.as_str());
            add(&mut text, &format!("    \"{needed}\" -> \"{to}\" [style=dashed];"));
        }
    }
    text.push_str("}\n");
    text
}

/// What stands in a node, line by line.
fn label(listing: &Listing, revision: &Revision) -> Vec<String> {
    let mut lines = vec![revision.id.to_string()];
    lines.extend(Some(revision.title.clone()).filter(|title| !title.is_empty()));
    lines.extend(revision.tag.as_ref().map(|tag| format!("tag {tag}")));
    if listing.is_current(revision.id.as_str()) {
        lines.push("current".to_owned());
    }
    if is_pending(listing, revision) {
        lines.push("pending".to_owned());
    }
    lines
}

fn is_pending(listing: &Listing, revision: &Revision) -> bool {
    listing.state(revision.id.as_str()) == State::Pending
}

/// Mermaid's own entities: `#` opens one.
fn in_mermaid(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}

fn in_quotes(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn add(text: &mut String, line: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{line}");
}
