//! Order and ancestry on many graphs, against their definitions.

use std::collections::BTreeSet;

use crate::plan::agreement::{rows_after, rows_of};

use super::{Graph, Revision, RevisionId, Target, Way, recorded, revisions};

/// Marsaglia's xorshift: the same graphs in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("smaller than `end`")
    }
}

/// A root, a revision or a merge, now and then with a dependency, all on smaller numbers.
fn node(dice: &mut Dice, at: usize) -> String {
    let mut edge = |one_in: usize, sign: &str| match dice.below(one_in) {
        0 if at > 0 => format!("{sign}n{}", dice.below(at)),
        _ => String::new(),
    };
    let (parent, second, dependency) = (edge(1, "<-"), edge(5, "+"), edge(4, " ^"));
    // Every ninth is a root, so that there is a forest.
    let parents = if at.is_multiple_of(9) { String::new() } else { parent + &second };
    format!("n{at}{parents}{dependency}")
}

/// A graph with edges from later to earlier numbers, given in shuffled order.
fn shuffled(dice: &mut Dice, size: usize) -> Vec<Revision> {
    let mut nodes: Vec<String> = (0..size).map(|at| node(dice, at)).collect();
    for at in (1..size).rev() {
        nodes.swap(at, dice.below(at + 1));
    }
    revisions(&nodes.join(";"))
}

/// The definition: of all that could come next, the first that was given does.
fn by_definition(given: &[Revision]) -> Vec<RevisionId> {
    let mut order: Vec<RevisionId> = Vec::new();
    while order.len() < given.len() {
        let is_applied = |name: &str| order.iter().any(|id| id.as_str() == name);
        let next = given.iter().find(|revision| {
            !is_applied(revision.id.as_str())
                && revision.parents.iter().all(|parent| is_applied(parent.as_str()))
                && revision.depends_on.iter().all(|dependency| is_applied(dependency))
        });
        order.push(next.expect("a graph without rings").id.clone());
    }
    order
}

/// The rows of a version table, step by step, are those that its definition gives from all that is
/// applied.
#[test]
fn the_rows_of_a_version_table_turn_as_they_are_defined() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for size in 1..60 {
        let graph = Graph::new(shuffled(&mut dice, size)).expect("a sound graph");
        let (mut rows, mut applied) = (BTreeSet::new(), BTreeSet::new());
        for revision in graph.revisions() {
            applied.insert(revision.id.to_string());
            rows = rows_after(&graph, &rows, revision);
            assert_eq!(rows, rows_of(&graph, &applied));
        }
    }
}

#[test]
fn the_order_is_topological_and_stable() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    for size in 1..60 {
        let given = shuffled(&mut dice, size);
        let graph = Graph::new(given.clone()).expect("a sound graph");
        let order: Vec<RevisionId> = graph.revisions().map(|r| r.id.clone()).collect();
        assert_eq!(order, by_definition(&given));

        let again = Graph::new(graph.revisions().cloned().collect()).expect("a sound graph");
        assert!(again.revisions().eq(graph.revisions()), "an order is kept as it is");
    }
}

#[test]
fn ancestors_of_all_heads_are_everything_and_never_newer_than_themselves() {
    let mut dice = Dice(88_172_645_463_325_252);
    for size in 1..60 {
        let graph = Graph::new(shuffled(&mut dice, size)).expect("a sound graph");
        let everything: BTreeSet<RevisionId> =
            graph.revisions().map(|revision| revision.id.clone()).collect();
        assert_eq!(graph.with_ancestors(graph.heads()), everything);
        let heads = graph.resolve(&Target::Heads).expect("heads are never refused");
        assert_eq!(graph.with_ancestors(&heads), everything);
        for id in &everything {
            let newer = graph.newer_than([id]);
            assert!(newer.is_disjoint(&graph.with_ancestors([id])), "around `{id}`");
            assert!(newer.iter().all(|other| graph.with_ancestors([other]).contains(id)));
        }
    }
}

#[test]
fn a_route_leaves_nothing_without_what_it_needs_and_leads_to_its_target() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for size in 1..60 {
        let graph = Graph::new(shuffled(&mut dice, size)).expect("a sound graph");
        let all: Vec<RevisionId> = graph.revisions().map(|r| r.id.clone()).collect();
        let applied = graph.with_ancestors([&all[dice.below(size)], &all[dice.below(size)]]);
        for id in &all {
            let target = Target::Name(id.to_string());
            let route = graph.route(&recorded(&applied), &target).expect("a route");
            let after = match &route.way {
                Way::There => applied.clone(),
                Way::Up(steps) => taken(&graph, &applied, steps),
                // Backwards it is a way up.
                Way::Down(steps) => {
                    let gone: BTreeSet<RevisionId> = steps.iter().cloned().collect();
                    let left: BTreeSet<RevisionId> = applied.difference(&gone).cloned().collect();
                    let up: Vec<RevisionId> = steps.iter().rev().cloned().collect();
                    assert_eq!(taken(&graph, &left, &up), applied, "there and back");
                    left
                }
            };
            assert!(after.contains(id), "`{id}` is reached");
            assert_eq!(graph.with_ancestors(&after), after, "nothing is missing below");
            assert!(graph.newer_than([id]).is_disjoint(&after) || !applied.contains(id));
            assert_eq!(graph.current(&recorded(&after)), route.to);
            let again = graph.route(&recorded(&after), &target).expect("a route");
            assert!(again.way == Way::There || !applied.contains(id), "it is reached once");
        }
    }
}

/// What is applied after these steps, each of which must find what it needs.
fn taken(
    graph: &Graph,
    applied: &BTreeSet<RevisionId>,
    steps: &[RevisionId],
) -> BTreeSet<RevisionId> {
    let mut applied = applied.clone();
    for step in steps {
        let parents = &graph.get(step).expect("a known step").parents;
        assert!(parents.iter().chain(graph.dependencies(step)).all(|id| applied.contains(id)));
        assert!(applied.insert(step.clone()), "`{step}` is taken once");
    }
    applied
}
