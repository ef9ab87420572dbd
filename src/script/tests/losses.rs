//! What down sections are said to drop.

use crate::{engine::Engine, script::losses::losses};

use super::super::statements;

#[track_caller]
fn check(sql: &str, expected: &str) {
    for engine in Engine::ALL {
        let (statements, unclosed) = statements::read(engine, sql, 1);
        assert!(unclosed.is_none(), "{sql}");
        let said: Vec<String> = losses(&statements).iter().map(ToString::to_string).collect();
        assert_eq!(said.join("; "), expected, "{sql} on {engine}");
    }
}

#[test]
fn tables_columns_and_schemas_that_are_dropped_are_named() {
    check("drop table a", "drops table `a`");
    check("DROP TABLE IF EXISTS a, s.\"B c\" CASCADE", "drops table `a`; drops table `s.B c`");
    check("drop schema if exists s cascade", "drops schema `s`");
    check("alter table a drop column b", "drops column `a.b`");
    check(
        "alter table only a drop b, add c int default (1, 2), drop column if exists d",
        "drops column `a.b`; drops column `a.d`",
    );
    check(
        "truncate table a, b; delete from c where d",
        "deletes rows of table `a`; deletes rows of table `b`; deletes rows of table `c`",
    );
}

#[test]
fn what_is_no_table_and_no_column_is_not_named() {
    check("alter table a drop constraint b, alter column c drop default, rename d to e", "");
    check("drop index a; drop type b; drop view c; select 'drop table d' -- drop table e", "");
    check("/* drop table a */ create table b (c int)", "");
}

#[test]
fn a_table_that_was_only_made_on_the_way_is_no_loss() {
    check("create temp table a (b int); delete from a; drop table a", "");
    check("drop table a; drop table a", "drops table `a`");
}

#[test]
fn a_table_whose_name_is_taken_over_is_rebuilt() {
    check(
        "create table t_new (a int); insert into t_new select a from t; drop table t; \
         alter table t_new rename to t",
        "rebuilds table `t`",
    );
    check("drop table s.t; alter table s.n rename to t", "rebuilds table `s.t`");
    check(
        "alter table t rename to t_old; create table t (a int); \
         insert into t select a from t_old; drop table t_old",
        "rebuilds table `t`",
    );
    check(
        "create table copy as select a from t; drop table t; create table t (a int); \
         insert into t select a from copy; drop table copy",
        "rebuilds table `t`",
    );
    check("drop table t; create table t as select 1 as a", "rebuilds table `t`");
}

/// A table that is made anew and stays empty is none the less gone.
#[test]
fn what_is_lost_is_named_as_it_was_before() {
    check("drop table t; create table if not exists t (a int)", "drops table `t`");
    check("create table t_new (a int); drop table t; create table t (a int)", "drops table `t`");
    check(
        "alter table t rename to t_old; create table t (a int); drop table t_old",
        "drops table `t`",
    );
    check("alter table s.n rename to t; drop table s.t", "drops table `s.n`");
    check("alter table a rename to b; alter table b drop column c", "drops column `a.c`");
    check("alter table a rename to b; delete from b", "deletes rows of table `a`");
    check(
        "drop table t; create table t (a int); insert or ignore into t values (1)",
        "rebuilds table `t`",
    );
}
