//! What a large graph costs: ten thousand revisions, made into a graph and planned over.
//!
//! ```text
//! cargo bench --bench graph
//! ```
//!
//! The graph has lines, forks, merges and dependencies, and is given out of order. The figures are
//! medians of single runs in this process, so without reading any files.

#![expect(clippy::expect_used, reason = "a program for people: what fails ends it with a word")]

use std::{
    collections::BTreeSet,
    hint::black_box,
    time::{Duration, Instant},
};

use prelaunch::graph::{
    Graph, Way,
    revision::{Place, Revision, RevisionId},
    target::Target,
};

const REVISIONS: usize = 10_000;
const ROUNDS: usize = 51;

fn main() {
    let revisions = revisions();
    println!("{REVISIONS} revisions, medians of {ROUNDS}");
    // The list is copied outside of the time that is taken.
    let mut copies = vec![revisions.clone(); ROUNDS];
    report("load", || copies.pop().expect("a copy for each round"), |copy| made(copy).len());

    let graph = made(revisions);
    let all: BTreeSet<String> = graph.revisions().map(|one| one.id.to_string()).collect();
    let half: BTreeSet<String> =
        graph.revisions().take(REVISIONS / 2).map(|one| one.id.to_string()).collect();
    let nothing = BTreeSet::new();
    let first = graph.roots()[0].to_string();
    for (name, recorded, target) in [
        ("up, all of it", &nothing, "heads"),
        ("up, half of it", &half, "heads"),
        ("nothing to do", &all, "heads"),
        ("down, all of it", &all, "base"),
        ("down, most of it", &all, first.as_str()),
        ("1000 steps counted", &nothing, "base+1000"),
    ] {
        let target = Target::parse(target).expect("a target");
        report(
            name,
            || (),
            |()| match graph.route(recorded, &target).expect("a route").way {
                Way::There => 0,
                Way::Up(steps) | Way::Down(steps) => steps.len(),
            },
        );
    }
}

/// The median time of something, and what it says of its result: the number of revisions.
fn report<T>(name: &str, mut given: impl FnMut() -> T, mut run: impl FnMut(T) -> usize) {
    let (mut times, mut number) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let given = given();
        let started = Instant::now();
        number = black_box(run(given));
        times.push(started.elapsed());
    }
    times.sort();
    let median: Duration = times[ROUNDS / 2];
    println!("{name:20} {:7.2} ms  ({number})", median.as_secs_f64() * 1e3);
}

fn made(revisions: Vec<Revision>) -> Graph {
    Graph::new(revisions).expect("a sound graph")
}

/// A trunk of a thousand revisions; after it a hundred branches at a time, which are merged again.
fn revisions() -> Vec<Revision> {
    let name = |at: usize| format!("{:012x}", at * 0x9E37_79B1);
    let id = |at: usize| RevisionId::new(&name(at)).expect("an id");
    let mut revisions: Vec<Revision> = (0..REVISIONS)
        .map(|at| Revision {
            id: id(at),
            parents: match at {
                0 => Vec::new(),
                1..=1000 => vec![id(at - 1)],
                // The last of a hundred merges them all.
                _ if at % 100 == 0 => (at - 99..at).map(id).collect(),
                _ => vec![id(at - at % 100)],
            },
            depends_on: if at % 7 == 6 { vec![name(at / 2)] } else { Vec::new() },
            labels: Vec::new(),
            tag: None,
            title: format!("revision {at}"),
            created: None,
            place: Place::default(),
        })
        .collect();
    // Any order that is not this one; the stride has no divisor in common with the length.
    let stride = 7_919;
    revisions = (0..REVISIONS).map(|at| revisions[at * stride % REVISIONS].clone()).collect();
    revisions
}
