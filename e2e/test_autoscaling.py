"""Backends that scale, with the real controllers, scheduler and kubelet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from e2e.workspace import MOMENT, Workspace, backend, circuit, eventually, layered

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


def test_a_circuit_that_fits_no_usual_pod_runs_on_a_larger_one(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    vertical = {"maxMemory": "800Mi", "scaleToZeroAfter": "2s"}
    scaling = {"maxReplicas": 1, "stableWindow": "10s", "scaleDownAfter": "2s", "vertical": vertical}
    usual = {"capacity": {"concurrency": 1}, "template": {"resources": {"limits": {"memory": "400Mi"}}}}
    workspace.apply(backend("small", simulator={"method": "Statevector"}, scaling=scaling, **usual))
    at_zero = '--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=ScaledToZero'
    eventually(lambda: workspace.items("deployments", "--field-selector=metadata.name=small-800mi-qb"), "its size")
    workspace.wait(at_zero, "quantumbackend/small-800mi")

    # A statevector of 128 MiB: a pod of 400 MiB has 80 MiB for a circuit.
    workspace.apply(circuit("large", layered(23, 1), backend={"name": "small"}, shots=1))
    status = workspace.completed("large")
    assert (status["backend"], status["attempts"]) == ("small-800mi", 1)
    created = workspace.get("hybridjob", "large")["metadata"]["creationTimestamp"]
    record_property("seconds from no larger pod to the result", _at(status["completedAt"]) - _at(created))
    (pod,) = workspace.backend_pods("small-800mi")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "800Mi"

    workspace.wait(at_zero, "quantumbackend/small-800mi")
    eventually(lambda: not workspace.backend_pods("small-800mi"), "an end of the larger pod")
    assert len(workspace.backend_pods("small")) == 1
