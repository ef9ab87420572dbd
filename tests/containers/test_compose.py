"""The quickstart: docker-compose.yml and its variant, from nothing, and what may go wrong with it.

Each version of compose that is there runs all of it: 1.29 from Debian, and the one that COMPOSE names.
"""

import json
import os
import urllib.request

from bed import DIR, PSQL, ROOT, Bed, docker, eventually, name, psql, run, write_scripts


class Project:
    """One use of the compose file, with a name and ports of its own."""

    def __init__(self, compose, *files):
        self.compose, self.name = compose, name("quickstart")
        self.files = [ROOT / "docker-compose.yml", *files]

    def __call__(self, *arguments, **options):
        files = [word for file in self.files for word in ("-f", str(file))]
        environment = {**os.environ, "PORTS": "18000-18019"}
        return run(*self.compose, "-p", self.name, *files, *arguments, env=environment, **options)

    def containers(self, service):
        """As the engine has them; the newest of each number alone is kept by compose."""
        label = "label=com.docker.compose."
        found = docker("ps", "-aq", "--filter", f"{label}project={self.name}",
                       "--filter", f"{label}service={service}").split()
        return json.loads(docker("inspect", *found)) if found else []

    def one(self, service):
        (found,) = self.containers(service)
        return found

    def healthy(self, count):
        def question():
            states = [server["State"] for server in self.containers("server")]
            well = [state for state in states if state.get("Health", {}).get("Status") == "healthy"]
            return len(well) == len(states) == count
        eventually(question, what=lambda: self("ps") + self("logs"))

    def sql(self, text):
        return psql(self.one("db")["Id"], text)


class Quickstart:
    """What holds with each version of compose."""

    compose = ()

    def project(self, *files):
        project = Project(self.compose, *files)
        self.addCleanup(project, "down", "-v", "-t", "1", check=False)
        return project

    def slow(self, project, kind="true"):
        """Has its second of three revisions stop at a gate that `open_gate` opens."""
        scripts = DIR / name("scripts")
        scripts.mkdir()
        write_scripts(
            scripts,
            aaaa="create table a (b int);",
            bbbb="create table c (d int); select pg_sleep(600) where to_regclass('gate') is null;",
            cccc="create table e (f int);",
        )
        volume = {"volumes": [f"{scripts}:/migrations:ro"]}
        override = scripts / "override.yml"
        override.write_text(json.dumps({"services": {"migrator": volume, "server": volume}}))
        project.files.append(override)

    def in_the_middle(self, project):
        """Waits until the second revision is under way."""
        asleep = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
        eventually(lambda: project.containers("db"))
        eventually(lambda: docker("exec", "-e", "PGPASSWORD=secret", project.one("db")["Id"], *PSQL,
                                  "-c", asleep, check=False).strip() == "t",
                   what=lambda: project("logs"))

    def test_from_nothing_to_two_servers_that_serve(self):
        project = self.project()
        project("up", "-d", "--no-build")
        project.healthy(2)
        ports = set()
        for server in project.containers("server"):
            (bound,) = {int(at["HostPort"]) for at in server["NetworkSettings"]["Ports"]["8000/tcp"]}
            ports.add(bound)
            with urllib.request.urlopen(f"http://127.0.0.1:{bound}/", timeout=10) as answer:
                self.assertRegex(answer.read().decode(), r"^pid \d+, up for \d+ s\n$")
        self.assertEqual(len(ports), 2)
        eventually(lambda: project.one("migrator")["State"]["Status"] == "exited")
        self.assertEqual(project.one("migrator")["State"]["ExitCode"], 0)
        # Three runners, and each revision once.
        self.assertEqual(project.sql("select count(*) from prelaunch_ledger"), "12")
        self.assertEqual(
            project.sql("select count(*) from prelaunch_history where event = 'upgrade'"), "12"
        )
        # Nothing had to be started again.
        for service in ["migrator", "server"]:
            for one in project.containers(service):
                self.assertEqual(one["RestartCount"], 0, project("logs"))

    def test_where_servers_only_wait_the_migrator_migrates(self):
        project = self.project(ROOT / "docker-compose.wait.yml")
        self.slow(project)
        project("up", "-d", "--no-build")
        self.in_the_middle(project)
        for server in project.containers("server"):
            self.assertEqual(server["State"]["Health"]["Status"], "starting")
        self.open_gate(project)
        project.healthy(2)
        by = project.sql("select distinct recorded_by from prelaunch_history")
        self.assertEqual(by, project.one("migrator")["Config"]["Hostname"])

    def open_gate(self, project):
        project.sql("create table gate ()")
        project.sql("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")

    def test_a_migrator_that_is_killed_half_way_begins_there_again(self):
        project = self.project(ROOT / "docker-compose.wait.yml")
        self.slow(project)
        project("up", "-d", "--no-build")
        self.in_the_middle(project)
        migrator = project.one("migrator")
        project.sql("create table gate ()")
        docker("kill", "-s", "KILL", migrator["Id"])
        self.assertEqual(project.one("migrator")["State"]["ExitCode"], 137)
        # The first revision is there, the second is gone as a whole.
        eventually(lambda: project.sql("select to_regclass('c') is null") == "t")
        self.assertEqual(project.sql("select string_agg(revision, ' ') from prelaunch_ledger"), "aaaa")
        project("up", "-d", "--no-build")
        project.healthy(2)
        self.assertEqual(
            project.sql("select string_agg(subject, ' ' order by seq) from prelaunch_history"),
            "aaaa bbbb cccc",
        )
        # It ended what the dead one had left at work on the server, and so did not wait for it.
        self.assertEqual(
            project.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'"), "0"
        )

    def test_ten_replicas_come_up_beside_two(self):
        project = self.project()
        project("up", "-d", "--no-build", "--scale", "server=10")
        project.healthy(10)
        self.assertEqual(
            project.sql("select count(*) from prelaunch_history where event = 'upgrade'"), "12"
        )
        project("up", "-d", "--no-build", "--scale", "server=2")
        project.healthy(2)


class ComposeOne(Quickstart, Bed):
    compose = ("/usr/bin/docker-compose",)


if "COMPOSE" in os.environ:

    class ComposeTwo(Quickstart, Bed):
        compose = tuple(os.environ["COMPOSE"].split())
