//! The two tables of `plan`, as tables.

use std::path::Path;

use super::*;
use crate::{
    db::Recorded,
    engine::Engine,
    graph::{Graph, notation, target::Target},
    script::Script,
};

/// A chain whose scripts say `select 1`, from the notation of graphs.
pub(crate) fn chain(text: &str, target: &str) -> Chain {
    let graph = Graph::new(notation::revisions(text)).unwrap();
    let script = |revision: &crate::graph::revision::Revision| {
        let text = format!("-- x\n-- revision: {}\n-- migrate:up\nselect 1;\n", revision.id);
        Script::parse(Path::new(&format!("{}.sql", revision.id)), &text).unwrap()
    };
    let scripts =
        graph.revisions().map(|revision| (revision.id.clone(), script(revision))).collect();
    let target = Target::parse(target).unwrap();
    let ids = graph.resolve(&target).unwrap();
    Chain {
        graph,
        scripts,
        target: ids,
        target_text: target.to_string(),
        engine: Engine::Sqlite,
        alembic: None,
        versions: None,
    }
}

/// What a database remembers that has applied these, one line of history each.
pub(crate) fn observed(chain: &Chain, ids: &str) -> Observed {
    let row = |(seq, id): (i64, &str)| Recorded {
        revision: id.to_owned(),
        parents: Vec::new(),
        depends_on: Vec::new(),
        checksum: chain.scripts.get(id).map(|script| script.checksum(chain.engine).to_string()),
        upgraded: Some(seq),
        reverting: false,
    };
    let ledger: Vec<Recorded> = (1..).zip(ids.split_whitespace()).map(row).collect();
    let last = i64::try_from(ledger.len()).unwrap();
    Observed { ledger, last, ..Observed::default() }
}

/// How a database that has applied `recorded` stands to a graph.
#[track_caller]
fn check(graph: &str, target: &str, recorded: &str, expected: &str) {
    let chain = chain(graph, target);
    let said = match state(&chain, &observed(&chain, recorded)) {
        State::Ready => "ready".to_owned(),
        State::Pending(plan) => texts(&plan.steps).join(" "),
        State::Ahead { unknown } => format!("ahead: {}", unknown.join(" ")),
        State::Wrong(refusal) => refusal.to_string(),
        State::Unknown => "unknown".to_owned(),
    };
    assert_eq!(said, expected, "{graph:?} to {target} from {recorded:?}");
}

#[test]
fn what_is_missing_is_pending_in_order() {
    check("a; b<-a; c<-b", "head", "", "a b c");
    check("a; b<-a; c<-b", "head", "a", "b c");
    check("a; b<-a; c<-b", "head", "a b c", "ready");
    check("a; b<-a; c<-b", "b", "", "a b");
    check("a; b<-a; c<-b", "b", "a b", "ready");
    check("a; b<-a; c<-a; d<-b+c", "head", "a c", "b d");
    check("a; b<-a; x; y<-x", "heads", "a", "b x y");
    check("a; b<-a ^y; x; y<-x", "b", "a", "x y b");
}

#[test]
fn a_target_behind_the_database_is_refused() {
    check(
        "a; b<-a; c<-b",
        "b",
        "a b c",
        "the database is newer than the target `b`: `c` was applied after it, and a start never \
         goes back",
    );
    check(
        "a; b<-a; c<-b; d<-c",
        "a",
        "a b c d",
        "the database is newer than the target `a`: `b`, `c` and `d` were applied after it, and a \
         start never goes back",
    );
    // Another branch is no descendant.
    check("a; b<-a; c<-a", "b", "a b c", "ready");
    // A head on which another one depends is reached with it.
    check("a; x ^a", "heads", "a x", "ready");
}

#[test]
fn unknown_revisions_are_ahead_or_diverged() {
    check("a; b<-a", "head", "a b z", "ahead: z");
    check(
        "a; b<-a",
        "head",
        "a z",
        "the database and this image have diverged: the database has `z` that this image lacks, \
         and lacks `b`; start an image that has both",
    );
}

#[test]
fn a_revision_below_applied_ones_is_no_part_of_a_plan() {
    check(
        "a; x<-a; b<-x",
        "head",
        "a b",
        "revision `x` is not applied, but `b` that follows it is; let new revisions follow the head",
    );
    check(
        "a; b<-a ^x; c<-b; x",
        "heads",
        "a b c",
        "revision `x` is not applied, but `b` that follows it is; let new revisions follow the head",
    );
}

#[test]
fn a_changed_script_comes_before_everything_else() {
    let chain = chain("a; b<-a; c<-b", "head");
    let mut observed = observed(&chain, "a b");
    observed.ledger[0].checksum = Some("another".to_owned());
    let State::Wrong(refusal) = state(&chain, &observed) else { panic!("not refused") };
    assert_eq!(
        refusal.to_string(),
        "a script was changed after it was applied: `a.sql`; put the text back that was applied \
         and write a new revision for what shall be different, or accept it with \
         `prelaunch database accept`"
    );
    observed.ledger[1].checksum = None;
    observed.ledger[0].checksum = None;
    assert!(matches!(state(&chain, &observed), State::Pending(_)), "no script, no checksum");
}

#[test]
fn of_many_names_only_the_first_are_shown() {
    let names: Vec<String> = (1..=7).map(|n| format!("r{n}")).collect();
    assert_eq!(list(&names), "`r1`, `r2`, `r3`, `r4`, `r5` and 2 more");
    assert_eq!(list(&names[..2]), "`r1` and `r2`");
    assert_eq!(list(&names[..1]), "`r1`");
}

/// In the order of the columns below.
const MODES: [AutoMigration; 4] =
    [AutoMigration::True, AutoMigration::Check, AutoMigration::Wait, AutoMigration::False];

/// The table of modes, row by row: `true`, `check`, `wait`, `false`.
#[track_caller]
fn modes(recorded: &str, ahead: DatabaseAhead, expected: [&str; 4]) {
    let chain = chain("a; b<-a", "head");
    let observed = observed(&chain, recorded);
    let due = Due { hook: false, reindex: false, external: false };
    let said = |mode| match decide(mode, ahead, &state(&chain, &observed), due) {
        Next::Start => "start".to_owned(),
        Next::Refuse(refusal) => refusal.exit_code().to_string(),
        Next::Work => "work".to_owned(),
        Next::Await(_) => "await".to_owned(),
    };
    assert_eq!(MODES.map(said), expected, "{recorded:?} {ahead:?}");
}

#[test]
fn the_table_of_modes_holds() {
    use DatabaseAhead::{Allow, Refuse};
    modes("a b", Refuse, ["start", "start", "start", "start"]);
    modes("a", Refuse, ["work", "17", "await", "start"]);
    modes("", Refuse, ["work", "17", "await", "start"]);
    modes("a b z", Refuse, ["16", "16", "16", "start"]);
    modes("a b z", Allow, ["start", "start", "start", "start"]);
    modes("a z", Allow, ["16", "16", "16", "start"]);
}

/// Who only looks writes nothing, also not what another tool has applied.
#[test]
fn only_the_mode_that_works_records_what_another_tool_did() {
    let ready = |mode| {
        let due = Due { hook: false, reindex: false, external: true };
        decide(mode, DatabaseAhead::Refuse, &State::Ready, due) == Next::Work
    };
    assert_eq!(MODES.map(ready), [true, false, false, false]);
}

#[test]
fn only_the_modes_that_work_reindex() {
    let names = Reindex::Names(vec!["a".to_owned()]);
    for (asked, expected) in [
        (Reindex::All, [true, false, false, true]),
        (names, [true, false, false, true]),
        (Reindex::Auto, [true, false, false, false]),
        (Reindex::False, [false, false, false, false]),
    ] {
        let counts = |mode| reindex_in(mode, &asked) != Reindex::False;
        assert_eq!(MODES.map(counts), expected, "{asked:?}");
    }
}
