"""What somebody who may edit one namespace can do to the jobs of another."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.cluster.access import ClusterAccess
from e2e.cluster.errors import CommandFailed
from e2e.workspace import Workspace, backend, circuit, eventually, program
from qonverge.api.backend import OFFERS_LABEL

# Poses as a backend: answers everything, and prints what it is sent.
_FAKE = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        print("ASKED", self.path.partition("?")[0], self.headers.get("authorization"), len(body), flush=True)
        answer = json.dumps({"state": "Completed", "results": [{"counts": [{"forged": 1024}], "shots": 1024}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    do_POST = do_GET
    def log_message(self, *_): pass

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


class Attacker:
    """A ServiceAccount with the role ``edit`` of its own namespace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        name, namespace = "attacker", workspace.namespace
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
        workspace.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": role,
                "subjects": [subject],
            },
        )
        self._as = f"--as=system:serviceaccount:{namespace}:{name}"

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.workspace.kubectl(self._as, *words, stdin=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pose(self, name: str, labels: dict[str, str], owners: list[dict[str, Any]] | None = None) -> None:
        """Run a pod that poses as a backend's."""
        container = {
            "name": "fake",
            "image": self.workspace.cluster.images.image("program"),
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _FAKE],
            "ports": [{"name": "tasks", "containerPort": 8080}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        metadata = {"name": name, "labels": labels, "ownerReferences": owners or []}
        spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.workspace.wait("--for=condition=Ready", f"pod/{name}")

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels by which a backend's pods are known."""
        label, _, value = self.workspace.get("quantumbackend", name)["status"]["selector"].partition("=")
        return {label: value, "app.kubernetes.io/managed-by": "qonverge"}

    def stolen(self, name: str) -> list[str]:
        """Return what a posing pod was sent, but for challenges, which tell nothing."""
        lines = self.kubectl("logs", name).splitlines()
        return [line for line in lines if line != "ASKED /v1/identity None 0"]


@pytest.fixture
def attacker(cluster: ClusterAccess) -> Iterator[Attacker]:
    """Somebody in a namespace of their own, beside the test's."""
    space = Workspace(cluster, f"e2e-attacker-{uuid.uuid4().hex[:5]}")
    space.create()
    try:
        yield Attacker(space)
    finally:
        space.delete()


def test_an_editor_of_a_namespace_gets_no_circuit_of_another(attacker: Attacker, workspace: Workspace) -> None:
    space = attacker.workspace
    attacker.apply(backend("trap", replicas=0, access={"namespaces": {"from": "All"}}))
    space.wait("--for=jsonpath={.status.selector}", "quantumbackend/trap")
    attacker.pose("fake", attacker.labels("trap"))
    named = {"name": "trap", "namespace": space.namespace}
    workspace.apply(circuit("any"), circuit("named", backend=named))
    assert workspace.completed("any")["backend"].endswith("/aer")
    eventually(lambda: f"{OFFERS_LABEL}=true" in workspace.status("named").get("message", ""), "a word why")
    assert not attacker.stolen("fake")
    with pytest.raises(CommandFailed, match="forbidden"):
        attacker.kubectl("label", "namespace", space.namespace, f"{OFFERS_LABEL}=true")


def test_a_pod_of_an_offering_namespace_that_poses_gets_no_circuit(attacker: Attacker, workspace: Workspace) -> None:
    """Even where an administrator lets the namespace serve others, only the operator's own pods do."""
    space = attacker.workspace
    space.cluster.kubectl("label", "namespace", space.namespace, f"{OFFERS_LABEL}=true")
    attacker.apply(backend("trap", access={"namespaces": {"from": "All"}}))
    space.wait("--for=condition=Ready", "quantumbackend/trap")
    (own,) = space.backend_pods("trap")
    attacker.pose("fake", attacker.labels("trap"))
    # The owner's reference of the true pod, which anybody can read and write.
    attacker.pose("forged", attacker.labels("trap"), own["metadata"]["ownerReferences"])
    jobs = [f"job-{number}" for number in range(8)]
    workspace.apply(*(circuit(name, backend={"name": "trap", "namespace": space.namespace}) for name in jobs))
    for name in jobs:
        assert set(workspace.completed(name)["result"]["counts"]) <= {"00", "11"}
    assert not attacker.stolen("fake")
    assert not attacker.stolen("forged")


_STUBBORN = """
import signal, time
from qonverge.client import report, result
signal.signal(signal.SIGTERM, signal.SIG_IGN)
report(progress=0.1)
for _ in range(600):
    time.sleep(0.1)
    result("of the former job")
    report(progress=0.9)
"""
_SUCCESSOR = """
import time
from qonverge.client import report, result
report(progress=0.2)
time.sleep(15)
result("of the new job")
"""


def test_a_program_that_will_not_end_does_not_speak_for_its_successor(workspace: Workspace) -> None:
    workspace.apply(program("same", _STUBBORN))
    workspace.wait("--for=jsonpath={.status.progress}", "hybridjob/same")
    workspace.kubectl("delete", "hybridjob", "same")
    workspace.apply(program("same", _SUCCESSOR))
    seen = set()

    def ended() -> bool:
        status = workspace.status("same")
        seen.add(status.get("progress"))
        return "completedAt" in status

    eventually(ended, "the end of the second job")
    status = workspace.status("same")
    assert (status["state"], status["result"]["value"]) == ("Complete", "of the new job")
    assert seen <= {None, "20%", "100%"}, "never the 90 % of the former one"


_CARELESS = """
import os, time
from pathlib import Path
print("TOKEN", os.environ["QONVERGE_BACKEND_URL"], Path(os.environ["QONVERGE_TOKEN_FILE"]).read_text(), flush=True)
time.sleep(600)
"""
# Uses another one's token: with a task that would never end, and with short ones.
_THIEF = """
import sys, threading, time
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2, TaskFailed
from qonverge.client.transport.connection import Connection

url, token = sys.argv[1:]
sampler = SamplerV2(Connection(url, lambda: token))
endless, short = QuantumCircuit(1, 1), QuantumCircuit(1, 1)
short.measure(0, 0)
endless.measure(0, 0)
with endless.while_loop((endless.clbits[0], 0)):
    endless.measure(0, 0)

def steal(word, circuit):
    try:
        sampler.run([circuit], shots=10).result()
        said = "Completed"
    except TaskFailed as error:
        said = error.code
    # One write: two threads that print mix their lines.
    sys.stdout.write(f"{word} {said}\\n")
    sys.stdout.flush()

threading.Thread(target=steal, args=("LONG", endless), daemon=True).start()
while True:
    steal("SHORT", short)
    time.sleep(0.2)
"""


def test_a_stolen_token_ends_with_its_job(workspace: Workspace) -> None:
    workspace.apply(program("careless", _CARELESS))
    workspace.running("careless")
    (job,) = workspace.items("jobs")
    name = job["metadata"]["name"]
    stolen = eventually(lambda: workspace.kubectl("logs", f"job/{name}").split(), "the token in the log")
    container = {
        "name": "thief",
        "image": workspace.cluster.images.image("program"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", _THIEF, *stolen[1:]],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
    workspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "thief"}, "spec": spec})

    def lines() -> list[str]:
        return workspace.kubectl("logs", "thief").splitlines()

    workspace.wait("--for=condition=Ready", "pod/thief")
    eventually(lambda: "SHORT Completed" in lines(), "a task with the stolen token")
    workspace.kubectl("delete", "hybridjob", "careless", "--wait=false")
    ended = eventually(lambda: (said := lines()).count("SHORT AccessEnded") > 5 and said, "the end of the token")
    assert "LONG AccessEnded" in ended, "what ran is ended"
    assert not any("Completed" in line for line in ended[ended.index("SHORT AccessEnded") :])
