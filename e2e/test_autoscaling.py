"""A backend that scales, with the real controllers, scheduler and kubelet: from no pod through a burst and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from e2e.workspace import MOMENT, Workspace, backend, circuit, eventually

_SCALING = {
    "minReplicas": 0,
    "maxReplicas": 2,
    "targetQueueTime": "2s",
    "stableWindow": "10s",
    "scaleDownAfter": "2s",
    "scaleToZeroAfter": "5s",
}


def _at(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def test_from_no_pod_through_a_burst_and_back(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    # It begins with a pod, so that the image is there when the next one starts.
    workspace.apply(backend("elastic", capacity={"concurrency": 1}, scaling=_SCALING))
    at_zero = '--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=ScaledToZero'
    workspace.wait(at_zero, "quantumbackend/elastic")
    eventually(lambda: not workspace.items("pods"), "an end of its first pod")

    workspace.apply(circuit("first", backend={"name": "elastic"}))
    first = workspace.completed("first")
    created = workspace.get("hybridjob", "first")["metadata"]["creationTimestamp"]
    # Whole seconds, as Kubernetes has them; told and not judged, since the machine may be busy.
    record_property("seconds from zero to the first result", _at(first["completedAt"]) - _at(created))
    assert sum(first["result"]["counts"].values()) == 1024

    names = [f"burst-{number}" for number in range(20)]
    workspace.apply(*(circuit(name, MOMENT, backend={"name": "elastic"}) for name in names))
    workspace.wait("--for=jsonpath={.spec.replicas}=2", "deployment/elastic-qb")
    ends = {name: workspace.completed(name) for name in names}
    assert {status["attempts"] for status in ends.values()} == {1}

    workspace.wait(at_zero, "quantumbackend/elastic")
    eventually(lambda: not workspace.items("pods"), "an end of all pods")
