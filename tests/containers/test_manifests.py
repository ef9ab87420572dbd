"""Every manifest and the Dockerfile, read by those who know what may stand there."""

import pathlib
import re
import shutil
import subprocess
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OVERLAYS = ["base", "init-container", "job-and-wait", "entrypoint", "reindex"]

# Restricted Pod Security, as far as it asks for something.
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def built(overlay):
    """The manifests of an overlay, as `kubectl apply -k` would send them."""
    command = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    text = subprocess.run(
        [*command, str(ROOT / "k8s" / overlay)],
        stdout=subprocess.PIPE, check=True, text=True,
    ).stdout
    return list(yaml.safe_load_all(text))


def pods(overlay):
    for manifest in built(overlay):
        template = manifest.get("spec", {}).get("template")
        if template:
            yield template["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def newest_minors(count):
    """The last of those whose schemas are installed: the newest is that of the package itself."""
    major, minor = re.match(r"(\d+)\.(\d+)", kubernetes_validate.latest_version()).groups()
    return [f"{major}.{int(minor) - back}" for back in reversed(range(count))]


class Manifests(unittest.TestCase):
    def test_none_is_left_out(self):
        there = {path.parent.name for path in (ROOT / "k8s").glob("*/kustomization.yaml")}
        self.assertEqual(there, set(OVERLAYS))

    def test_they_are_strictly_valid_in_the_three_newest_minors(self):
        minors = newest_minors(3)
        print(f"\n    Kubernetes {', '.join(minors)}", end=" ")
        count = 0
        for version in minors:
            for overlay in OVERLAYS:
                for manifest in built(overlay):
                    with self.subTest(version=version, overlay=overlay, kind=manifest["kind"]):
                        kubernetes_validate.validate(manifest, version, strict=True)
                        count += 1
        print(f"{count} times valid", end=" ")

    def test_a_misspelt_field_is_noticed(self):
        (manifest,) = [one for one in built("base") if one["kind"] == "Deployment"]
        manifest["spec"]["template"]["spec"]["containers"][0]["startupProb"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(manifest, newest_minors(1)[0], strict=True)

    def test_every_pod_is_confined(self):
        for overlay in OVERLAYS:
            for pod in pods(overlay):
                self.assertFalse(pod["automountServiceAccountToken"], overlay)
                context = pod["securityContext"]
                self.assertTrue(context["runAsNonRoot"], overlay)
                self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"}, overlay)
                for one in containers(pod):
                    with self.subTest(overlay=overlay, container=one["name"]):
                        self.assertEqual(one["securityContext"], CONFINED)
                        self.assertIn("memory", one["resources"]["limits"])

    def test_every_image_has_a_tag(self):
        for overlay in OVERLAYS:
            for pod in pods(overlay):
                for one in containers(pod):
                    self.assertRegex(one["image"], r"^[a-z-]+:[0-9.]+$", overlay)

    def test_no_secret_is_in_a_variable(self):
        for overlay in OVERLAYS:
            for pod in pods(overlay):
                for one in containers(pod):
                    names = {variable["name"] for variable in one.get("env", [])}
                    self.assertFalse({"DATABASE_URL", "MIGRATION_DATABASE_URL", "PGPASSWORD"} & names)

    def test_no_probe_ends_a_migration(self):
        """Where prelaunch is in the server's container, the probe that ends it has more patience."""
        seconds = {"s": 1, "m": 60, "h": 3600}
        for overlay in OVERLAYS:
            for pod in pods(overlay):
                for one in pod["containers"]:
                    env = {variable["name"]: variable["value"] for variable in one.get("env", [])}
                    if "startupProbe" not in one or "LOCK_TIMEOUT" not in env:
                        continue
                    probe = one["startupProbe"]
                    needed = sum(
                        int(env[name][:-1]) * seconds[env[name][-1]]
                        for name in ["WAIT_TIMEOUT", "LOCK_TIMEOUT"]
                    )
                    self.assertGreater(probe["periodSeconds"] * probe["failureThreshold"], needed)


class Dockerfile(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        ended = subprocess.run(
            ["hadolint", str(ROOT / "Dockerfile")], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )
        self.assertEqual((ended.returncode, ended.stdout), (0, ""))
