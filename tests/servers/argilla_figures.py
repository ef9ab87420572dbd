"""What a start at head costs, beside what Argilla's own start script does there, each in turn. Called by
`argilla.py --figures`."""

import os
import statistics
import time

import argilla_bed as bed
from argilla_bed import USER, Postgres, Sqlite, environment, prelaunch, serving, theirs


def tell(rounds):
    for kind in (Postgres, Sqlite):
        at_head(kind, rounds)
    until_it_answers(Postgres, bed.Search(), max(3, rounds // 4))


def at_head(kind, rounds):
    """At head, from the start of the process to that of the server (`true`), in turn with theirs."""
    database = kind()
    env = environment(database)
    code = prelaunch(env, "/bin/true").ended()
    if code:
        raise SystemExit(f"argilla: the database for the figures: {code}")
    ours = [bed.PRELAUNCH, "run", "--", "/bin/true"]
    peer = [f"{bed.VENV}/bin/python", "-m", "argilla_server", "database", "migrate"]
    timed(ours, env), timed(peer, env)
    taken = []
    for _ in range(rounds):
        bed.left_behind()
        taken.append((timed(ours, env), timed(peer, env)))
    behind = bed.left_behind()
    print(f"{database.name}, nothing pending, {rounds} pairs in turn, medians (least to most)")
    for name, column in (("prelaunch run -- true", 0), ("python -m argilla_server database migrate", 1)):
        seconds = [pair[column][0] for pair in taken]
        print(f"  {name:43} {statistics.median(seconds) * 1e3:8.1f} ms ({min(seconds) * 1e3:.1f} to "
              f"{max(seconds) * 1e3:.1f}), CPU {statistics.median(pair[column][1] for pair in taken) * 1e3:7.1f} ms"
              )  # fmt: skip
    print(f"  ratio, pair by pair {statistics.median(b[0] / a[0] for a, b in taken):28.0f}"
          f" of time, {statistics.median(b[1] / a[1] for a, b in taken):.0f} of CPU")  # fmt: skip
    print(f"  theirs takes {statistics.median(pair[1][2] for pair in taken) / 1024:.0f} MiB at most, "
          f"and leaves {behind:.0f} MiB behind in /tmp", flush=True)  # fmt: skip


def timed(words, env):
    """Seconds, CPU seconds and the most memory in KiB (if it is more than ours) of a whole process."""
    begun = time.monotonic()
    quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    pid = os.posix_spawn(words[0], words, env, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    took = time.monotonic() - begun
    if status:
        raise SystemExit(f"argilla: {words} ended with {status}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss


def until_it_answers(kind, search, rounds):
    """A container that is started again: at head, the first user there, until the server answers."""
    database = kind()
    env = environment(database, search, **USER)
    if prelaunch(env, "/bin/true").ended():
        raise SystemExit("argilla: the database for the figures")
    taken = []
    for _ in range(rounds):
        pair = []
        for begin in (serving, theirs):
            start = begin(env)
            if not start.serves():
                raise SystemExit(f"argilla: does not answer: {start.said()}")
            pair.append(time.monotonic() - start.begun)
            start.kill()
        taken.append(pair)
    ours, peers = ([pair[column] for pair in taken] for column in (0, 1))
    print(f"{database.name}, until a server that is started again answers, {rounds} pairs in turn, medians")
    print(f"  behind prelaunch {statistics.median(ours):6.1f} s ({min(ours):.1f} to {max(ours):.1f})")
    print(f"  by their script  {statistics.median(peers):6.1f} s ({min(peers):.1f} to {max(peers):.1f})", flush=True)
