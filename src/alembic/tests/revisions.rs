//! Revision files: every way in which public histories write them, and every trap in these.

use super::*;

const HEAD: &str = "revision = 'b'\ndown_revision = 'a'\n";

mod values {
    use super::*;

    #[test]
    fn what_alembics_template_writes_is_read() {
        let text = r#""""add users

Revision ID: 1e629a913727
Revises: 3fc3c0839959
Create Date: 2023-07-24 12:47:11.715011

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision: str = "1e629a913727"
down_revision: Union[str, Sequence[str], None] = "3fc3c0839959"
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.add_column("users", sa.Column("name", sa.String(), nullable=True))
"#;
        let found = revision(text).expect("a revision");
        assert_eq!(found.created.as_deref(), Some("2023-07-24 12:47:11.715011"));
        assert_eq!(found.place.to_string(), "x.py:14");
        assert_eq!(told(Ok(found)), "1e629a913727 <- 3fc3c0839959 add users");
    }

    #[test]
    fn a_name_is_as_good_as_a_list_of_one() {
        check("revision = 'b'\ndown_revision = ('a',)", "b <- a");
        check("revision = 'b'\ndown_revision = ['a']", "b <- a");
        check("revision = 'b'\ndown_revision = {'a'}", "b <- a");
        check("revision = 'b'\ndown_revision = None", "b");
        check("revision = 'b'\ndown_revision = ()", "b");
        check("revision = 'b'\ndown_revision = (None,)", "b");
    }

    #[test]
    fn lists_go_over_lines_and_texts_are_put_together() {
        check(
            "revision = 'c'\ndown_revision = (  # a merge\n    'a',\n    'b'\n    'b',\n)",
            "c <- a+bb",
        );
        check("revision = ('c'\n  \"1\")\ndown_revision = 'a' + \"b\" + '''c'''", "c1 <- abc");
        check("revision = r'a' 'b'\ndown_revision = '\\x61\\u0062'", "ab <- ab");
        check("revision = f'a{\"b\"}'\ndown_revision = None", "ab");
        check("revision = 'a'; down_revision = None", "a");
        check("revision = \\\n  'a'\ndown_revision = None", "a");
    }

    #[test]
    fn names_that_are_bound_above_are_followed() {
        check("A = 'a'\nB = ('x', A)\nrevision = 'b'\ndown_revision = B", "b <- x+a");
        check("revision = 'b'\ndown_revision = [*('x', 'y'), 'z']", "b <- x+y+z");
        check("revision, down_revision = 'b', 'a'", "b <- a");
        check("label = revision = 'b'\ndown_revision = None", "b");
        check("revision = f'{(p := \"x\")}1'\ndown_revision = None", "x1");
        check("V = '1'\nrevision = f'v{V}'\ndown_revision = None", "v1");
        check(
            "revision = 'a'\nrevision += 'b'\ndown_revision = ['x']\ndown_revision += ['y']",
            "ab <- x+y",
        );
    }

    #[test]
    fn the_last_of_two_headers_counts() {
        let twice = "revision = 'a'\ndown_revision = None\nrevision = 'b'\ndown_revision = 'x'\n";
        check(twice, "b <- x");
        check(&format!("{twice}def upgrade():\n    pass\n\nrevision = 'c'\n"), "c <- x");
        check(&format!("{twice}branch_labels = 'l'\ndel branch_labels\n"), "b <- x");
    }

    #[test]
    fn annotations_alone_bind_nothing() {
        check("revision: str\nrevision = 'a'\ndown_revision: None = None", "a");
        let missing = "x.py:1: the file declares no `revision`; declare it, or move the file out \
                       of the directory of revisions; \
                       x.py:1: the file declares no `down_revision`; write `down_revision = None` \
                       if it is a root";
        check("revision: str\ndown_revision: str", missing);
    }

    #[test]
    fn what_functions_bind_is_their_own() {
        check(
            &format!("{HEAD}def upgrade():\n    revision = f()\n    down_revision = 1\n"),
            "b <- a",
        );
        check(&format!("{HEAD}class A:\n    revision = 'z'\n"), "b <- a");
        check(&format!("{HEAD}x = [revision for revision in range(3)]\n"), "b <- a");
    }

    #[test]
    fn a_text_that_looks_like_a_function_does_not_hide_what_is_below() {
        check("X = '''\ndef f():\n'''\nrevision = 'b'\ndown_revision = 'a'\n", "b <- a");
        check("X = (\n1\n@ 2)\nrevision = 'b'\ndown_revision = 'a'\n", "b <- a");
    }
}

mod names {
    use super::*;

    #[test]
    fn labels_and_dependencies_are_read() {
        check(&format!("{HEAD}branch_labels = ('x', 'y')\ndepends_on = 'z'"), "b <- a ^ z [x+y]");
        check(&format!("{HEAD}branch_labels = 'x'\ndepends_on = ['z', 'w']"), "b <- a ^ z+w [x]");
        check(&format!("{HEAD}branch_labels = ()\ndepends_on = []"), "b <- a");
        check(&format!("{HEAD}branch_labels = (None,)\ndepends_on = None"), "b <- a");
    }

    #[test]
    fn an_empty_name_names_nothing() {
        check(&format!("{HEAD}branch_labels = ''\ndepends_on = ''"), "b <- a");
        check(
            "revision = 'a'\ndown_revision = None\ndepends_on = ''",
            "x.py:3: `depends_on` is an empty text, which Alembic takes for a ring; write `None`",
        );
    }

    #[test]
    fn the_text_none_is_a_label_and_no_none() {
        check(&format!("{HEAD}branch_labels = 'None'"), "b <- a [None]");
        check(&format!("{HEAD}branch_labels = ('None',)"), "b <- a [None]");
    }

    #[test]
    fn ids_need_not_be_hexadecimal() {
        for id in ["v3.2.0.a", "0001_initial", "zurich", "überall", "héad", "a b", "2023.01~1"] {
            check(&format!("revision = '{id}'\ndown_revision = None"), id);
        }
    }

    #[test]
    fn what_nobody_could_ask_for_is_no_id() {
        let fault = |id: &str, error: &str| {
            let text = format!("# 1\nrevision = '{id}'\ndown_revision = None");
            check(&text, &format!("x.py:2: `revision`: {error}"));
        };
        fault("", "a revision id is empty");
        fault("head", "revision id `head` is a word of the target grammar");
        for (id, character) in
            [("a@b", '@'), ("a-b", '-'), ("a+b", '+'), ("a:b", ':'), ("a,b", ',')]
        {
            fault(id, &format!("revision id `{id}` contains `{character}`"));
        }
        fault(" a", "revision id ` a` contains ` `");
        check(
            "revision = 'a'\ndown_revision = ''",
            "x.py:2: `down_revision`: a revision id is empty",
        );
    }
}

mod docstrings {
    use super::*;

    #[test]
    fn the_first_line_is_the_title() {
        check(&format!("\"\"\"  add a\n\nmore\n\"\"\"\n{HEAD}"), "b <- a add a");
        check(&format!("'''\n\n  add a  \nRevision ID: x\n'''\n{HEAD}"), "b <- a add a");
        check(&format!("'add ' \"a\"\n{HEAD}"), "b <- a add a");
        check(&format!("# 1\n\n'add a'\n{HEAD}"), "b <- a add a");
        check(&format!("'a'\n{HEAD}__doc__ = 'b'\n"), "b <- a b");
    }

    #[test]
    fn a_file_may_have_none_and_one_may_be_empty() {
        check(HEAD, "b <- a");
        check(&format!("\"\"\"\"\"\"\n{HEAD}"), "b <- a");
        check(&format!("\"\"\"\n\n\"\"\"\n{HEAD}"), "b <- a");
        check(&format!("f'add {{1}}'\n{HEAD}"), "b <- a");
        check(&format!("{HEAD}'no docstring'\n"), "b <- a");
    }

    #[test]
    fn a_long_one_is_no_trouble() {
        check(&format!("'''t\n{}'''\n{HEAD}", "long line\n".repeat(9999)), "b <- a t");
    }
}

mod bytes {
    use super::*;

    #[test]
    fn lines_may_end_in_each_way() {
        let text = "'''add a\n\nmore'''\nrevision = 'b'\ndown_revision = (\n'a',\n)\n";
        for end in ["\r\n", "\r", "\n"] {
            let found = revision(text.replace('\n', end)).expect("a revision");
            assert_eq!(found.place.line, 4);
            assert_eq!(told(Ok(found)), "b <- a add a");
        }
    }

    #[test]
    fn encodings_are_read_as_they_are_declared() {
        let body = b"\n'''caf\xe9'''\nrevision = 'b'\ndown_revision = None\n";
        let declared = |comment: &str| told(revision([comment.as_bytes(), body].concat()));
        for comment in [
            "# -*- coding: latin-1 -*-",
            "#!/usr/bin/env python\n# coding=iso-8859-1",
            "#!/usr/bin/env python\r\n# vim: set fileencoding=latin_1 :",
            "\n# coding: Latin-1",
        ] {
            assert_eq!(declared(comment), "b café", "{comment}");
        }
        // A character of another encoding is lost, but only from a title.
        assert_eq!(declared("# coding: cp1252"), "b caf\u{fffd}");
        assert_eq!(
            declared("# coding: gbk"),
            "x.py:2: characters in the encoding `gbk` cannot be read here; save the file as UTF-8"
        );
        for (comment, encoding, line) in [
            ("# no", "utf-8", 2),
            ("import os\n# coding: latin-1", "utf-8", 3),
            ("# coding: ascii", "ascii", 2),
            ("\u{feff}# coding: latin-1", "latin-1", 1),
        ] {
            let expected =
                format!("x.py:{line}: these bytes are not {encoding}; save the file as UTF-8");
            assert_eq!(declared(comment), expected, "{comment}");
        }
    }

    #[test]
    fn an_id_in_an_unknown_encoding_is_not_guessed() {
        let text = b"# coding: cp1252\nrevision = 'caf\xe9'\ndown_revision = None";
        assert_eq!(
            told(revision(text)),
            "x.py:2: `revision` is a text in another encoding than UTF-8, or with a character by its \
             name, which is known only when Python runs it; write it as plain text"
        );
    }

    #[test]
    fn a_character_by_its_name_matters_only_in_a_name() {
        let title = format!("'''caf\\N{{LATIN SMALL LETTER E WITH ACUTE}}'''\n{HEAD}");
        check(&title, "b <- a caf\u{fffd}");
        check(&format!("'''t'''\n{HEAD}\nx = '\\N{{BULLET}}'"), "b <- a t");
        assert_eq!(
            told(revision("revision = '\\N{BULLET}'\ndown_revision = None")),
            "x.py:1: `revision` is a text in another encoding than UTF-8, or with a character by its \
             name, which is known only when Python runs it; write it as plain text"
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        check(&format!("\u{feff}'''t'''\n{HEAD}"), "b <- a t");
        check(&format!("\u{feff}# coding: utf-8\n'''t'''\n{HEAD}"), "b <- a t");
        check(&format!("# coding: gbk\n{HEAD}"), "b <- a");
    }
}

mod faults {
    use super::*;

    /// The value of `branch_labels`, in one line, and how it is computed.
    #[track_caller]
    fn computed(value: &str, how: &str) {
        check(
            &format!("{HEAD}branch_labels = {value}\n"),
            &format!(
                "x.py:3: `branch_labels` is {how}, which is known only when Python runs it; \
                 write it as plain text"
            ),
        );
    }

    #[test]
    fn what_only_python_knows_is_not_guessed() {
        computed("labels('x')", "the result of a call");
        computed("(labels('x'),)", "the result of a call");
        computed("tuple(['x'])", "the result of a call");
        computed("cli.EXPAND_BRANCH", "an attribute");
        computed("LABEL", "a name that is not bound above it");
        computed("'x' if y else 'z'", "bound under a condition");
        computed("'x' * 2", "the result of an operator");
        computed("f'{x}'", "a formatted text");
        computed("f'{\"x\":>3}'", "a formatted text");
        computed("[x for x in 'ab']", "an expression");
    }

    #[test]
    fn statements_that_may_bind_a_name_make_it_unknown() {
        for (statement, how) in [
            ("if x:\n    depends_on = 'z'", "bound under a condition"),
            (
                "try:\n    import x\nexcept E as depends_on:\n    pass",
                "bound where an exception is caught",
            ),
            ("for depends_on in x:\n    pass", "bound in a loop"),
            ("with x as depends_on:\n    pass", "bound inside a `with`"),
            ("import depends_on.x", "imported"),
            ("from x import y as depends_on", "imported"),
            ("def depends_on():\n    pass", "a function"),
            ("class depends_on:\n    pass", "a class"),
            ("print(depends_on := x)", "bound inside an expression"),
            ("match x:\n    case [*depends_on]:\n        pass", "bound under a condition"),
        ] {
            let found = told(revision(format!("{HEAD}depends_on = 'y'\n{statement}\n")));
            let (_, after) = found.split_once("`depends_on` is ").expect("a fault");
            assert!(after.starts_with(&format!("{how}, which")), "{statement}: {found}");
        }
    }

    #[test]
    fn an_import_of_everything_may_bind_all_of_them() {
        check(&format!("from sqlalchemy import *\n{HEAD}"), "b <- a");
        let how = "what an import of everything may bind, which is known only when Python runs it; \
                   write it as plain text";
        check(
            &format!("from app.db import *\n{HEAD}"),
            &format!("x.py:1: `depends_on` is {how}; x.py:1: `branch_labels` is {how}"),
        );
        check(&format!("from app.db import *\n{HEAD}branch_labels = depends_on = None"), "b <- a");
        let after =
            told(revision(format!("'t'\n{HEAD}def f():\n    pass\nfrom app.db import *\n")));
        assert!(after.starts_with(&format!("x.py:6: `revision` is {how}")), "{after}");
        let reflection = told(revision(format!("{HEAD}globals()['revision'] = 'z'\n")));
        assert!(reflection.contains("what the module may bind by reflection"), "{reflection}");
    }

    #[test]
    fn what_is_no_text_is_no_name() {
        for (value, found) in [
            ("1", "a number"),
            ("b'x'", "bytes"),
            ("True", "a truth value"),
            ("None", "`None`"),
            ("['x', 'y']", "a sequence"),
        ] {
            check(
                &format!("revision = {value}\ndown_revision = None\n"),
                &format!("x.py:1: `revision` is {found}; write a text between quotes"),
            );
        }
    }

    #[test]
    fn a_mistake_in_the_syntax_is_shown_where_it_is() {
        let found = told(revision("revision = 'b'\ndown_revision = (\n"));
        assert!(found.starts_with("x.py:3: Python cannot read this: "), "{found}");
        // Below the first function nobody looks: at head it does no harm.
        check(&format!("{HEAD}def upgrade():\n    print 'x'\n"), "b <- a");
    }

    #[test]
    fn every_fault_of_a_file_is_told_and_whether_python_may_know() {
        let faults = |text: &str| {
            let found =
                script::read(Path::new("x.py"), "x.py", text.as_bytes()).expect_err("faults");
            found.faults.iter().map(AlembicFault::python_may_know).collect::<Vec<_>>()
        };
        assert_eq!(
            faults("revision = f()\ndown_revision = 1\nbranch_labels = g()"),
            [true, false, true]
        );
        assert_eq!(faults("x = 1"), [false, false]);
    }
}

mod files {
    use super::*;
    use crate::alembic::script::{Taken, taken};

    #[test]
    fn the_loaders_rule_for_names_is_ours() {
        for (name, source, sourceless) in [
            ("a.py", Taken::Source, Taken::Source),
            ("ab_c.d.py", Taken::Source, Taken::Source),
            (".a.py", Taken::Source, Taken::Source),
            ("_a.py", Taken::Source, Taken::Source),
            ("__init__.py", Taken::Not, Taken::Not),
            ("__init__old.py", Taken::Not, Taken::Not),
            (".#a.py", Taken::Not, Taken::Not),
            ("a.pyc", Taken::Not, Taken::Compiled),
            ("a.pyo", Taken::Not, Taken::Compiled),
            ("a.pyi", Taken::Not, Taken::Not),
            ("a.py.bak", Taken::Not, Taken::Not),
            ("a.py~", Taken::Not, Taken::Not),
            ("README", Taken::Not, Taken::Not),
            ("a.sql", Taken::Not, Taken::Not),
        ] {
            assert_eq!((taken(name, false), taken(name, true)), (source, sourceless), "{name}");
        }
    }

    #[test]
    fn a_file_without_revision_is_one_if_its_name_is_an_id() {
        assert_eq!(told(named("1e629a.py", "down_revision = None")), "1e629a");
        let missing = "the file declares no `revision`; declare it, or move the file out of the \
                       directory of revisions";
        for name in ["1e629a_x.py", "1E.py", "x.py"] {
            assert_eq!(told(named(name, "down_revision = None")), format!("{name}:1: {missing}"));
        }
    }
}
