"""Environments with everything that is met in public histories, and much that should not be.

Each is given as files, of which `alembic.ini` may be left out: then one of the usual kind is written.
What Alembic makes of it, and whether it can, is for Alembic to say.
"""
import os
import py_compile


def revision(id, parent=None, more="", doc="a title"):
    return f'"""{doc}\n\nRevision ID: {id}\n"""\nrevision = {id!r}\ndown_revision = {parent!r}\n{more}\n'


A = revision("a")
B = revision("b", "a")

TRAPS = {
    "the same header twice": {"b.py": B + B.replace("'b'", "'c'"), "a.py": A},
    "lines of another kind": {"a.py": A.replace("\n", "\r\n"), "b.py": B.replace("\n", "\r")},
    "no docstring": {"a.py": "revision = 'a'\ndown_revision = None\n"},
    "an empty docstring": {"a.py": "''''''\nrevision = 'a'\ndown_revision = None\n"},
    "a docstring that goes on": {"a.py": revision("a", doc="one\ntwo")},
    "a docstring below blank lines": {"a.py": revision("a", doc="\n\n   one  \n")},
    "a docstring of two texts": {"a.py": "'one' ' two'\nrevision = 'a'\ndown_revision = None\n"},
    "a docstring that is assigned": {"a.py": A + "__doc__ = 'other'\n"},
    "a formatted docstring": {"a.py": "f'{1}'\nrevision = 'a'\ndown_revision = None\n"},
    "a text behind the header": {"a.py": "revision = 'a'\ndown_revision = None\n'text'\n"},
    "ids that are not hexadecimal": {"x.py": revision("Zürich.1~x"), "y.py": revision("0001_y", "Zürich.1~x")},
    "ids with blanks": {"x.py": revision("a b"), "y.py": revision("c", "a b")},
    "a merge over lines": {
        "a.py": A,
        "b.py": B,
        "c.py": revision("c", "a"),
        "d.py": "revision = ('d')\ndown_revision = (  # both\n    'b',\n\n    'c'\n)\n",
        "e.py": "revision: str = \"\"\"e\"\"\"\ndown_revision: 'X' = {'d'}\n",
    },
    "texts that are put together": {"a.py": "revision = 'a' \"b\" + r'c' f'd{\"e\"}'\ndown_revision = None\n"},
    "names that are bound above": {
        "a.py": A,
        "b.py": "P = ['a']\nrevision, down_revision = 'b', P\nrevision += '1'\ndown_revision = (*P,)\n",
    },
    "a list of nothing": {"a.py": "revision = 'a'\ndown_revision = (None,)\nbranch_labels = (None,)\n"},
    "a nested list": {"a.py": A, "b.py": B, "c.py": "revision = 'c'\ndown_revision = (('a', 'b'),)\n"},
    "empty lists": {"a.py": "revision = 'a'\ndown_revision = ()\nbranch_labels = []\ndepends_on = []\n"},
    "an empty dependency": {"a.py": A, "b.py": revision("b", "a", more="depends_on = ''")},
    "an empty dependency of a root": {"a.py": A, "b.py": revision("b", more="depends_on = ''")},
    "an empty dependency among others": {"a.py": A, "b.py": revision("b", more="depends_on = ('a', '')")},
    "the text None as a label": {"a.py": revision("a", more="branch_labels = 'None'")},
    "an empty label": {"a.py": revision("a", more="branch_labels = ''")},
    "labels and dependencies": {
        "a.py": revision("a", more="branch_labels = ('x', 'y')"),
        "b.py": revision("b", more="depends_on = 'y'"),
        "c.py": revision("c", "b", more="depends_on = ['a', 'x']"),
    },
    "a label that a call computes": {"a.py": revision("a", more="branch_labels = ('x' + str(1),)")},
    "a label under a condition": {"a.py": revision("a", more="if True:\n    branch_labels = 'x'")},
    "a label from an import": {"a.py": revision("a", more="from os import sep as branch_labels")},
    "functions with names of ours": {"a.py": A + "def upgrade():\n    revision = 1\n", "b.py": B},
    "a function inside of a text": {"a.py": "X = '''\ndef f():\n    pass\n'''\n" + A, "b.py": B},
    "a header below a function": {"a.py": "def f():\n    pass\n" + A, "b.py": B},
    "everything of SQLAlchemy": {"a.py": "from sqlalchemy import *\n" + A},
    "everything of another module": {"a.py": A + "from os import *\n"},
    "reflection": {"a.py": A + "globals()['revision'] = 'z'\n"},
    "latin-1": {"a.py": "# -*- coding: latin-1 -*-\n".encode() + revision("a", doc="café").encode("latin-1")},
    "latin-1 in the second line": {
        "a.py": "#!/usr/bin/env python\r\n# vim: set fileencoding=iso-8859-1 :\r\n".encode()
        + revision("a", doc="café").encode("latin-1")
    },
    "latin-1 in the third line": {"a.py": "#\n#\n# coding: latin-1\n".encode() + "x = 'é'\n".encode("latin-1") + A.encode()},
    "an encoding that is not declared": {"a.py": revision("a", doc="café").encode("latin-1")},
    "a byte order mark": {"a.py": b"\xef\xbb\xbf" + A.encode()},
    "a byte order mark and another encoding": {"a.py": b"\xef\xbb\xbf# coding: latin-1\n" + A.encode()},
    "Shift JIS": {"a.py": "# coding: shift_jis\n".encode() + revision("a", doc="表").encode("shift_jis")},
    "Shift JIS without a character of it": {"a.py": "# coding: shift_jis\n" + A},
    "windows-1251 in a comment": {"a.py": "# coding: cp1251\n# ж\n".encode("cp1251") + A.encode()},
    "an id from a file name": {"1e62.py": "down_revision = None\n", "b.py": revision("b", "1e62")},
    "files that are left": {
        "a.py": A,
        "__init__.py": "revision = 1 / 0",
        "__init__x.py": "1 / 0",
        ".#a.py": "1 / 0",
        "a.py.orig": "1 / 0",
        "README": "",
        "__pycache__/x.py": "1 / 0",
        "nested/x.py": "1 / 0",
    },
    "a hidden file": {".a.py": A, "b.py": B},
    "nested directories": {
        "alembic.ini": "[alembic]\nscript_location = m\nrecursive_version_locations = true\n",
        "a.py": A,
        "x/y/b.py": B,
        "x/__pycache__/c.py": "1 / 0",
    },
    "True is not true": {
        "alembic.ini": "[alembic]\nscript_location = m\nrecursive_version_locations = True\n",
        "a.py": A,
        "x/b.py": B,
    },
    "several version locations": {
        "alembic.ini": (
            "[DEFAULT]\nbase = %(here)s/m\n[alembic]\nscript_location: m\npath_separator = newline\n"
            "; one for each\nversion_locations =\n    %(base)s/versions\n\n  # the other\n    m/two\n    m/gone\n"
            "sqlalchemy.url = 100%\n"
        ),
        "a.py": A,
        "../two/b.py": B,
    },
    "version locations by blanks and commas": {
        "alembic.ini": "[alembic]\nscript_location = m\nversion_locations = m/versions, m/two m/three\n",
        "a.py": A,
        "../two/b.py": B,
        "../three/c.py": revision("c", "b"),
    },
    "version locations by colons": {
        "alembic.ini": "[alembic]\nSCRIPT_LOCATION = m\nversion_path_separator = os\nversion_locations = m/versions:m/two\n",
        "a.py": A,
        "../two/b.py": B,
    },
    "a version location in another": {
        "alembic.ini": "[alembic]\nscript_location = m\npath_separator = os\nversion_locations = m/versions:m/versions/x\n",
        "a.py": A,
        "x/b.py": B,
    },
    "settings in TOML": {
        "alembic.ini": "[loggers]\nkeys = root\n",
        "pyproject.toml": "[tool.alembic]\nscript_location = '%(here)s/m'\nversion_locations = ['m/versions', 'm/%%x']\n",
        "a.py": A,
        "../%x/b.py": B,
    },
    "settings in both": {
        "alembic.ini": "[alembic]\nrecursive_version_locations = true\n",
        "pyproject.toml": "[tool.alembic]\nscript_location = 'm'\nrecursive_version_locations = false\n",
        "a.py": A,
        "x/b.py": B,
    },
    "compiled revisions": {
        "alembic.ini": "[alembic]\nscript_location = m\nsourceless = true\n",
        "a.py": A,
        "b.pyc": B,
    },
    "compiled revisions that have sources": {
        "alembic.ini": "[alembic]\nscript_location = m\nsourceless = true\n",
        "a.py": A,
        "a.pyc": A,
        "__pycache__/a.cpython-312.pyc": A,
    },
    "a stray file": {"a.py": A, "tools.py": "x = 1\n"},
    "no down_revision": {"a.py": "revision = 'a'\n"},
    "an empty down_revision": {"a.py": "revision = 'a'\ndown_revision = ''\n"},
    "a number for an id": {"a.py": "revision = 1\ndown_revision = None\n"},
    "no Python": {"a.py": A + "x = (\n"},
    "one id twice": {"a.py": A, "b.py": A},
    "a self-loop": {"a.py": revision("a", "a")},
    "a dependency on itself": {"a.py": revision("a", more="depends_on = 'a'")},
    "a ring": {"a.py": revision("a", "b"), "b.py": B},
    "a ring of dependencies": {"a.py": revision("a", more="depends_on = 'b'"), "b.py": B},
    "a parent that is not there": {"b.py": B},
    "a dependency of another package": {"a.py": revision("a", more="depends_on = 'dbdbc1b19cf2'")},
    "a dependency of another package in its directory": {
        "alembic.ini": "[alembic]\nscript_location = m\npath_separator = os\nversion_locations = m/versions:m/two\n",
        "a.py": revision("a", more="depends_on = 'dbdbc1b19cf2'"),
        "../two/b.py": revision("dbdbc1b19cf2", more="branch_labels = 'two'"),
    },
    "no downgrade": {"a.py": A + "def upgrade():\n    pass\n", "b.py": B + "def upgrade():\n    pass\n"},
    "a self-loop beside a label that a call computes": {
        "a.py": revision("a", more="branch_labels = ('x' + str(1),)"),
        "b.py": revision("b", "b"),
    },
    "one id twice beside a label that a call computes": {
        "a.py": revision("a", more="branch_labels = ('x' + str(1),)"),
        "b.py": A,
    },
    "a computed id twice": {"a.py": A, "b.py": A.replace("'a'", "''.join('a')")},
    "a computed parent that is not there": {"a.py": A, "b.py": B.replace("'a'", "''.join('c')")},
    "a dependency on a label that a call computes": {
        "a.py": revision("a", more="branch_labels = ('x' + str(1),)"),
        "b.py": revision("b", more="depends_on = 'x1'"),
    },
    "a label twice": {
        "a.py": revision("a", more="branch_labels = 'x'"),
        "b.py": revision("b", more="branch_labels = 'x'"),
    },
    "a label that is an id": {"a.py": A, "b.py": revision("b", more="branch_labels = 'a'")},
    "a character of targets in an id": {"a.py": revision("a-b")},
}


def write(work):
    """Makes a directory of each, and gives them in order."""
    for name, files in TRAPS.items():
        root = work / name.replace(" ", "_")
        versions = root / "m" / "versions"
        versions.mkdir(parents=True)
        (root / "m" / "env.py").write_text("from alembic import context\n")
        (root / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/m\n")
        for file, text in files.items():
            path = root / file if file in ("alembic.ini", "pyproject.toml") else versions / file
            path = type(path)(os.path.normpath(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            content = text if isinstance(text, bytes) else text.encode()
            if path.suffix == ".pyc":
                source = root / "source"
                source.write_bytes(content)
                py_compile.compile(str(source), cfile=str(path))
            else:
                path.write_bytes(content)
        yield root
