"""examples/argilla as it stands: its Dockerfile is built, its compose file started from nothing.

    tests/containers/run.sh --argilla

Three servers and a worker come up at once, before the database is there. The images below are ours
(argilla.sh), with the real server, PostgreSQL, Elasticsearch and Redis in them.
"""

import json
import os
import sys
import time
import urllib.request

import yaml

from bed import DIR, ROOT, docker, eventually, name, run

REPLICAS = 3
KEY = {"X-Argilla-Api-Key": "argilla.apikey"}
FILE = ROOT / "examples/argilla/docker-compose.yml"
PROJECT = name("argilla")
failures = []


def compose(*arguments, **options):
    environment = {**os.environ, "PORTS": "16900-16919", "PATH": f"/usr/bin:{os.environ['PATH']}",
                   "COMPOSE_DOCKER_CLI_BUILD": "1"}  # fmt: skip
    return run("docker-compose", "-f", str(FILE), "-p", PROJECT, *arguments, env=environment, **options)


def check(claim, found, expected):
    if found == expected:
        print(f"  holds: {claim}", flush=True)
    else:
        failures.append(claim)
        print(f"  FAILED: {claim}\n    found    {found!r}\n    expected {expected!r}", flush=True)


def containers(service):
    label = "label=com.docker.compose."
    found = docker("ps", "-aq", "--filter", f"{label}project={PROJECT}", "--filter",
                   f"{label}service={service}").split()  # fmt: skip
    return json.loads(docker("inspect", *found))


def me(container):
    """Whom the key belongs to, asked at a server's own port."""
    ports = container["NetworkSettings"]["Ports"].get("6900/tcp")
    if not ports:
        return None
    asked = urllib.request.Request(f"http://127.0.0.1:{ports[0]['HostPort']}/api/v1/me", headers=KEY)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)["username"]
    except OSError:
        return None


def serving():
    found = containers("argilla")
    return len(found) == REPLICAS and all(me(one) == "argilla" for one in found)


def count(db):
    return docker("exec", "-e", "PGPASSWORD=secret", db, "psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-U", "argilla",
                  "-c", "select count(*) from users").strip()  # fmt: skip


def ran(logs):
    return [line.split("what=")[1].strip('"') for line in logs.splitlines() if ": runs a command" in line]


def main():
    compose("build")
    link = docker("run", "--rm", "--entrypoint", "readlink", "argilla-prelaunch",
                  "/opt/prelaunch/package").strip()  # fmt: skip
    check("the link leads to the package", link, "/opt/venv/lib/python3.11/site-packages/argilla_server")
    begun = time.monotonic()
    compose("up", "-d", "--scale", f"argilla={REPLICAS}")
    eventually(serving, 300, lambda: compose("logs", "--no-color", "--tail", "40"))
    print(f"  ({time.monotonic() - begun:.0f} s from nothing to {REPLICAS} servers)")
    servers = containers("argilla")
    logs = [docker("logs", one["Id"]) for one in servers]
    check("one has migrated and made the user", sorted(ran(one) for one in logs),
          [[]] * (REPLICAS - 1) + [["MIGRATE_COMMAND", "hook `first user`"]])  # fmt: skip
    check("none was started again", [one["RestartCount"] for one in servers], [0] * REPLICAS)
    (worker,) = containers("worker")
    eventually(lambda: "Listening on" in docker("logs", worker["Id"]), what=lambda: docker("logs", worker["Id"]))
    check("the worker works, and has run nothing", (ran(docker("logs", worker["Id"])), worker["RestartCount"]), ([], 0))
    first = servers[0]["Id"]
    process = docker("exec", first, "cat", "/proc/1/cmdline").split("\0")
    check("process 1 is the server", process[1:4], ["-m", "uvicorn", "--host"])
    check("and not root", docker("exec", first, "id", "-un").strip(), "argilla")
    inside = docker("exec", first, "cat", "/proc/1/environ")
    check("it has neither password nor key of the user", ["12345678" in inside, "argilla.apikey" in inside], [False, False])
    (db,) = containers("db")
    check("there is one user", count(db["Id"]), "1")
    begun = time.monotonic()
    docker("stop", "-t", "10", first)
    took = time.monotonic() - begun
    print(f"  (docker stop took {took:.1f} s)")
    check("docker stop need not kill", took < 8, True)
    docker("start", first)
    eventually(lambda: all(me(one) for one in containers("argilla")), what=lambda: docker("logs", first))
    check("started again, it has run nothing more", ran(docker("logs", first)), ran(logs[0]))
    # Without any database named it is a SQLite file in the volume, and the user of the image may write it.
    alone = name("alone")
    docker("run", "-d", "--name", alone, "-e", "USERNAME=ada", "-e", "PASSWORD=12345678", "argilla-prelaunch",
           "sleep", "600")  # fmt: skip
    eventually(lambda: "becomes the server" in docker("logs", alone), what=lambda: docker("logs", alone))
    check("by itself it migrates SQLite", ran(docker("logs", alone)), ["MIGRATE_COMMAND", "hook `first user`"])
    docker("rm", "-f", "-v", alone)


def it_needs_no_more_than_the_manifest_gives():
    """Confined as in kubernetes.yaml: nothing of the root can be written, no capabilities, 2 GB."""
    environment = compose_environment()
    confined = name("confined")
    docker("run", "-d", "--name", confined, "--network", f"{PROJECT}_default", "-p", "127.0.0.1:16950:6900",
           "--read-only", "--tmpfs", "/tmp:mode=1777", "--tmpfs", "/var/lib/argilla:uid=1000,gid=1000",
           "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "-m", "2g",
           *(word for pair in environment.items() for word in ("-e", "=".join(pair))),
           "-e", "HF_HOME=/tmp/huggingface", "argilla-prelaunch")  # fmt: skip
    try:
        asked = "http://127.0.0.1:16950/api/v1/version"
        eventually(lambda: answers(asked), what=lambda: docker("logs", confined))
        check("confined it serves as well", ran(docker("logs", confined)), [])
    finally:
        docker("rm", "-f", "-v", confined)


def compose_environment():
    return yaml.safe_load(FILE.read_text())["x-environment"]


def answers(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def their_script_under_docker_stop():
    """The steps of Argilla's start script, at its place in Argilla's image."""
    script = DIR / "start_argilla_server.sh"
    script.write_text("set -e\npython -m argilla_server database migrate\npython -m uvicorn --host 0.0.0.0\n")
    theirs = name("theirs")
    docker("run", "-d", "--name", theirs, "--network", f"{PROJECT}_default",
           "-e", "ARGILLA_ELASTICSEARCH=http://elasticsearch:9200", "-e", "ARGILLA_REDIS_URL=redis://redis:6379/0",
           "-v", f"{script}:/home/argilla/{script.name}:ro", "argilla/argilla-server:v2.8.0")  # fmt: skip
    try:
        eventually(lambda: "Uvicorn running" in docker("logs", theirs), what=lambda: docker("logs", theirs))
        begun = time.monotonic()
        docker("stop", "-t", "10", theirs)
        code = json.loads(docker("inspect", theirs))[0]["State"]["ExitCode"]
        print(f"  theirs: docker stop took {time.monotonic() - begun:.1f} s, exit {code}", flush=True)
    finally:
        docker("rm", "-f", "-v", theirs)


try:
    main()
    it_needs_no_more_than_the_manifest_gives()
    their_script_under_docker_stop()
finally:
    compose("down", "-v", "-t", "2", check=False)
if failures:
    sys.exit(f"{len(failures)} claims do not hold: {failures}")
print("every claim holds")
