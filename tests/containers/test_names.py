"""Names in the static binary, in an image that has nothing but it: musl resolves them.

Docker's own name server answers; what a cluster has in /etc/resolv.conf is there too.
"""

from bed import DIR, MIGRATE, SCRATCH, Bed, eventually, name

PROBE = ("-e", "WAIT_TIMEOUT=60s")


class Names(Bed):
    def until(self, address, *arguments):
        """`prelaunch run` that waits for an address and ends."""
        return self.container("-e", f"WAIT_FOR={address}", *PROBE, *arguments, image=SCRATCH,
                              command=("run",))

    def ip(self, container):
        networks = container.inspect()["NetworkSettings"]["Networks"].values()
        return next(iter(networks))["IPAddress"]

    def listener(self, network, *arguments):
        return self.container("--network", network, *arguments, command=("/usr/local/bin/server",)
                              ).says("serving on")

    def test_from_the_file_of_hosts(self):
        network = self.network()
        ip = self.ip(self.listener(network))
        found = self.until("tcp://elsewhere.example:8000", "--network", network,
                           "--add-host", f"elsewhere.example:{ip}")
        self.assertEqual(found.code(), 0, found.logs())

    def test_localhost_whatever_family_comes_first(self):
        # `localhost` is ::1 first, where nobody listens.
        listener = self.listener(self.network())
        found = self.until("tcp://localhost:8000", "--network", f"container:{listener.name}")
        self.assertEqual(found.code(), 0, found.logs())

    def test_from_the_name_server_with_the_options_of_a_cluster(self):
        network = self.network()
        self.listener(network, "--network-alias", "db.apps.svc.cluster.local")
        cluster = ("--network", network, "--dns-option", "ndots:5",
                   "--dns-search", "apps.svc.cluster.local", "--dns-search", "svc.cluster.local",
                   "--dns-search", "cluster.local")
        for asked in ["db", "db.apps", "db.apps.svc", "db.apps.svc.cluster.local",
                      "db.apps.svc.cluster.local."]:
            with self.subTest(asked):
                found = self.until(f"tcp://{asked}:8000", *cluster)
                self.assertEqual(found.code(), 0, found.logs())

    def test_where_the_list_of_suffixes_has_the_root_in_it(self):
        # Docker takes `.` for no list at all, so that the file is ours.
        network = self.network()
        self.listener(network, "--network-alias", "db")
        for suffixes in [".", ". apps.svc.cluster.local", "apps.svc.cluster.local ."]:
            with self.subTest(suffixes):
                resolv = DIR / name("resolv.conf")
                resolv.write_text(f"nameserver 127.0.0.11\nsearch {suffixes}\noptions ndots:5\n")
                found = self.until("tcp://db:8000", "--network", network,
                                   "-v", f"{resolv}:/etc/resolv.conf:ro")
                self.assertEqual(found.code(), 0, found.logs())

    def test_one_that_appears_after_ten_seconds(self):
        network = self.network()
        waits = self.until("tcp://late:8000", "--network", network)
        # Not a sleep: the time that it says has passed.
        eventually(lambda: len(waits.logs().splitlines()) > 0, what=waits.logs)
        eventually(lambda: self.age(waits) > 10)
        self.assertTrue(waits.state()["Running"], waits.logs())
        self.listener(network, "--network-alias", "late")
        self.assertEqual(waits.code(), 0, waits.logs())

    def age(self, container):
        """For how many seconds it has run, by the machine's own clock."""
        pid = container.state()["Pid"]
        if not pid:
            return 0
        with open(f"/proc/{pid}/stat") as stat, open("/proc/uptime") as uptime:
            ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
            return float(uptime.read().split()[0]) - ticks / 100

    def test_a_database_that_appears_late_is_migrated(self):
        network = self.network()
        server = self.container(*MIGRATE, "-e", "SUPERVISE=true", "--network", network)
        server.says("wait:")
        self.postgres(network, ready=False)
        server.says("serving on")
