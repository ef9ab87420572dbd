"""Size, and time from `docker run` to exec with nothing pending, beside an image with Alembic.

    tests/containers/run.sh --figures [RUNS]

The images take turns, each start in a new container on the same database, which both have brought
to their head before. What starts at the end is the same program, which says so and goes on; the time
is up to what it says, on the monotonic clock of this machine. The start of the engine's container is
in both, and is measured as the third: the same program with nothing before it.
"""

import statistics
import subprocess
import sys
import time

from bed import DEMO, DIR, MIGRATE, Postgres, docker, name

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
SERVER = "/usr/local/bin/server"


def main():
    network = name("net")
    docker("network", "create", network)
    db = Postgres("--network", network, "--network-alias", "db", "-e", "POSTGRES_USER=app",
                  "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=app",
                  image="postgres:17", stem="db")
    binary = docker("create", DEMO).strip()
    try:
        db.ready()
        docker("cp", f"{binary}:{SERVER}", str(DIR / "server"))
        mount = ("-v", f"{DIR / 'server'}:{SERVER}:ro", "--network", network)
        kinds = {
            "nothing before it": (*mount, "--entrypoint", SERVER, DEMO),
            "prelaunch": (*mount, *MIGRATE, DEMO),
            "Alembic": (*mount, "-e", "DATABASE_URL=postgresql://app:secret@db/app",
                        "alembic:comparison", SERVER),
        }
        for arguments in kinds.values():
            until_exec(arguments)
        times = {kind: [] for kind in kinds}
        for _ in range(RUNS):
            for kind, arguments in kinds.items():
                times[kind].append(until_exec(arguments))
    finally:
        docker("rm", binary)
        db.remove()
        docker("network", "rm", network)
    for image in ["prelaunch:0.1.0", "prelaunch:0.1.0-debian", "alembic:comparison"]:
        size = int(docker("image", "inspect", "-f", "{{.Size}}", image))
        print(f"{image:24} {size / 1e6:7.1f} MB")
    for kind, taken in times.items():
        low, *_, high = statistics.quantiles(taken, n=20)
        print(f"{kind:24} median {statistics.median(taken) * 1000:6.0f} ms, "
              f"5 to 95 of 100: {low * 1000:.0f} to {high * 1000:.0f} ms, {len(taken)} runs")


def until_exec(arguments):
    """Seconds from `docker run` until the program says that it serves."""
    this = name("figure")
    started = time.monotonic()
    run = subprocess.Popen(["/usr/bin/docker", "run", "--name", this, *arguments],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in run.stdout:
        if "serving on" in line:
            break
    else:
        raise AssertionError(f"no server: {docker('logs', this)}")
    taken = time.monotonic() - started
    docker("rm", "-f", this)
    run.wait()
    run.stdout.close()
    return taken


main()
