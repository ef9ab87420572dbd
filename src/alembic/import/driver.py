"""Drives the Alembic of the image for `prelaunch revision import`.

Reads requests from stdin and answers on stdout, a line of JSON each, so that the application is
imported once. What is asked for is the SQL of single revisions:

- `render`: by Alembic's offline mode, with no database;
- `record`: run against a scratch database, with what is sent there written down;
- `migrate`: Alembic's own `upgrade` and `downgrade`, to compare with.

`env.py` always takes its branch for offline mode, since that one connects to nothing; which engine
it is for, and the connection if there is one, are put in by us when it calls `configure`. So no
database of the application is needed, and none is reached.

Only functions of revisions are listened to: what Alembic itself sends, for its version table and
its transactions, never comes into the result and need not be told from the rest.
"""
import contextlib
import decimal
import importlib.util
import io
import json
import os
import re
import sys
import traceback
import uuid

# What the application prints is no answer.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
# The directory of an environment is often called `alembic` too.
sys.path = [path for path in sys.path if path] + [os.getcwd()]

import alembic
import sqlalchemy
from alembic import command, util
from alembic.config import Config
from alembic.ddl.impl import DefaultImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspection, pool
from sqlalchemy.engine import Connection, CursorResult, Engine, make_url
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import DDLElement

DIALECTS = {"postgres": "postgresql", "sqlite": "sqlite"}


class Refused(Exception):
    """What a revision does cannot be written down."""


class Aborted(Exception):
    """The way back has been recorded, and is not meant to be taken."""


class Listener:
    """What one function of one revision does. Each attribute is as it is between two of them."""

    active = None

    def __init__(self, engine, live, undone=False):
        self.engine, self.live, self.undone = engine, live, undone
        self.statements = []
        self.autocommit = False
        # Why it cannot be known without a database, and why not with one either.
        self.asks = None
        self.refused = None
        # Inside of `op.execute`, which gives no result to decide by.
        self.executing = 0

    def refuse(self, why):
        self.refused = self.refused or why

    def forbid(self, why):
        self.refuse(why)
        raise Refused(why)

    def ask(self, why):
        self.asks = self.asks or why


def listening():
    return Listener.active


def called_from(*packages):
    """Whether the function that calls ours was called from one of these packages."""
    name = sys._getframe(2).f_globals.get("__name__", "")
    return name.split(".")[0] in packages


# --- what revisions may do without our being asked ------------------------------------------------


# It is kept from happening: it would be done to the machine that builds the image.
FORBIDDEN = {
    **dict.fromkeys(("sqlite3.connect", "socket.connect"), "opens a connection of its own"),
    **dict.fromkeys(
        ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
        "starts another program",
    ),
}


def audit(name, arguments):
    listener = Listener.active
    if listener is None:
        return
    if name in FORBIDDEN:
        listener.forbid(FORBIDDEN[name])
    elif name == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        listener.refuse("writes to a file")


if hasattr(sys, "addaudithook"):
    sys.addaudithook(audit)


@event.listens_for(Engine, "do_connect")
def connecting(dialect, record, arguments, keywords):
    if Listener.active is not None:
        Listener.active.forbid("opens a connection of its own")


def watch_drivers():
    """Drivers in C, whose connections no audit shows."""
    for name in ("psycopg2", "psycopg"):
        module = sys.modules.get(name)
        connect = getattr(module, "connect", None)
        if connect is None or hasattr(connect, "watched"):
            continue

        def watched(*arguments, connect=connect, **keywords):
            if Listener.active is not None:
                Listener.active.forbid("opens a connection of its own")
            return connect(*arguments, **keywords)

        watched.watched = True
        module.connect = watched


def noticing(owner, name, notice):
    """Has somebody outside of SQLAlchemy and Alembic noticed who reads an attribute."""
    original = getattr(owner, name, None)
    if original is None:
        return
    read = original.__get__ if hasattr(original, "__get__") else None

    def attribute(self):
        if Listener.active is not None and not called_from("sqlalchemy", "alembic"):
            notice(Listener.active)
        return read(self, type(self))

    setattr(owner, name, property(attribute))


outcome = "decides by the outcome of a statement"
for attribute in ("rowcount", "lastrowid", "inserted_primary_key", "inserted_primary_key_rows"):
    noticing(CursorResult, attribute, lambda listener: listener.refuse(outcome))
noticing(Connection, "connection", lambda listener: listener.refuse("uses the driver directly"))


@property
def as_sql(self):
    if Listener.active is not None and not called_from("alembic"):
        Listener.active.ask("asks whether it runs offline")
    return self.__dict__["as_sql"]


@as_sql.setter
def as_sql(self, value):
    self.__dict__["as_sql"] = value


MigrationContext.as_sql = as_sql


@inspection._inspects(MockConnection)
def inspect_nothing(connection):
    if Listener.active is not None:
        Listener.active.ask("inspects the database")
    return None


original_stdout_connection = MigrationContext._stdout_connection


def stdout_connection(self, connection):
    """What stands for a connection offline, and gives no rows."""
    mock = original_stdout_connection(self, connection)
    execute = mock.execute

    def noticed(construct, *arguments, **keywords):
        listener = Listener.active
        if listener is not None:
            if any(arguments) or any(keywords.values()):
                listener.ask("sends parameters over the connection")
            elif not isinstance(construct, DDLElement) and is_query(str(construct)):
                listener.ask("queries the database")
        return execute(construct, *arguments, **keywords)

    # A method of SQLAlchemy 2, an attribute before it.
    mock.execute = noticed
    return mock


MigrationContext._stdout_connection = stdout_connection


# --- Alembic, with our connection or none ---------------------------------------------------------


class Purpose:
    """What an environment is run for."""

    def __init__(self, engine, connection=None, output=None):
        self.engine, self.connection, self.output = engine, connection, output
        self.keywords = {}
        self.contexts = 0
        # What `env.py` itself sends: no script has it. What comes while Alembic works is its own.
        self.outside = []
        self.working = False


purpose = None
original_configure = EnvironmentContext.configure
original_run_migrations = EnvironmentContext.run_migrations
original_static_output = DefaultImpl.static_output
original_execute = DefaultImpl.execute
original_exec = DefaultImpl._exec
original_autocommit_block = MigrationContext.autocommit_block


def configure(self, connection=None, url=None, dialect_name=None, dialect_opts=None, **options):
    for name in ("starting_rev", "tag", "output_buffer", "literal_binds"):
        options.pop(name, None)
    options["transaction_per_migration"] = True
    purpose.contexts += 1
    if purpose.connection is None:
        original_configure(
            self,
            dialect_name=DIALECTS[purpose.engine],
            # Anything else would double each percent sign.
            dialect_opts={"paramstyle": "named"},
            literal_binds=True,
            output_buffer=io.StringIO(),
            **options,
        )
        # Some SQLAlchemy escapes as servers before 9.1 need it, until it has asked one.
        self.get_context().dialect._backslash_escapes = False
    else:
        original_configure(self, connection=purpose.connection, **options)


def is_offline_mode(self):
    if Listener.active is not None:
        Listener.active.ask("asks whether it runs offline")
    # Until it is configured, `env.py` is deciding whether to connect.
    return self._migration_context is None or bool(self.context_opts.get("as_sql"))


def run_migrations(self, **keywords):
    purpose.keywords = keywords
    purpose.working = True
    try:
        return original_run_migrations(self, **keywords)
    finally:
        purpose.working = False


def static_output(self, text):
    if Listener.active is not None:
        Listener.active.statements.append(text)
    elif not purpose.working:
        purpose.outside.append(text)


def exec_(self, construct, *arguments, **keywords):
    """As Alembic does it, but for the tabs, which it makes blanks of in texts too."""
    values = [value for value in [*arguments[1:], *keywords.values()] if value]
    if Listener.active is None or not self.as_sql or values:
        return original_exec(self, construct, *arguments, **keywords)
    if isinstance(construct, str):
        construct = sqlalchemy.text(construct)
    literal = {} if isinstance(construct, DDLElement) else {"literal_binds": True}
    compiled = construct.compile(dialect=self.dialect, compile_kwargs=literal)
    Listener.active.statements.append(str(compiled))


def nothing(self):
    """BEGIN and COMMIT, which belong to nobody's revision."""


def execute(self, *arguments, **keywords):
    listener = Listener.active
    if listener is None:
        return original_execute(self, *arguments, **keywords)
    listener.executing += 1
    try:
        return original_execute(self, *arguments, **keywords)
    finally:
        listener.executing -= 1


@contextlib.contextmanager
def autocommit_block(self):
    listener = Listener.active
    if listener is not None and listener.engine == "postgres":
        listener.autocommit = True
        if listener.undone:
            listener.forbid("leaves its transaction, and so cannot be tried and taken back")
    with original_autocommit_block(self):
        yield


EnvironmentContext.configure = configure
EnvironmentContext.is_offline_mode = is_offline_mode
EnvironmentContext.run_migrations = run_migrations
DefaultImpl.static_output = static_output
DefaultImpl.execute = execute
DefaultImpl._exec = exec_
DefaultImpl.emit_begin = nothing
DefaultImpl.emit_commit = nothing
MigrationContext.autocommit_block = autocommit_block


# --- what is sent to a scratch database -----------------------------------------------------------

# Quoted texts, names and comments, so that what is between them can be looked at.
INERT = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL
)
TEXT = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)
SOURCES = re.compile(
    r"(?:\bfrom|\bjoin|\bonly|,)\s+(?:(?:\w+|\"[^\"]+\")\s*\.\s*)?(\w+|\"[^\"]+\"|`[^`]+`|\[[^\]]+\])",
    re.IGNORECASE,
)
# What may be asked of a server without its doing anything.
ASKS = {
    "any", "array", "cast", "coalesce", "count", "current_database", "current_schema",
    "current_setting", "exists", "format", "in", "lower", "now", "pg_backend_pid", "replace",
    "sqlite_version", "substr", "to_regclass", "to_regtype", "upper", "version",
}  # fmt: skip


def bare(sql):
    """Without texts and comments."""
    return TEXT.sub(" ", sql).strip(" \t\r\n(;")


def is_query(sql):
    text = bare(sql)
    first = re.match(r"\w*", text).group().lower()
    if first == "pragma":
        return "=" not in text
    if first == "with":
        return not re.search(r"\b(insert|update|delete|merge)\b", text, re.IGNORECASE)
    return first in ("select", "values", "show", "explain", "table")


def tables_of(connection, engine):
    """The names of all tables and views that are not the catalogue's."""
    query = (
        "select name from sqlite_master where type in ('table', 'view')"
        if engine == "sqlite"
        else "select relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n "
        "on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') "
        "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
    )
    cursor = connection.connection.cursor()
    try:
        cursor.execute(query)
        return {row[0].lower() for row in cursor.fetchall()}
    finally:
        cursor.close()


def changes_something(sql):
    """Whether a query without tables calls what may have an effect (`setval`)."""
    text = bare(sql)
    if re.search(r"\bfrom\b", text, re.IGNORECASE) or not text.lower().startswith("select"):
        return False
    return any(name.lower() not in ASKS for name in re.findall(r"(\w+)\s*\(", text))


def literal(value, engine):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower() if engine == "postgres" else str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, decimal.Decimal)):
        if value == value and value not in (float("inf"), float("-inf")):
            return repr(value) if isinstance(value, float) else str(value)
    elif isinstance(value, str):
        if "\0" not in value:
            return "'" + value.replace("'", "''") + "'"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        digits = bytes(value).hex()
        return f"X'{digits}'" if engine == "sqlite" else f"'\\x{digits}'::bytea"
    elif isinstance(value, uuid.UUID):
        return f"'{value}'"
    elif hasattr(value, "isoformat"):
        return f"'{value}'"
    raise Refused(f"sends a parameter of the type {type(value).__name__}")


def spelled(sql, parameters, engine, cursor):
    """A statement with its parameters in it."""
    if engine == "postgres" and hasattr(cursor, "mogrify"):
        # The driver knows best what it would send.
        text = cursor.mogrify(sql, parameters or None)
        return text if isinstance(text, str) else text.decode("utf-8")
    if engine == "postgres":
        # Every other percent sign is doubled.
        def replaced(found):
            if found.group() == "%%":
                return "%"
            name = found.group(1)
            return literal(parameters[name] if name else next(values), engine)

        values = iter(parameters if isinstance(parameters, (tuple, list)) else ())
        return re.sub(r"%%|%\((\w+)\)s|%s", replaced, sql) if parameters else sql
    if not parameters:
        return sql
    if isinstance(parameters, dict):
        raise Refused("sends parameters by name")
    values = iter(parameters)
    pieces, at = [], 0
    for found in INERT.finditer(sql):
        pieces.append(re.sub(r"\?", lambda _: literal(next(values), engine), sql[at:found.start()]))
        pieces.append(found.group())
        at = found.end()
    pieces.append(re.sub(r"\?", lambda _: literal(next(values), engine), sql[at:]))
    return "".join(pieces)


def sent(connection, cursor, statement, parameters, context, executemany):
    """Before a statement goes to the scratch database."""
    listener = Listener.active
    if listener is None:
        return
    if not listener.executing and is_query(statement):
        Listener.active = None
        known = tables_of(connection, listener.engine)
        Listener.active = listener
        names = [name.strip('"`[]').lower() for name in SOURCES.findall(bare(statement))]
        if any(name in known for name in names):
            listener.refuse("reads rows, which other databases have others of")
            return
        if not changes_something(statement):
            return
    construct = getattr(getattr(context, "compiled", None), "statement", None)
    # SQLAlchemy asks for keys by itself, too.
    asked = getattr(construct, "_returning", None)
    if asked is None:
        asked = re.search(r"\breturning\b", bare(statement), re.IGNORECASE)
    if asked and not listener.executing:
        listener.refuse("uses what a statement returns")
    try:
        for one in parameters if executemany else [parameters]:
            listener.statements.append(spelled(statement, one, listener.engine, cursor))
    except Refused as error:
        listener.refuse(str(error))
    except StopIteration:
        listener.refuse("sends parameters that do not fit its statement")


# --- the requests ---------------------------------------------------------------------------------

config = None
script = None


def open_environment(ini, toml, section, script_location, version_locations):
    global config, script
    files = {"toml_file": toml} if toml else {}
    config = Config(ini or None, ini_section=section, **files)
    if script_location:
        config.set_main_option("script_location", script_location.replace("%", "%%"))
    if version_locations:
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_path_separator", "os")
        locations = os.pathsep.join(version_locations)
        config.set_main_option("version_locations", locations.replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    return {
        "alembic": alembic.__version__,
        "sqlalchemy": sqlalchemy.__version__,
        "python": sys.version.split()[0],
    }


def fresh(revision):
    """The module of a revision as a new process would find it: columns and types that it holds can
    be used once only."""
    path = script.get_revision(revision).path
    return str(path), util.load_python_file(*os.path.split(str(path)))


def place(error, path):
    """The line of the revision in which it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == path), None)


def listened(revision, direction, engine, live, undone=False, around=contextlib.nullcontext):
    """What a revision does in one direction."""
    listener = Listener(engine, live, undone)
    failed = line = None
    path = ""
    try:
        path, module = fresh(revision)
        function = getattr(module, f"{direction}grade", None)
        if function is None:
            return {"absent": f"there is no `{direction}grade`"}
        with around():
            Listener.active = listener
            try:
                function(**purpose.keywords)
            finally:
                Listener.active = None
            if undone:
                raise Aborted()
    except Aborted:
        pass
    except NotImplementedError:
        return {"absent": f"its `{direction}grade` raises NotImplementedError"}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failed, line = spoken(error), place(error, path)
    answer = {
        "statements": listener.statements,
        "autocommit": listener.autocommit,
        "refused": listener.refused,
        "asks": listener.asks,
        "failed": failed,
        "line": line,
    }
    return answer


def spoken(error):
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def run_env(fn, connection=None, engine=None):
    global purpose
    purpose = Purpose(engine, connection)
    options = {"as_sql": connection is None, "dont_mutate": True, "destination_rev": None}
    with EnvironmentContext(config, script, fn=fn, **options):
        script.run_env()
    if purpose.contexts > 1:
        raise Refused("`env.py` works on several databases; name the environment of one")
    return [text for text in purpose.outside if text.strip()]


def render(engine, revisions):
    results = []

    def fn(heads, context):
        watch_drivers()
        for revision in revisions:
            up = listened(revision, "up", engine, live=False)
            down = listened(revision, "down", engine, live=False)
            results.append({"revision": revision, "up": up, "down": down})
        return []

    outside = run_env(fn, engine=engine)
    return {"revisions": results, "outside": outside}


def record(engine, url, database, revisions, wanted):
    """Runs all revisions, and writes down what those do that are wanted."""
    results = []
    broken = None
    wanted = {(revision, direction) for revision, direction in wanted}

    def fn(heads, context):
        nonlocal broken
        watch_drivers()
        connection = context.connection
        for revision in revisions:
            around = lambda: context.begin_transaction(_per_migration=True)
            result = {"revision": revision}
            if broken is None:
                up = listened(revision, "up", engine, live=True, around=around)
                if up.get("failed"):
                    why = up["refused"] or f"fails on a scratch database: {up['failed']}"
                    broken = f"revision `{revision}` {why}"
                if (revision, "up") in wanted:
                    result["up"] = up
            elif (revision, "up") in wanted:
                result["up"] = {"refused": f"cannot be tried, since {broken}"}
            if (revision, "down") in wanted:
                if broken is None:
                    with saved(connection, engine):
                        result["down"] = listened(
                            revision, "down", engine, live=True, undone=True, around=around
                        )
                else:
                    result["down"] = {"refused": f"cannot be tried, since {broken}"}
            results.append(result)
        return []

    with connected(engine, url, database) as connection:
        run_env(fn, connection, engine)
    return {"revisions": results}


@contextlib.contextmanager
def saved(connection, engine):
    """Has a SQLite file be afterwards what it was before: there, not all of a transaction can be
    taken back."""
    if engine != "sqlite":
        yield
        return
    import sqlite3

    def raw():
        fairy = connection.connection
        return getattr(fairy, "dbapi_connection", None) or fairy.connection

    copy = sqlite3.connect(":memory:")
    raw().backup(copy)
    try:
        yield
    finally:
        if connection.in_transaction():
            connection.get_transaction().rollback()
        copy.backup(raw())
        copy.close()


@contextlib.contextmanager
def connected(engine, url, database=None):
    url = make_url(re.sub(r"^postgres:", "postgresql:", url))
    if engine == "postgres":
        url = url.set(database=database)
        drivers = ("psycopg2", "psycopg", "pg8000")
        driver = next((name for name in drivers if importlib.util.find_spec(name)), None)
        if driver is None:
            raise Refused("Python has none of the drivers psycopg2, psycopg, pg8000 for PostgreSQL")
        url = url.set(drivername=f"postgresql+{driver}")
    scratch = sqlalchemy.create_engine(url, poolclass=pool.NullPool, future=True)
    event.listen(scratch, "before_cursor_execute", sent)
    listeners = scratch.pool.dispatch.connect
    listeners.parent_listeners = [tolerated(one) for one in listeners.parent_listeners]
    try:
        with scratch.connect() as connection:
            yield connection
    finally:
        scratch.dispose()


def tolerated(listener):
    """What the application does to each new connection is meant for the engine that it is set up
    for: where that is another one, it may fail."""

    def listen(connection, record):
        try:
            listener(connection, record)
        except Exception:
            connection.rollback()

    return listen


def migrate(engine, url, database, direction, target):
    global purpose
    with connected(engine, url, database) as connection:
        purpose = Purpose(engine, connection)
        getattr(command, f"{direction}grade")(config, target)
        if connection.in_transaction():
            connection.commit()
    return {}


REQUESTS = {"open": open_environment, "render": render, "record": record, "migrate": migrate}

for line in sys.stdin:
    request = json.loads(line)
    do = REQUESTS[request.pop("do")]
    try:
        answer = do(**request)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        traceback.print_exc()
        # Where in `env.py`, or in what is beside it.
        directory = str(script.dir) if script else "\0"
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if frame.filename.startswith(directory)]
        at = f"{theirs[-1].filename}:{theirs[-1].lineno}: " if theirs else ""
        answer = {"error": at + spoken(error)}
    Listener.active = None
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
