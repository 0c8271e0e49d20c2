"""Two releases of the chart on one cluster, and two replicas of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import release
from e2e.cluster.access import ClusterAccess
from e2e.test_faults import calling
from e2e.workspace import Workspace, backend, circuit, eventually, operator_pods

ROOT = Path(__file__).resolve().parents[1]
SECOND = "qonverge-second"
_DEPLOYMENT = "deployment/qonverge"


def scale(cluster: ClusterAccess, replicas: int) -> None:
    """Change how many replicas the release has, and wait until they are ready."""
    in_release = f"--namespace={cluster.namespace}"
    cluster.kubectl("scale", in_release, _DEPLOYMENT, f"--replicas={replicas}")
    cluster.kubectl("rollout", "status", in_release, _DEPLOYMENT, "--timeout=120s")


def on(job: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the job for a backend of its own namespace."""
    return {**job, "spec": {**job["spec"], "backend": {"name": name}}}


@pytest.fixture
def scaled(cluster: ClusterAccess, shared: Workspace) -> Iterator[ClusterAccess]:
    """A cluster whose release a test may scale."""
    yield cluster
    scale(cluster, 1)


def test_a_second_release_waits_for_the_first_and_takes_over_when_it_is_gone(
    scaled: ClusterAccess, workspace: Workspace
) -> None:
    workspace.apply(backend("own"), on(circuit("before"), "own"))
    workspace.completed("before")
    deployment = workspace.get("quantumbackend", "own")["status"]["selector"].partition("=")[2]
    generation = workspace.get("deployment", deployment)["metadata"]["generation"]
    images = scaled.images
    values = {
        "image.registry": images.registry,
        "image.repository": images.repository,
        "image.tag": images.tag,
        "watchNamespaces[0]": workspace.namespace,
    }
    sets = [f"--set-string={name}={value}" for name, value in values.items()]
    here = f"--namespace={SECOND}"
    try:
        scaled.helm("install", SECOND, str(ROOT / release.CHART), "--create-namespace", here, *sets, "--set=replicas=1")
        pods = ("pods", "--selector=app.kubernetes.io/name=qonverge")

        def refusal() -> str:
            events = scaled.get("events", namespace="kube-system")["items"]
            return next((event["message"] for event in events if event["reason"] == "OperatorConflict"), "")

        assert "looks after all namespaces" in eventually(refusal, "an event that says that it waits")
        (pod,) = scaled.get(*pods, namespace=SECOND)["items"]
        assert refusal() in scaled.kubectl("logs", here, pod["metadata"]["name"])
        workspace.apply(on(circuit("during"), "own"))
        workspace.completed("during")
        assert workspace.get("deployment", deployment)["metadata"]["generation"] == generation
        (pod,) = scaled.get(*pods, namespace=SECOND)["items"]
        conditions = {condition["type"]: condition["status"] for condition in pod["status"]["conditions"]}
        assert conditions["Ready"] == "False"
        # The second has rights in this one namespace, and a key of its own, so the backend gets other pods.
        scale(scaled, 0)
        scaled.kubectl("rollout", "status", here, f"deployment/{SECOND}", "--timeout=120s")
        eventually(
            lambda: workspace.get("deployment", deployment)["metadata"]["generation"] > generation,
            "the second's work on the backend",
        )
        workspace.apply(on(circuit("after"), "own"), on(calling("program", 3), "own"))
        workspace.completed("after")
        workspace.completed("program")
    finally:
        scaled.helm("uninstall", SECOND, here, "--wait", "--ignore-not-found")
        scaled.kubectl("delete", "namespace", SECOND, "--ignore-not-found", "--wait=false")
    scale(scaled, 1)
    workspace.apply(on(circuit("last"), "own"))
    workspace.completed("last")


def test_a_program_reports_through_any_replica_while_the_leader_changes(
    scaled: ClusterAccess, workspace: Workspace
) -> None:
    scale(scaled, 2)
    workspace.apply(calling("program", 60))
    workspace.wait("--for=jsonpath={.status.metrics.call}", "hybridjob/program")
    lease = scaled.get("lease", f"qonverge.{scaled.namespace}.qonverge", namespace="kube-system")
    leader = lease["spec"]["holderIdentity"]
    assert leader in [pod["metadata"]["name"] for pod in operator_pods(scaled)]
    scaled.kubectl("delete", "pod", f"--namespace={scaled.namespace}", leader, "--wait=false")
    workspace.apply(circuit("next"))
    workspace.completed("next")
    status = workspace.completed("program")
    assert (status["attempts"], status["result"]["value"]["calls"], status["metrics"]["call"]) == (1, 60, 59)
    assert "report" not in (status.get("log") or "")
