"""Imports Alembic environments with `prelaunch revision import`, and holds what comes of it against
Alembic itself. Called by `import.sh`, beside a PostgreSQL server of the tests."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from import_traps import CASES, ENV

prelaunch, argilla, what, *pythons = sys.argv[1:]
server = os.environ["PRELAUNCH_TEST_POSTGRES"]
password = re.search(r":([^:@/]+)@", server).group(1)
work = pathlib.Path(tempfile.mkdtemp(prefix="importing."))
failures = []
ENGINES = ("postgres", "sqlite")

# The releases of Argilla, by the revision that each ends with.
TAGS = {
    "1769ee58fbb4": "1.7", "ae5522b4c674": "1.8", "3ff6484f8b37": "1.11", "1e629a913727": "1.13",
    "84f6b9ff6076": "1.17", "bda6fe24314e": "1.18", "ca7293c38970": "1.28", "237f7c674d74": "2.0",
    "660d6c6b3360": "2.4", "580a6553186f": "2.5",
}  # fmt: skip


def fail(claim, *details):
    failures.append(claim)
    print(f"FAILED: {claim}", *details, sep="\n    ")


def check(claim, found, expected):
    if found != expected:
        fail(claim, f"found    {found!r}", f"expected {expected!r}")


def run(*words, environment=None, directory=None):
    """A command, whose output never shows the password."""
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=directory or work,
        env={"PATH": os.environ["PATH"], "HOME": str(work), **(environment or {})},
    )  # fmt: skip
    if password in done.stdout + done.stderr:
        fail(f"{' '.join(words[1:4])} shows a password")
    return done


def import_(environment, out, *flags, program=None, engines=ENGINES):
    begun = time.monotonic()
    words = [prelaunch, "revision", "import", "--alembic", str(environment), "--out", str(out)]
    words += ["--python", program or python, "--json", *flags]
    for engine in engines:
        words += ["--engine", engine]
    done = run(*words, environment={"LOG_LEVEL": "warn", "TMPDIR": str(work)})
    report = json.loads(done.stdout) if done.stdout else None
    return done, report, time.monotonic() - begun


def psql(sql, url=server):
    done = run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url)
    if done.returncode:
        raise SystemExit(f"psql: {sql}: {done.stderr}")
    return done.stdout


def databases():
    return psql("select datname from pg_database order by 1").split()


def database(name):
    """An empty database; its URL."""
    psql(f"drop database if exists {name} with (force)")
    psql(f"create database {name} template template0")
    return re.sub(r"/[^/]*$", f"/{name}", server)


def written(name, revisions, before="", above=""):
    """An environment with these revisions, given by their texts."""
    directory = traps / name.replace(" ", "_")
    (directory / "alembic/versions").mkdir(parents=True)
    # A directory of that name hides the package from a Python that looks here first.
    (directory / "alembic/__init__.py").write_text("")
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")
    env = ENV.format(url="postgresql://nobody@nowhere/x", before=before, above=above)
    (directory / "alembic/env.py").write_text(env)
    for number, text in enumerate(revisions, 1):
        (directory / f"alembic/versions/r{number}.py").write_text(text)
    return directory


def hows(report):
    return {
        (line["revision"], section["engine"], section["direction"]): section["how"]
        for line in report["revisions"]
        for section in line["sections"]
    }


def lint(out, name):
    done = run(prelaunch, "revision", "lint", str(out))
    if done.returncode:
        fail(f"{name}: lint has faults", done.stdout, done.stderr)


def migrated(url, out, *words):
    done = run(
        prelaunch, "database", "migrate", *words,
        environment={"DATABASE_URL": url, "MIGRATIONS_DIR": str(out), "LOG_LEVEL": "warn"},
    )  # fmt: skip
    if done.returncode:
        fail(f"the scripts do not run: {' '.join(words)}", done.stderr)


def case(name, revisions):
    environment = written(name, [r.text(number) for number, r in enumerate(revisions, 1)])
    expected = {
        (f"r{number}", engine, direction): how
        for number, revision in enumerate(revisions, 1)
        for engine in ENGINES
        for direction, how in zip(("up", "down"), revision.how[engine])
    }
    words = [(f"r{n}", r.words) for n, r in enumerate(revisions, 1) if r.words]
    out = traps / f"{environment.name}.out"
    flags = ["--scratch", server]
    done, report, _ = import_(environment, out, *flags, *([] if words else ["--verify", "--back"]))
    if report is None:
        fail(name, done.stderr)
        return
    found = hows(report)
    for place in expected:
        check(f"{name}: {' '.join(place)}", found.get(place), expected[place])
    for revision, why in words:
        said = [line for line in report["refused"] if f": revision `{revision}`" in line]
        if not said or not all(line.endswith(why) for line in said):
            fail(f"{name}: {revision} is refused as `{why}`", *said)
    check(f"{name}: exit code", done.returncode, 20 if words else 0)
    if done.returncode:
        check(f"{name}: nothing is written", out.exists(), False)
        if not words:
            print(done.stderr)
        return
    lint(out, name)
    checked = {line["engine"]: len(line["equal"]) for line in report["verified"]}
    back = all(how != "absent" for how in expected.values())
    check(f"{name}: verified", checked, {engine: 2 if back else 1 for engine in ENGINES})
    again, report, _ = import_(environment, out, *flags)
    check(f"{name}: a second import", again.returncode, 0)
    states = {line["state"] for line in report["revisions"]} if report else again.stderr
    # Alembic rebuilds tables of SQLite with their constraints in any order.
    check(f"{name}: changes nothing", states, {"unchanged"})
    return out


def texts(out):
    """The rows are those that Alembic makes."""
    url = database("importing_texts")
    migrated(url, out)
    rows = "select id, name, size from t order by id"
    expected = [
        (1, "it's 100% a \\ and a \t tab; -- no comment -- x;", 7),
        (2, "a\nline and {braces} $1 ? %s %(x)s :y", 9),
        (3, "Größe 表", 7),
    ]
    as_json = "select json_agg(json_build_array(id, name, size) order by id) from t"
    check("texts: rows of PostgreSQL", [tuple(r) for r in json.loads(psql(as_json, url))], expected)
    import sqlite3

    migrated(f"sqlite:{traps}/texts.db", out)
    with sqlite3.connect(traps / "texts.db") as connection:
        check("texts: rows of SQLite", connection.execute(rows).fetchall(), expected)


def parameters(out):
    import sqlite3

    url = database("importing_parameters")
    migrated(url, out)
    migrated(f"sqlite:{traps}/parameters.db", out)
    expected = [(1, "x%y", 3), (2, "x%y", 3), (5, "five", 7)]
    as_json = "select json_agg(json_build_array(id, name, size) order by id) from t"
    found = [tuple(row) for row in json.loads(psql(as_json, url))]
    check("parameters: rows of PostgreSQL", found, expected)
    with sqlite3.connect(traps / "parameters.db") as connection:
        found = connection.execute("select id, name, size from t order by id").fetchall()
    check("parameters: rows of SQLite", found, expected)


def incomplete(environment):
    """With --allow-missing there are scripts, and none of them is applied by mistake."""
    out = traps / "incomplete.out"
    done, report, _ = import_(environment, out, "--scratch", server, "--allow-missing")
    check("incomplete: exit code", done.returncode, 0)
    done = run(
        prelaunch, "run",
        environment={
            "DATABASE_URL": f"sqlite:{traps}/incomplete.db", "MIGRATIONS_DIR": str(out),
            "AUTO_MIGRATION": "true",
        },
    )  # fmt: skip
    check("incomplete: a start", done.returncode, 20)
    check("incomplete: leaves no database", (traps / "incomplete.db").exists(), False)


def without_server():
    """What inspects is refused for PostgreSQL where there is no server, with the way out."""
    environment = traps / "inspecting"
    done, report, _ = import_(environment, traps / "no.out", engines=["postgres"])
    check("without a server: exit code", done.returncode, 20)
    refused = report["refused"]
    check("without a server: refused", len(refused), 4)
    named = all(line.endswith("name a server with --scratch") for line in refused)
    check("without a server: the way out is named", named, True)
    check("without a server: the file is named", "versions/r2.py:" in refused[0], True)
    done, _, _ = import_(environment, traps / "no.out", "--scratch", server.replace(password, "wrong"))
    check("a wrong password", done.returncode, 12)
    done, _, _ = import_(environment, traps / "no.out", "--scratch", f"mysql://x:{password}@h/y")
    check("a URL of something else", done.returncode, 10)


def environments():
    """Environments that are refused as a whole."""
    table = CASES["texts"][0].text(1)
    one = written("outside", [table], before='        context.execute("SET x.y = 1")\n')
    done, _, _ = import_(one, traps / "no.out")
    check("outside: exit code", done.returncode, 20)
    check("outside: the statement is named", "`SET x.y = 1`" in done.stderr, True)
    two = written("several", [table], before="        pass\n    context.configure(url='x')\n"
                  "    with context.begin_transaction():\n")  # fmt: skip
    done, _, _ = import_(two, traps / "no.out")
    check("several databases", "works on several databases" in done.stderr, True)
    three = written("broken", [table], above="import a_module_that_is_not_there")
    done, _, _ = import_(three, traps / "no.out")
    check("broken: exit code", done.returncode, 19)
    check("broken: says why", "No module named 'a_module_that_is_not_there'" in done.stderr, True)
    done, _, _ = import_(three, traps / "no.out", program="/nonexistent/python")
    check("no Python: exit code", done.returncode, 19)
    check("nothing is written", (traps / "no.out").exists(), False)


def branches():
    """A fork, a label, a dependency, a merge."""
    base = CASES["texts"][0]
    header = base.text(1).replace('"""a trap', '"""root')

    def revision(name, parents, body, **more):
        text = base.text(1).replace('revision = "r1"', f'revision = "{name}"', 1)
        text = text.replace("down_revision = None", f"down_revision = {parents!r}")
        for key, value in more.items():
            text = text.replace(f"{key} = None", f"{key} = {value!r}")
        start = text.index("def upgrade")
        return text[:start] + f"def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"

    column = "op.add_column('t', sa.Column('{}', sa.Text))"
    environment = written("branches", [
        header,
        revision("aaa1", "r1", column.format("a"), branch_labels=("left",)),
        revision("bbb1", "r1", column.format("b"), branch_labels="right"),
        revision("ccc1", "aaa1", column.format("c"), depends_on="bbb1"),
        revision("mmm1", ("ccc1", "bbb1"), "pass"),
    ])  # fmt: skip
    out = traps / "branches.out"
    done, report, _ = import_(environment, out, "--verify", "--scratch", server, "--tag", "mmm1=3.0")
    check("branches: exit code", (done.returncode, done.stderr), (0, ""))
    shown = run(prelaunch, "database", "history", "--json", environment={"MIGRATIONS_DIR": str(out)})
    rows = {row["revision"]: row for row in json.loads(shown.stdout)} if shown.stdout else {}
    check("branches: parents", rows["mmm1"].get("parents"), ["ccc1", "bbb1"])
    text = "\n".join(path.read_text() for path in sorted(out.iterdir()))
    for line in ("-- depends-on: bbb1", "-- branch: left", "-- branch: right", "-- tag: 3.0"):
        check(f"branches: {line}", line in text, True)


def left():
    """A revision that reads rows, between two that do not: the scripts and Alembic in turn make what
    Alembic alone makes."""
    base = CASES["texts"][0].text(1)
    head = base[: base.index("def upgrade")]

    def revision(name, parent, up, down):
        text = head.replace('revision = "r1"', f'revision = "{name}"', 1)
        text = text.replace("down_revision = None", f"down_revision = {parent!r}")
        return f"{text}def upgrade():\n    {up}\n\ndef downgrade():\n    {down}\n"

    reads = (
        "for (n,) in op.get_bind().execute(sa.text('select count(*) from t')).all():\n"
        "        op.execute(f'create table rows_{n} (n integer)')"
    )
    environment = written("left", [
        revision("r1", None, "op.execute('create table t (n integer)')", "op.execute('drop table t')"),
        revision("r2", "r1", reads, "op.execute('drop table rows_0')"),
        revision("r3", "r2", "op.execute('create table u (n integer)')", "op.execute('drop table u')"),
    ])  # fmt: skip
    out = traps / "left.out"
    done, report, _ = import_(environment, out, "--scratch", server)
    check("left: refused without the flag", done.returncode, 20)
    done, report, _ = import_(
        environment, out, "--scratch", server, "--delegate", "--verify", "--back"
    )
    if report is None or done.returncode:
        fail("left: import", done.stderr)
        return
    how = {place: how for place, how in hows(report).items() if how != "offline"}
    check("left: delegated", how, {("r2", engine, "up"): "delegated" for engine in ENGINES})
    checked = {line["engine"]: len(line["equal"]) for line in report["verified"]}
    check("left: verified", checked, {engine: 2 for engine in ENGINES})
    lint(out, "left")


def dump(url):
    # As old as the server at least.
    program = pathlib.Path(os.environ["PRELAUNCH_TEST_PGBIN"]) / "pg_dump"
    program = str(program) if program.exists() else "pg_dump"
    done = run(program, "--schema-only", "--no-owner", "--no-privileges", url)
    if done.returncode:
        raise SystemExit(f"pg_dump: {done.stderr}")
    return done.stdout


def plain(text):
    """A dump less the tables of those who keep the books, and what pg_dump makes up."""
    blocks = re.split(r"\n(?=--\n-- Name: )", re.sub(r"\\(un)?restrict \S+", "", text))
    theirs = re.compile(r"-- Name: (alembic_version|prelaunch_)|-- Name: \S+ alembic_version_pkc")
    return [block.strip() for block in blocks if not theirs.search(block.split("\n")[1])]


def dumped(out, program, environment):
    """Alembic's own upgrades and downgrades, by the application's own `env.py` and connection,
    beside the scripts: pg_dump after each tag, upward and downward."""
    alembic, scripts = database("importing_alembic"), database("importing_scripts")
    steps = """
import sys
from alembic import command
from alembic.config import Config
config = Config(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    way, target = line.split()
    getattr(command, way)(config, target)
    print("done", flush=True)
"""
    url = alembic.replace("postgres://", "postgresql+asyncpg://")
    child = subprocess.Popen(
        [program, "-c", steps, str(environment / "alembic.ini")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=work, env={"PATH": os.environ["PATH"], "HOME": str(work),
                              "ARGILLA_DATABASE_URL": url},
    )  # fmt: skip
    child.stdout.readline()
    ways = [("upgrade", id) for id in TAGS]
    ways += [("downgrade", id) for id in reversed(list(TAGS)[:-1])] + [("downgrade", "base")]
    same = 0
    for way, target in ways:
        child.stdin.write(f"{way} {target}\n")
        child.stdin.flush()
        if child.stdout.readline() != "done\n":
            fail(f"argilla: Alembic cannot {way} to {target}")
            break
        migrated(scripts, out, "--revision", target, "--allow-downgrade", "--yes")
        theirs, ours = plain(dump(alembic)), plain(dump(scripts))
        if theirs != ours:
            fail(f"argilla: {way} to {target}", *[b for b in theirs + ours if (b in theirs) != (b in ours)])
        else:
            same += 1
    child.stdin.close()
    child.wait()
    return same, len(ways)


def argilla_server():
    program = f"{argilla}/bin/python"
    environment = next(pathlib.Path(argilla).glob("lib/*/site-packages/argilla_server"))
    out = work / "argilla.out"
    tags = work / "tags"
    tags.write_text("".join(f"{id} {tag}\n" for id, tag in TAGS.items()))
    done, report, took = import_(environment, out, "--tags", str(tags), program=program)
    if report is None or done.returncode:
        fail("argilla: import", done.stderr)
        return
    figures = report["figures"]
    print(f"argilla-server: {figures['revisions']} revisions, {figures['sections']} sections: "
          f"{figures['offline']} offline, {figures['recorded']} recorded, "
          f"{figures['absent']} absent, {figures['refused']} refused, in {took:.1f} s")  # fmt: skip
    check("argilla: revisions", figures["revisions"], 24)
    recorded = sorted(place for place, how in hows(report).items() if how == "recorded")
    expected = [(id, "sqlite", "up") for id in ("45a12f74448b", "84f6b9ff6076", "ca7293c38970", "d00f819ccc67")]
    check("argilla: recorded", recorded, sorted([*expected, ("d00f819ccc67", "sqlite", "down")]))
    check("argilla: refused", figures["refused"], 0)
    lint(out, "argilla")
    done, report, took = import_(
        environment, work / "argilla.verified", "--tags", str(tags), "--verify", "--back",
        "--scratch", server, program=program,
    )  # fmt: skip
    check("argilla: verify", (done.returncode, done.stderr), (0, ""))
    checked = {line["engine"]: len(line["equal"]) for line in report["verified"]} if report else {}
    check("argilla: verified", checked, {"postgres": 21, "sqlite": 21})
    print(f"argilla-server: --verify --back of both engines in {took:.1f} s, same schemas {checked}")
    same, all_ = dumped(out, program, environment)
    print(f"argilla-server: pg_dump is the same {same} times of {all_}, upward and downward")


def delegated():
    """On SQLite, with what needs a connection left to Alembic: the scripts alone, then all of it by a
    start, beside Alembic alone."""
    program = f"{argilla}/bin/python"
    environment = next(pathlib.Path(argilla).glob("lib/*/site-packages/argilla_server"))
    out = work / "argilla.mixed"
    flags = [word for id, tag in TAGS.items() for word in ("--tag", f"{id}={tag}")]
    done, report, took = import_(
        environment, out, "--delegate=recorded", "--verify", *flags, program=program,
        engines=["sqlite"],
    )  # fmt: skip
    if report is None or done.returncode:
        fail("argilla delegated: import", done.stderr)
        return
    left = sorted(place for place, how in hows(report).items() if how == "delegated")
    expected = [(id, "sqlite", "up") for id in ("45a12f74448b", "84f6b9ff6076", "ca7293c38970", "d00f819ccc67")]
    check("argilla delegated: left", left, sorted([*expected, ("d00f819ccc67", "sqlite", "down")]))
    checked = {line["engine"]: len(line["equal"]) for line in report["verified"]}
    check("argilla delegated: verified", checked, {"sqlite": 11})
    schemas = []
    alembic = [program, "-m", "alembic", "-c", str(environment / "alembic.ini"), "upgrade"]
    for name, words in (
        ("mixed", [prelaunch, "run"]),
        ("alembic", [*alembic, "head"]),
    ):
        url = f"sqlite+aiosqlite:///{work}/{name}.db?check_same_thread=False"
        done = run(
            *words,
            environment={
                "ARGILLA_DATABASE_URL": url, "ENV_PREFIX": "ARGILLA_", "MIGRATIONS_DIR": str(out),
                "AUTO_MIGRATION": "true", "VERSION_TABLE": report["version_table"],
                "MIGRATE_COMMAND": " ".join([*alembic, "{}"]),
            },
        )  # fmt: skip
        if done.returncode:
            fail(f"argilla delegated: {name}", done.stderr)
            return
        if name == "mixed":
            check("argilla delegated: by Alembic", done.stderr.count("runs a command"), 4)
            check("argilla delegated: by scripts", done.stderr.count("has applied it"), 24)
        schemas.append(shape_of(work / f"{name}.db"))
    check("argilla delegated: the same tables and rows", schemas[0], schemas[1])
    print(f"argilla-server: SQLite with {len(left)} sections left to Alembic, imported and compared "
          f"in {took:.1f} s, and the same by a start")  # fmt: skip


def shape_of(path):
    """Columns, indexes and rows of Alembic's tables."""
    import sqlite3

    with sqlite3.connect(path) as connection:
        names = connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'prelaunch^_%' "
            "escape '^' and name not like 'sqlite^_%' escape '^' order by 1"
        ).fetchall()
        return {
            name: [connection.execute(f"select * from pragma_table_info('{name}')").fetchall()]
            # The constraints of a table that Alembic rebuilds have no order.
            + [sorted(row[2:] for row in connection.execute(f"pragma foreign_key_list('{name}')"))]
            + [sorted(row[1:3] for row in connection.execute(f"pragma index_list('{name}')") if row[1][:6] != "sqlite")]
            + connection.execute(f"select count(*) from '{name}'").fetchall()
            for (name,) in names
        }


before = databases()
for python in pythons:
    begun = time.monotonic()
    # A directory for each Alembic.
    traps = work / pathlib.Path(python).parent.parent.name
    for name, revisions in CASES.items():
        out = case(name, revisions)
        if out is not None and name in ("texts", "parameters"):
            {"texts": texts, "parameters": parameters}[name](out)
    without_server()
    incomplete(traps / "refused")
    environments()
    branches()
    left()
    count = sum(len(revisions) for revisions in CASES.values())
    print(f"{traps.name}: {count} traps in {len(CASES)} environments, {time.monotonic() - begun:.1f} s")
if what != "traps":
    argilla_server()
    delegated()
mine = {"importing_texts", "importing_parameters", "importing_alembic", "importing_scripts"}
check("no database is left behind", [n for n in databases() if n not in mine], before)
left = [path.name for path in work.iterdir() if path.name.startswith("prelaunch_import")]
check("no directory is left behind", left, [])
shutil.rmtree(work)
sys.exit(f"{len(failures)} failures" if failures else 0)
