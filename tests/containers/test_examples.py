"""The examples for real systems: their Dockerfiles, compose files and manifests, read by those who
know what may stand there."""

import pathlib
import re
import shutil
import subprocess
import tomllib
import unittest

import kubernetes_validate
import yaml

from test_manifests import CONFINED, containers, newest_minors

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
# Directories with a Dockerfile; the other examples are programs.
SYSTEMS = sorted(path.parent for path in EXAMPLES.glob("*/Dockerfile"))
SECONDS = {"s": 1, "m": 60, "h": 3600}


def manifests(system):
    for path in sorted(system.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if one and "kind" in one and "kustomize" not in one["apiVersion"]:
                yield one


def pods(system):
    for manifest in manifests(system):
        template = manifest.get("spec", {}).get("template")
        if template:
            yield template["spec"]


def composed(system):
    path = system / "docker-compose.yml"
    return yaml.safe_load(path.read_text())["services"]


class Examples(unittest.TestCase):
    def test_there_are_some(self):
        self.assertTrue(SYSTEMS)

    def test_each_has_all_of_it(self):
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                for name in ["README.md", "docker-compose.yml", "prelaunch.toml"]:
                    self.assertTrue((system / name).is_file(), name)
                self.assertTrue(list(pods(system)), "no manifest")

    def test_hadolint_has_nothing_to_say(self):
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                ended = subprocess.run(
                    ["hadolint", str(system / "Dockerfile")], stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True, check=False,
                )
                self.assertEqual((ended.returncode, ended.stdout), (0, ""))

    def test_the_command_is_repeated_behind_the_entrypoint(self):
        """Docker empties the CMD of the image below where ENTRYPOINT is set."""
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                text = (system / "Dockerfile").read_text()
                entrypoint = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[-1:]
                self.assertEqual(entrypoint, ['["prelaunch", "run", "--"]'])
                self.assertRegex(text, r"(?m)^CMD \[.+\]$")

    def test_the_configuration_is_toml(self):
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                tomllib.loads((system / "prelaunch.toml").read_text())

    def test_compose_reads_its_file(self):
        """Debian's docker-compose, where it is there."""
        compose = shutil.which("docker-compose")
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                services = composed(system)
                for name, service in services.items():
                    self.assertTrue("image" in service or "build" in service, name)
                if compose:
                    ended = subprocess.run(
                        [compose, "-f", str(system / "docker-compose.yml"), "config", "-q"],
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                    )
                    self.assertEqual((ended.returncode, ended.stdout), (0, ""))

    def test_the_manifests_are_strictly_valid_in_the_three_newest_minors(self):
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                for version in newest_minors(3):
                    for manifest in manifests(system):
                        kubernetes_validate.validate(manifest, version, strict=True)

    def test_every_pod_is_confined(self):
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                for pod in pods(system):
                    self.assertFalse(pod["automountServiceAccountToken"])
                    self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                    self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    for one in containers(pod):
                        self.assertEqual(one["securityContext"], CONFINED, one["name"])
                        self.assertIn("memory", one["resources"]["limits"], one["name"])
                        self.assertRegex(one["image"], r":v?[0-9]")

    def test_no_secret_is_written_down(self):
        secret = re.compile("PASSWORD|SECRET|API_KEY|DATABASE_URL|POSTGRES_URI|TOKEN")
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                for pod in pods(system):
                    for one in containers(pod):
                        for variable in one.get("env", []):
                            if secret.search(variable["name"]) and not variable["name"].endswith("_FILE"):
                                self.assertNotIn("value", variable, variable["name"])

    def test_no_probe_ends_a_migration(self):
        """The probe that ends a container has more patience than what is before its server."""
        for system in SYSTEMS:
            with self.subTest(system=system.name):
                for pod in pods(system):
                    for one in pod["containers"]:
                        env = {variable["name"]: variable.get("value") for variable in one.get("env", [])}
                        if "livenessProbe" not in one or "LOCK_TIMEOUT" not in env:
                            continue
                        probe = one["startupProbe"]
                        needed = sum(
                            int(env[name][:-1]) * SECONDS[env[name][-1]]
                            for name in ["WAIT_TIMEOUT", "LOCK_TIMEOUT"]
                        )
                        self.assertGreater(probe["periodSeconds"] * probe["failureThreshold"], needed)
