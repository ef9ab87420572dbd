"""What the image is, and under which restrictions it does all it does."""

import io
import json
import subprocess
import tarfile

from bed import MIGRATE, SCRATCH, Bed, docker, name

# Where images are run that trust nobody.
STRICT = (
    "--read-only", "--user", "65534", "--cap-drop", "ALL", "--memory", "64m",
    "--pids-limit", "20", "--security-opt", "no-new-privileges",
)


def files(image):
    """What an image has in it, as the engine exports it, with sizes."""
    made = docker("create", image).strip()
    try:
        exported = subprocess.run(
            ["/usr/bin/docker", "export", made], stdout=subprocess.PIPE, check=True
        ).stdout
    finally:
        docker("rm", made)
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        return {member.name: member.size for member in archive if member.isfile()}


class Image(Bed):
    def test_it_has_the_binary_and_certificates_and_nothing_else(self):
        # The engine adds these to every container.
        added = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
        found = files(SCRATCH)
        self.assertEqual(
            found.keys() - added,
            {"usr/local/bin/prelaunch", "etc/ssl/certs/ca-certificates.crt"},
        )
        size = int(docker("image", "inspect", "-f", "{{.Size}}", SCRATCH))
        self.assertLess(size, found["usr/local/bin/prelaunch"] * 1.1)

    def test_it_runs_as_nobody_in_particular_and_says_what_it_is(self):
        config = json.loads(docker("image", "inspect", SCRATCH))[0]["Config"]
        self.assertEqual(config["User"], "65532:65532")
        labels = config["Labels"]
        self.assertEqual(labels["org.opencontainers.image.title"], "prelaunch")
        version = docker("run", "--rm", SCRATCH, "--version").strip()
        self.assertEqual(version, f"prelaunch {labels['org.opencontainers.image.version']}")

    def test_the_other_one_has_a_shell(self):
        said = docker(
            "run", "--rm", "--entrypoint", "sh", f"{SCRATCH}-debian", "-c", "id -u; prelaunch --version"
        )
        self.assertRegex(said, r"^65532\nprelaunch \d")

    def test_strictly_confined_it_migrates_and_becomes_the_server(self):
        network = self.network()
        db = self.postgres(network)
        server = self.container(*MIGRATE, "-e", "SUPERVISE=true", "--network", network, *STRICT)
        server.says("serving on")
        self.assertEqual(db.sql("select count(*) from prelaunch_ledger"), "12")
        docker("exec", server.name, "/usr/local/bin/server", "check")
        # No memory was short on the way.
        self.assertFalse(server.state()["OOMKilled"])

    def test_strictly_confined_it_becomes_the_server_itself(self):
        network = self.network()
        self.postgres(network)
        server = self.container(*MIGRATE, "--network", network, *STRICT)
        server.says("serving on http://0.0.0.0:8000 with pid 1\n")


class Install(Bed):
    def volume(self, *options):
        volume = name("shared")
        docker("volume", "create", volume, *options)
        self.addCleanup(docker, "volume", "rm", "-f", volume, check=False)
        return volume

    def test_another_image_runs_it_from_a_volume(self):
        # As an emptyDir with `fsGroup` is.
        volume = self.volume("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=gid=65532,mode=775")
        keeper = self.container("-v", f"{volume}:/shared", image="postgres:17",
                                command=("sleep", "1h"))
        said = docker("run", "--rm", *STRICT[:1], "--cap-drop", "ALL", "-v", f"{volume}:/shared",
                      SCRATCH, "install", "/shared/")
        self.assertEqual(said, "/shared/prelaunch\n")
        listed = docker("exec", keeper.name, "stat", "-c", "%a %u %n", "/shared/prelaunch")
        self.assertEqual(listed, "755 65532 /shared/prelaunch\n")
        self.assertEqual(docker("exec", keeper.name, "ls", "-A", "/shared"), "prelaunch\n")
        self.assertRegex(docker("exec", keeper.name, "/shared/prelaunch", "--version"), r"^prelaunch \d")

    def test_a_volume_of_somebody_else_is_refused_with_the_way_out(self):
        volume = self.volume()
        said = docker("run", "--rm", "-v", f"{volume}:/shared", SCRATCH, "install", "/shared/",
                      check=False)
        self.assertEqual(
            said,
            "prelaunch: exit 10 in configure: user 65532 may not write to `/shared`; "
            "give it the directory, in Kubernetes by `fsGroup`\n",
        )

    def test_the_read_only_root_is_refused(self):
        said = docker("run", "--rm", "--read-only", "--user", "0", SCRATCH, "install", "/usr/local/bin/x",
                      check=False)
        self.assertEqual(
            said,
            "prelaunch: exit 10 in configure: `/usr/local/bin` is read-only; "
            "name a path in a volume that can be written to\n",
        )
