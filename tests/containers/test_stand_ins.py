"""The examples' Dockerfiles and compose files, on images that stand in for the real ones: with the
chains, commands and users that the real ones have, as far as a start knows them.

Debian's Python and Alembic are in them, and nothing of Agenta or OpenRAG.
"""

import json
import os

from bed import DIR, ROOT, SCRATCH, Bed, docker, eventually, name, run

ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine
URL
with create_engine(url).connect() as connection:
    context.configure(connection=connection, version_table="TABLE")
    with context.begin_transaction():
        context.run_migrations()
"""

REVISION = """\
import sqlalchemy as sa
from alembic import op
revision = "ID"
down_revision = PARENTS
def upgrade():
    op.create_table("t_ID_CHAIN", sa.Column("n", sa.Integer))
"""

RUN = """\
from alembic import command
from alembic.config import Config
print("the runner begins", flush=True)
for chain in CHAINS:
    command.upgrade(Config(f"{chain}/alembic.ini"), "head")
print("the runner has ended", flush=True)
"""

# What is there under another name, or only seems to be.
SERVER = "#!/bin/sh\nexec python3 -m http.server PORT\n"
PROGRAMS = {
    "gunicorn": SERVER.replace("PORT", "8000"),
    "supercronic": "#!/bin/sh\nexec sleep infinity\n",
    # `redis-server --port PORT …`
    "redis-server": '#!/bin/sh\nexec python3 -m http.server "$2"\n',
    # `uv run --no-dev COMMAND…`
    "uv": '#!/bin/sh\nshift 2\nexec "$@"\n',
    "uvicorn": '#!/bin/sh\necho "migrates by itself: $POSTGRES_RUN_MIGRATIONS"\n'
               "exec python3 -m http.server 8080\n",
}

AGENTA = "app/oss/databases/postgres/migrations"
OPENRAG = "app/openrag/services/persistence/migrations"

DOCKERFILE = """\
FROM alembic:comparison
RUN ln -s python3 /usr/bin/python
COPY bin /usr/local/bin
COPY app /app
ENV PYTHONPATH=/app:/app/openrag PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR WORKDIR
ENTRYPOINT []
USER USER
"""


class Image:
    """The context of an image that stands in for one."""

    def __init__(self, tag, workdir, user):
        self.tag, self.root = tag, DIR / name("context")
        for program, text in PROGRAMS.items():
            self.write(f"bin/{program}", text).chmod(0o755)
        text = DOCKERFILE.replace("WORKDIR WORKDIR", f"WORKDIR {workdir}")
        self.write("Dockerfile", text.replace("USER USER", f"USER {user}"))

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def chain(self, directory, url, table, **revisions):
        self.write(f"{directory}/alembic.ini", f"[alembic]\nscript_location = /{directory}\n")
        self.write(f"{directory}/env.py", ENV.replace("URL", url).replace("TABLE", table))
        for revision, parents in revisions.items():
            text = REVISION.replace("ID", revision).replace("PARENTS", repr(parents))
            text = text.replace("CHAIN", directory.rsplit("/", 1)[1])
            self.write(f"{directory}/versions/{revision}.py", text)

    def build(self):
        docker("build", "-q", "-t", self.tag, str(self.root))
        return self.tag


def make_agenta():
    image = Image("agenta-stand-in", "/app", "10001")
    for chain in ["core", "core_oss", "tracing", "tracing_oss"]:
        base, _, edition = chain.partition("_")
        # Put together as Agenta does it where nothing is said.
        url = ("user, password = os.environ['POSTGRES_USER'], os.environ['POSTGRES_PASSWORD']\n"
               f"url = f'postgresql://{{user}}:{{password}}@postgres:5432/agenta_oss_{base}'")
        table = f"alembic_version_{edition}" if edition else "alembic_version"
        image.chain(f"{AGENTA}/{chain}", url, table, first=None, second="first")
    chains = [f"/{AGENTA}/{one}" for one in ["core", "core_oss", "tracing", "tracing_oss"]]
    image.write(f"{AGENTA}/runner.py", RUN.replace("CHAINS", repr(chains)))
    for worker in ["worker_streams", "worker_queues"]:
        image.write(f"app/entrypoints/{worker}.py", "import time\ntime.sleep(10**6)\n")
    return image.build()


def make_openrag():
    image = Image("openrag-stand-in", "/app/openrag", "10001:0")
    url = ("part = os.environ.__getitem__\n"
           "url = (f\"postgresql://{part('POSTGRES_USER')}:{part('POSTGRES_PASSWORD')}\"\n"
           "       f\"@{part('POSTGRES_HOST')}/{part('POSTGRES_DATABASE')}\")")
    image.chain(f"{OPENRAG}/alembic", url, "alembic_version",
                root=None, left="root", right="root", merged=("left", "right"))
    image.write(f"{OPENRAG}/run.py", RUN.replace("CHAINS", repr([f"/{OPENRAG}/alembic"])))
    return image.build()


class Example(Bed):
    """A compose file of the examples, from nothing."""

    def project(self, example, **environment):
        self.name, self.directory = name(example), ROOT / "examples" / example
        # Ours is tagged; what the examples take by default is the newest.
        docker("tag", SCRATCH, "prelaunch:latest")
        override = DIR / f"{self.name}.yml"
        override.write_text(json.dumps(self.override))
        self.command = ["docker-compose", "-p", self.name, "-f", "docker-compose.yml", "-f", str(override)]
        self.environment = {**os.environ, **environment, "PATH": f"/usr/bin:{os.environ['PATH']}",
                            "COMPOSE_DOCKER_CLI_BUILD": "1"}
        self.addCleanup(self.compose, "down", "-v", "-t", "1", check=False)

    override = {"version": "3"}

    def compose(self, *arguments, **options):
        return run(*self.command, *arguments, cwd=self.directory, env=self.environment, **options)

    def logs(self, service=()):
        return self.compose("logs", "--no-color", *service)

    def process(self, service):
        """The first process of a service's container."""
        out = self.compose("exec", "-T", service, "cat", "/proc/1/cmdline", check=False)
        return out.replace("\0", " ").strip()

    def becomes(self, service, words):
        eventually(lambda: words in self.process(service), what=self.logs)


class Agenta(Example):
    def test_all_start_at_once_and_the_runner_is_run_once(self):
        agenta = make_agenta()
        # Whatever listens there will do.
        docker("tag", agenta, "redis:8")
        docker("tag", agenta, "supertokens/supertokens-postgresql:11")
        self.override = {"version": "3", "services": {
            "supertokens": {"command": ["sleep", "infinity"]}}}
        self.project("agenta", AGENTA_IMAGE=agenta, POSTGRES_PASSWORD="secret-of-agenta",
                     API_PORT="18101")
        self.compose("up", "-d", "--build")
        for service, words in {
            "api": "http.server 8000", "worker-streams": "entrypoints.worker_streams",
            "worker-queues": "entrypoints.worker_queues", "cron": "prelaunch run",
        }.items():
            self.becomes(service, words)
        eventually(lambda: "starts the server" in self.logs(["cron"]), what=self.logs)
        logs = self.logs()
        self.assertEqual(logs.count("the runner begins"), 1, logs)
        self.assertEqual(logs.count("the runner has ended"), 1, logs)
        self.assertNotIn("secret-of-agenta", logs)
        for base in ["core", "tracing"]:
            for table in ["alembic_version", "alembic_version_oss"]:
                out = self.compose(
                    "exec", "-T", "-e", "PGPASSWORD=secret-of-agenta", "postgres", "psql", "-XAtq",
                    "-h", "127.0.0.1", "-U", "username", "-d", f"agenta_oss_{base}",
                    "-c", f"select version_num from {table}")
                self.assertEqual(out.strip(), "second")
        # Again, with nothing to do.
        self.compose("restart", "-t", "2", "api")
        self.becomes("api", "http.server 8000")
        self.assertEqual(self.logs().count("the runner begins"), 1)


class Openrag(Example):
    def test_the_server_starts_on_a_schema_that_is_there_and_is_told_so(self):
        openrag = make_openrag()
        docker("tag", "postgres:17", "postgres:15")
        # It listens where Milvus would.
        self.override = {"version": "3", "services": {
            "milvus": {"image": openrag, "command": ["python", "-m", "http.server", "19530"]}}}
        self.project("openrag", OPENRAG_IMAGE=openrag, POSTGRES_PASSWORD="secret-of-openrag",
                     VDB_HOST="milvus", APP_PORT="18100")
        self.compose("up", "-d", "--build")
        self.becomes("openrag", "http.server 8080")
        logs = self.logs()
        self.assertEqual(logs.count("the runner begins"), 1, logs)
        self.assertIn("migrates by itself: false", logs)
        self.assertNotIn("secret-of-openrag", logs)
        self.assertNotIn("secret-of-openrag", self.process("openrag"))
