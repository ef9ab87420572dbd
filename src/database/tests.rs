//! The answers in full, from the notation of graphs.

use std::collections::BTreeSet;

use super::{
    diagrams, drawing,
    listing::{Line, Listing},
    pages::{self, Paint},
    range::Range,
    reading::Ledger,
};
use crate::{
    db::{AppliedRow, HistoryLine, Observed},
    graph::notation::graph,
};

const PLAIN: Paint = Paint { on: false };

/// A graph, and the revisions that a database has applied, one second after the other.
fn online(text: &str, applied: &str, current: &str) -> Listing {
    let row = |(second, id): (usize, &str)| AppliedRow {
        revision: id.to_owned(),
        parents: Vec::new(),
        tag: None,
        title: format!("{id} in the ledger"),
        at: format!("2026-01-02T03:04:{second:02}.500Z"),
        by: "web-0".to_owned(),
    };
    let ledger = Ledger {
        state: crate::plan::State::Ready,
        observed: Observed::default(),
        applied: applied.split_whitespace().enumerate().map(row).collect(),
        current: current.split_whitespace().map(str::to_owned).collect(),
    };
    Listing::online(graph(text), &ledger)
}

fn offline(text: &str) -> Listing {
    Listing::offline(graph(text))
}

/// Texts indented like the code around them, with a line break in front.
#[track_caller]
fn assert_text(actual: &str, expected: &str) {
    let lines = expected.lines().skip(1).map(|line| line.strip_prefix("        ").unwrap_or(line));
    let mut expected = lines.collect::<Vec<_>>().join("\n");
    expected.truncate(expected.trim_end().len());
    let actual = actual.trim_end();
    assert!(actual == expected, "--- found\n{actual}\n--- expected\n{expected}");
}

fn history(text: &str, range: &str) -> String {
    let listing = offline(text);
    match Range::parse(range).unwrap().of(listing.graph()) {
        Ok(wanted) => pages::history(&listing, &wanted),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_listing_has_three_parts_and_marks_what_is_applied() {
    let listing = online("a; b<-a [tag=1.7]; cc<-b; d<-cc [tag=1.10]", "a b", "b");
    assert_text(
        &pages::revisions(&listing, PLAIN),
        "
        Tagged revisions
        ----------------
        1.7   b  applied
        1.10  d  pending

        All revisions
        -------------
        cc -> d (head), d  pending
        b -> cc, cc        pending
        a -> b, b          applied 2026-01-02T03:04:01Z by web-0
        <base> -> a, a     applied 2026-01-02T03:04:00Z by web-0

        Current revision
        ----------------
        b, b
          b.sql
        ",
    );
}

#[test]
fn a_listing_without_a_database_is_what_alembic_prints() {
    assert_text(
        &pages::revisions(&offline("a; b<-a"), PLAIN),
        "
        Tagged revisions
        ----------------
        none

        All revisions
        -------------
        a -> b (head), b
        <base> -> a, a

        Current revision
        ----------------
        not asked: --offline
        ",
    );
}

#[test]
fn a_listing_names_what_the_image_lacks() {
    let listing = online("a; b<-a", "a b x", "b x");
    assert_text(
        &pages::revisions(&listing, PLAIN),
        "
        Tagged revisions
        ----------------
        none

        All revisions
        -------------
        <base> -> x, x in the ledger  applied 2026-01-02T03:04:02Z by web-0, not in this image
        a -> b (head), b              applied 2026-01-02T03:04:01Z by web-0
        <base> -> a, a                applied 2026-01-02T03:04:00Z by web-0

        Current revisions
        -----------------
        b (head), b
          b.sql
        x, x in the ledger
          not in this image
        ",
    );
}

#[test]
fn an_empty_database_is_at_no_revision() {
    let listing = online("a", "", "");
    let page = pages::revisions(&listing, PLAIN);
    assert!(page.ends_with("none: no revision is applied\n"), "{page}");
    assert_eq!(pages::current(&listing), "");
}

#[test]
fn colour_is_never_the_only_sign() {
    let listing = online("a; b<-a [tag=1.0]", "a x", "a");
    let coloured = pages::revisions(&listing, Paint { on: true });
    assert!(coloured.contains("\x1b[33mpending\x1b[0m"), "{coloured}");
    let plain = ["\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[0m"]
        .iter()
        .fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(plain, pages::revisions(&listing, PLAIN));
}

#[test]
fn branches_merges_and_dependencies_are_marked_as_alembic_does() {
    assert_text(
        &history("a; b<-a; c<-a; d<-b+c; x; y<-d ^x", ":"),
        "
        d (x) -> y (head), y
        <base> -> x (effective head), x
        b, c -> d (mergepoint), d
        a -> c, c
        a -> b, b
        <base> -> a (branchpoint), a
        ",
    );
}

#[test]
fn a_label_stands_at_its_whole_branch() {
    // Down to the branch point where the branch is one line, and at a merge and after it.
    assert_text(
        &history("a; b<-a; c<-b [label=blue]; d<-c; e<-a", ":"),
        "
        a -> e (head), e
        c -> d (blue) (head), d
        b -> c (blue), c
        a -> b (blue), b
        <base> -> a (branchpoint), a
        ",
    );
    assert_text(
        &history("a; b<-a [label=blue]; c<-a [label=red]; d<-b+c", ":"),
        "
        b, c -> d (blue, red) (head) (mergepoint), d
        a -> c (red), c
        a -> b (blue), b
        <base> -> a (branchpoint), a
        ",
    );
}

#[test]
fn heads_and_current_are_ids_with_alembics_marks() {
    let text = "a; b<-a [label=blue]; c<-a; x; y ^x";
    assert_text(
        &pages::heads(&offline(text)),
        "
        b (blue) (head)
        c (head)
        x (effective head)
        y (head)
        ",
    );
    assert_text(
        &pages::current(&online(text, "a b q", "b q")),
        "
        b (head)
        q
        ",
    );
}

#[test]
fn a_range_has_both_its_ends() {
    let text = "a; b<-a [tag=1.0]; c<-b; d<-c [tag=2.0]; e<-d";
    let ids = |range: &str| {
        let listing = offline(text);
        let wanted = Range::parse(range).unwrap().of(listing.graph()).unwrap();
        wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(":"), "a b c d e");
    assert_eq!(ids("1.0:2.0"), "b c d");
    assert_eq!(ids("c:"), "c d e");
    assert_eq!(ids(":b"), "a b");
    assert_eq!(ids("base:b"), "a b");
    assert_eq!(ids("d:d"), "d");
    assert_eq!(ids("d:head"), "d e");
}

#[test]
fn a_range_without_a_way_says_why() {
    assert_eq!(
        history("a; b<-a; c<-b", "c:a"),
        "`c` is no ancestor of `a`; the older revision comes first: `a:c`"
    );
    assert_eq!(
        history("a; b<-a; c<-a", "b:c"),
        "`b` is no ancestor of `c`, nor the other way round: they are on two branches"
    );
    assert_eq!(
        history("a; b<-a; c<-a", "nowhere:"),
        "no revision, tag or label here is called `nowhere`; check the name, and whether the image \
         is the right one"
    );
    for wrong in ["a", "", "a:b:c"] {
        let error = Range::parse(wrong).unwrap_err().to_string();
        assert_eq!(error, "write `A:B`, `A:` or `:B`");
    }
}

#[test]
fn json_has_every_key_and_null_where_there_is_nothing_to_say() {
    let listing = online("a [tag=1.0]; b<-a ^x [label=blue]; x", "a x z", "a x z");
    assert_text(
        &serde_json::to_string(&listing.json()).unwrap().replace("},{", "},\n{"),
        r#"
        {"revisions":[{"revision":"a","parents":[],"depends_on":[],"labels":[],"tag":"1.0","title":"a","created":null,"path":"a.sql","head":false,"applied":true,"applied_at":"2026-01-02T03:04:00.500Z","applied_by":"web-0"},
        {"revision":"x","parents":[],"depends_on":[],"labels":[],"tag":null,"title":"x","created":null,"path":"x.sql","head":true,"applied":true,"applied_at":"2026-01-02T03:04:01.500Z","applied_by":"web-0"},
        {"revision":"b","parents":["a"],"depends_on":["x"],"labels":["blue"],"tag":null,"title":"b","created":null,"path":"b.sql","head":true,"applied":false,"applied_at":null,"applied_by":null},
        {"revision":"z","parents":[],"depends_on":[],"labels":[],"tag":null,"title":"z in the ledger","created":null,"path":null,"head":false,"applied":true,"applied_at":"2026-01-02T03:04:02.500Z","applied_by":"web-0"}],"heads":["x","b"],"current":["a","x","z"]}
        "#,
    );
    assert_text(
        &serde_json::to_string(&offline("a").json()).unwrap(),
        r#"
        {"revisions":[{"revision":"a","parents":[],"depends_on":[],"labels":[],"tag":null,"title":"a","created":null,"path":"a.sql","head":true,"applied":null,"applied_at":null,"applied_by":null}],"heads":["a"],"current":null}
        "#,
    );
}

#[test]
fn the_log_is_a_table_of_every_line() {
    let line = |seq, event: &str, subject: &str, took| HistoryLine {
        seq,
        event: event.to_owned(),
        subject: subject.to_owned(),
        heads: vec!["b".to_owned(), "c".to_owned()],
        at: format!("2026-01-02T03:04:0{seq}.500Z"),
        took,
        by: "web-0".to_owned(),
        run: "0a1b2c3d".to_owned(),
        tool: "prelaunch 1.0".to_owned(),
    };
    let second = std::time::Duration::from_millis(1500);
    let lines = [line(1, "upgrade", "b", Some(second)), line(2, "hook", "", None)];
    assert_text(
        &pages::log(&lines),
        "
        2026-01-02T03:04:01.500Z  upgrade  b  1.5s  web-0  heads b,c
        2026-01-02T03:04:02.500Z  hook              web-0  heads b,c
        ",
    );
    assert_text(
        &serde_json::to_string(&lines.iter().map(Line::of).collect::<Vec<_>>()).unwrap(),
        r#"
        [{"seq":1,"event":"upgrade","subject":"b","heads":["b","c"],"recorded_at":"2026-01-02T03:04:01.500Z","duration_ms":1500,"recorded_by":"web-0","run":"0a1b2c3d","tool":"prelaunch 1.0"},{"seq":2,"event":"hook","subject":null,"heads":["b","c"],"recorded_at":"2026-01-02T03:04:02.500Z","duration_ms":null,"recorded_by":"web-0","run":"0a1b2c3d","tool":"prelaunch 1.0"}]
        "#,
    );
}

#[test]
fn a_line_is_drawn_as_a_line() {
    assert_text(
        &drawing::draw(&online("a; b<-a [tag=1.0]; c<-b", "a b", "b"), PLAIN),
        "
        * c (head) (pending), c
        * b (tag: 1.0) (current), b
        * a, a
        ",
    );
}

#[test]
fn what_the_image_lacks_stands_above_the_drawing() {
    assert_text(
        &drawing::draw(&online("a", "a x", "x"), PLAIN),
        "
        ? x, x in the ledger  not in this image
        * a (head), a
        ",
    );
}

#[test]
fn a_merge_opens_a_lane_and_a_branch_closes_it() {
    assert_text(
        &drawing::draw(&offline("a; b<-a; c<-a; d<-b+c; e<-d"), PLAIN),
        "
        * e (head), e
        *   d (mergepoint), d
        |\\
        | * c, c
        * | b, b
        |/
        * a (branchpoint), a
        ",
    );
}

#[test]
fn heads_stand_side_by_side_and_roots_end_their_lanes() {
    assert_text(
        &drawing::draw(&offline("a; b<-a; c<-a; d<-a; x; y<-x"), PLAIN),
        "
        * y (head), y
        * x, x
        * d (head), d
        | * c (head), c
        |/
        | * b (head), b
        |/
        * a (branchpoint), a
        ",
    );
    assert_text(
        &drawing::draw(&offline("x; a; b<-a; y<-x; m<-b+y"), PLAIN),
        "
        *   m (head) (mergepoint), m
        |\\
        | * y, y
        * | b, b
        * | a, a
         /
        * x, x
        ",
    );
}

#[test]
fn a_merge_of_three_has_room_and_lanes_cross() {
    assert_text(
        &drawing::draw(&offline("a; b<-a; c<-a; d<-a; z<-a; m<-b+c+d; n<-m+z"), PLAIN),
        "
        *   n (head) (mergepoint), n
        |\\
        |  \\
        *-. |   m (mergepoint), m
        |\\ \\ \\
        | | | * z, z
        | | * | d, d
        | | |/
        | * | c, c
        | |/
        * | b, b
        |/
        * a (branchpoint), a
        ",
    );
}

#[test]
fn a_merge_that_stands_alone_needs_no_room() {
    assert_text(
        &drawing::draw(&offline("a; b<-a; c<-a; m<-a+b+c"), PLAIN),
        "
        *-.   m (head) (mergepoint), m
        |\\ \\
        | | * c, c
        | |/
        |/|
        | * b, b
        |/
        * a (branchpoint), a
        ",
    );
}

#[test]
fn every_lane_of_a_drawing_leads_on() {
    // Each revision once, and no picture wider than its lanes, for a tangle of merges.
    let text = "a; b<-a; c<-a; d<-b+c; e<-b+c; f<-d+e; g<-a+f; h<-c; i<-h+g+b";
    let drawn = drawing::draw(&offline(text), PLAIN);
    let ids: Vec<&str> = drawn
        .lines()
        .filter(|line| line.contains('*'))
        .map(|line| line.trim_start_matches(['*', '|', ' ', '/', '\\', '-', '.']))
        .map(|words| words.split([' ', ',']).next().unwrap_or_default())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 9, "{drawn}");
    assert_eq!(ids.len(), 9, "{drawn}");
    assert!(drawn.lines().last().unwrap().starts_with("* a"), "{drawn}");
}

#[test]
fn diagrams_have_dependencies_broken_and_pending_in_words() {
    let listing = online("a [tag=1.0]; b<-a ^x; x", "a x", "a x");
    assert_text(
        &diagrams::mermaid(&listing),
        "
        flowchart TB
            r0[\"a<br/>a<br/>tag 1.0<br/>current\"]
            r1[\"x<br/>x<br/>current\"]
            r2[\"b<br/>b<br/>pending\"]:::pending
            r0 --> r2
            r1 -.-> r2
            classDef pending stroke-dasharray: 5 5
        ",
    );
    assert_text(
        &diagrams::dot(&listing),
        "
        digraph revisions {
            node [shape=box];
            \"a\" [label=\"a\\na\\ntag 1.0\\ncurrent\"];
            \"x\" [label=\"x\\nx\\ncurrent\"];
            \"b\" [label=\"b\\nb\\npending\", style=dashed];
            \"a\" -> \"b\";
            \"x\" -> \"b\" [style=dashed];
        }
        ",
    );
}
