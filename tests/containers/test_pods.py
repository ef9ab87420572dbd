"""The overlays of k8s/, really run: their pods, by `podman kube play`, with a database that is late.

Podman is no cluster, and these are the differences that are made up for here. A Deployment becomes as
many pods as it has replicas, a Job one. A ConfigMap stands for a Secret, which podman 4.3 does not
decode. Probes are left out, since it would ask for curl in the image; the test asks in their place.
What fails is not started again, and reads its reason from the log: there is no termination log.
"""

import json
import os
import pathlib
import subprocess

import urllib.request

import yaml

from bed import DIR, URL, Bed, eventually, name, run
from test_manifests import built

HOME = DIR / "podman"
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[network]
network_backend = "netavark"
"""
PODMAN = ["podman", "--root", str(HOME / "root"), "--runroot", str(HOME / "run"),
          "--network-config-dir", str(HOME / "networks"), "--log-level", "error"]
IMAGES = ["prelaunch:0.1.0", "prelaunch-demo:0.1.0", "postgres:17", "haproxy:2.8"]
APP = URL.partition("=")[2]


def podman(*arguments, **options):
    return run(*PODMAN, *arguments, **options)


def setUpModule():
    HOME.mkdir(exist_ok=True)
    for part in ["run", "networks"]:
        (HOME / part).mkdir(exist_ok=True)
    (HOME / "containers.conf").write_text(CONFIGURATION)
    os.environ["CONTAINERS_CONF"] = str(HOME / "containers.conf")
    if "prelaunch-demo" in podman("images"):
        return
    saved = subprocess.Popen(["/usr/bin/docker", "save", *IMAGES], stdout=subprocess.PIPE)
    podman("load", "-q", stdin=saved.stdout)
    saved.stdout.close()
    if saved.wait() != 0:
        raise AssertionError("docker save")


def tearDownModule():
    podman("pod", "rm", "-fa", "-t", "0", check=False)
    podman("rm", "-fav", "-t", "0", check=False)
    podman("network", "prune", "-f", check=False)


def workloads(overlay, **urls):
    """The pods of an overlay, by the name of what they belong to, with secrets filled in."""
    manifests = built(overlay)
    maps = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "ConfigMap"}
    for secret, url in urls.items():
        secret = secret.replace("_", "-")
        maps[secret] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": secret},
                        "data": {"url": url}}
    found = {}
    for one in manifests:
        if one["kind"] in ["Deployment", "Job"]:
            found[one["metadata"]["name"]] = [
                pod(one, maps) for _ in range(one["spec"].get("replicas", 1))
            ]
    return found


def pod(workload, maps):
    """A pod of its template, with the maps that it mounts under names that only it has."""
    spec = json.loads(json.dumps(workload["spec"]["template"]["spec"]))
    this = name(workload["metadata"]["name"])
    spec["restartPolicy"] = "Never"
    mounted = []
    for volume in spec.get("volumes", []):
        if "emptyDir" in volume:
            volume["name"] = f"{this}-{volume['name']}"
            continue
        source = volume.pop("secret", {}).get("secretName") or volume["configMap"]["name"]
        copy = json.loads(json.dumps(maps[source]))
        copy["metadata"]["name"] = f"{this}-{source}"
        mounted.append(copy)
        volume["configMap"] = {"name": copy["metadata"]["name"], "optional": False}
    for container in spec.get("initContainers", []) + spec["containers"]:
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
            container.pop(probe, None)
        # There is no registry to ask, and each port would be the host's.
        container["image"] = f"localhost/{container['image']}"
        container.pop("ports", None)
        for mount in container.get("volumeMounts", []):
            if f"{this}-{mount['name']}" in {volume["name"] for volume in spec["volumes"]}:
                mount["name"] = f"{this}-{mount['name']}"
    metadata = {"name": this, "annotations": {"io.podman.annotations.init.container.type": "always"}}
    return [*mounted, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}]


class Played:
    """A pod that podman plays, in the background: it comes back when the init containers have ended."""

    def __init__(self, manifests, network):
        self.name = manifests[-1]["metadata"]["name"]
        self.file = DIR / f"{self.name}.yaml"
        self.file.write_text(yaml.safe_dump_all(manifests))
        self.said = open(DIR / f"{self.name}.log", "w+")
        self.process = subprocess.Popen(
            [*PODMAN, "kube", "play", "--network", network, str(self.file)],
            stdout=self.said, stderr=subprocess.STDOUT,
        )

    def state(self, container):
        found = podman("inspect", f"{self.name}-{container}", "--format", "{{json .State}}", check=False)
        try:
            return json.loads(found)
        except json.JSONDecodeError:
            return {"Status": "none", "ExitCode": None, "said": found}

    def logs(self, container):
        return podman("logs", f"{self.name}-{container}", check=False)

    def says(self, container, words):
        eventually(lambda: words in self.logs(container),
                   what=lambda: self.told(container))

    def code(self, container):
        eventually(lambda: self.state(container)["Status"] == "exited",
                   what=lambda: self.told(container))
        return self.state(container)["ExitCode"]

    def told(self, container):
        self.said.flush()
        played = pathlib.Path(self.said.name).read_text()
        return f"{self.state(container)}\n{self.logs(container)}\n{played}"

    def address(self):
        infra = podman("pod", "inspect", self.name, "--format", "{{.InfraContainerID}}").strip()
        networks = json.loads(
            podman("inspect", infra, "--format", "{{json .NetworkSettings.Networks}}")
        )
        return next(iter(networks.values()))["IPAddress"]

    def remove(self):
        podman("pod", "rm", "-f", "-t", "0", self.name, check=False)
        self.process.wait()
        self.said.close()


class Database:
    """PostgreSQL beside the pods."""

    def __init__(self, network):
        self.name = name("db")
        podman("run", "-d", "--name", self.name, "--network", f"{network}:alias=db",
               "-e", "POSTGRES_USER=app", "-e", "POSTGRES_PASSWORD=secret",
               "-e", "POSTGRES_DB=app", "localhost/postgres:17")

    def sql(self, text, check=True):
        return podman("exec", "-e", "PGPASSWORD=secret", self.name, "psql", "-XAtq", "-h",
                      "127.0.0.1", "-U", "app", "-d", "app", "-c", text, check=check).strip()

    def ready(self):
        eventually(lambda: self.sql("select 1", check=False) == "1",
                   what=lambda: podman("logs", self.name))
        return self

    def remove(self):
        podman("rm", "-f", "-v", "-t", "0", self.name, check=False)


class Pods(Bed):
    def setUp(self):
        self.net = name("net")
        podman("network", "create", self.net)
        self.addCleanup(podman, "network", "rm", "-f", self.net, check=False)

    def database(self):
        db = Database(self.net)
        self.addCleanup(db.remove)
        return db

    def play(self, manifests):
        played = Played(manifests, self.net)
        self.addCleanup(played.remove)
        return played

    def serves(self, played):
        played.says("server", "serving on")
        with urllib.request.urlopen(f"http://{played.address()}:8000/", timeout=10) as answer:
            self.assertEqual(answer.status, 200)

    def test_init_containers_bring_the_binary_then_migrate_then_the_server_starts(self):
        servers = [self.play(one) for one in workloads("init-container", database=APP)["server"]]
        for played in servers:
            self.assertEqual(played.code("install-prelaunch"), 0)
            played.says("migrate", "no answer yet")
            self.assertNotEqual(played.state("server")["Status"], "running")
        db = self.database()
        for played in servers:
            self.serves(played)
            self.assertEqual(played.code("migrate"), 0)
            order = [played.state(one)["StartedAt"]
                     for one in ["install-prelaunch", "migrate", "server"]]
            self.assertEqual(order, sorted(order))
        upgrades = db.sql("select count(*) from prelaunch_history where event = 'upgrade'")
        self.assertEqual(upgrades, "12")

    def test_an_init_container_that_fails_says_why_and_no_server_starts(self):
        self.database().ready()
        wrong = APP.replace("secret", "wrong")
        (manifests, _) = workloads("init-container", database=wrong)["server"]
        played = self.play(manifests)
        self.assertEqual(played.code("migrate"), 12)
        self.assertRegex(
            played.logs("migrate").splitlines()[-1],
            r'^prelaunch: exit 12 in wait: .*password authentication failed for user "app"',
        )
        self.assertNotIn("wrong", played.logs("migrate"))
        self.assertNotEqual(played.process.wait(), 0)
        self.assertNotEqual(played.state("server")["Status"], "running")

    def test_pods_wait_with_the_right_to_read_until_the_job_has_migrated(self):
        web = APP.replace("app:secret", "web:reader")
        found = workloads("job-and-wait", database=web, database_owner=APP)
        servers = [self.play(one) for one in found["server"]]
        for played in servers:
            played.says("wait-for-schema", "no answer yet")
        db = self.database().ready()
        db.sql("create role web login password 'reader'")
        db.sql("alter default privileges in schema public grant select on tables to web")
        for played in servers:
            played.says("wait-for-schema", "lock:")
        # Last of all: nothing that waits keeps it from starting.
        job = self.play(found["migrate-0-1-0"][0])
        self.assertEqual(job.code("migrate"), 0)
        for played in servers:
            self.serves(played)
            self.assertGreater(played.state("server")["StartedAt"],
                               job.state("migrate")["FinishedAt"])

    def test_the_entrypoint_waits_for_the_proxy_beside_it_and_becomes_the_server(self):
        through = APP.replace("@db/", "@127.0.0.1:5432/")
        servers = [self.play(one) for one in workloads("entrypoint", database=through)["server"]]
        for played in servers:
            played.says("server", "no answer yet")
        db = self.database()
        for played in servers:
            self.serves(played)
        upgrades = db.sql("select count(*) from prelaunch_history where event = 'upgrade'")
        self.assertEqual(upgrades, "12")

    def test_the_reindex_is_a_job_of_its_own(self):
        db = self.database().ready()
        (manifests, _) = workloads("init-container", database=APP)["server"]
        self.serves(self.play(manifests))
        job = self.play(workloads("reindex", database=APP)["reindex"][0])
        self.assertEqual(job.code("reindex"), 0, job.logs("reindex"))
        self.assertEqual(
            db.sql("select count(*) from prelaunch_history where event = 'reindex'"), "1"
        )
