//! Puts revisions in order: what comes before stays before, and ties keep the order given.
//!
//! It always ends with an order of all of them. Where some wait for one another it names each
//! ring, lets its members pass, and goes on, so that a second ring behind the first is found in
//! the same run.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What [`order`] found; numbers are positions in the list that was given.
pub(super) struct Order {
    /// Every position once. Only without rings is each one after all that must come before it.
    pub(super) sorted: Vec<usize>,
    /// Members of each ring, in the order in which each would have to precede the next, from the
    /// one that was given first. No revision is in two rings.
    pub(super) rings: Vec<Vec<usize>>,
}

/// Sorts positions by `before`, which lists for each position what has to come before it.
///
/// Of all that could come next, the one that was given first does: a list that is in order already
/// stays as it is. A position must not be listed before itself.
pub(super) fn order(before: &[Vec<usize>]) -> Order {
    let mut after = vec![Vec::new(); before.len()];
    for (at, list) in before.iter().enumerate() {
        for &earlier in list {
            after[earlier].push(at);
        }
    }
    let mut awaited: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut done = vec![false; before.len()];
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..before.len()).filter(|&at| awaited[at] == 0).map(Reverse).collect();
    let mut found = Order { sorted: Vec::with_capacity(before.len()), rings: Vec::new() };
    loop {
        while let Some(Reverse(at)) = ready.pop() {
            // The member of a ring may be here twice: let pass, and then no longer awaiting any.
            if std::mem::replace(&mut done[at], true) {
                continue;
            }
            found.sorted.push(at);
            for &later in &after[at] {
                awaited[later] -= 1;
                if awaited[later] == 0 {
                    ready.push(Reverse(later));
                }
            }
        }
        let Some(stuck) = done.iter().position(|done| !done) else { return found };
        let ring = ring(before, &done, stuck);
        ready.extend(ring.iter().copied().map(Reverse));
        found.rings.push(ring);
    }
}

/// The ring that is met by going back from a position that nothing done has freed.
fn ring(before: &[Vec<usize>], done: &[bool], stuck: usize) -> Vec<usize> {
    let mut seen = vec![false; before.len()];
    let mut path = Vec::new();
    let mut at = stuck;
    while !seen[at] {
        seen[at] = true;
        path.push(at);
        // Who is stuck awaits another who is; were it not so, the walk would end where it stands.
        at = before[at].iter().copied().find(|&earlier| !done[earlier]).unwrap_or(at);
    }
    // The way to the ring is not part of it.
    let mut ring: Vec<usize> = path.into_iter().skip_while(|&member| member != at).collect();
    ring.reverse();
    let first = ring.iter().enumerate().min_by_key(|&(_, member)| member).map_or(0, |(n, _)| n);
    ring.rotate_left(first);
    ring
}
