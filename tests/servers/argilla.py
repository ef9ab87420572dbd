"""Starts a real argilla-server behind prelaunch with `examples/argilla`, and beside it what its own
start script does. Called by `argilla.sh`, beside a PostgreSQL server of the tests."""

import pathlib
import subprocess
import sys
import time

import argilla_bed as bed
import argilla_figures
from argilla_bed import USER, Postgres, Sqlite, environment, eventually, prelaunch, serving, theirs

HEAD = "580a6553186f"
REVISIONS = 24
REPLICAS = 3
failures = []


def check(claim, found, expected, *details):
    if found == expected:
        print(f"  holds: {claim}", flush=True)
    else:
        failures.append(claim)
        print(f"  FAILED: {claim}", f"found    {found!r}", f"expected {expected!r}", *details,
              sep="\n    ", flush=True)  # fmt: skip


def tell(peer, what):
    print(f"  {peer}: {what}", flush=True)


def login(start):
    """The code that a login by password gets, and who the key belongs to."""
    form = f"username={USER['USERNAME']}&password={USER['PASSWORD']}".encode()
    token = start.api("token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    me = start.api("me")[1]
    return token[0], me and me["username"], me and me["role"]


def users(database):
    return database.query("select username from users order by 1").split()


def ran(start):
    """The commands that prelaunch has run, in their order."""
    lines = [line for line in start.said().splitlines() if ": runs a command" in line]
    return [line.split("what=")[1].strip('"') for line in lines]


def secrets_in(text, database):
    known = {"the user's password": USER["PASSWORD"], "the user's key": USER["API_KEY"],
             "the database's password": database.password, "the superuser's password": bed.MASTER}  # fmt: skip
    return [name for name, secret in known.items() if secret and secret in text]


def an_empty_database_becomes_a_server(database, search):
    env = environment(database, search, **USER)
    with bed.Watched(USER["PASSWORD"]) as seen:
        start = serving(env) if search else prelaunch(env, "true")
        if search:
            check("from an empty database to the server that answers", start.serves(), True, start.said())
        else:
            check("from an empty database to the server", start.ended(), 0, start.said())
    took = time.monotonic() - start.begun
    print(f"  ({took:.1f} s)")
    check("it runs Alembic, then the first user", ran(start), ["MIGRATE_COMMAND", "hook `first user`"])
    check("the database is at the head", database.query("select version_num from alembic_version"), HEAD)
    check("there is one user", users(database), ["ada"])
    check("the password is in no process list", seen, set())
    check("no secret is in the log", secrets_in(start.said(), database), [])
    if search:
        check("the user can log in, and the key is the user's", login(start), (201, "ada", "owner"))
        command = pathlib.Path(f"/proc/{start.process.pid}/cmdline").read_bytes().split(b"\0")
        check("the server has prelaunch's process id", command[1:3], [b"-m", b"uvicorn"])
        inherited = pathlib.Path(f"/proc/{start.process.pid}/environ").read_bytes()
        check("the server has neither password nor key of the user",
              [USER[name].encode() in inherited for name in ("PASSWORD", "API_KEY")], [False, False])  # fmt: skip
        asked = time.monotonic()
        code = start.stop()
        tell("SIGTERM", f"ends the server after {time.monotonic() - asked:.1f} s with {code}")
        check("SIGTERM ends the server as it ends uvicorn itself", code in (0, -15), True)


def a_second_start_changes_nothing(database, search):
    before = database.dump()
    path, left = bed.marks()
    env = environment(database, search, path=path, **USER)
    start = prelaunch(env, "/bin/true")
    check("a start at head needs no Python", (start.ended(), left.read_text()), (0, ""), start.said())
    control = prelaunch(environment(type(database)(), search, path=path), "/bin/true")
    check("a start with something to do needs it", (control.ended(), "upgrade.py" in left.read_text()), (19, True))
    trace = bed.WORK / "trace"
    traced = bed.Start(
        ["strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(trace),
         bed.PRELAUNCH, "run", "--", "/bin/true"], environment(database, search, **USER),
    )  # fmt: skip
    check("under strace it starts as well", traced.ended(), 0, traced.said())
    executed = [line.split('"')[1] for line in trace.read_text().splitlines() if 'execve("' in line]
    check("it executes the server and nothing else", executed, [bed.PRELAUNCH, "/bin/true"])
    if search:
        start = serving(environment(database, search, **USER))
        check("the server answers again", start.serves(), True, start.said())
        check("nothing was run before it", ran(start), [])
        check("the same user can log in", login(start), (201, "ada", "owner"))
        start.stop()
    check("nothing in the database has changed", database.dump(), before)


def every_spelling_of_the_url_is_the_same_database(database, search):
    path, left = bed.marks()
    spelt = [{"ARGILLA_DATABASE_URL": form} for form in database.forms]
    if isinstance(database, Sqlite):
        # Argilla's own default: a file in its home.
        spelt += [{"ARGILLA_DATABASE_URL": ""}]
    for one in spelt:
        form = one["ARGILLA_DATABASE_URL"].replace(database.password or "-", "…") or "(none)"
        start = prelaunch({**environment(database, search, path=path), **one}, "/bin/true")
        check(f"at head by {form}", (start.ended(), "pending=0" in start.said()), (0, True), start.said())
    check("without Python", left.read_text(), "")
    # Alembic and the first user have to find the database by it, too; the last is the least usual.
    for number in range(0 if search else len(spelt) - 1, len(spelt)):
        empty = type(database)()
        one = spelt[number] if spelt[number] == {"ARGILLA_DATABASE_URL": ""} else {
            "ARGILLA_DATABASE_URL": empty.forms[number]
        }  # fmt: skip
        start = prelaunch({**environment(empty, search, **USER), **one}, "/bin/true")
        check("from empty by the same", (start.ended(), users(empty)), (0, ["ada"]), start.said())


def replicas_do_not_disturb_each_other(kind, search):
    database = kind()
    env = environment(database, search, **USER)
    starts = [serving(env) if search else prelaunch(env, "true") for _ in range(REPLICAS)]
    if search:
        check(f"{REPLICAS} replicas at once all answer", [one.serves() for one in starts], [True] * REPLICAS,
              *(one.said() for one in starts))  # fmt: skip
        check("each lets the user in", {login(one) for one in starts}, {(201, "ada", "owner")})
    else:
        check(f"{REPLICAS} replicas at once all start", [one.ended() for one in starts], [0] * REPLICAS,
              *(one.said() for one in starts))  # fmt: skip
    did = sorted(ran(one) for one in starts)
    check("one migrates and makes the user", did, [[]] * (REPLICAS - 1) + [["MIGRATE_COMMAND", "hook `first user`"]])
    check("there is one user", users(database), ["ada"])
    upgrades = "select count(*) from prelaunch_history where event = 'upgrade'"
    check("each revision was applied once", database.query(upgrades), str(REVISIONS))
    for one in starts:
        one.stop()


def what_their_replicas_do(kind, search):
    database = kind()
    env = environment(database, search, **USER)
    starts = [theirs(env) for _ in range(REPLICAS)]
    serve = [one.serves() for one in starts]
    crashed = [one for one, serves in zip(starts, serve) if not serves]
    tell("theirs", f"of {REPLICAS} at once {len(crashed)} crashed: {sorted(map(last_words, crashed))}")
    if True in serve:
        stopped = starts[serve.index(True)]
        stopped.process.terminate()
        code = stopped.process.wait(bed.PATIENCE)
        tell("theirs", f"SIGTERM: the shell ends with {code}, the server still answers: {stopped.api('version')[0] == 200}")
    for one in starts:
        one.kill()
    again = theirs(env, server=False)
    code = again.ended()
    users_then = users(database) if "users" in " ".join(database.dump()) else []
    tell("theirs", f"started again by itself: exit {code}, users {users_then}"
         + (f": {last_words(again)}" if code else ""))  # fmt: skip
    return len(crashed)


def last_words(start):
    """The name of what was raised last, or what Alembic says where it has caught it."""
    lines = [line.strip(" │(") for line in start.said().splitlines()]
    failed = [line for line in lines if line.startswith("FAILED: ")]
    names = [line.split(":")[0] for line in lines]
    raised = [one for one in names if one.endswith(("Error", "Exception")) and " " not in one]
    return (failed + raised + [f"exit {start.process.returncode}"])[0 if failed else -2 if raised else -1]


def an_unknown_revision_is_refused(database, search):
    path, left = bed.marks()
    unknown = "ffffeeeedddd"
    database.query(f"update alembic_version set version_num = '{unknown}'")
    env = environment(database, search, path=path, **USER)
    start = prelaunch(env, "/bin/true")
    check("a database that is ahead is refused", start.ended(), 16, start.said())
    check("before Python", left.read_text(), "")
    print(f"    {start.said().splitlines()[-1]}")
    start = prelaunch({**env, "DATABASE_AHEAD": "allow"}, "/bin/true")
    check("DATABASE_AHEAD=allow starts it", (start.ended(), left.read_text()), (0, ""), start.said())
    if search:
        begun = time.monotonic()
        peer = theirs(environment(database, search), server=False)
        code = peer.ended()
        lines = len(peer.said().splitlines())
        tell("theirs", f"exit {code} after {time.monotonic() - begun:.1f} s, {lines} lines, {last_words(peer)}")
    database.query(f"update alembic_version set version_num = '{HEAD}'")


def an_older_target_is_no_way_back(database, search):
    """Argilla's command reverts without a word where it is given an older revision."""
    path, left = bed.marks()
    before = database.dump()
    env = environment(database, search, path=path, MIGRATION_TARGET="1.8")
    start = prelaunch(env, "/bin/true")
    check("an older target is refused, before Python", (start.ended(), left.read_text()), (16, ""), start.said())
    check("and nothing is reverted", database.dump(), before)
    if search:
        tables = database.tables()
        peer = theirs(environment(database, search), server=False, target="1.8")
        tell("theirs", f"--revision 1.8: exit {peer.ended()}, of {tables} tables {database.tables()} are left")
        again = prelaunch(environment(database, search), "/bin/true")
        check("up again from there", (again.ended(), ran(again)[:1]), (0, ["MIGRATE_COMMAND"]), again.said())
    listed = subprocess.run([bed.PRELAUNCH, "database", "revisions", "--json"], capture_output=True, text=True,
                            env=env, cwd=bed.WORK, check=False)  # fmt: skip
    tags = listed.stdout.count('"tag":') - listed.stdout.count('"tag":null') - listed.stdout.count('"tag": null')
    check("its ten releases are known", (listed.returncode, tags), (0, 10), listed.stderr)


def a_bad_password_is_not_told(kind, search):
    database = kind()
    user = {**USER, "PASSWORD": "pa-55wd"}
    start = prelaunch(environment(database, search, **user), "/bin/true")
    check("a first user that cannot be made is 19", start.ended(), 19, start.said())
    check("the reason is told, the password is not",
          ("PASSWORD: String should have at least 8 characters" in start.said(), user["PASSWORD"] in start.said()),
          (True, False), start.said())  # fmt: skip
    peer = theirs(environment(database, search, **user), server=False)
    code = peer.ended()
    tell("theirs", f"exit {code}, the password is in its log: {user['PASSWORD'] in peer.said()}")
    with bed.Watched(USER["PASSWORD"]) as seen:
        peer = theirs(environment(database, search, **USER), server=False)
        peer.ended()
    tell("theirs", f"with a good one: the password is in the process list: {bool(seen)}, "
         f"the key in its log: {USER['API_KEY'] in peer.said()}")  # fmt: skip
    check("the process list is looked at", bool(seen), True)


def reindexing_is_theirs_under_our_lock(database, search):
    records = 250
    env = environment(database, search, **USER)
    start = serving(env)
    check("a server for the datasets", start.serves(), True, start.said())
    name = f"rg.{made(start, records)}"
    eventually(search.indices, lambda: search.indices().get(name) == records)
    start.stop()
    bed.request(f"{search.url}/{name}", method="DELETE")
    check("its index is gone", name in search.indices(), False)
    asking = {**env, "REINDEX_DATASETS": "true"}
    starts = [serving(asking) for _ in range(REPLICAS)]
    check("three that shall reindex all answer", [one.serves() for one in starts], [True] * REPLICAS,
          *(one.said() for one in starts))  # fmt: skip
    check("one did it", sorted(ran(one) for one in starts), [[]] * (REPLICAS - 1) + [["REINDEX_COMMAND"]])
    (one,) = [one for one in starts if ran(one)]
    order = [line.split(": ")[1] for line in one.said().splitlines() if "REINDEX" in line or "has the lock" in line]
    check("under the lock", order[0].startswith("has the lock"), True, one.said())
    check("the index is whole again", search.indices().get(name), records)
    for one in starts:
        one.stop()
    start = prelaunch({**env, "REINDEX_DATASET": "1"}, "/bin/true")
    check("REINDEX_DATASET, as Argilla's README has it, does it too",
          (start.ended(), ran(start)), (0, ["REINDEX_COMMAND"]), start.said())  # fmt: skip


def made(start, records):
    """A dataset with records, by the server's API; its id."""
    workspace = start.api("workspaces", {"name": "w"})[1]["id"]
    dataset = start.api("datasets", {"name": "d", "workspace_id": workspace})[1]["id"]
    start.api(f"datasets/{dataset}/fields",
              {"name": "text", "title": "text", "required": True, "settings": {"type": "text"}})  # fmt: skip
    start.api(f"datasets/{dataset}/questions",
              {"name": "q", "title": "q", "required": True, "settings": {"type": "text"}})  # fmt: skip
    published = bed.request(f"http://127.0.0.1:{start.port}/api/v1/datasets/{dataset}/publish", {},
                            {"X-Argilla-Api-Key": USER["API_KEY"]}, "PUT")  # fmt: skip
    items = [{"fields": {"text": f"record {number}"}} for number in range(records)]
    added = start.api(f"datasets/{dataset}/records/bulk", {"items": items})
    check("a dataset with records", (published[0], added[0]), (200, 201), str(published), str(added)[:500])
    return dataset


def another_role_may_migrate(search):
    """The owner's URL is for what is before the server, which has its own and never sees the other."""
    database = Postgres()
    role, password = database.web()
    env = environment(database, search, **USER, MIGRATION_DATABASE_URL=database.url)
    env["ARGILLA_DATABASE_URL"] = database.url.replace(database.rest.split("@")[0], f"{role}:{password}")
    start = prelaunch(env, "/usr/bin/env")
    check("the owner's role migrates", (start.ended(), users(database)), (0, ["ada"]), start.said())
    check("the server has its own role alone", (password in start.said(), database.password in start.said()),
          (True, False))  # fmt: skip


def a_percent_sign_in_the_password_is_no_hindrance(search):
    database = Postgres("p%40ss%25" + bed.secrets.token_hex(4))
    start = prelaunch(environment(database, search, **USER), "/bin/true")
    check("a password that is percent-encoded", (start.ended(), users(database)), (0, ["ada"]), start.said())
    database = Postgres("p%40ss%25" + bed.secrets.token_hex(4))
    peer = theirs(environment(database, search), server=False)
    tell("theirs", f"the same: exit {peer.ended()}, {last_words(peer)}, the password is in its log: "
         f"{database.password in peer.said()}")  # fmt: skip


def a_late_database_is_waited_for(search):
    database = Postgres()
    late = bed.Late(database)
    env = environment(database, search, **USER)
    env["ARGILLA_DATABASE_URL"] = late.url
    start = prelaunch(env, "/bin/true")
    eventually(start.said, lambda: "no answer yet" in start.said())
    peer = theirs(env, server=False)
    begun = time.monotonic()
    code = peer.ended()
    tell("theirs", f"with no database: exit {code} after {time.monotonic() - begun:.1f} s, {last_words(peer)}")
    check("a late database is waited for", start.process.poll(), None, start.said())
    late.begin()
    check("and then all is done", (start.ended(), users(database)), (0, ["ada"]), start.said())


def campaign(kind, search, peers):
    print(f"{kind.name}:", flush=True)
    database = kind()
    an_empty_database_becomes_a_server(database, search)
    a_second_start_changes_nothing(database, search)
    every_spelling_of_the_url_is_the_same_database(database, search)
    an_unknown_revision_is_refused(database, search)
    an_older_target_is_no_way_back(database, search)
    replicas_do_not_disturb_each_other(kind, search)
    if search:
        reindexing_is_theirs_under_our_lock(database, search)
    if peers:
        a_bad_password_is_not_told(kind, search)
        if kind is Postgres:
            a_late_database_is_waited_for(search)
            another_role_may_migrate(search)
            a_percent_sign_in_the_password_is_no_hindrance(search)
        crashed = [what_their_replicas_do(kind, search) for _ in range(peers)]
        tell("theirs", f"{sum(crashed)} of {REPLICAS * peers} crashed, in {peers} goes of {REPLICAS} at once")


def main(what="all", count="1"):
    try:
        if what == "--figures":
            argilla_figures.tell(int(count))
            return
        search = None if what == "--ci" else bed.Search()
        for kind in (Postgres, Sqlite):
            campaign(kind, search, 0 if what == "--ci" else int(count))
    finally:
        bed.clean_up()
    if failures:
        sys.exit(f"argilla: {len(failures)} claims do not hold: {failures}")
    print("argilla: every claim holds")


main(*sys.argv[1:])
