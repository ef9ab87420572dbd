//! Rules, by what they find and what they leave alone.

use std::{io, path::Path};

use super::{
    Finding, Severity, examine,
    rules::{OMITTED, RULES, named},
};
use crate::{engine::Engine, script::Script};

/// What is found in a script, as `line rule`; the first line below the marker is 7.
fn found(header: &str, sections: &str) -> Vec<String> {
    let text = format!("-- a\n-- revision: a\n{header}\n\n\n{sections}");
    // A fault would be found here too, and told by its message.
    let findings = examine(&[("a.sql".into(), io::Result::Ok(text.into_bytes()))], None);
    let told = |finding: &Finding| match finding.rule {
        Some(rule) => {
            let on = finding.message.rsplit_once(" (on ").map_or("", |(_, on)| on);
            format!("{} {rule} {}", finding.line, on.trim_end_matches(')')).trim_end().to_owned()
        }
        None => format!("{} {}", finding.line, finding.message),
    };
    findings.iter().map(told).collect()
}

#[track_caller]
fn check(engine: &str, sql: &str, expected: &[&str]) {
    assert_eq!(found("", &format!("-- migrate:up {engine}\n{sql}\n")), expected, "{sql}");
}

#[test]
fn names_are_unique_and_say_what_hurts_and_what_to_do() {
    let names = RULES.iter().map(|rule| rule.name).chain(OMITTED.iter().map(|(name, _)| *name));
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        assert!(seen.insert(name), "`{name}` is there twice");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
    }
    for rule in RULES {
        for words in [rule.reason, rule.instead] {
            assert!(!words.is_empty() && !words.ends_with('.') && !words.contains('\n'), "{words}");
        }
        assert!(!rule.engines.is_empty());
    }
}

/// What these files hand out as names must be rules: else nobody would be told.
#[test]
fn every_rule_that_is_named_in_the_code_is_one() {
    for text in [include_str!("postgres.rs"), include_str!("sqlite.rs"), include_str!("squawk.rs")]
    {
        let name = |quoted: &&str| {
            quoted.contains('-') && quoted.ends_with(|c: char| c.is_ascii_lowercase())
        };
        for name in text.split('"').skip(1).step_by(2).filter(name) {
            assert!(named(name).is_some(), "`{name}` is no rule");
        }
    }
}

mod on_postgres {
    use super::*;

    #[test]
    fn a_safe_script_gives_no_warning() {
        check(
            "postgres",
            "create table labels (id bigint generated always as identity primary key,
                name text not null unique, dataset_id uuid not null references datasets (id));
             create index labels_dataset_id on labels (dataset_id);
             insert into labels (name, dataset_id) select name, id from datasets;
             alter table labels add constraint named check (name <> '') , alter name set not null;
             alter table datasets add column due_on date, add column colour text default 'red',
                 add column made_at timestamptz not null default now(),
                 add column seen_at timestamp default (now() at time zone 'utc'),
                 add column rank int default -1,
                 add column price numeric(10, 2) default 1.50::numeric(10, 2),
                 add column more jsonb default jsonb_build_object('a', 1);
             alter table datasets add constraint due check (due_on > '2000-01-01') not valid;
             alter table datasets add constraint rank unique using index datasets_rank;
             alter table datasets add foreign key (label_id) references labels (id) not valid;
             create or replace view v as select 1;
             comment on table datasets is 'drop table x; alter table y drop column z';",
            &[],
        );
        assert_eq!(
            found(
                "-- transaction: false",
                "-- migrate:up postgres
                 create index concurrently datasets_due_on on datasets (due_on);
                 drop index concurrently datasets_old;
                 reindex index concurrently datasets_rank;
                 alter table datasets validate constraint due;
                 alter table events detach partition events_2020 concurrently;
                 vacuum analyze datasets;"
            ),
            [""; 0]
        );
    }

    #[test]
    fn the_table_of_the_script_itself_is_not_busy() {
        check(
            "postgres",
            "create table if not exists public.\"New\" (id int);
             alter table \"New\" add column n serial, add primary key (id), add column c int check (c > 0);
             create index on public.\"New\" (id);
             alter table \"New\" rename to newer;
             create index newer_id on newer (id);
             update newer set id = 1;
             drop index newer_id;
             drop table newer;",
            &[],
        );
    }

    #[test]
    fn what_is_rebuilt_or_replaced_is_not_missed() {
        check(
            "postgres",
            "alter type mood rename to mood_old;
             create type mood as enum ('a');
             drop type mood_old;
             drop view v; create view v as select 1;
             create table t_new (id int);
             drop table t;
             alter table t_new rename to t;",
            &[],
        );
    }

    #[test]
    fn what_prelaunch_itself_finds() {
        check(
            "postgres",
            "alter table t add column a int,
                 add column if not exists b bigserial,
                 add c int check (c > 0),
                 add constraint d check (a > 0) not valid,
                 set unlogged;
             update t set a = 1;
             insert into t values (1);
             insert into log select * from t;
             with moved as (delete from t returning *) select 1;
             cluster t;
             refresh materialized view v;
             refresh materialized view concurrently v;",
            &[
                "8 adding-serial-field",
                "9 adding-checked-field",
                "11 rewriting-table",
                "12 backfill-under-lock",
                "14 backfill-under-lock",
                "15 backfill-under-lock",
                "16 rewriting-table",
                "17 refreshing-without-concurrently",
            ],
        );
    }

    #[test]
    fn rows_may_change_before_a_table_is_locked_or_without_a_transaction() {
        check("postgres", "update t set a = 1;\nalter table t add b int;", &[]);
        let sections = "-- migrate:up postgres\nset lock_timeout = '2s';\n\
                        alter table t add b int;\nupdate t set b = 1;\n";
        assert_eq!(found("-- transaction: false", sections), [""; 0]);
    }

    #[test]
    fn without_a_transaction_a_lock_is_waited_for_without_end() {
        let sections = "-- migrate:up postgres\n\
                        create table n (id int);\n\
                        alter table n add m int;\n\
                        alter table t add b int;\n\
                        truncate t;\n\
                        lock table t;\n\
                        alter table t set (fillfactor = 70), alter a set statistics 5;\n\
                        set lock_timeout = '2s';\n\
                        alter table t add c int;\n";
        assert_eq!(
            found("-- transaction: false", sections),
            ["9 unbounded-lock-wait", "10 unbounded-lock-wait", "11 unbounded-lock-wait"]
        );
    }
}

#[cfg(feature = "lint")]
mod by_squawk {
    use squawk_linter::Rule;

    use super::*;
    use crate::revision::lint::rules::Origin;

    #[test]
    fn each_of_its_rules_is_asked_for_or_left_out_with_a_reason() {
        let named = |name: &str| name.parse::<Rule>().ok();
        let ours = RULES.iter().filter(|rule| rule.origin == Origin::Squawk);
        let ours = ours.map(|rule| rule.name).filter(|name| *name != "unread");
        let listed: Vec<&str> = ours.chain(OMITTED.iter().map(|(name, _)| *name)).collect();
        for name in &listed {
            // `unused-ignore` is told without being a name that can be given.
            let known = named(name).is_some() || *name == "unused-ignore";
            assert!(known, "squawk has no rule `{name}`");
        }
        for rule in enum_iterator::all::<Rule>() {
            let name = rule.to_string();
            assert!(listed.contains(&name.as_str()), "nothing is decided about `{name}`");
        }
    }

    #[test]
    fn what_locks_a_busy_table_is_told_on_its_own_line() {
        check(
            "postgres",
            "-- no statement yet: drop table x;
             create index i on t (a);
             drop index j;
             alter table t
                 add column a uuid default gen_random_uuid(),
                 add column b int generated always as (a + 1) stored,
                 alter column c type text using c::text,
                 alter d set not null,
                 add constraint e foreign key (a) references u (a),
                 add unique (a),
                 add primary key (a), /* é */ add check (a > 0);
             reindex table t;
             alter table t detach partition p;
             alter domain d add constraint c check (value > 0);",
            &[
                "8 require-concurrent-index-creation",
                "9 require-concurrent-index-deletion",
                "11 adding-field-with-default",
                "12 adding-field-with-default",
                "13 changing-column-type",
                "14 adding-not-nullable-field",
                "15 adding-foreign-key-constraint",
                "16 disallowed-unique-constraint",
                "17 adding-serial-primary-key-field",
                "17 constraint-missing-not-valid",
                "18 require-concurrent-reindex",
                "19 require-concurrent-partition-detach",
                "20 ban-alter-domain-with-add-constraint",
            ],
        );
    }

    #[test]
    fn what_the_release_before_relies_on_is_told() {
        check(
            "postgres",
            "alter table t drop column a;
             alter table t rename b to c;
             alter table t add d int not null;
             alter table t alter e drop default;
             alter table t rename to u;
             drop table v;
             drop view w;
             drop function f(int, text), g();
             drop type x;
             alter type y rename value 'a' to 'b';
             alter table z set schema other;
             drop extension hstore;
             truncate v cascade;",
            &[
                "7 ban-drop-column",
                "8 renaming-column",
                "9 adding-required-field",
                "10 ban-drop-default",
                "11 renaming-table",
                "12 ban-drop-table",
                "13 ban-drop-view",
                "14 ban-drop-function",
                "15 ban-drop-type",
                "16 renaming-object",
                "17 ban-set-schema",
                "18 ban-drop-extension",
                "19 ban-truncate-cascade",
            ],
        );
    }

    #[test]
    fn a_default_that_comes_back_and_a_name_that_nobody_asks_for_are_not_told() {
        check(
            "postgres",
            "alter table t alter a drop default, alter column \"a\" set default 1;
             alter table t alter b drop default;
             alter table t alter b set default 2;
             alter table t rename constraint c to d;
             alter index i rename to j;
             create index on only parent (a);",
            &[],
        );
        check(
            "postgres",
            "alter table t alter a set default 1, alter a drop default;
             alter table u alter a set default 1;",
            &["7 ban-drop-default"],
        );
    }

    #[test]
    fn a_check_that_is_validated_where_it_was_added_locks_all_the_same() {
        let sql = "alter table t add constraint c check (a > 0) not valid;\n\
                   alter table t validate constraint c;";
        check("postgres", sql, &["8 constraint-missing-not-valid"]);
        let sections = format!("-- migrate:up postgres\nset lock_timeout = 1;\n{sql}\n");
        assert_eq!(found("-- transaction: false", &sections), [""; 0]);
    }

    #[test]
    fn what_it_cannot_read_is_a_warning_and_spoils_nothing_else() {
        check(
            "postgres",
            "alter table t frobnicate;\ndrop table u;",
            &["7 unread", "8 ban-drop-table"],
        );
        let deep =
            format!("alter table t add a int default {}1{}", "(".repeat(400), ")".repeat(400));
        check("postgres", &deep, &["7 unread"]);
        let deep = format!("alter table t add a bool default {} true", "not ".repeat(60_000));
        check("postgres", &deep, &["7 unread"]);
        // Long is not deep; and what no rule is about is not read at all.
        let wide: Vec<String> = (0..2000).map(|n| format!("c{n} int default ({n} + 1)")).collect();
        check("postgres", &format!("create table t ({})", wide.join(", ")), &[]);
        check("postgres", "grant frobnicate; select from where;", &[]);
    }

    #[test]
    fn its_own_comments_are_not_read() {
        check(
            "postgres",
            "-- squawk-ignore-file\n\
             alter table t -- squawk-ignore ban-drop-column\n\
             drop column a;\n\
             /* squawk-ignore */ drop table u;",
            &["9 ban-drop-column", "10 ban-drop-table"],
        );
    }

    #[test]
    fn a_section_for_both_says_which_of_them_it_is_about() {
        let sections = "-- migrate:up\ncreate index i on t (a);\ndrop table u; alter table t\n\
                        drop column a;\n\
                        -- migrate:up sqlite\nalter table t add b int unique;\n";
        assert_eq!(
            found("", sections),
            [
                "7 require-concurrent-index-creation postgres",
                "8 ban-drop-table",
                "9 ban-drop-column",
                "11 failing-add-column"
            ]
        );
    }
}

mod on_sqlite {
    use super::*;

    #[test]
    fn what_the_release_before_relies_on_is_told() {
        check(
            "sqlite",
            "alter table t drop column a;
             alter table t drop b;
             alter table t rename column c to d;
             alter table t rename e to f;
             alter table t rename to u;
             drop table if exists v;
             drop view w;
             drop index i;
             create index j on t (a);",
            &[
                "7 ban-drop-column",
                "8 ban-drop-column",
                "9 renaming-column",
                "10 renaming-column",
                "11 renaming-table",
                "12 ban-drop-table",
                "13 ban-drop-view",
            ],
        );
    }

    #[test]
    fn a_column_that_sqlite_will_not_add_is_told() {
        check(
            "sqlite",
            "alter table t add a not null;
             alter table t add column b text not null default (random());
             alter table t add column c default current_timestamp;
             alter table t add column d int unique;
             alter table t add column e integer primary key;
             alter table t add column f int generated always as (a) stored;
             alter table t add column g int not null default 0;
             alter table t add column h text default 'x' check (h <> '') ;
             alter table t add column i int generated always as (a) virtual not null;
             alter table t add column j int references u (id);
             alter table t add column k int not null default null;
             alter table t add column l int not null default (-1);
             alter table t add column m text default ('x' || 'y');",
            &[
                "7 failing-add-column",
                "8 failing-add-column",
                "9 failing-add-column",
                "10 failing-add-column",
                "11 failing-add-column",
                "12 failing-add-column",
                "17 failing-add-column",
                "19 failing-add-column",
            ],
        );
    }

    #[test]
    fn a_table_that_is_rebuilt_is_not_missed() {
        check(
            "sqlite",
            "create table [T_new] (a);
             insert into t_new select a from t;
             drop table T;
             alter table `t_new` rename to \"t\";
             create index i on t (a);
             alter table u rename to u_old;
             create table u (a);
             drop table u_old;",
            &[],
        );
    }
}

mod allowing {
    use super::*;

    const SECTIONS: &str = "-- migrate:up sqlite\ndrop table t;\ndrop view v;\n";

    #[test]
    fn the_header_keeps_rules_quiet() {
        assert_eq!(found("", SECTIONS), ["7 ban-drop-table", "8 ban-drop-view"]);
        assert_eq!(found("-- allow: ban-drop-table", SECTIONS), ["8 ban-drop-view"]);
        assert_eq!(found("-- allow: ban-drop-view , ban-drop-table", SECTIONS), [""; 0]);
    }

    #[test]
    fn a_name_that_is_no_rule_is_a_warning_that_names_near_ones() {
        let findings = |allow: &str| {
            let text = format!("-- a\n-- revision: a\n-- allow: {allow}\n-- migrate:up\n");
            let files = [("a.sql".into(), io::Result::Ok(text.into_bytes()))];
            examine(&files, None).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            findings("ban-drop-tabel"),
            ["a.sql:3: warning[unknown-rule]: no rule is called `ban-drop-tabel`; \
              write `ban-drop-table`"]
        );
        assert_eq!(
            findings("frobnicate, prefer-text-field"),
            [
                "a.sql:3: warning[unknown-rule]: `prefer-text-field` is never warned about, since it \
                 is a matter of the schema's design, which hurts nobody while it is deployed; remove it",
                "a.sql:3: warning[unknown-rule]: no rule is called `frobnicate`; \
                 `docs/lint.md` lists them",
            ]
        );
        assert_eq!(findings("frobnicate, unknown-rule"), [""; 0]);
    }

    #[test]
    fn to_a_start_any_name_is_one() {
        let text = "-- a\n-- revision: a\n-- allow: whatever-comes-one-day\n-- migrate:up\n";
        assert!(Script::parse(Path::new("a.sql"), text).is_ok());
    }
}

#[test]
fn a_down_section_is_not_warned_about() {
    let down = "drop table t; alter table t drop column a; create index i on t (a);";
    let sections =
        format!("-- migrate:up\n-- migrate:down\n{down}\n-- migrate:down postgres\ncluster t;\n");
    assert_eq!(found("", &sections), [""; 0]);
}

#[test]
fn what_has_a_fault_is_not_warned_about_on_that_engine() {
    let sections = "-- migrate:up\ndrop table t;\ncommit;\n";
    assert_eq!(
        found("", sections),
        ["8 `COMMIT` ends the transaction that prelaunch opened; remove it"]
    );
}

#[test]
fn our_own_revisions_are_quiet_by_what_they_allow() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = crate::files::read_each(&directory).unwrap();
    assert_eq!(files.len(), 12);
    assert_eq!(examine(&files, None), []);
}

/// A generator that gives the same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }
}

#[test]
fn nothing_that_can_be_written_makes_it_panic() {
    const WORDS: &str = "alter table t add column a int default ( 1 ) not null check unique primary \
        key references u constraint using index type text drop rename to set schema if exists only \
        create concurrently on cascade truncate reindex refresh materialized view view with select \
        insert into update delete from where generated always as identity stored virtual cluster \
        vacuum full , , ; ; ; ( ) [ ] ' \" $$ :: . * - /* */ -- \\ é \u{0} \n E'x\\'' `q` \"q\" 'x' $1 \
        detach partition attach validate not valid foreign trigger domain function f() enum value";
    let words: Vec<&str> = WORDS.split(' ').filter(|word| !word.is_empty()).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let mut text = String::from("-- a\n-- revision: a\n");
        if round % 2 == 0 {
            text.push_str("-- transaction: false\n");
        }
        text.push_str("-- migrate:up\n");
        for _ in 0..dice.roll(40) {
            text.push_str(words[dice.roll(words.len())]);
            text.push_str([" ", "", "\n"][dice.roll(5).min(2) % 3]);
        }
        let files = [("a.sql".into(), io::Result::Ok(text.into_bytes()))];
        let lines = examine(&files, None);
        assert!(lines.iter().all(|finding| finding.line > 0));
    }
    for _ in 0..300 {
        let mut bytes = b"-- a\n-- revision: a\n-- migrate:up\n".to_vec();
        let noise = (0..dice.roll(400)).map(|_| u8::try_from(dice.roll(256)).unwrap());
        bytes.extend(noise.collect::<Vec<u8>>());
        let text = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
        for bytes in [bytes, text] {
            examine(&[("a.sql".into(), io::Result::Ok(bytes))], None);
        }
    }
}

#[test]
fn every_script_of_the_scenarios_can_be_examined() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                directories.push(path);
            }
        }
        if let Ok(files) = crate::files::read_each(&directory) {
            for engine in [None, Some(Engine::Postgres), Some(Engine::Sqlite)] {
                let findings = examine(&files, engine);
                let told = findings.iter().map(|finding| (finding.severity, finding.rule));
                for (severity, rule) in told {
                    assert_eq!(severity == Severity::Warning, rule.is_some());
                    assert_ne!(rule, Some("unread"), "{}", directory.display());
                }
            }
            seen += files.len();
        }
    }
    assert!(seen > 50, "the scenarios are somewhere else");
}
