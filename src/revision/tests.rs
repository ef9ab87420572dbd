//! What is decided before a script is written, and what is found in those that are there.

use std::{io, path::Path};

use super::{
    RevisionError, lint, parents,
    text::{self, Created, Draft, Title},
};
use crate::{
    engine::Engine,
    files,
    graph::{
        Graph,
        notation::{graph, id, ids},
        revision::RevisionId,
        target::Target,
    },
    script::{Direction, Script},
};

/// 2023-07-24 12:47:11.
const THEN: u64 = 1_690_202_831;

fn title(text: &str) -> Title {
    Title::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn said(parents: Result<Vec<RevisionId>, RevisionError>) -> String {
    match parents {
        Ok(ids) => ids.iter().map(RevisionId::as_str).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check_new(revisions: &str, head: &str, splice: bool, expected: &str) {
    let head = Target::parse(head).unwrap();
    assert_eq!(said(parents::of_new(&graph(revisions), &head, splice)), expected);
}

#[track_caller]
fn check_merge(revisions: &str, named: &str, expected: &str) {
    let named: Vec<Target> =
        named.split_whitespace().map(|name| Target::parse(name).unwrap()).collect();
    assert_eq!(said(parents::of_merge(&graph(revisions), &named)), expected);
}

mod parent {
    use super::*;

    const FORK: &str = "a; b<-a [label=side]; c<-a; d<-b [tag=1.0]";

    #[test]
    fn the_one_head_is_the_default_and_nothing_for_a_first_revision() {
        check_new("a; b<-a", "head", false, "b");
        check_new("", "head", false, "");
        check_new("", "heads", false, "");
        check_new(
            "",
            "a",
            false,
            "no revision, tag or label here is called `a`; check the name, and whether the image is the right one",
        );
    }

    #[test]
    fn several_heads_are_a_choice_that_the_author_makes() {
        let words = "the graph has 2 heads, `c` and `d`; merge them with \
                     `prelaunch revision merge -m TITLE c d`, or name the parent with `--head c`";
        check_new(FORK, "head", false, words);
        check_new(FORK, "heads", false, words);
        check_new(FORK, "c", false, "c");
        check_new(FORK, "1.0", false, "d");
        check_new(FORK, "side@head", false, "d");
        check_new(FORK, "c+1", false, "`c+1` goes too far; from `c` on there are 0 steps");
    }

    #[test]
    fn a_revision_with_children_is_a_parent_only_by_splice() {
        check_new(
            FORK,
            "a",
            false,
            "`a` is no head, since `b` and `c` follow it; \
             to let another branch begin there, add `--splice`",
        );
        check_new(
            FORK,
            "side",
            false,
            "`b` is no head, since `d` follows it; \
             to let another branch begin there, add `--splice`",
        );
        check_new(FORK, "a", true, "a");
        check_new(FORK, "c", true, "c");
    }

    #[test]
    fn base_is_a_new_root_and_other_ways_before_everything_are_none() {
        check_new(FORK, "base", false, "");
        check_new(
            FORK,
            "side@base",
            false,
            "`side@base` names no revision; name the revision itself",
        );
        check_new(FORK, "-1", false, "`-1` counts steps; name the revision, tag or label itself");
    }

    #[test]
    fn what_is_only_depended_on_is_a_head() {
        check_new("a; b<-a; x ^b", "b", false, "b");
        check_new("a; b<-a; x ^b", "heads", false, "x");
    }
}

mod merge {
    use super::*;

    const THREE: &str = "a; b<-a; c<-a; d<-a; e<-b";

    #[test]
    fn without_names_all_heads_are_merged() {
        check_merge(THREE, "", "c d e");
        check_merge(THREE, "heads", "c d e");
        check_merge("a; b<-a; x ^b", "", "b x");
        check_new("a; b<-a; x ^b; m<-b+x", "head", false, "m");
    }

    #[test]
    fn with_names_those_are_in_their_order() {
        check_merge(THREE, "e c", "e c");
    }

    #[test]
    fn one_head_or_none_is_nothing_to_merge() {
        check_merge("", "", "there is nothing to merge, since the graph has no revision");
        check_merge("a; b<-a", "", "there is nothing to merge, since the graph has one head, `b`");
        check_merge(THREE, "c", "only `c` is named; name two heads or more, or none to merge all");
        check_merge(THREE, "c c", "`c` is named twice; name two different heads");
        check_merge(THREE, "heads c", "`c` is named twice; name two different heads");
        check_merge(THREE, "c base", "`base` names no revision; name the revision itself");
    }

    #[test]
    fn only_heads_are_merged() {
        check_merge(THREE, "e a", "`e` comes after `a`, so there is nothing to merge");
        check_merge(THREE, "b e", "`e` comes after `b`, so there is nothing to merge");
        check_merge(THREE, "b c", "`b` is no head, since `e` follows it; only heads can be merged");
    }
}

#[test]
fn a_label_is_free_until_something_has_that_name() {
    let graph = graph("a [label=side]; b<-a [tag=v1]");
    let said = |label| parents::free(&graph, &id(label)).map_err(|error| error.to_string());
    assert_eq!(said("other"), Ok(()));
    let taken = |text: &str| Err(format!("{text}; choose another label"));
    assert_eq!(said("side"), taken("`side` is already the branch label in a.sql:1"));
    assert_eq!(said("v1"), taken("`v1` is already the tag in b.sql:2"));
    assert_eq!(said("b"), taken("`b` is already the id in b.sql:2"));
}

#[test]
fn an_id_that_is_a_name_or_begins_one_is_not_given_again() {
    let graph = graph("000000000001; 000000000002xyz<-000000000001 [label=000000000003]");
    let mut numbers = 1..;
    let unused =
        parents::unused(&graph, Some(&id("000000000004")), || numbers.next().unwrap() << 16);
    assert_eq!(unused.as_str(), "000000000005");
    let unused = parents::unused(&Graph::default(), None, || u64::MAX);
    assert_eq!(unused.as_str(), "ffffffffffff");
}

#[test]
fn the_calendar_is_that_of_utc() {
    let cases = [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (951_868_800, "2000-03-01 00:00:00"),
        (THEN, "2023-07-24 12:47:11"),
        (1_735_689_599, "2024-12-31 23:59:59"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (253_402_300_799, "9999-12-31 23:59:59"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(Created::at(seconds).to_string(), expected);
    }
}

#[test]
fn a_script_has_the_header_of_its_kind() {
    let side = id("side");
    let (title, parents) = (title("add a due date"), ids("c02 c01"));
    let draft = |parents: &[RevisionId], label| Draft {
        id: id("c03"),
        title: &title,
        parents: parents.to_vec(),
        label,
    };
    let created = Created::at(THEN);
    assert_eq!(
        text::script(&draft(&parents[..1], Some(&side)), created),
        "-- add a due date
--
-- revision: c03
-- revises: c02
-- branch: side
-- created: 2023-07-24 12:47:11

-- migrate:up
-- the SQL that leads here; for one engine only, below `-- migrate:up postgres` or `sqlite`

-- migrate:down
-- the SQL that leads back
"
    );
    assert_eq!(
        text::script(&draft(&parents, None), created),
        "-- add a due date
--
-- revision: c03
-- revises: c02, c01
-- created: 2023-07-24 12:47:11

-- migrate:up
-- nothing to do: the branches above are merged

-- migrate:down
-- nothing to undo
"
    );
    assert_eq!(text::file_name(&draft(&[], None), created), "20230724_c03_add_a_due_date.sql");
}

#[test]
fn what_is_written_loads_as_it_was_meant() {
    let label = id("side");
    for parents in ["", "c01", "c01 c02"] {
        for words in TITLES {
            let title = title(words);
            let parents = ids(parents);
            let draft = Draft { id: id("c03"), title: &title, parents, label: Some(&label) };
            let text = text::script(&draft, Created::at(THEN));
            let script = Script::parse(Path::new("x.sql"), &text).unwrap();
            assert_eq!(script.revision.id, draft.id);
            assert_eq!(script.revision.title, title.to_string());
            assert_eq!(script.revision.parents, draft.parents);
            assert_eq!(script.revision.labels, ["side"]);
            assert_eq!(script.revision.created.as_deref(), Some("2023-07-24 12:47:11"));
            for engine in Engine::ALL {
                for direction in [Direction::Up, Direction::Down] {
                    assert!(script.serves(engine, direction));
                    assert_eq!(script.statements(engine, direction), Ok(Vec::new()));
                }
            }
        }
    }
}

/// Odd, and titles.
const TITLES: [&str; 10] = [
    "-- drop x",
    "add a due date",
    "fix: the thing; drop table x",
    "https://example.org/1",
    "it's \"quoted\" $1 \\ /* -- */ %s `x`",
    "Größe der Maße 表",
    "two\nlines\r\n\tand tabs",
    "1.13",
    "a: b: c",
    "../../etc/passwd",
];

#[test]
fn a_file_that_is_there_is_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sql");
    files::create(&path, "first").unwrap();
    let refused = files::create(&path, "second").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(files::read_value(&path).unwrap(), "first");
}

#[test]
fn white_space_in_a_title_is_one_blank() {
    assert_eq!(title(" two\nlines\r\n\tand tabs ").to_string(), "two lines and tabs");
}

#[test]
fn what_the_header_would_read_otherwise_is_no_title() {
    for text in ["revision: x", "revises: a", "tag: 1.8", "Revises: a", "revisoin: a"]
        .into_iter()
        .chain(["migrate:up", "Migrate: the users", "migrate:down\nx"])
    {
        let error = Title::parse(text).unwrap_err().to_string();
        assert!(error.contains("reads as something else; begin with another word"), "{error}");
    }
    let said = |text| Title::parse(text).map_err(|error| error.to_string());
    assert_eq!(said(" \n"), Err("a title needs a letter or a digit".to_owned()));
    assert_eq!(said("---!"), Err("a title needs a letter or a digit".to_owned()));
    let control = "a title has no control characters, such as `\\u{1b}`";
    assert_eq!(said("a\x1b[31m"), Err(control.to_owned()));
}

#[test]
fn a_file_name_has_the_words_that_fit_into_forty_characters() {
    let name = |text| {
        let title = title(text);
        let draft = Draft { id: id("c01"), title: &title, parents: Vec::new(), label: None };
        text::file_name(&draft, Created::at(THEN))
    };
    let cases = [
        ("create workspaces_users table", "create_workspaces_users_table"),
        ("Fix: the 'x', y/z & ../w!", "fix_the_x_y_z_w"),
        ("Größe ÄNDERN", "größe_ändern"),
        ("abcdefghi abcdefghi abcdefghi abcdefghij", "abcdefghi_abcdefghi_abcdefghi_abcdefghij"),
        ("abcdefghi abcdefghi abcdefghi abcdefghijk", "abcdefghi_abcdefghi_abcdefghi"),
        (
            "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij x",
            "abcdefghijabcdefghijabcdefghijabcdefghij_x",
        ),
    ];
    for (title, slug) in &cases[..5] {
        assert_eq!(name(title), format!("20230724_c01_{slug}.sql"));
    }
    // A single word is cut where it must be.
    assert_eq!(name(cases[5].0), format!("20230724_c01_{}.sql", &cases[5].1[..40]));
}

mod faults {
    use super::*;

    fn script(id: &str, revises: &str, sections: &str) -> (String, String) {
        let header = format!("-- {id}\n-- revision: {id}\n-- revises: {revises}\n\n");
        (format!("{id}.sql"), header + sections)
    }

    #[track_caller]
    fn check(scripts: &[(String, String)], only: Option<Engine>, expected: &[&str]) {
        let files: Vec<_> = scripts
            .iter()
            .map(|(path, text)| (path.into(), io::Result::Ok(text.clone().into_bytes())))
            .collect();
        let found: Vec<String> =
            lint::examine(&files, only).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn all_kinds_are_found_at_once_each_by_file_and_line() {
        check(
            &[
                script("a", "", "-- migrate:up\nselect 1;\ncommit;\nselect 2;\nbegin;\n"),
                script("b", "b", "-- migrate:up\nselect 'x\n-- migrate:down\nvacuum;\n"),
                script("c", "a", "-- migrate:up\n-- migrate:dwon\n"),
                ("d.sql".to_owned(), "-- d\n".to_owned()),
            ],
            None,
            &[
                "a.sql:7: `COMMIT` ends the transaction that prelaunch opened; remove it",
                "a.sql:9: `BEGIN` opens a transaction inside of the one that prelaunch opened; remove it",
                "b.sql:2: revision `b` comes before itself; name the revision that does",
                "b.sql:6: the string that opens here is not closed; end it with `'`",
                "b.sql:8: `VACUUM` cannot run inside a transaction; set `transaction: false` in the header",
                "c.sql:6: `-- migrate:dwon` opens no section; write `-- migrate:up` or `-- migrate:down`, followed by `postgres` or `sqlite` if it serves only one",
                "d.sql:1: no `revision` in the header; add a line `-- revision: <id>`",
                "d.sql:1: no section; write the SQL below a line `-- migrate:up`",
            ],
        );
    }

    #[test]
    fn a_parent_may_be_in_a_script_that_cannot_be_read() {
        let orphan = script("b", "a", "-- migrate:up\n");
        let no_script = "b.sql:2: revision `b` revises `a`, which no script here has; \
                         add that script or correct the parent";
        check(std::slice::from_ref(&orphan), None, &[no_script]);
        let unread = ("a.sql".to_owned(), "-- a\n-- revision: a\n".to_owned());
        let no_section = "a.sql:1: no section; write the SQL below a line `-- migrate:up`";
        check(&[unread, orphan], None, &[no_section]);
    }

    #[test]
    fn an_engine_counts_if_it_is_named_or_always_served() {
        let both = script("a", "", "-- migrate:up\n");
        let postgres = script("b", "a", "-- migrate:up postgres\n");
        let sqlite = script("c", "b", "-- migrate:up sqlite\n");
        let missing = |file: &str, engine: &str| {
            format!(
                "{file}:2: no up section for {engine}; add `-- migrate:up {engine}`, \
                 or `-- migrate:up` to serve each engine"
            )
        };
        check(&[both.clone(), postgres.clone()], None, &[]);
        let (b, c) = (missing("b.sql", "sqlite"), missing("c.sql", "postgres"));
        check(&[both.clone(), postgres.clone(), sqlite], None, &[&b, &c]);
        check(&[both, postgres], Some(Engine::Sqlite), &[&b]);
        let down = script("a", "", "-- migrate:down\n");
        let (one, other) = (missing("a.sql", "postgres"), missing("a.sql", "sqlite"));
        check(&[down], None, &[&one, &other]);
    }

    #[test]
    fn a_section_for_both_is_wrong_for_one_by_name() {
        let body = "create function f() returns void language plpgsql as $$ begin\n\
                    return; end; $$;\n";
        let function = script("a", "", &format!("-- migrate:up\n{body}"));
        check(
            std::slice::from_ref(&function),
            None,
            &["a.sql:7: `END` ends the transaction that prelaunch opened; remove it (on sqlite)"],
        );
        check(&[function], Some(Engine::Postgres), &[]);
        check(&[script("a", "", &format!("-- migrate:up postgres\n{body}"))], None, &[]);
    }

    #[test]
    fn the_rows_below_a_copy_are_not_read_as_statements() {
        let copy = "-- migrate:up postgres\ncopy t from stdin;\nit's\tcommit;\n\\.\n";
        check(
            &[script("a", "", copy)],
            None,
            &[
                "a.sql:6: the rows of `COPY … FROM STDIN` are sent by psql, which prelaunch is not; \
               write `INSERT` instead",
            ],
        );
    }

    #[test]
    fn a_file_that_is_no_text_or_cannot_be_read_is_told() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let files =
            [("a.sql".into(), Ok(b"-- a\n-- \xff\n".to_vec())), ("b.sql".into(), Err(denied))];
        let found: Vec<String> =
            lint::examine(&files, None).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "a.sql:2: this is no UTF-8 text; save the file as UTF-8",
                "b.sql:1: cannot read: permission denied"
            ]
        );
    }
}
