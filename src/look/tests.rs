//! What is due, by what the history says.

use super::*;
use crate::db::Success;
use crate::plan::tests::{chain, observed};

/// Adds a success at the end of a history.
fn add(observed: &mut Observed, event: Event, subject: &str, heads: &str) {
    observed.last += 1;
    observed.successes.push(Success {
        event,
        subject: subject.to_owned(),
        heads: heads.to_owned(),
        seq: observed.last,
    });
}

fn asked(reindex: Reindex, since: Option<i64>) -> Asked {
    Asked { reindex, hooks: vec![String::new()], since, ..Asked::nothing() }
}

#[test]
fn a_hook_is_due_once_for_each_set_of_heads() {
    let chain = chain("a; b<-a", "heads");
    let mut seen = observed(&chain, "a");
    let hook = |seen: &Observed| {
        Look::judge(seen, Some(&chain), &asked(Reindex::False, None)).hooks.len() == 1
    };
    assert!(hook(&seen));
    add(&mut seen, Event::Hook, "", "a");
    assert!(!hook(&seen));
    let mut newer = observed(&chain, "a b");
    newer.successes = seen.successes.clone();
    newer.ledger[1].upgraded = Some(3);
    assert!(hook(&newer), "new heads");
    add(&mut newer, Event::Hook, "", "b");
    newer.successes[1].seq = 4;
    assert!(!hook(&newer));
    newer.ledger[1].upgraded = Some(9);
    assert!(hook(&newer), "the same heads, reached again");
}

#[test]
fn without_revisions_no_hook_is_due() {
    let chain = chain("a", "head");
    let look = Look::judge(&observed(&chain, ""), Some(&chain), &asked(Reindex::False, None));
    assert_eq!(look.hooks, [""; 0]);
}

#[test]
fn a_reindex_that_is_asked_for_is_due_once_for_each_run() {
    let chain = chain("a", "head");
    let mut seen = observed(&chain, "a");
    let due = |seen: &Observed, reindex: Reindex, since| {
        let look = Look::judge(seen, Some(&chain), &asked(reindex, since));
        look.reindex.iter().map(|subject| subject.as_str().to_owned()).collect::<Vec<_>>()
    };
    let names = Reindex::Names(vec!["x".to_owned(), "y".to_owned()]);
    add(&mut seen, Event::Reindex, "*", "a");
    assert_eq!(due(&seen, Reindex::All, None), ["*"], "an earlier run's success does not count");
    let first = Some(seen.last);
    assert_eq!(due(&seen, Reindex::All, first), ["*"]);
    assert_eq!(due(&seen, names.clone(), first), ["x", "y"]);
    add(&mut seen, Event::Reindex, "x", "a");
    assert_eq!(due(&seen, names.clone(), first), ["y"]);
    assert_eq!(due(&seen, Reindex::All, first), ["*"], "one name is not all");
    add(&mut seen, Event::Reindex, "*", "a");
    assert_eq!(due(&seen, Reindex::All, first), [""; 0]);
    assert_eq!(due(&seen, names, first), [""; 0], "all covers each name");
}

#[test]
fn auto_is_due_for_what_was_applied_since_the_last_success() {
    let mut chain = chain("a; b<-a; c<-b", "head");
    let mut asks = |id: &str, datasets| {
        let id = RevisionId::new(id).unwrap();
        chain.scripts.get_mut(&id).unwrap().settings.reindex = datasets;
    };
    asks("a", Datasets::Named(["x", "y"].map(str::to_owned).into()));
    asks("c", Datasets::Named(["y", "z"].map(str::to_owned).into()));
    let due = |seen: &Observed| {
        let look = Look::judge(seen, Some(&chain), &asked(Reindex::Auto, None));
        look.reindex.iter().map(|subject| subject.as_str().to_owned()).collect::<Vec<_>>()
    };
    let mut seen = observed(&chain, "a b c");
    assert_eq!(due(&seen), ["x", "y", "z"]);
    add(&mut seen, Event::Reindex, "y", "c");
    assert_eq!(due(&seen), ["x", "z"]);
    add(&mut seen, Event::Reindex, "*", "c");
    assert_eq!(due(&seen), [""; 0]);
    seen.ledger[0].upgraded = None;
    seen.successes.clear();
    assert_eq!(due(&seen), ["y", "z"], "what was not run here asks for nothing");
}

#[test]
fn heads_are_what_no_applied_revision_follows() {
    let chain = chain("a; b<-a; c<-a; d<-b+c", "head");
    let heads = |ids: &str| {
        Look::judge(&observed(&chain, ids), Some(&chain), &asked(Reindex::False, None)).heads_text()
    };
    assert_eq!(heads(""), "");
    assert_eq!(heads("a"), "a");
    assert_eq!(heads("a b c"), "b,c");
    assert_eq!(heads("a b c d"), "d");
    let mut seen = observed(&chain, "a b z");
    seen.ledger[2].parents = vec!["b".to_owned()];
    let look = Look::judge(&seen, Some(&chain), &asked(Reindex::False, None));
    assert_eq!(look.heads_text(), "z", "of an unknown revision the ledger knows the parents");
}
