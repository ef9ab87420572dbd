//! Graphs as text, for tests: `a; b<-a; c<-b [tag=1.0]; d<-b+c; e<-a ^c [label=x]`.
//!
//! Nodes are separated by `;`. After the id and its parents (`<-b+c`) come dependencies (`^c`) and
//! names in brackets, as many as needed. A node stands in the file of its id, at the line of its
//! number in the text, so that messages can be compared in full. What cannot be read panics:
//! the text belongs to the test.

use super::{
    Graph,
    revision::{Place, Revision, RevisionId},
};

/// The revisions of a text, in its order; whether they make a graph is not asked.
pub(crate) fn revisions(text: &str) -> Vec<Revision> {
    let nodes = text.split(';').map(str::trim).filter(|node| !node.is_empty());
    nodes.enumerate().map(|(at, node)| revision(node, at + 1)).collect()
}

/// The graph of a text.
pub(crate) fn graph(text: &str) -> Graph {
    Graph::new(revisions(text)).unwrap_or_else(|faults| panic!("`{text}` is unsound: {faults:?}"))
}

/// An id.
pub(crate) fn id(text: &str) -> RevisionId {
    RevisionId::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Ids separated by blanks.
pub(crate) fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace().map(id).collect()
}

fn revision(node: &str, line: usize) -> Revision {
    let mut words = node.split_whitespace();
    let edge = words.next().unwrap_or_default();
    let (name, parents) = edge.split_once("<-").map_or((edge, None), |(n, p)| (n, Some(p)));
    let mut revision = Revision {
        id: id(name),
        parents: parents.into_iter().flat_map(|parents| parents.split('+')).map(id).collect(),
        depends_on: Vec::new(),
        labels: Vec::new(),
        tag: None,
        title: name.to_owned(),
        created: None,
        place: Place { path: format!("{name}.sql").into(), line },
    };
    for word in words {
        let bracket = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        match (word.strip_prefix('^'), bracket.and_then(|pair| pair.split_once('='))) {
            (Some(dependency), _) => revision.depends_on.push(dependency.to_owned()),
            (_, Some(("label", label))) => revision.labels.push(label.to_owned()),
            (_, Some(("tag", tag))) => revision.tag = Some(tag.to_owned()),
            _ => panic!("`{word}` in `{node}` is neither `^x` nor `[label=x]` nor `[tag=x]`"),
        }
    }
    revision
}
