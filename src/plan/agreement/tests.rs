//! How ledger and version table stand to each other, in the notation of graphs.

use super::*;
use crate::{
    plan::{
        State, state,
        tests::{chain, observed},
    },
    version_table::VersionTable,
};

/// `ledger` may have rows that the graph lacks, as `id<parent`; `table` is `-` where there is none.
fn seen(graph: &str, ledger: &str, table: &str) -> (Chain, Observed) {
    let mut chain = chain(graph, "heads");
    chain.versions = VersionTable::parse("alembic_version");
    let ids: Vec<&str> =
        ledger.split_whitespace().map(|word| word.split('<').next().unwrap()).collect();
    let mut observed = observed(&chain, &ids.join(" "));
    for (row, word) in observed.ledger.iter_mut().zip(ledger.split_whitespace()) {
        row.parents = word.split('<').skip(1).map(str::to_owned).collect();
    }
    observed.has_versions = table != "-";
    let rows = table.split_whitespace().filter(|id| *id != "-");
    observed.versions = rows.map(|id| external(id, &Observed::default())).collect();
    (chain, observed)
}

#[track_caller]
fn check(graph: &str, ledger: &str, table: &str, expected: &str) {
    let (chain, observed) = seen(graph, ledger, table);
    let said = match standing(&chain, &observed) {
        Standing::Agreed => "agreed".to_owned(),
        Standing::Opaque => "opaque".to_owned(),
        Standing::Differs(difference) => {
            let mut words: Vec<String> = Vec::new();
            if difference.create {
                words.push(format!("create:{}", crate::look::joined(&difference.after)));
            }
            words.extend(difference.gone.iter().map(|id| format!("-{id}")));
            words.extend(difference.come.iter().map(|id| format!("+{id}")));
            words.join(" ")
        }
    };
    assert_eq!(said, expected, "{graph:?} ledger {ledger:?} table {table:?}");
}

const LINE: &str = "a; b<-a; c<-b";

#[test]
fn the_same_heads_are_in_step() {
    check(LINE, "", "", "agreed");
    check(LINE, "a b", "b", "agreed");
    check("a; b<-a; c<-a", "a b c", "b c", "agreed");
    check("a; b<-a; c<-a; d<-b+c", "a b c d", "d", "agreed");
    // What another one depends on has no row.
    check("a; x ^a", "a x", "x", "agreed");
    // A row too many, as Alembic may leave one.
    check(LINE, "a b", "a b", "agreed");
    // Put in below what is applied: that is for the plan to refuse.
    check("a; x<-a; b<-x", "a b", "b", "agreed");
}

#[test]
fn where_they_differ_the_version_table_wins() {
    check(LINE, "", "c", "+a +b +c");
    check(LINE, "a", "c", "+b +c");
    check(LINE, "a b c", "a", "-b -c");
    check(LINE, "a b c", "", "-a -b -c");
    check("a; b<-a; c<-a", "a b", "c", "-b +c");
    check("a; b<-a; c<-a; d<-b+c", "a b", "d", "+c +d");
    check("a; x ^a", "a", "x", "+x");
}

#[test]
fn a_table_that_is_not_there_is_made_from_the_ledger() {
    check(LINE, "", "-", "create:");
    check(LINE, "a b", "-", "create:b");
    check("a; b<-a; c<-a", "a b c", "-", "create:b,c");
    check(LINE, "a b n<b", "-", "create:n");
}

#[test]
fn what_only_the_ledger_knows_is_known() {
    check(LINE, "a b c n<c", "n", "agreed");
    check(LINE, "a b c n<c", "c", "-n");
    check(LINE, "a b c m<c n<m", "m", "-n");
}

#[test]
fn what_nobody_knows_is_opaque() {
    check(LINE, "a b", "n", "opaque");
    check(LINE, "", "n", "opaque");
    check("a; b<-a; x", "a b", "b n", "opaque");
}

#[test]
fn the_state_is_by_the_version_table() {
    let said = |graph, ledger, table| {
        let (chain, observed) = seen(graph, ledger, table);
        let once = applied(&chain, &observed);
        let twice = applied(&chain, &once);
        assert_eq!(*once, *twice);
        match state(&chain, &once) {
            State::Ready => "ready".to_owned(),
            State::Pending(plan) => {
                plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            State::Ahead { unknown } => format!("ahead: {}", unknown.join(" ")),
            State::Wrong(refusal) => refusal.to_string(),
            State::Unknown => "unknown".to_owned(),
        }
    };
    assert_eq!(said(LINE, "", "c"), "ready");
    assert_eq!(said(LINE, "a b c", "a"), "b c");
    assert_eq!(said(LINE, "a b c", "-"), "ready");
    // Whether `b` and `c` are there, the row of a newer image does not tell.
    assert_eq!(said(LINE, "a", "n"), "ahead: n");
    assert_eq!(said(LINE, "a b c n<c", "n"), "ahead: n");
    assert!(said("a; x<-a; b<-x", "a b", "b").starts_with("revision `x` is not applied"));
    assert!(said(LINE, "a n<a", "n").contains("have diverged"));
}

#[test]
fn rows_follow_the_steps() {
    let check = |graph: &str, expected: &[&str]| {
        let chain = chain(graph, "heads");
        let (mut rows, mut recorded) = (BTreeSet::new(), BTreeSet::new());
        let mut said = Vec::new();
        for revision in chain.graph.revisions() {
            recorded.insert(revision.id.to_string());
            rows = rows_after(&chain.graph, &rows, revision);
            assert_eq!(rows, rows_of(&chain.graph, &recorded));
            said.push(crate::look::joined(&rows));
        }
        assert_eq!(said, expected, "{graph}");
    };
    check(LINE, &["a", "b", "c"]);
    check("a; b<-a; c<-a; d<-b+c", &["a", "b", "b,c", "d"]);
    check("a; b<-a; x; y<-x ^b", &["a", "b", "b,x", "y"]);
    // Two steps apart: what is needed is reached through what is between.
    check("a; b<-a; c<-b; x ^c", &["a", "b", "c", "x"]);
}
