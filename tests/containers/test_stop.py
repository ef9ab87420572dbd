"""`docker stop` in every stage: the container ends within 2 s, with 143, and nothing is left.

prelaunch is the process 1 of each container, for which the kernel has no default actions.
"""

import time

from bed import MIGRATE, Bed, docker, eventually


class Stop(Bed):
    def stopped(self, container, code=143):
        """Stops a container; how long that took must be within what is promised."""
        started = time.monotonic()
        docker("stop", "-t", "20", container.name)
        took = time.monotonic() - started
        state = container.state()
        self.assertEqual(state["ExitCode"], code, container.logs())
        # By the engine's own clock, as the client may have had to wait for its turn.
        self.assertLess(took, 2, f"{state}\n{container.logs()}")

    def test_while_it_waits_for_the_database(self):
        waits = self.container(*MIGRATE, "--network", self.network()).says("wait:")
        self.stopped(waits)

    def test_while_it_waits_for_the_lock(self):
        network = self.network()
        db = self.postgres(network)
        scripts = self.scripts(aaaa="select pg_sleep(600);")
        arguments = (*MIGRATE, "--network", network, "-v", f"{scripts}:/migrations:ro")
        first = self.container(*arguments)
        eventually(lambda: "t" in db.sql(ASLEEP), what=first.logs)
        second = self.container(*arguments).says("lock:")
        self.stopped(second)
        self.assertTrue(first.state()["Running"])

    def test_while_it_applies_a_revision(self):
        network = self.network()
        db = self.postgres(network)
        scripts = self.scripts(aaaa="create table a (b int); select pg_sleep(600);")
        applies = self.container(
            *MIGRATE, "--network", network, "-v", f"{scripts}:/migrations:ro"
        )
        eventually(lambda: "t" in db.sql(ASLEEP), what=applies.logs)
        self.stopped(applies)
        # Rolled back, given back, and ended on the server too.
        self.assertEqual(db.sql("select to_regclass('a') is null"), "t")
        self.assertEqual(db.sql(ASLEEP), "f")
        eventually(lambda: db.sql(OTHERS) == "0")

    def test_while_a_hook_runs(self):
        network = self.network()
        self.postgres(network)
        hook = self.container(
            *MIGRATE, "--network", network,
            # A server that is nobody's: it serves until it gets the signal.
            "-e", "AFTER_MIGRATE=/usr/local/bin/server",
        ).says("serving on")
        self.stopped(hook)

    def test_when_it_has_become_the_server(self):
        network = self.network()
        self.postgres(network)
        server = self.container(*MIGRATE, "-e", "SUPERVISE=true", "--network", network)
        server.says("serving on")
        self.stopped(server)


ASLEEP = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
OTHERS = "select count(*) from pg_stat_activity where application_name like 'prelaunch:%'"
