//! Every fault, with its message in full.

use super::{Graph, check, revisions};

fn check_faults(text: &str, expected: &[&str]) {
    let faults = Graph::new(revisions(text)).expect_err("faults");
    let found: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "`{text}`");
}

#[test]
fn every_fault_is_named_at_once() {
    check_faults(
        "a; a; b<-zz ^yy; c<-c; d<-e; e<-d",
        &[
            "a.sql:2: revision `a` is already in a.sql:1; give one of them another id",
            "b.sql:3: revision `b` revises `zz`, which no script here has; \
             add that script or correct the parent",
            "b.sql:3: revision `b` depends on `yy`, which is no id and no branch label \
             of the scripts here; add that script or correct the dependency",
            "c.sql:4: revision `c` comes before itself; name the revision that does",
            "d.sql:5: revisions form a ring, `d` before `e` before `d`; \
             change what one of them revises or depends on",
        ],
    );
}

#[test]
fn a_ring_names_its_members_in_order_and_nobody_else() {
    check_faults(
        "r; c<-b; a<-r+c; b<-a; after<-c",
        &["c.sql:2: revisions form a ring, `c` before `a` before `b` before `c`; \
           change what one of them revises or depends on"],
    );
}

#[test]
fn a_ring_through_dependencies_and_one_behind_it_are_both_found() {
    check_faults(
        "a ^side; b<-a [label=side]; c<-b+d; d<-c",
        &[
            "a.sql:1: revisions form a ring, `a` before `b` before `a`; \
             change what one of them revises or depends on",
            "c.sql:3: revisions form a ring, `c` before `d` before `c`; \
             change what one of them revises or depends on",
        ],
    );
    let own_label = ["a.sql:1: revision `a` comes before itself; name the revision that does"];
    check_faults("a ^x [label=x]", &own_label);
}

#[test]
fn a_name_names_one_thing() {
    check_faults(
        "a [tag=1.0] [label=x]; b<-a [tag=1.0] [label=x] [label=a]; c<-b [tag=x]; d<-c [tag=a]",
        &[
            "b.sql:2: branch label `x` is already in a.sql:1; keep it where the branch begins",
            "b.sql:2: branch label `a` is the id of the revision in a.sql:1; \
             choose another label",
            "b.sql:2: tag `1.0` is already in a.sql:1; keep it in one of them",
            "c.sql:3: tag `x` is a branch label in a.sql:1; choose another tag",
            "d.sql:4: tag `a` is the id of the revision in a.sql:1; choose another tag",
        ],
    );
    check("1.8 [tag=1.8]", "1.8", "1.8");
}

#[test]
fn a_name_that_nobody_could_ask_for_is_a_fault() {
    check_faults(
        "a [tag=head] [label=x@head]",
        &[
            "a.sql:1: `x@head` cannot be the name of a target; choose another tag or label",
            "a.sql:1: `head` cannot be the name of a target; choose another tag or label",
        ],
    );
}
