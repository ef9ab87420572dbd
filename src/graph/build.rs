//! Makes a sound [`Graph`] of what the scripts say, or says everything that is wrong with them.
//!
//! It promises all faults at once, each with its place, in a stable order, in time that grows with
//! the number of revisions and edges (times a logarithm). Where a name is taken twice, its first
//! bearer has it for the rest of the examination.
//!
//! A parent or dependency that is listed twice is no fault, nor is a dependency on an ancestor:
//! Alembic accepts both, and they change nothing.

use std::collections::HashMap;

use super::{
    Graph, Node,
    order::order,
    revision::{Place, Revision, RevisionId},
    target::Target,
};

/// Why revisions make no graph. Displayed as `file:line: what is wrong; what to do`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum GraphFault {
    /// Two scripts with one id, often a copied file.
    #[error("{second}: revision `{id}` is already in {first}; give one of them another id")]
    DuplicateId { id: RevisionId, first: Place, second: Place },
    /// A parent that is not here.
    #[error(
        "{place}: revision `{id}` revises `{parent}`, which no script here has; \
         add that script or correct the parent"
    )]
    MissingParent { id: RevisionId, parent: RevisionId, place: Place },
    /// A dependency that is not here. Tags are no dependencies.
    #[error(
        "{place}: revision `{id}` depends on `{dependency}`, which is no id and no branch label \
         of the scripts here; add that script or correct the dependency"
    )]
    MissingDependency { id: RevisionId, dependency: String, place: Place },
    /// A revision that is its own parent or dependency (by its own label, too).
    #[error("{place}: revision `{id}` comes before itself; name the revision that does")]
    SelfLoop { id: RevisionId, place: Place },
    /// Revisions that wait for one another, through parents or dependencies: all members, each
    /// one before the next, and the place of the first.
    #[error(
        "{place}: revisions form a ring, {}; change what one of them revises or depends on",
        ring(ids)
    )]
    Cycle { ids: Vec<RevisionId>, place: Place },
    /// One tag on two revisions.
    #[error("{second}: tag `{tag}` is already in {first}; keep it in one of them")]
    DuplicateTag { tag: String, first: Place, second: Place },
    /// One branch label declared by two revisions; descendants have it anyway.
    #[error(
        "{second}: branch label `{label}` is already in {first}; \
         keep it where the branch begins"
    )]
    DuplicateLabel { label: String, first: Place, second: Place },
    /// A tag that is the id of another revision. (That of its own revision means the same.)
    #[error("{place}: tag `{tag}` is the id of the revision in {other}; choose another tag")]
    TagIsId { tag: String, place: Place, other: Place },
    /// A branch label that is an id, be it its own: the label means the head of the branch.
    #[error(
        "{place}: branch label `{label}` is the id of the revision in {other}; \
         choose another label"
    )]
    LabelIsId { label: String, place: Place, other: Place },
    /// A tag that is a branch label, be it of the same revision: the label means the head of
    /// the branch.
    #[error("{place}: tag `{tag}` is a branch label in {other}; choose another tag")]
    TagIsLabel { tag: String, place: Place, other: Place },
    /// A tag or label that nobody could ask for, since the target grammar reads it otherwise.
    #[error("{place}: `{name}` cannot be the name of a target; choose another tag or label")]
    NotAName { name: String, place: Place },
}

impl GraphFault {
    /// Where to correct it: of two places that say the same, the second.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::DuplicateId { second, .. }
            | Self::DuplicateTag { second, .. }
            | Self::DuplicateLabel { second, .. } => second,
            Self::MissingParent { place, .. }
            | Self::MissingDependency { place, .. }
            | Self::SelfLoop { place, .. }
            | Self::Cycle { place, .. }
            | Self::TagIsId { place, .. }
            | Self::LabelIsId { place, .. }
            | Self::TagIsLabel { place, .. }
            | Self::NotAName { place, .. } => place,
        }
    }
}

fn ring(ids: &[RevisionId]) -> String {
    let names: Vec<String> = ids.iter().chain(ids.first()).map(|id| format!("`{id}`")).collect();
    names.join(" before ")
}

impl Graph {
    /// Makes a graph, or names every fault.
    ///
    /// The order in which the revisions are given breaks ties in the order of the graph.
    pub fn new(revisions: Vec<Revision>) -> Result<Self, Vec<GraphFault>> {
        let mut faults = Vec::new();
        let names = Names::of(&revisions, &mut faults);
        let edges: Vec<Edges> = revisions
            .iter()
            .enumerate()
            .map(|(at, revision)| names.edges(at, revision, &mut faults))
            .collect();
        let before: Vec<Vec<usize>> =
            edges.iter().map(|edges| [&*edges.parents, &*edges.dependencies].concat()).collect();
        let order = order(&before);
        faults.extend(order.rings.iter().map(|ring| GraphFault::Cycle {
            ids: ring.iter().map(|&at| revisions[at].id.clone()).collect(),
            place: revisions[ring[0]].place.clone(),
        }));
        if faults.is_empty() { Ok(assemble(revisions, &edges, &order.sorted)) } else { Err(faults) }
    }
}

/// Who bears which name, as positions in the list that was given.
struct Names<'a> {
    ids: HashMap<&'a str, usize>,
    labels: HashMap<&'a str, usize>,
}

struct Edges {
    parents: Vec<usize>,
    dependencies: Vec<usize>,
}

impl<'a> Names<'a> {
    fn of(revisions: &'a [Revision], faults: &mut Vec<GraphFault>) -> Self {
        let place = |at: usize| revisions[at].place.clone();
        let mut ids = HashMap::new();
        for (at, revision) in revisions.iter().enumerate() {
            let first = *ids.entry(revision.id.as_str()).or_insert(at);
            if first != at {
                let id = revision.id.clone();
                faults.push(GraphFault::DuplicateId { id, first: place(first), second: place(at) });
            }
        }
        let mut labels = HashMap::new();
        for (at, label) in each(revisions, |revision| revision.labels.as_slice()) {
            let first = *labels.entry(label.as_str()).or_insert(at);
            let (label, place_at) = (label.clone(), place(at));
            if first != at {
                let (first, second) = (place(first), place_at);
                faults.push(GraphFault::DuplicateLabel { label, first, second });
            } else if let Some(&other) = ids.get(label.as_str()) {
                let other = place(other);
                faults.push(GraphFault::LabelIsId { label, place: place_at, other });
            } else if !is_name(&label) {
                faults.push(GraphFault::NotAName { name: label, place: place_at });
            }
        }
        let mut tags = HashMap::new();
        for (at, tag) in each(revisions, |revision| revision.tag.as_slice()) {
            let first = *tags.entry(tag.as_str()).or_insert(at);
            let (tag, place_at) = (tag.clone(), place(at));
            if first != at {
                let (first, second) = (place(first), place_at);
                faults.push(GraphFault::DuplicateTag { tag, first, second });
            } else if let Some(&other) = ids.get(tag.as_str()).filter(|&&other| other != at) {
                faults.push(GraphFault::TagIsId { tag, place: place_at, other: place(other) });
            } else if let Some(&other) = labels.get(tag.as_str()) {
                faults.push(GraphFault::TagIsLabel { tag, place: place_at, other: place(other) });
            } else if !is_name(&tag) {
                faults.push(GraphFault::NotAName { name: tag, place: place_at });
            }
        }
        Self { ids, labels }
    }

    /// What comes before a revision. The lists are short: a merge has a few parents.
    fn edges(&self, at: usize, revision: &Revision, faults: &mut Vec<GraphFault>) -> Edges {
        let Revision { id, place, .. } = revision;
        let mut edges = Edges { parents: Vec::new(), dependencies: Vec::new() };
        let mut comes_before_itself = false;
        let mut add = |list: &mut Vec<usize>, other: usize| {
            // By id and not by position: the second script of a duplicate id is no other revision.
            if self.ids.get(id.as_str()) == Some(&other) || other == at {
                comes_before_itself = true;
            } else if !list.contains(&other) {
                list.push(other);
            }
        };
        for parent in &revision.parents {
            match self.ids.get(parent.as_str()) {
                Some(&other) => add(&mut edges.parents, other),
                None => faults.push(GraphFault::MissingParent {
                    id: id.clone(),
                    parent: parent.clone(),
                    place: place.clone(),
                }),
            }
        }
        for dependency in &revision.depends_on {
            let name = dependency.as_str();
            match self.ids.get(name).or_else(|| self.labels.get(name)) {
                Some(&other) => add(&mut edges.dependencies, other),
                None => faults.push(GraphFault::MissingDependency {
                    id: id.clone(),
                    dependency: dependency.clone(),
                    place: place.clone(),
                }),
            }
        }
        if comes_before_itself {
            faults.push(GraphFault::SelfLoop { id: id.clone(), place: place.clone() });
        }
        edges
    }
}

/// Each name of each revision with the position of the revision.
fn each<'a>(
    revisions: &'a [Revision],
    names: impl Fn(&'a Revision) -> &'a [String],
) -> impl Iterator<Item = (usize, &'a String)> {
    revisions
        .iter()
        .map(names)
        .enumerate()
        .flat_map(|(at, names)| names.iter().map(move |n| (at, n)))
}

fn is_name(text: &str) -> bool {
    matches!(Target::parse(text), Ok(Target::Name(name)) if name == text)
}

/// Renumbers everything from the order given to the order of the graph.
fn assemble(revisions: Vec<Revision>, edges: &[Edges], sorted: &[usize]) -> Graph {
    let mut position = vec![0; sorted.len()];
    for (to, &from) in sorted.iter().enumerate() {
        position[from] = to;
    }
    let moved = |list: &[usize]| list.iter().map(|&from| position[from]).collect();
    let mut placed: Vec<(usize, Node)> = revisions
        .into_iter()
        .zip(edges)
        .map(|(revision, edges)| Node {
            revision,
            parents: moved(&edges.parents),
            dependencies: moved(&edges.dependencies),
            children: Vec::new(),
        })
        .enumerate()
        .map(|(from, node)| (position[from], node))
        .collect();
    placed.sort_unstable_by_key(|&(to, _)| to);
    let mut nodes: Vec<Node> = placed.into_iter().map(|(_, node)| node).collect();

    let mut graph = Graph::default();
    for (at, node) in nodes.iter().enumerate() {
        let Revision { id, tag, labels, .. } = &node.revision;
        graph.by_id.insert(id.clone(), at);
        graph.by_tag.extend(tag.iter().map(|tag| (tag.clone(), at)));
        graph.by_label.extend(labels.iter().map(|label| (label.clone(), at)));
    }
    for at in 0..nodes.len() {
        for parent in nodes[at].parents.clone() {
            nodes[parent].children.push(at);
        }
    }
    graph.nodes = nodes;
    graph
}
