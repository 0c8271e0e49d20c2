"""What the chart's own Jobs and pods do, with a real API server and with their rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.integration.conftest import NAMESPACE, Lab
from tests.integration.test_rights import Release


def run(lab: Lab, account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what a pod of the chart runs, as its account."""
    kubeconfig = lab.plane.kubeconfig_for(f"system:serviceaccount:{NAMESPACE}:{account}")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_definitions_are_brought_to_the_version_and_made_where_there_is_none(lab: Lab) -> None:
    release, name = Release.install(lab, "upgraded"), "quantumquotas.qonverge.io"
    kept = json.loads(lab.kubectl("get", "crd", name, "-o", "json"))["metadata"]["uid"]
    # As one of a former version is: without a field.
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/weight"
    lab.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps([{"op": "remove", "path": path}]))
    # Nothing is stored in it, and nobody deletes it for good here but the API server.
    lab.kubectl("delete", "crd", "hybridjobs.qonverge.io")
    try:
        done = run(lab, "upgraded-crds", "qonverge.controller.definitions")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "quantumbackends.qonverge.io: is of this version",
            "hybridjobs.qonverge.io: brought to this version",
            "quantumquotas.qonverge.io: brought to this version",
        ]
        after = json.loads(lab.kubectl("get", "crd", name, "-o", "json"))
        assert after["metadata"]["uid"] == kept
        schema = after["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert "weight" in schema["properties"]["spec"]["properties"]
        again = run(lab, "upgraded-crds", "qonverge.controller.definitions")
        assert "brought" not in again.stdout
        # It may do that, and no more.
        may = lab.kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{NAMESPACE}:upgraded-crds")
        verbs = [line.split("[")[-1] for line in may.splitlines() if line.startswith("customresource")]
        assert verbs == ["get create patch]"] * 3
    finally:
        release.remove()
    refused = run(lab, "upgraded-crds", "qonverge.controller.definitions")
    assert refused.returncode == 1
    assert refused.stderr.startswith("qonverge.controller.definitions: the API server answered 403")


def test_a_bell_pair_is_run_told_of_and_deleted(served: Lab) -> None:
    values = ("defaultBackend.enabled=true", "defaultBackend.namespace=default")
    release = Release.install(served, "tested", *values)
    bell = ("qonverge.controller.bell", "default", "aer", "tested-test")
    try:
        for _ in range(2):
            done = run(served, "tested-test", *bell)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("a Bell pair on the backend default/aer: {'00': ")
            assert served.get("hj", "tested-test") == {}
    finally:
        release.remove()
