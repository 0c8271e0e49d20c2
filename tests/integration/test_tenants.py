"""What one namespace may do to another, against a real API server."""

from __future__ import annotations

import http.server
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.cluster import standin
from qonverge.api.backend import OFFERS_LABEL
from qonverge.controller.objects.object_names import BACKEND_LABEL
from tests.integration.conftest import Lab, backend, eventually, job


class Spy:
    """A server that poses as a backend and keeps what it is sent."""

    def __init__(self) -> None:
        asked = self.asked = list[tuple[str, str | None, bytes]]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.path, self.headers.get("authorization"), body))
                answer = json.dumps({"state": "Completed", "results": [{"counts": [{"11": 1024}], "shots": 1024}]})
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())

            do_POST = do_GET  # noqa: N815 - the base class sets the names

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pose(self, lab: Lab, namespace: str, name: str, owners: list[dict[str, Any]]) -> None:
        """Create a ready pod at the spy's address that bears a backend's labels."""
        labels = {BACKEND_LABEL: "trap-qb", "app.kubernetes.io/managed-by": "qonverge"}
        ports = [{"name": "tasks", "containerPort": self.server.server_port}]
        metadata = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": owners}
        spec = {"containers": [{"name": "fake", "image": "fake", "ports": ports}], "nodeName": "nowhere"}
        lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "conditions": conditions}
        patch = json.dumps({"status": status})
        lab.kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


@pytest.fixture
def spy() -> Iterator[Spy]:
    spy = Spy()
    try:
        yield spy
    finally:
        spy.server.shutdown()
        spy.server.server_close()


@pytest.fixture
def hostile(lab: Lab) -> Iterator[str]:
    """A namespace whose editors mean ill, and a backend there that claims to be for everybody."""
    name = f"hostile-{uuid.uuid4().hex[:5]}"
    lab.kubectl("create", "namespace", name)
    lab.kubectl("create", "serviceaccount", "default", "-n", name)
    trap = backend("trap", access={"namespaces": {"from": "All"}})
    lab.apply({**trap, "metadata": {"name": "trap", "namespace": name}})
    try:
        yield name
    finally:
        for kind in ("pods", "quantumbackends", "deployments", "replicasets"):
            lab.kubectl("delete", kind, "--all", "-n", name, "--force", "--grace-period=0")
        lab.kubectl("delete", "namespace", name, "--wait=false")


def told(lab: Lab, name: str) -> dict[str, Any]:
    """Wait for a word about a job, and return its status."""
    eventually(lambda: lab.status(name).get("reason"), f"a word about {name}")
    return lab.status(name)


def test_a_namespace_without_the_privilege_gets_no_job_of_another(lab: Lab, hostile: str, spy: Spy) -> None:
    spy.pose(lab, hostile, "fake", [])
    lab.start_operator()
    lab.ready()
    lab.apply(job("any"), job("named", backend={"name": "trap", "namespace": hostile}))
    for name in ("any", "named"):
        status = told(lab, name)
        assert status["state"] == "Pending"
        assert f"{OFFERS_LABEL}=true" in status["message"]

    def offered() -> Any:
        conditions = lab.get("qb", "trap", hostile).get("status", {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == "Offered"), None)

    assert eventually(offered, "the condition Offered")["reason"] == "NamespaceMayNotOffer"
    assert not spy.asked


def test_a_pod_that_poses_as_a_backend_s_gets_nothing_even_where_backends_may_be_offered(
    lab: Lab, hostile: str, spy: Spy
) -> None:
    lab.kubectl("label", "namespace", hostile, f"{OFFERS_LABEL}=true")
    lab.start_operator()
    lab.ready()
    deployment = eventually(lambda: lab.get("deployment", "trap-qb", hostile), "the Deployment")
    # One with the labels alone, and one with an owner's reference that anybody can write.
    spy.pose(lab, hostile, "fake", [])
    lab.apply(standin.replica_set(deployment, "forged"))
    uid = lab.get("replicaset", "forged", hostile)["metadata"]["uid"]
    spy.pose(lab, hostile, "forged", [standin.owner("ReplicaSet", "forged", uid)])
    lab.apply(job("any"))
    eventually(lambda: spy.asked, "a challenge to the second pod")
    status = told(lab, "any")
    assert status["state"] == "Pending"
    # Neither tokens nor circuits, nor anything else but challenges.
    assert {(path.partition("?")[0], token, body) for path, token, body in spy.asked} == {("/v1/identity", None, b"")}
