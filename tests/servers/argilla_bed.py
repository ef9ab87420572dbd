"""What the campaign with Argilla stands on: databases, the search engine, Redis, starts, and its own
start script's steps to compare with. Nothing here decides whether something is right."""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/argilla"
PRELAUNCH, VENV, ELASTICSEARCH = (os.environ.get(f"CAMPAIGN_{name}") for name in ("PRELAUNCH", "VENV", "SEARCH"))
SERVER = os.environ["PRELAUNCH_TEST_POSTGRES"]
WORK = pathlib.Path(tempfile.mkdtemp(prefix="argilla."))
SERVE = ("python", "-m", "uvicorn", "--host", "127.0.0.1")
# Those that are waited for come much sooner, on a machine that is not busy.
PATIENCE = 120

USER = {"USERNAME": "ada", "PASSWORD": f"pass-{secrets.token_hex(8)}", "API_KEY": f"key-{secrets.token_hex(8)}"}
MASTER = re.search(r":([^:@/]+)@", SERVER).group(1)

# Processes, each with a session of its own.
started = []


def port():
    """One that nobody has, below those that the kernel gives to outgoing connections."""
    while True:
        number = 12000 + secrets.randbelow(8000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
        return number


def eventually(what, condition, patience=PATIENCE):
    until = time.monotonic() + patience
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise SystemExit(f"argilla: gave up after {patience} s: {what()}")


class Postgres:
    name = "PostgreSQL"

    def __init__(self, password=None):
        self.database = f"argilla_{secrets.token_hex(4)}"
        # As it is written in a URL.
        self.password = password or secrets.token_hex(8)
        address = SERVER.split("@")[1].split("/")[0]
        self.rest = f"{self.database}:{self.password}@{address}/{self.database}"
        psql(SERVER, f"create role {self.database} login password '{urllib.parse.unquote(self.password)}'")
        psql(SERVER, f"create database {self.database} owner {self.database}")
        self.url = f"postgresql+asyncpg://{self.rest}"
        self.forms = [f"postgresql://{self.rest}", f"postgresql+psycopg2://{self.rest}"]

    def web(self):
        """A role that may not create tables; its name and password."""
        role, password = f"{self.database}_web", secrets.token_hex(8)
        psql(SERVER, f"create role {role} login password '{password}'")
        return role, password

    def query(self, sql):
        return psql(f"postgresql://{self.rest}", sql)

    def dump(self):
        done = output("pg_dump", "--no-comments", f"postgresql://{self.rest}")
        return [line for line in done.splitlines() if "restrict" not in line]

    def tables(self):
        return self.query("select count(*) from pg_tables where schemaname = 'public'")


class Late:
    """A way to a database that nobody answers at before `begin`."""

    def __init__(self, database):
        address = SERVER.split("@")[1].split("/")[0]
        self.host, self.behind = address.split(":")
        self.port = port()
        self.url = database.url.replace(address, f"127.0.0.1:{self.port}")

    def begin(self):
        words = ("socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork", f"TCP:{self.host}:{self.behind}")
        started.append(subprocess.Popen(words, start_new_session=True))


class Sqlite:
    name = "SQLite"
    password = None

    def __init__(self):
        self.home = WORK / f"home-{secrets.token_hex(4)}"
        self.home.mkdir()
        self.file = self.home / "argilla.db"
        self.url = f"sqlite+aiosqlite:///{self.file}?check_same_thread=False"
        self.forms = [f"sqlite:///{self.file}", f"sqlite:///{self.file}?check_same_thread=False"]

    def query(self, sql):
        return output("sqlite3", "-cmd", ".timeout 10000", str(self.file), sql)

    def dump(self):
        return self.query(".dump").splitlines()

    def tables(self):
        return self.query("select count(*) from sqlite_master where type = 'table'")


def output(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"argilla: {words[0]}: {done.stderr.replace(MASTER, '…')}")
    return done.stdout.strip()


def psql(url, sql):
    return output("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url)


class Search:
    """Elasticsearch and Redis, one of each for the whole campaign."""

    def __init__(self):
        self.redis, self.http, transport = port(), port(), port()
        home = WORK / "elasticsearch"
        shutil.copytree(f"{ELASTICSEARCH}/home", home)
        log = (WORK / "search.log").open("w")
        java = ("java", "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                f"{ELASTICSEARCH}/classes:{ELASTICSEARCH}/lib/*", "Launch", str(home), str(self.http),
                str(transport))  # fmt: skip
        redis = ("redis-server", "--bind", "127.0.0.1", "--port", str(self.redis), "--save", "",
                 "--appendonly", "no", "--dir", str(WORK))  # fmt: skip
        for words in (java, redis):
            started.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=WORK, start_new_session=True))
        self.url = f"http://127.0.0.1:{self.http}"
        eventually(lambda: (WORK / "search.log").read_text(), self.answers)

    def answers(self):
        with socket.socket() as redis:
            if redis.connect_ex(("127.0.0.1", self.redis)):
                return False
        return request(f"{self.url}/_cluster/health?wait_for_status=green&timeout=10s")[0] == 200

    def environment(self):
        return {
            "ARGILLA_ELASTICSEARCH": self.url,
            "ARGILLA_REDIS_URL": f"redis://127.0.0.1:{self.redis}/0",
            "WAIT_FOR": f"{self.url},tcp://127.0.0.1:{self.redis}",
        }

    def indices(self):
        """What is in the indices of datasets, by name."""
        listed = request(f"{self.url}/_cat/indices/rg.*?format=json")[1]
        return {one["index"]: int(one["docs.count"]) for one in listed}


def request(url, body=None, headers=None, method=None):
    """The code of the answer, and its JSON; (0, None) where nobody answers."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    asked = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=15) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError:
        return 0, None


def environment(database, search=None, path=f"{VENV}/bin", **more):
    """That of a container of the image: nothing of this machine's is in it."""
    home = getattr(database, "home", WORK / "home")
    home.mkdir(exist_ok=True)
    (WORK / "tmp").mkdir(exist_ok=True)
    return {
        # Every import of Argilla's server leaves a copy of its pages there.
        "TMPDIR": str(WORK / "tmp"),
        "PATH": f"{path}:/usr/bin:/bin", "HOME": str(WORK), "ARGILLA_HOME_PATH": str(home),
        "ARGILLA_DATABASE_URL": database.url, "UVICORN_APP": "argilla_server:app",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "ARGILLA_AUTH_SECRET_KEY": "the same",
        "PRELAUNCH_CONFIG": str(EXAMPLE / "prelaunch.toml"), "ARGILLA_PACKAGE": str(package()),
        "ARGILLA_PROGRAMS": str(EXAMPLE),
        **(search.environment() if search else {}), **more,
    }  # fmt: skip


def package():
    """The link that the Dockerfile makes, by the Dockerfile's own command."""
    link = WORK / "package"
    if not link.is_symlink():
        text = (EXAMPLE / "Dockerfile").read_text().replace("\\\n", " ")
        (command,) = re.findall(r"^RUN (.*)$", text, re.MULTILINE)
        command = command.replace("/opt/prelaunch/package", str(link))
        subprocess.run(["sh", "-ec", command], check=True, env={"PATH": f"{VENV}/bin:/usr/bin:/bin"})
    return link


class Start:
    """A process, from its beginning to its end, and what it says."""

    def __init__(self, words, env, cwd=None):
        self.log = WORK / f"{secrets.token_hex(4)}.log"
        self.port = int(env.get("UVICORN_PORT", 0))
        self.begun = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd or WORK,
                start_new_session=True,
            )  # fmt: skip
        started.append(self.process)

    def said(self):
        return self.log.read_text()

    def ended(self):
        """Its exit code; waits for it."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"argilla: does not end: {self.said()}") from None

    def serves(self):
        """Waits until it answers, or has ended; whether it answers."""
        address = f"http://127.0.0.1:{self.port}/api/v1/version"
        outcome = eventually(
            self.said,
            lambda: "ended" if self.process.poll() is not None else request(address)[0] == 200 and "serves",
        )
        return outcome == "serves"

    def api(self, path, body=None, headers=None):
        headers = headers or {"X-Argilla-Api-Key": USER["API_KEY"]}
        return request(f"http://127.0.0.1:{self.port}/api/v1/{path}", body, headers)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.ended()

    def kill(self):
        """With whatever it has started: what Docker does with a container that does not end."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.ended()


def prelaunch(env, *command):
    return Start([PRELAUNCH, "run", "--", *command], env)


def serving(env):
    return prelaunch({**env, "UVICORN_PORT": str(port())}, *SERVE)


def theirs(env, server=True, target="head"):
    """What Argilla's start script does, in its order and by its commands."""
    words = [f"python -m argilla_server database migrate --revision {target}"]
    if "USERNAME" in env:
        words.append('python -m argilla_server database users create --first-name "$USERNAME" --username '
                     '"$USERNAME" --password "$PASSWORD" --role owner --api-key "$API_KEY"')  # fmt: skip
    if env.get("REINDEX_DATASETS") == "true":
        words.append("python -m argilla_server search-engine reindex")
    if server:
        words.append(" ".join(SERVE))
        env = {**env, "UVICORN_PORT": str(port())}
    # A file as theirs: what bash is given by -c, it becomes at the end, and what it reads it does not.
    script = WORK / f"start-{secrets.token_hex(4)}.sh"
    script.write_text("\n".join(["set -e", *words, ""]))
    unknown = {"PRELAUNCH_CONFIG", "ARGILLA_PACKAGE", "ARGILLA_PROGRAMS", "WAIT_FOR"}
    return Start(["bash", str(script)], {k: v for k, v in env.items() if k not in unknown})


class Watched:
    """Looks at the process list all the time, for a secret."""

    def __init__(self, secret):
        self.secret, self.seen, self.over = secret.encode(), set(), threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.02):
            for one in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = one.read_bytes()
                except OSError:
                    continue
                if self.secret in words:
                    self.seen.add(words.replace(self.secret, b"(the password)").replace(b"\0", b" ").decode())

    def __enter__(self):
        self.thread.start()
        return self.seen

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def left_behind():
    """MiB in the directory for temporary files, which is empty afterwards."""
    taken = sum(path.stat().st_size for path in (WORK / "tmp").rglob("*") if path.is_file())
    shutil.rmtree(WORK / "tmp")
    (WORK / "tmp").mkdir()
    return taken / 2**20


def marks():
    """A directory whose programs leave a mark when they are run, and the file they leave it in."""
    directory = WORK / f"marks-{secrets.token_hex(4)}"
    directory.mkdir()
    left = directory / "left"
    left.touch()
    for name in ("python", "python3", "alembic"):
        (directory / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{left}\nexit 99\n')
        (directory / name).chmod(0o755)
    return directory, left


def clean_up():
    """Ends what was started, with whatever that has started, and waits for it."""
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    shutil.rmtree(WORK, ignore_errors=True)
    sys.stdout.flush()
