"""What the tests of containers take for granted: Docker, events, PostgreSQL.

A test waits for an event and never for a time: `eventually` asks until something is so, and says what
it saw when it gives up.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import time
import unittest
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIR = pathlib.Path(os.environ.get("CONTAINERS_DIR", "/tmp"))
DEMO = "prelaunch-demo:0.1.0"
SCRATCH = "prelaunch:0.1.0"

# How long an event may take on a machine that has much else to do.
PATIENCE = 120


def run(*command, check=True, **options):
    """A command's stdout and stderr together, and that it succeeds."""
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if check and ended.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}")
    return ended.stdout


def docker(*arguments, **options):
    return run("/usr/bin/docker", *arguments, **options)


def eventually(question, patience=PATIENCE, what=None):
    """Asks until the answer is true, and gives it; shows the last one, or `what`, in the end."""
    until = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"gave up after {patience} s: {what() if what else answer}")
        time.sleep(0.05)


def name(stem):
    """A name that nothing else has."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


class Container:
    """A container that was started in the background."""

    def __init__(self, *arguments, image=DEMO, command=(), stem="test"):
        self.name = name(stem)
        docker("run", "-d", "--name", self.name, *arguments, image, *command)

    def inspect(self):
        return json.loads(docker("inspect", self.name))[0]

    def state(self):
        return self.inspect()["State"]

    def logs(self):
        return docker("logs", self.name)

    def says(self, words):
        """Waits for words in its log, of which it may have ended by now."""
        eventually(lambda: words in self.logs(), what=self.logs)
        return self

    def code(self):
        """Its exit code, once it has ended."""
        eventually(lambda: not self.state()["Running"], what=self.logs)
        return self.state()["ExitCode"]

    def remove(self):
        docker("rm", "-f", "-v", self.name, check=False)


class Bed(unittest.TestCase):
    """A test with containers that are removed after it."""

    maxDiff = None

    def container(self, *arguments, **options):
        started = Container(*arguments, **options)
        self.addCleanup(started.remove)
        return started

    def network(self):
        network = name("net")
        docker("network", "create", network)
        self.addCleanup(docker, "network", "rm", network, check=False)
        return network

    def postgres(self, network, alias="db", ready=True, arguments=()):
        """PostgreSQL with the user, password and database of the compose file."""
        db = Postgres(
            "--network", network, "--network-alias", alias, "-e", "POSTGRES_USER=app",
            "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=app",
            *arguments,
            image="postgres:17", stem="db",
        )
        self.addCleanup(db.remove)
        if ready:
            db.ready()
        return db

    def scripts(self, **texts):
        """A directory of scripts, each following the one before; their names are their ids."""
        directory = DIR / name("scripts")
        directory.mkdir()
        write_scripts(directory, **texts)
        return directory


def write_scripts(directory, **texts):
    before = ""
    for revision, text in texts.items():
        (directory / f"{revision}.sql").write_text(
            f"-- {revision}\n--\n-- revision: {revision}\n-- revises: {before}\n\n"
            f"-- migrate:up\n{text}\n"
        )
        before = revision


class Postgres(Container):
    def ready(self):
        eventually(lambda: self.sql("select 1", check=False) == "1" or not self.state()["Running"])
        if not self.state()["Running"]:
            raise AssertionError(self.logs())

    def sql(self, text, check=True):
        return psql(self.name, text, check)

    @contextlib.contextmanager
    def holding(self, statement):
        """A session that has run a statement in a transaction, and stays."""
        session = subprocess.Popen(
            ["/usr/bin/docker", "exec", "-i", "-e", "PGPASSWORD=secret", self.name, *PSQL],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        session.stdin.write(f"begin; {statement}; select 'held';\n")
        session.stdin.flush()
        for line in session.stdout:
            if "held" in line:
                break
        try:
            yield
        finally:
            session.stdin.close()
            session.wait()
            session.stdout.close()


PSQL = ["psql", "-X", "-A", "-t", "-q", "-h", "127.0.0.1", "-U", "app", "-d", "app"]


def psql(container, text, check=True):
    out = docker("exec", "-e", "PGPASSWORD=secret", container, *PSQL, "-c", text, check=check)
    return out.strip()


URL = "DATABASE_URL=postgres://app:secret@db/app"
MIGRATE = ("-e", URL, "-e", "AUTO_MIGRATION=true")
