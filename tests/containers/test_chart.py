"""The template for Helm in docs/kubernetes.md, in a chart, rendered and validated."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

from test_manifests import ROOT, newest_minors

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: server
spec:
  selector:
    matchLabels: { app: server }
  template:
    metadata:
      labels: { app: server }
    spec:
      initContainers:
        {{- include "prelaunch.initContainers" . | nindent 8 }}
      containers:
        - name: server
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
      volumes:
        {{- include "prelaunch.volumes" . | nindent 8 }}
"""


def rendered(*settings):
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    (template,) = re.findall(r"```yaml\n(\{\{- /\*.*?)```", page, re.DOTALL)
    with tempfile.TemporaryDirectory() as directory:
        chart = pathlib.Path(directory)
        (chart / "templates").mkdir()
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 1.0.0\n")
        (chart / "values.yaml").write_text(
            "image: { repository: my-server, tag: '2' }\nprelaunch: {}\n"
        )
        (chart / "templates" / "_prelaunch.tpl").write_text(template)
        (chart / "templates" / "deployment.yaml").write_text(DEPLOYMENT)
        words = [word for setting in settings for word in ("--set", setting)]
        ended = subprocess.run(
            ["helm", "template", "release", str(chart), *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        if ended.returncode != 0:
            raise AssertionError(ended.stdout)
        return yaml.safe_load(ended.stdout)


class Chart(unittest.TestCase):
    def test_the_template_is_strictly_valid_as_it_stands(self):
        for version in newest_minors(3):
            kubernetes_validate.validate(rendered(), version, strict=True)

    def test_its_values_count(self):
        manifest = rendered("prelaunch.mode=wait", "prelaunch.tag=7", "prelaunch.secret=web")
        spec = manifest["spec"]["template"]["spec"]
        install, wait = spec["initContainers"]
        self.assertEqual(install["image"], "prelaunch:7")
        self.assertIn({"name": "AUTO_MIGRATION", "value": "wait"}, wait["env"])
        self.assertEqual(wait["image"], "my-server:2")
        self.assertEqual(spec["volumes"][1]["secret"], {"secretName": "web", "defaultMode": 0o440})
