//! What a graph promises, a group per shape: nodes are letters, and cases are text.

use std::collections::BTreeSet;

use super::{
    Graph, Route, Way,
    notation::{graph, id, ids, revisions},
    revision::{Revision, RevisionId},
    target::{Target, TargetSyntaxError},
};

mod faults;
mod random;
mod route;
mod traversal;

fn words<'a>(ids: impl IntoIterator<Item = &'a RevisionId>) -> String {
    ids.into_iter().map(RevisionId::as_str).collect::<Vec<_>>().join(" ")
}

/// `expected` is the ids to reach, or the error in full.
fn check(text: &str, target: &str, expected: &str) {
    let target = Target::parse(target).expect("a target that can be read");
    let found = match graph(text).resolve(&target) {
        Ok(ids) => words(&ids),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "`{target}` in `{text}`");
}

/// The route of a database that is at `current`: `up b c: c`, `down c b: a`, `there`, or the error
/// in full.
#[track_caller]
fn check_route(text: &str, current: &str, target: &str, expected: &str) {
    let graph = graph(text);
    let recorded = recorded(&graph.with_ancestors(&ids(current)));
    let target = Target::parse(target).expect("a target that can be read");
    let found = match graph.route(&recorded, &target) {
        Err(error) => error.to_string(),
        Ok(Route { from, to, way }) => {
            assert_eq!(words(&from), words(&graph.current(&recorded)), "where it begins");
            match way {
                Way::There => "there".to_owned(),
                Way::Up(steps) => format!("up {}: {}", words(&steps), words(&to)),
                Way::Down(steps) => format!("down {}: {}", words(&steps), words(&to)),
            }
        }
    };
    assert_eq!(found, expected, "`{target}` from {current:?} in `{text}`");
}

fn recorded<'a>(ids: impl IntoIterator<Item = &'a RevisionId>) -> BTreeSet<String> {
    ids.into_iter().map(ToString::to_string).collect()
}

/// Order, heads and roots.
fn check_shape(text: &str, order: &str, heads: &str, roots: &str) {
    let graph = graph(text);
    let found = words(graph.revisions().map(|revision| &revision.id));
    assert_eq!(found, order, "order of `{text}`");
    assert_eq!(words(graph.heads()), heads, "heads of `{text}`");
    assert_eq!(words(graph.roots()), roots, "roots of `{text}`");
}

/// What must come before these ids, and what is newer than they are.
fn check_kin(text: &str, of: &str, ancestors: &str, newer: &str) {
    let (graph, of) = (graph(text), ids(of));
    assert_eq!(words(&graph.with_ancestors(&of)), ancestors, "ancestors of {of:?} in `{text}`");
    assert_eq!(words(&graph.newer_than(&of)), newer, "newer than {of:?} in `{text}`");
}

mod line {
    use super::*;

    const LINE: &str = "a; b<-a; c<-b; d<-c";

    #[test]
    fn a_line_is_in_order_however_it_is_given() {
        check_shape(LINE, "a b c d", "d", "a");
        check_shape("d<-c; c<-b; b<-a; a", "a b c d", "d", "a");
    }

    #[test]
    fn its_ends_are_head_and_base() {
        check(LINE, "head", "d");
        check(LINE, "heads", "d");
        check(LINE, "base", "");
        check(LINE, "b", "b");
        check_kin(LINE, "b", "a b", "c d");
        check_kin(LINE, "", "", "");
    }

    #[test]
    fn a_given_id_is_newer_only_than_another_given_one() {
        check_kin(LINE, "b c", "a b c", "c d");
    }

    #[test]
    fn unknown_ids_are_left_out() {
        check_kin(LINE, "b zz", "a b", "c d");
        let graph = graph(LINE);
        assert!(!graph.contains(&id("zz")) && graph.get(&id("zz")).is_none());
        assert!(graph.children(&id("zz")).is_empty() && graph.dependencies(&id("zz")).is_empty());
    }

    #[test]
    fn an_empty_graph_is_no_fault_and_its_head_is_nothing() {
        check_shape("", "", "", "");
        check("", "head", "");
        check("", "heads", "");
        assert!(graph("").is_empty());
    }
}

mod fork {
    use super::*;

    const FORK: &str = "a; b<-a; c<-a; d<-b";

    #[test]
    fn ties_keep_the_order_given() {
        check_shape(FORK, "a b c d", "c d", "a");
        check_shape("a; c<-a; b<-a; d<-b", "a c b d", "c d", "a");
        assert_eq!(words(graph(FORK).children(&id("a"))), "b c");
    }

    #[test]
    fn its_head_is_refused_in_words_that_say_how_to_merge() {
        check(
            FORK,
            "head",
            "the graph has 2 heads, `c` and `d`; merge them with \
             `prelaunch revision merge -m TITLE c d`, or name one of them, or `heads` for all",
        );
        check(
            "a; b<-a; c<-a; d<-a",
            "head",
            "the graph has 3 heads, `b`, `c` and `d`; merge them with \
             `prelaunch revision merge -m TITLE b c d`, or name one of them, or `heads` for all",
        );
        check(FORK, "heads", "c d");
        check_kin(FORK, "b", "a b", "d");
    }
}

mod diamond {
    use super::*;

    const DIAMOND: &str = "a; b<-a; c<-a; d<-b+c; e<-d";

    #[test]
    fn a_merge_comes_after_all_its_parents() {
        check_shape(DIAMOND, "a b c d e", "e", "a");
        check_shape("d<-b+c; c<-a; b<-a; a", "a c b d", "d", "a");
        check_kin(DIAMOND, "d", "a b c d", "e");
        check_kin(DIAMOND, "b", "a b", "d e");
    }

    #[test]
    fn a_parent_that_is_listed_twice_counts_once() {
        assert_eq!(words(graph("a; b<-a+a").children(&id("a"))), "b");
    }

    #[test]
    fn twin_merges_are_two_heads() {
        let twins = "a; b<-a; c<-a; d<-b+c; e<-c+b";
        check_shape(twins, "a b c d e", "d e", "a");
        check_kin(twins, "b", "a b", "d e");
        check_shape(&format!("{twins}; f<-d+e"), "a b c d e f", "f", "a");
    }
}

mod forest {
    use super::*;

    const FOREST: &str = "a; b<-a; x [label=side]; y<-x; z<-y";

    #[test]
    fn trees_are_walked_apart() {
        check_shape(FOREST, "a b x y z", "b z", "a x");
        check_kin(FOREST, "y", "x y", "z");
        check(FOREST, "heads", "b z");
        check(FOREST, "side@head", "z");
    }
}

mod dependencies {
    use super::*;

    const ACROSS: &str = "a; b<-a; x ^b; y<-x";

    #[test]
    fn they_order_but_make_no_branch() {
        check_shape("x ^b; y<-x; a; b<-a", "a b x y", "b y", "a x");
    }

    #[test]
    fn they_are_ancestors_but_not_older() {
        check_kin(ACROSS, "y", "a b x y", "");
        check_kin(ACROSS, "a", "a", "b");
        assert_eq!(words(graph(ACROSS).dependencies(&id("x"))), "b");
    }

    #[test]
    fn who_is_only_depended_on_is_a_head_but_heads_need_not_name_it() {
        check(ACROSS, "heads", "y");
        check(
            ACROSS,
            "head",
            "the graph has 2 heads, `b` and `y`; merge them with \
             `prelaunch revision merge -m TITLE b y`, or name one of them, or `heads` for all",
        );
    }

    #[test]
    fn a_label_stands_for_the_revision_that_declares_it() {
        let graph = graph("a; b<-a [label=side]; c<-b; x ^side ^b");
        assert_eq!(words(graph.dependencies(&id("x"))), "b");
    }

    #[test]
    fn one_on_an_ancestor_changes_nothing() {
        check_shape("a; b<-a; c<-b ^a", "a b c", "c", "a");
    }
}

mod labels {
    use super::*;

    const LABELS: &str = "a; b<-a; c<-b [label=side] [tag=1.0]; d<-c; e<-b";

    #[test]
    fn a_label_is_the_revision_that_declares_it_and_names_its_branch() {
        check(LABELS, "side", "c");
        check(LABELS, "side@head", "d");
        check(LABELS, "side@base", "");
    }

    #[test]
    fn any_revision_names_its_branch() {
        check(LABELS, "e@head", "e");
        check(LABELS, "1.0@head", "d");
    }

    #[test]
    fn a_branch_with_several_heads_is_refused() {
        check(
            "a [label=side]; b<-a; c<-a; d",
            "side@head",
            "branch `side` has 2 heads, `b` and `c`; merge them with \
             `prelaunch revision merge -m TITLE b c`, or name one of them",
        );
    }

    #[test]
    fn a_branch_that_was_merged_has_the_head_of_the_merge() {
        check("a; b<-a [label=side]; c<-a; d<-b+c", "side@head", "d");
    }

    #[test]
    fn an_unknown_branch_is_an_error_in_every_form() {
        for target in ["sida", "sida@head", "sida@base", "sida@+1"] {
            check(
                LABELS,
                target,
                "no revision, tag or label here is called `sida`; the nearest is `side`",
            );
        }
    }
}

mod names {
    use super::*;

    const NAMES: &str = "1e629a913727 [tag=1.8]; 1e62ffff<-1e629a913727 [tag=1.10]; \
                         abcd<-1e62ffff [tag=1.11-rc1]; abcdef<-abcd [tag=1.10-1]; x<-abcdef";

    #[test]
    fn an_id_a_tag_and_a_unique_prefix_are_found_in_this_order() {
        check(NAMES, "1.8", "1e629a913727");
        check(NAMES, "1.11-rc1", "abcd");
        check(NAMES, "abcd", "abcd");
        check(NAMES, "abcde", "abcdef");
        check(NAMES, "1e629", "1e629a913727");
        check("abcdef; xyz<-abcdef [tag=abcd]", "abcd", "xyz");
    }

    #[test]
    fn a_prefix_must_be_unique_and_long_enough() {
        let ambiguous = "`1e62` is the beginning of 2 ids, `1e629a913727` and `1e62ffff`; \
                         give more characters";
        check(NAMES, "1e62", ambiguous);
        let short = "`abc` is too short to stand for an id; give at least four characters";
        check(NAMES, "abc", short);
        check(
            "2023a; 2023b; 2023c; 2023d; 2023e; 2023f; 2023g",
            "2023",
            "`2023` is the beginning of 7 ids, `2023a`, `2023b`, `2023c`, `2023d`, `2023e` and \
             2 more; give more characters",
        );
    }

    #[test]
    fn an_unknown_name_is_answered_by_what_was_meant() {
        let unknown = |name: &str, nearest: &str| {
            let end = format!("the nearest is `{nearest}`");
            check(
                NAMES,
                name,
                &format!("no revision, tag or label here is called `{name}`; {end}"),
            );
        };
        unknown("v1.8", "1.8");
        unknown("1.8.0", "1.8");
        unknown("1.9.3", "1.8");
        unknown("1e629a931727", "1e629a913727");
        let none = "no revision, tag or label here is called `main`; \
                    check the name, and whether the image is the right one";
        check(NAMES, "main", none);
        check(NAMES, "0.9", &none.replace("main", "0.9"));
    }

    #[test]
    fn a_release_after_all_tags_is_told_the_newest() {
        for later in ["1.99", "1.11", "v2.0.0"] {
            let newest = "the newest tag is `1.11-rc1`";
            check(NAMES, later, &format!("no revision here has the tag `{later}`; {newest}"));
        }
    }

    #[test]
    fn a_sign_counts_steps_only_where_nothing_has_the_whole_name() {
        check(NAMES, "1.10-1", "abcdef");
        check(NAMES, "1.8+1", "1e62ffff");
        check(NAMES, "x-2", "abcd");
        check(NAMES, "1.11-rc1+1", "abcdef");
        check(NAMES, "1e629+4", "x");
        check(NAMES, "head-1", "abcdef");
        check(NAMES, "base+2", "1e62ffff");
    }

    #[test]
    fn steps_from_where_the_database_is_are_not_known_without_it() {
        // Nor is `base` a revision that could be reached.
        for steps in ["+1", "-2", "1.8@+1", "1.8@-1", "1.8-1"] {
            let error = format!("`{steps}` counts steps; name the revision, tag or label itself");
            check(NAMES, steps, &error);
        }
    }

    #[test]
    fn steps_from_an_unknown_name_are_an_unknown_name() {
        let unknown = "no revision, tag or label here is called `zz-1`; \
                       check the name, and whether the image is the right one";
        check(NAMES, "zz-1", unknown);
    }
}

mod grammar {
    use super::*;

    #[test]
    fn a_target_displays_as_it_was_typed() {
        for text in [
            "head",
            "heads",
            "base",
            "abc",
            "1.8-rc1",
            "+1",
            "-20",
            "a+1",
            "a-1",
            "x@head",
            "x@base",
            "1.8-rc1@+3",
            "x@-2",
        ] {
            let target = Target::parse(&format!(" {text}\n"));
            assert_eq!(target.map(|target| target.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_moves_at_a_restart_is_told_apart() {
        for (text, expected) in [
            ("head", false),
            ("heads", false),
            ("x@head", false),
            ("1.8-1", false),
            ("base", true),
            ("x@base", true),
            ("+1", true),
            ("-1", true),
            ("x@+1", true),
            ("x@-1", true),
        ] {
            let target = Target::parse(text).expect("a target");
            assert_eq!(target.is_relative_or_base(), expected, "`{text}`");
        }
    }

    #[test]
    fn what_is_no_target_is_answered_by_the_form_it_lacks() {
        for text in ["+", "-", "+0", "+01", "++1", "+x", "-1x", "+99999999999"] {
            let error = TargetSyntaxError::Steps { text: text.to_owned() };
            assert_eq!(Target::parse(text), Err(error));
        }
        for text in
            ["@head", "x@", "x@heads", "x@y", "x@-0", "x@+0", "a@b@head", "head@head", "+1@head"]
        {
            let error = TargetSyntaxError::Branch { text: text.to_owned() };
            assert_eq!(Target::parse(text), Err(error));
        }
        assert_eq!(Target::parse(" "), Err(TargetSyntaxError::Empty));
    }
}
