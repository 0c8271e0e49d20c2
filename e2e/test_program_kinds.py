"""Programs of every kind in real pods: containers, Git, requirements, templates, and pods that are given back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from e2e.cluster import release
from e2e.dev_cloud import CloudPod
from e2e.forge import PASSWORD, USERNAME, WORDS, Forge
from e2e.workspace import Workspace, eventually, program

# Nothing of Qonverge's is imported: a container has only what its environment says.
_PLAIN = """
import json, os, pathlib, sys, urllib.request

def ask(url, body=None):
    token = open(os.environ["QONVERGE_TOKEN_FILE"]).read()
    headers = {"authorization": "Bearer " + token, "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return answer.status

pathlib.Path("/scratch/note").write_text("kept")
ask(os.environ["QONVERGE_REPORT_URL"], {"result": {
    "arguments": sys.argv[1:],
    "backend": ask(os.environ["QONVERGE_BACKEND_URL"] + "/v1/backend"),
    "key": os.environ["API_KEY"],
    "mode": pathlib.Path("/data/mode").read_text(),
    "note": pathlib.Path("/scratch/note").read_text(),
    "parameters": json.loads(os.environ["QONVERGE_PARAMETERS"]),
    "uid": os.getuid(),
}})
"""
_FROM_GIT = """
import sys
from figures import known
import greeting
from qonverge.client import result

result([known, greeting.words, sys.argv[1:]])
"""
_PAUSES = """
import os
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, result, step

def counts():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    return SamplerV2().run([circuit], shots=100).result()[0].data.meas.get_counts()

first = step("first", lambda: os.environ["HOSTNAME"])
result({"first": first, "counts": step("counts", counts), "last": os.environ["HOSTNAME"]})
"""


def _secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def _key(secret: str) -> dict[str, Any]:
    return {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}}


def _job(name: str, **given: Any) -> dict[str, Any]:
    """Return a HybridJob with such a program."""
    job = program(name, "")
    job["spec"]["program"] = given
    return job


def _batch_jobs(workspace: Workspace, job: str) -> list[dict[str, Any]]:
    return workspace.items("jobs", f"--selector=qonverge.io/job-name={job}")


def test_a_container_has_its_command_its_secret_and_its_volumes(workspace: Workspace) -> None:
    schema = {"required": ["molecule"], "properties": {"steps": {"type": "integer", "default": 100}}}
    template = {
        "env": [_key("model-server")],
        "volumes": [{"name": "data", "configMap": {"name": "modes"}}, {"name": "scratch", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "scratch", "mountPath": "/scratch"}],
    }
    container = {
        "image": workspace.cluster.images.image("program"),
        "command": ["python3", "-I", "-c", _PLAIN],
        "args": ["--steps", "$(parameters.steps)"],
        "template": template,
    }
    modes = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "modes"}, "data": {"mode": "exact"}}
    workspace.apply(
        _secret("model-server", token="e2e-token"),
        modes,
        _job("own", container=container, parameters={"molecule": "H2"}, parameterSchema=schema),
        _job("wrong", container=container, parameters={"steps": 2.5}, parameterSchema=schema),
    )
    status = workspace.ended("wrong")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidProgram")
    assert "spec.program.parameters.steps: 2.5 is not of type" in status["message"]
    assert not _batch_jobs(workspace, "wrong"), "it is refused before anything starts"
    status = workspace.completed("own")
    assert status["result"]["value"] == {
        "arguments": ["--steps", "100"], "backend": 200, "key": "e2e-token", "mode": "exact", "note": "kept",
        "parameters": {"molecule": "H2", "steps": 100}, "uid": 65532,
    }  # fmt: skip
    assert status["provenance"]["image"]


@pytest.fixture
def claim(workspace: Workspace) -> Iterator[None]:
    """The claim of the test's namespace on which requirements are installed."""
    cluster, metadata = workspace.cluster, {"name": release.REQUIREMENTS_CLAIM}
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    if (own := cluster.own) is None:
        # Others' clusters have a class of storage.
        workspace.apply(volume)
        yield
        return
    folder = own.plan.directory / "volumes" / workspace.namespace
    folder.mkdir(parents=True)
    # Such a volume belongs to no group of a pod's.
    folder.chmod(0o777)
    reference = {"name": release.REQUIREMENTS_CLAIM, "namespace": workspace.namespace}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": workspace.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "64Mi"},
                "claimRef": reference,
                "hostPath": {"path": str(folder), "type": "Directory"},
            },
        }
    )
    workspace.apply({**volume, "spec": {**spec, "storageClassName": "", "volumeName": workspace.namespace}})
    yield
    cluster.kubectl("delete", "persistentvolume", workspace.namespace, "--wait=false")
    shutil.rmtree(folder)


def test_a_program_comes_from_git_and_its_requirements_are_installed_once(workspace: Workspace, claim: None) -> None:
    forge = Forge(workspace, _FROM_GIT)
    git = {"url": forge.url(), "path": "solve/main.py", "credentials": {"name": "forge"}}
    shared = {"requirements": ["greeting==1.0"], "template": {"env": forge.pip()}}
    workspace.apply(
        _secret("forge", username=USERNAME, password=PASSWORD),
        _job("cloned", python={"git": git, "args": ["--fast"], **shared}),
        _job("elsewhere", python={"git": {**git, "revision": "v9"}}),
        _job("never", python={"source": "pass", **shared, "requirements": ["greeting==2.0"]}),
    )
    status = workspace.completed("cloned")
    assert status["result"]["value"] == [42, WORDS, ["--fast"]]
    assert status["provenance"]["commit"] == forge.commit
    status = workspace.ended("elsewhere")
    assert (status["state"], status["reason"]) == ("Failed", "ProgramNotFetched")
    assert "v9" in status["message"]
    status = workspace.ended("never")
    assert (status["state"], status["reason"]) == ("Failed", "RequirementsNotInstalled")
    assert "greeting==2.0" in status["message"]
    # Nobody is asked again for what is installed.
    forge.end()
    source = "import greeting\nfrom qonverge.client import result\nresult(greeting.words)\n"
    workspace.apply(_job("again", python={"source": source, **shared}))
    assert workspace.completed("again")["result"]["value"] == WORDS


def test_bounded_namespaces_keep_to_what_the_administrator_allows(workspace: Workspace) -> None:
    """The release's policy is about namespaces of this test's name."""
    source = 'import os\nfrom qonverge.client import result\nresult(os.environ["API_KEY"])\n'
    memory = {"limits": {"memory": "512Mi"}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "programs"}}
    allowed = {"env": [_key("program-key")], "serviceAccountName": "programs", "labels": {"team": "chemistry"}}
    refused = {"env": [_key("other")], "serviceAccountName": "admin"}
    workspace.apply(
        account,
        _secret("program-key", token="e2e-token"),
        _job("within", python={"source": source, "template": allowed, "resources": memory}),
        _job(
            "outside",
            container={"image": "other:1", "template": refused, "resources": {"limits": {"memory": "2Gi"}}},
        ),
    )
    status = workspace.ended("outside")
    assert (status["state"], status["reason"]) == ("Failed", "PolicyViolation")
    for field in ("image", "template.env", "template.serviceAccountName", "resources.limits[memory]"):
        assert f"spec.program.container.{field}" in status["message"]
    assert not _batch_jobs(workspace, "outside")
    assert workspace.completed("within")["result"]["value"] == "e2e-token"
    (pod,) = workspace.items("pods", "--selector=qonverge.io/job-name=within")
    assert (pod["spec"]["serviceAccountName"], pod["metadata"]["labels"]["team"]) == ("programs", "chemistry")


def test_a_program_gives_its_pod_back_while_a_device_has_a_queue(workspace: Workspace) -> None:
    # Its time stands still until the test moves it.
    cloud = CloudPod(workspace, virtualClock=True, braket={"devices": {"Garnet": {"queue": {"seconds": 600}}}})
    cloud.backend("garnet")
    job = program("pausing", dedent(_PAUSES), backend={"name": "garnet"})
    job["spec"]["program"]["python"]["pauseAfterSeconds"] = 1
    workspace.apply(job)
    workspace.wait("--for=jsonpath={.status.reason}=Paused", "hybridjob/pausing")

    def running() -> list[str]:
        pods = workspace.items("pods", "--selector=qonverge.io/job-name=pausing")
        return [pod["status"]["phase"] for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]

    eventually(lambda: not running(), "the end of its pod")
    status = workspace.status("pausing")
    assert (status["state"], status["attempts"], len(status["paused"]["tasks"])) == ("Running", 1, 1)
    cloud.advance(601)
    status = workspace.completed("pausing")
    assert (status["attempts"], status["pauses"]) == (1, 1)
    value = status["result"]["value"]
    assert sum(value["counts"].values()) == 100
    # The step that had ended was not done again, and the one that waited has not sent its task again.
    assert value["first"] != value["last"]
    (task,) = cloud.tasks()
    assert (task["status"], task["shots"]) == ("COMPLETED", 100)
