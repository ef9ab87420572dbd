"""Agenta's runner behind prelaunch, and by itself; agenta.sh says what it is about."""

import concurrent.futures
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time
import urllib.parse

PRELAUNCH, ROOT, VENV, RUNS = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/agenta/prelaunch.toml"
MIGRATIONS = ROOT / "app/oss/databases/postgres/migrations"
RUNNER = [f"{VENV}/bin/python", "-m", "oss.databases.postgres.migrations.runner"]
SERVER = urllib.parse.urlsplit(os.environ["PRELAUNCH_TEST_POSTGRES"])
TABLES = ["alembic_version", "alembic_version_oss"]


def sql(database, text):
    """As the superuser of the throwaway server."""
    url = SERVER._replace(path=f"/{database}").geturl()
    command = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
    for statement in text.split(";"):
        command += ["-c", statement]
    quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    ended = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, check=True, text=True)
    return ended.stdout.strip()


def empty():
    """The databases as Agenta's own files make them: there, and empty."""
    for name in ["core", "tracing", "supertokens"]:
        sql("postgres", f"drop database if exists agenta_oss_{name} with (force);"
                        f"create database agenta_oss_{name} owner username")


def environment():
    url = f"postgresql+asyncpg://username:password@{SERVER.hostname}:{SERVER.port}/agenta_oss_"
    return {
        "PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(ROOT),
        "PYTHONPATH": str(ROOT / "app"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "POSTGRES_URI_CORE": f"{url}core",
        "POSTGRES_URI_TRACING": f"{url}tracing",
        "ALEMBIC_CFG_PATH_CORE": str(MIGRATIONS / "core/alembic.ini"),
        "ALEMBIC_CFG_PATH_TRACING": str(MIGRATIONS / "tracing/alembic.ini"),
        # For the example's file.
        "PRELAUNCH_CONFIG": str(EXAMPLE),
        "AGENTA_MIGRATIONS": str(MIGRATIONS),
    }


def run(*command, **more):
    return subprocess.run(
        command, cwd=ROOT / "app", env={**environment(), **more},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )


def start(**more):
    return run(PRELAUNCH, "run", "--", "echo", "the server runs", **more)


def at_once(count, what):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [one.result() for one in [pool.submit(what) for _ in range(count)]]


def heads():
    return [sql(f"agenta_oss_{name}", f"select version_num from {table}")
            for name in ["core", "tracing"] for table in TABLES]


def schema():
    """Both databases as text, without what is ours and what differs by itself."""
    text = ""
    for name in ["core", "tracing"]:
        url = SERVER._replace(path=f"/agenta_oss_{name}").geturl()
        command = ["pg_dump", "--schema-only", "--no-owner", "-T", "prelaunch_*", "-d", url]
        text += subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return re.sub(r"(?m)^\\(un)?restrict .*$", "", text)


def claim(holds, words, shown=""):
    print(f"agenta.sh: {'yes' if holds else 'NO'}: {words}")
    if not holds:
        print(shown)
        sys.exit(1)


def timed(command):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = run(*command)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    claim_quiet(ended)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1000, processor * 1000


def claim_quiet(ended):
    if ended.returncode != 0:
        claim(False, "it succeeds", ended.stdout)


def main():
    sql("postgres", "create role username login superuser password 'password'")
    print(f"agenta.sh: PostgreSQL {sql('postgres', 'show server_version')}")

    empty()
    alone = run(*RUNNER)
    claim(alone.returncode == 0, "the runner migrates empty databases by itself", alone.stdout)
    reached, expected = heads(), schema()

    empty()
    ended = at_once(3, start)
    said = "\n".join(one.stdout for one in ended)
    claim(all(one.returncode == 0 for one in ended), "of three starts at once none fails", said)
    claim(said.count("the server runs") == 3, "all three become their server", said)
    claim(said.count("runs a command") == 1, "the runner is run once", said)
    claim(heads() == reached, f"all four chains are at their heads: {', '.join(reached)}", heads())
    claim(schema() == expected, "the schema is the one that the runner makes by itself")
    claim("password" not in said.replace("password authentication", ""), "no password is shown", said)

    again = start(PATH="/usr/bin:/bin")
    claim(again.returncode == 0 and "runs a command" not in again.stdout,
          "at head a start needs no Python", again.stdout)

    figures = {"prelaunch": [], "runner": []}
    for _ in range(RUNS):
        figures["prelaunch"].append(timed([PRELAUNCH, "run", "--", "true"]))
        figures["runner"].append(timed(RUNNER))
    for name, runs in figures.items():
        took, processor = (statistics.median(column) for column in zip(*runs))
        print(f"agenta.sh: at head, median of {RUNS} in turn: {name} {took:.1f} ms, "
              f"{processor:.1f} ms of processor time")

    empty()
    ended = at_once(3, lambda: run(*RUNNER))
    failed = sum(one.returncode != 0 for one in ended)
    print(f"agenta.sh: of three runners at once without prelaunch {failed} fail")


main()
