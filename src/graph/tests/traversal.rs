//! The shapes of Alembic's own traversal tests, by the names that they have there.
//!
//! Steps and heads are those that Alembic expects; where it expects one of several valid orders,
//! it is ours that stands here. What differs is in `docs/alembic-differences.md`.

use super::{check_route, graph, ids, recorded, words};

#[test]
#[expect(clippy::many_single_char_names, reason = "they are the letters of the shape")]
fn revision_path() {
    const PATH: &str = "e6239818bb3a; 548bbb905360<-e6239818bb3a; b7ea43dc85e4<-548bbb905360; \
                        1bbe33445780<-b7ea43dc85e4; 3975fb1a0125<-1bbe33445780";
    let all = "e6239818bb3a 548bbb905360 b7ea43dc85e4 1bbe33445780 3975fb1a0125";
    let [a, b, c, d, e] = all.split(' ').collect::<Vec<_>>().try_into().expect("five");
    let check = |current: &str, target: &str, expected: String| {
        check_route(PATH, current, target, &expected);
    };
    check("", "base", "there".into());
    check(a, a, "there".into());
    check(e, e, "there".into());
    check(c, e, format!("up {d} {e}: {e}"));
    check("", c, format!("up {a} {b} {c}: {c}"));
    check(a, "+2", format!("up {b} {c}: {c}"));
    check(a, "+1", format!("up {b}: {b}"));
    check(b, "+3", format!("up {c} {d} {e}: {e}"));
    check(a, &format!("{b}+2"), format!("up {b} {c} {d}: {d}"));
    check(a, &format!("{d}-2"), format!("up {b}: {b}"));
    check(b, "+5", format!("`+5` goes too far; from `{b}` on there are 3 steps"));
    check(e, c, format!("down {e} {d}: {c}"));
    check(c, "base", format!("down {c} {b} {a}: "));
    check(c, "-1", format!("down {c}: {b}"));
    check(e, "-3", format!("down {e} {d} {c}: {b}"));
    check(d, &format!("{a}+2"), format!("down {d}: {c}"));
    check(d, &format!("{c}-2"), format!("down {d} {c} {b}: {a}"));
    check(b, "-5", format!("`-5` goes too far; from `{b}` back there are 2 steps"));
    // Its `downgrade` refuses these two; here they are the way up.
    check("", &b[..4], format!("up {a} {b}: {b}"));
    check(b, &c[..4], format!("up {c}: {c}"));
}

mod branched_path {
    use super::*;

    const BRANCHED: &str =
        "a; b<-a; c1<-b [label=c1branch]; d1<-c1; c2<-b [label=c2branch]; d2<-c2";

    #[test]
    fn up() {
        check_route(BRANCHED, "b", "d1", "up c1 d1: d1");
        check_route(BRANCHED, "a", "heads", "up b c1 d1 c2 d2: d1 d2");
        check_route(BRANCHED, "c1", "c2branch@+1", "up c2: c1 c2");
        check_route(BRANCHED, "c1 c2", "c2branch@+1", "up d2: c1 d2");
        check_route(BRANCHED, "", "base+1", "up a: a");
        check_route(BRANCHED, "", "+1", "up a: a");
        check_route(
            BRANCHED,
            "c1 c2",
            "+1",
            "`+1` counts from where the database is, and that is at `c1` and `c2`; \
             name the revision to go to, or count on a branch: `c1@+1`",
        );
    }

    #[test]
    fn down() {
        check_route(BRANCHED, "d1 d2", "a", "down d2 c2 d1 c1 b: a");
        check_route(BRANCHED, "d1 d2", "base+2", "down d2 c2 d1 c1: b");
        check_route(BRANCHED, "d1 d2", "c2", "down d2: d1 c2");
        check_route(BRANCHED, "d1 d2", "c1branch@-1", "down d1: c1 d2");
        check_route(BRANCHED, "c1 d2", "d2-1", "down d2: c1 c2");
        check_route(BRANCHED, "a", "-1", "down a: ");
        check_route(BRANCHED, "", "-1", "`-1` goes too far; from `base` back there are 0 steps");
        check_route(BRANCHED, "d1 c2", "c2", "there");
        check_route(BRANCHED, "d1 c2", "d1", "there");
    }

    #[test]
    fn one_branch_goes_back_to_where_it_forks() {
        // Alembic writes `c1branch@b`.
        check_route(BRANCHED, "c1 d2", "c1branch@-1", "down c1: d2");
        check_route(BRANCHED, "c1 d2", "c2branch@-2", "down d2 c2: c1");
        check_route(BRANCHED, "d1 d2", "c2@-2", "down d2 c2: d1");
        check_route(BRANCHED, "d1 d2", "d1@-2", "down d1 c1: d2");
    }

    #[test]
    fn with_a_dependency_across() {
        let cross = format!("{BRANCHED} ^c1");
        check_route(&cross, "d1 d2", "c2branch@-2", "down d2 c2: d1");
        // The other way round the dependent goes too, but not what it follows.
        check_route(&cross, "d1 d2", "c1branch@-2", "down d2 d1 c1: c2");
    }
}

#[test]
fn branch_from_mergepoint() {
    const MERGE: &str = "a1; b1<-a1; c1<-b1; a2; b2<-a2; c2<-b2; d1<-c1+c2; d2<-c2";
    check_route(MERGE, "d2 b1", "d1", "up c1 d1: d1 d2");
    check_route(MERGE, "d2 d1", "b1", "down d1 c1: b1 d2");
}

#[test]
fn branch_from_3_way_mergepoint() {
    const MERGE: &str = "a1; b1<-a1; c1<-b1; a2; b2<-a2; c2<-b2; a3; b3<-a3; c3<-b3; \
                         d1<-c1+c2+c3; d2<-c2; d3<-c3";
    check_route(MERGE, "d3 d2 b1", "d1", "up c1 d1: d1 d2 d3");
    check_route(MERGE, "d3 d2 d1", "b1", "down d1 c1: b1 d2 d3");
    check_route(MERGE, "d3 b2 b1", "d1", "up c1 c2 d1: d1 d3");
    check_route(MERGE, "d3 d1", "d2", "up d2: d1 d2 d3");
}

/// What the database is at after each step up.
fn check_heads_on_the_way(text: &str, steps: &str, expected: &[&str]) {
    let graph = graph(text);
    let mut applied = graph.with_ancestors(&ids("a"));
    let mut found = Vec::new();
    for step in ids(steps) {
        applied.insert(step);
        found.push(words(&graph.current(&recorded(&applied))));
    }
    assert_eq!(found, expected, "`{text}`");
}

#[test]
fn twin_merge() {
    const TWINS: &str = "a; b1<-a; b2<-a; b3<-a; c1<-b1+b2+b3; c2<-b1+b2+b3; d1<-c1; d2<-c2";
    check_heads_on_the_way(
        TWINS,
        "b3 b1 b2 c2 d2 c1 d1",
        &["b3", "b1 b3", "b1 b2 b3", "c2", "d2", "c1 d2", "d1 d2"],
    );
    check_route(TWINS, "a", "heads", "up b1 b2 b3 c1 c2 d1 d2: d1 d2");
    check_route(TWINS, "d1 d2", "c1", "down d1: c1 d2");
    check_route(TWINS, "d1 d2", "b1", "down d2 d1 c2 c1: b1 b2 b3");
}

#[test]
fn not_quite_twin_merge() {
    const ALMOST: &str = "a; b1<-a; b2<-a; b3<-a; c1<-b1+b2; c2<-b2+b3; d1<-c1; d2<-c2";
    check_heads_on_the_way(
        ALMOST,
        "b2 b3 c2 d2 b1 c1 d1",
        &["b2", "b2 b3", "c2", "d2", "b1 d2", "c1 d2", "d1 d2"],
    );
    check_route(ALMOST, "d1 d2", "b3", "down d2 c2: b3 d1");
}

mod depends_on_branch {
    use super::*;

    #[test]
    fn one() {
        const ONE: &str =
            "a1 [label=lib1]; b1<-a1; c1<-b1; a2; b2<-a2; c2<-b2 ^c1; d1<-c1; e1<-d1; f1<-e1";
        check_route(ONE, "c2 d1", "c1", "down d1: c2");
        check_route(ONE, "c2 d1", "d1@-1", "down d1: c2");
        check_route(ONE, "e1 c2", "b1", "down e1 d1 c2 c1: b1 b2");
    }

    #[test]
    fn two() {
        const TWO: &str = "a1; a2; a3; amerge<-a1+a2+a3; b1; b2; bmerge<-b1+b2; \
                           c1; c2; c3; cmerge<-c1+c2+c3; d1 ^a3 ^b2 ^c1";
        check_route(TWO, "amerge bmerge cmerge d1", "b2", "down bmerge: amerge b1 cmerge d1");
        check_route(TWO, "amerge d1 b1 cmerge", "d1@base", "down d1: amerge b1 b2 cmerge");
        check_route(
            TWO,
            "amerge b1 b2 cmerge",
            "base",
            "down cmerge c3 c2 c1 b2 b1 amerge a3 a2 a1: ",
        );
    }

    #[test]
    fn three() {
        const THREE: &str = "a1; a2<-a1; b1; b2<-b1 ^a2; b3<-b2; a3<-a2 ^b1";
        check_route(THREE, "a3 b2", "b1", "down b2: a3");
    }

    #[test]
    fn four() {
        const FOUR: &str = "a1; a2<-a1; a3<-a2; b1; b2<-b1 ^a3; b3<-b2; b4<-b3 ^a3";
        check_route(FOUR, "b4", "b3", "down b4: b3");
    }

    #[test]
    fn five() {
        const FIVE: &str = "a1; b1 ^a1; bmerge<-a1+b1";
        check_route(FIVE, "a1", "b1", "up b1: b1");
        check_route(FIVE, "b1", "bmerge", "up bmerge: bmerge");
        check_route(FIVE, "bmerge", "a1", "down bmerge: b1");
        check_route(FIVE, "bmerge", "b1", "down bmerge: b1");
    }

    #[test]
    fn on_its_own_parent() {
        check_route("a1; a2<-a1 ^a1", "", "a2", "up a1 a2: a2");
        check_route("a1; a2<-a1 ^a1", "a2", "a1", "down a2: a1");
    }

    #[test]
    fn by_label() {
        const LABEL: &str = "a1 [label=lib1]; b1<-a1; c1<-b1 [label=c1lib]; \
                             a2; b2<-a2; c2<-b2 ^c1lib; d1<-c1; e1<-d1; f1<-e1";
        check_route(LABEL, "a2", "c2", "up a1 b1 c1 b2 c2: c2");
    }
}

#[test]
fn forest() {
    const FOREST: &str = "a1; b1<-a1; a2; b2<-a2";
    check_route(FOREST, "", "heads", "up a1 b1 a2 b2: b1 b2");
    check_route(FOREST, "b1 b2", "heads", "there");
    check_route(FOREST, "b1 b2", "base", "down b2 a2 b1 a1: ");
    check_route(FOREST, "b1 b2", "b1@base", "down b1 a1: b2");
}

#[test]
fn labelled_branches() {
    const LABELLED: &str = "a; b<-a [label=abranch]; c<-b; somelongername<-c; d<-c; \
         e [label=ebranch]; f<-e; g<-f";
    check_route(LABELLED, "", "ebranch@head", "up e f g: g");
    check_route(LABELLED, "", "abranch@+2", "up a b: b");
    check_route(LABELLED, "b", "some", "up c somelongername: somelongername");
    check_route(LABELLED, "g b", "ebranch@base", "down g f e: b");
    check_route(LABELLED, "g b", "abranch", "there");
    check_route(LABELLED, "g d", "ebranch@-2", "down g f: d e");
    check_route(
        LABELLED,
        "b",
        "abranch@head",
        "branch `abranch` has 2 heads, `somelongername` and `d`; merge them with \
         `prelaunch revision merge -m TITLE somelongername d`, or name one of them",
    );
}

#[test]
fn merged_path() {
    const MERGED: &str = "a; b<-a; c1<-b; d1<-c1; c2<-b [label=c2branch]; d2<-c2; e<-d1+d2; f<-e";
    check_route(MERGED, "b", "f", "up c1 d1 c2 d2 e f: f");
    check_route(MERGED, "f", "b", "down f e d2 c2 d1 c1: b");
    check_route(MERGED, "d1 c2", "c2branch@head", "up d2 e f: f");
    check_route(MERGED, "f", "c2", "down f e d2: d1 c2");
}

#[test]
fn multiple_bases_with_cross_dependencies() {
    const BASES: &str = "base1; base2; base3; a1a<-base1; a1b<-base1; b1a<-a1a; b1b<-a1b; \
                         a2<-base2; b2<-a2; a3<-base3; b3<-a3; c2<-b2 ^b1a; c3<-b3 ^b2; d3<-c3";
    check_route(BASES, "", "c2", "up base1 base2 a1a b1a a2 b2 c2: c2");
    check_route(BASES, "", "d3", "up base2 base3 a2 b2 a3 b3 c3 d3: d3");
    check_route(BASES, "d3 c2", "a2", "down d3 c3 c2 b2: b1a a2 b3");
    check_route(BASES, "d3 c2", "base2@base", "down d3 c3 c2 b2 a2 base2: b1a b3");
}
