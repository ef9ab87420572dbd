//! Which way a target leads, and in which words it leads nowhere.

use super::{check_route, graph, id, ids, recorded};
use crate::graph::{RouteError, target::Target};

const LINE: &str = "a; b<-a; c<-b; d<-c";
const FORK: &str = "a; b<-a; c1<-b [label=left]; d1<-c1; c2<-b [label=right]; d2<-c2";

mod direction {
    use super::*;

    #[test]
    fn to_what_is_not_recorded_it_is_up() {
        check_route(LINE, "", "head", "up a b c d: d");
        check_route(LINE, "b", "c", "up c: c");
        check_route(FORK, "c1", "d2", "up c2 d2: c1 d2");
    }

    #[test]
    fn to_what_is_recorded_below_others_it_is_down() {
        check_route(LINE, "d", "b", "down d c: b");
        check_route(FORK, "d1 c2", "b", "down c2 d1 c1: b");
        check_route(FORK, "d1 c2", "c1", "down d1: c1 c2");
    }

    #[test]
    fn to_what_is_recorded_and_last_there_is_nothing_to_do() {
        check_route(LINE, "d", "head", "there");
        check_route(LINE, "b", "b", "there");
        check_route(FORK, "c1 d2", "c1", "there");
        check_route(FORK, "d1 d2", "heads", "there");
        check_route(FORK, "d1", "left@head", "there");
        check_route(LINE, "", "base", "there");
        check_route("", "", "head", "there");
    }

    #[test]
    fn several_heads_are_reached_together() {
        check_route(FORK, "c1", "heads", "up d1 c2 d2: d1 d2");
    }

    #[test]
    fn base_is_before_everything_and_a_label_limits_it_to_its_trees() {
        const TREES: &str = "a; b<-a; x [label=side]; y<-x; z ^b";
        check_route(TREES, "y z", "base", "down z y x b a: ");
        check_route(TREES, "y z", "side@base", "down y x: z");
        // What depends on the tree goes with it.
        check_route(TREES, "y z", "b@base", "down z b a: y");
        check_route(TREES, "z", "side@base", "there");
        check_route("a; x; m<-a+x", "m", "m@base", "down m x a: ");
    }

    #[test]
    fn what_depends_on_a_reverted_revision_goes_and_what_depends_on_the_target_stays() {
        const ACROSS: &str = "a; b<-a; c<-b; x ^b; y<-x";
        check_route(ACROSS, "c y", "a", "down y x c b: a");
        check_route(ACROSS, "c y", "b", "down c: y");
        check_route(ACROSS, "y", "b", "there");
    }
}

mod steps {
    use super::*;

    #[test]
    fn they_are_counted_from_where_the_database_is() {
        check_route(LINE, "", "+1", "up a: a");
        check_route(LINE, "a", "+2", "up b c: c");
        check_route(LINE, "c", "-1", "down c: b");
        check_route(LINE, "c", "-3", "down c b a: ");
    }

    #[test]
    fn from_a_name_they_are_counted_from_there() {
        check_route(LINE, "a", "b+1", "up b c: c");
        check_route(LINE, "a", "d-1", "up b c: c");
        check_route(LINE, "d", "a+1", "down d c: b");
        check_route(LINE, "d", "d-2", "down d c: b");
        check_route(LINE, "b", "a+1", "there");
        check_route(LINE, "d", "head-1", "down d: c");
        check_route(LINE, "d", "base+1", "down d c b: a");
    }

    #[test]
    fn a_name_counted_to_base_leaves_the_other_trees_alone() {
        check_route("a; b<-a; x; y<-x", "b y", "b-2", "down b a: y");
        check_route("a; b<-a; x; y<-x", "y", "b-2", "there");
    }

    #[test]
    fn on_a_branch_they_follow_the_branch() {
        check_route(FORK, "b", "right@+1", "up c2: c2");
        check_route(FORK, "c1", "right@+2", "up c2 d2: c1 d2");
        check_route(FORK, "c1 c2", "right@+1", "up d2: c1 d2");
        check_route(FORK, "", "left@+3", "up a b c1: c1");
        check_route(FORK, "d1 d2", "left@-1", "down d1: c1 d2");
        check_route(FORK, "c1 d2", "left@-1", "down c1: d2");
        check_route(FORK, "d1 d2", "d1@-2", "down d1 c1: d2");
    }

    #[test]
    fn a_branch_that_others_need_has_a_place_all_the_same() {
        const NEEDED: &str = "a; b<-a [label=side]; c<-b; x ^b";
        check_route(NEEDED, "x", "side@+1", "up c: c x");
        check_route(NEEDED, "x", "side@-1", "down x b: a");
    }

    #[test]
    fn what_depends_on_its_sibling_is_further_on_the_branch_but_not_the_only_way_back() {
        const SIBLINGS: &str = "a [label=side]; c<-a; d<-a ^c; e<-d; x ^d";
        check_route(SIBLINGS, "x", "side@+1", "up e: e x");
        check_route(
            SIBLINGS,
            "x",
            "side@-1",
            "`side@-1` counts from where the database is, and that is at `c` and `d`; \
             name the revision to go to",
        );
    }

    #[test]
    fn a_merge_and_dependencies_come_along() {
        check_route("a; b<-a; c<-a; d<-b+c ^x; x", "b", "+1", "up c x d: d");
        check_route("a; b<-a; c<-a; d<-b+c; e<-d", "e", "-1", "down e: d");
    }
}

mod refusals {
    use super::*;

    #[test]
    fn steps_from_several_places_are_refused_with_the_way_to_count_on_one() {
        for (target, sign) in [("+1", "+1"), ("-1", "-1")] {
            check_route(
                FORK,
                "c1 d2",
                target,
                &format!(
                    "`{sign}` counts from where the database is, and that is at `c1` and `d2`; \
                     name the revision to go to, or count on a branch: `c1@{sign}`"
                ),
            );
        }
        check_route(
            "a [label=all]; b<-a; c<-a; d<-b",
            "b c",
            "all@-1",
            "`all@-1` counts from where the database is, and that is at `b` and `c`; \
             name the revision to go to",
        );
    }

    #[test]
    fn a_fork_on_the_way_is_refused_with_its_branches() {
        let after = "is ambiguous: `b` is followed by `c1` and `c2`; name the revision to go to";
        check_route(FORK, "a", "+2", &format!("`+2` {after}"));
        check_route(FORK, "a", "b+1", &format!("`b+1` {after}"));
        check_route(
            "a; x",
            "",
            "+1",
            "`+1` is ambiguous: the graph begins with `a` and `x`; name the revision to go to",
        );
    }

    #[test]
    fn a_merge_on_the_way_back_is_refused_with_its_parents() {
        check_route(
            "a; b<-a; c<-a; d<-b+c; e<-d",
            "e",
            "-2",
            "`-2` is ambiguous: `d` merges `b` and `c`; name the revision to go to",
        );
    }

    #[test]
    fn more_steps_than_there_are_is_refused_with_their_number() {
        check_route(LINE, "b", "+5", "`+5` goes too far; from `b` on there are 2 steps");
        check_route(LINE, "b", "-5", "`-5` goes too far; from `b` back there are 2 steps");
        check_route(LINE, "c", "+2", "`+2` goes too far; from `c` on there is 1 step");
        check_route(LINE, "", "-1", "`-1` goes too far; from `base` back there are 0 steps");
        check_route(LINE, "", "+9", "`+9` goes too far; from `base` on there are 4 steps");
        check_route(
            LINE,
            "d",
            "base-1",
            "`base-1` goes too far; from `base` back there are 0 steps",
        );
        check_route(LINE, "d", "head+1", "`head+1` goes too far; from `d` on there are 0 steps");
    }

    #[test]
    fn going_back_on_a_branch_that_is_not_there_is_refused() {
        let nothing = "`left@-1` goes back on a branch of which nothing is applied";
        check_route(FORK, "b", "left@-1", nothing);
        check_route(FORK, "d2", "left@-1", nothing);
    }

    #[test]
    fn what_resolve_refuses_has_no_route() {
        let error = graph(FORK).resolve(&Target::Head).expect_err("two heads");
        check_route(FORK, "a", "head", &error.to_string());
        check_route(FORK, "a", "head-1", &error.to_string());
    }

    #[test]
    fn an_unknown_revision_in_the_database_ends_every_route() {
        let graph = graph(LINE);
        let recorded = recorded(&ids("a b yy zz"));
        for target in ["head", "base", "a", "b"] {
            let error = graph.route(&recorded, &Target::parse(target).unwrap()).unwrap_err();
            let expected = "the database has revisions that no script here has: `yy` and `zz`; \
                            use the image that brought them";
            assert_eq!(error.to_string(), expected);
        }
        let one = super::recorded(&ids("a zz"));
        assert_eq!(
            graph.route(&one, &Target::Head).unwrap_err().to_string(),
            "the database has a revision that no script here has: `zz`; \
             use the image that brought it"
        );
    }

    #[test]
    fn what_was_put_in_below_is_refused_upward_and_no_obstacle_downward() {
        let graph = graph(LINE);
        let recorded = recorded(&ids("a c"));
        let to = |target: &str| graph.route(&recorded, &Target::parse(target).unwrap());
        let gap = RouteError::Gap { missing: vec![id("b"), id("d")], after: vec![id("c")] };
        assert_eq!(to("head"), Err(gap));
        assert_eq!(
            to("b").unwrap_err().to_string(),
            "`b` is not applied, but `c` that follows is; let new revisions follow the head"
        );
        assert_eq!(graph.down(&recorded, &ids("b")), ids("c"));
        assert!(to("a").is_ok_and(|route| route.to == ids("a")));
    }
}
