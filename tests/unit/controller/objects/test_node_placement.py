"""Where pods may be: nodes' labels, from where backends are and what programs want to be near."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.objects import backend_objects, pod_troubles
from qonverge.controller.settings import Settings

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REGION = "topology.kubernetes.io/region"
AT_LAB = {"tier": "Edge", "site": "lab", "region": "eu"}


def backend(source: dict[str, Any], **location: Any) -> QuantumBackend:
    spec = {**source, "location": location}
    return QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": spec})


def pod_of(made: QuantumBackend) -> dict[str, Any]:
    pod: dict[str, Any] = backend_objects.deployment(made, Settings(), b"key")["spec"]["template"]["spec"]
    return pod


def program_of(made: QuantumBackend, near: dict[str, Any] | None) -> dict[str, Any]:
    python = {"source": "pass", **({} if near is None else {"near": near})}
    job = HybridJob.model_validate({"spec": {"program": {"python": python}}, "metadata": {"name": "j", "uid": "uid"}})
    *_, batch = PythonJobs().objects(job, made, Settings(), attempt=1, tokens=["t"])
    pod: dict[str, Any] = batch["spec"]["template"]["spec"]
    return pod


def takes(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a node with these labels meets what is required, by the rules of ``core/v1.NodeSelectorTerm``."""
    required = pod.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED)
    if required is None:
        return True
    return any(
        all(
            (labels.get(e["key"]) in e["values"]) if e["operator"] == "In" else labels.get(e["key"]) not in e["values"]
            for e in term["matchExpressions"]
        )
        for term in required["nodeSelectorTerms"]
    )


NODES = {
    "plain": {},
    "lab": {"qonverge.io/tier": "Edge", "qonverge.io/site": "lab", REGION: "eu"},
    "other": {"qonverge.io/tier": "Edge", "qonverge.io/site": "works", REGION: "eu"},
    "cloud": {"qonverge.io/tier": "Cloud", REGION: "eu"},
    "room": {"qonverge.io/tier": "OnPrem", "qonverge.io/site": "lab", REGION: "eu"},
}


def taken(pod: dict[str, Any]) -> set[str]:
    return {name for name, labels in NODES.items() if takes(pod, labels)}


@pytest.mark.parametrize(
    ("location", "nodes"),
    [
        ({}, {"plain", "room"}),
        (AT_LAB, {"lab"}),
        ({"site": "lab"}, {"room"}),
        ({"tier": "Cloud"}, {"cloud"}),
        ({"tier": "Cloud", "region": "us"}, set()),
        ({**AT_LAB, "nodes": "Any"}, set(NODES)),
        ({**AT_LAB, "nodes": "Preferred"}, set(NODES)),
    ],
)
def test_a_simulators_pods_are_where_its_location_says(location: dict[str, Any], nodes: set[str]) -> None:
    assert taken(pod_of(backend({"simulator": {}}, **location))) == nodes


def test_the_proxy_of_a_device_elsewhere_is_anywhere_unless_its_location_says_otherwise() -> None:
    remote = {"remote": {"url": "https://edge.example"}}
    assert "affinity" not in pod_of(backend(remote, **AT_LAB))
    assert taken(pod_of(backend(remote, **AT_LAB, nodes="Required"))) == {"lab"}


def test_what_is_preferred_counts_for_each_label() -> None:
    pod = pod_of(backend({"simulator": {}}, **AT_LAB, nodes="Preferred"))
    preferences = pod["affinity"]["nodeAffinity"][PREFERRED]
    assert [each["preference"]["matchExpressions"][0]["key"] for each in preferences] == [
        *("qonverge.io/tier", "qonverge.io/site", REGION)
    ]
    assert all(1 <= each["weight"] <= 100 for each in preferences)


def test_a_program_is_near_its_backend_or_at_a_site() -> None:
    made = backend({"remote": {"url": "https://edge.example"}}, **AT_LAB)
    assert "affinity" not in program_of(made, None)
    assert taken(program_of(made, {"nodes": "Required"})) == {"lab"}
    assert taken(program_of(made, {"site": "works", "nodes": "Required"})) == {"other"}
    # By default other nodes are taken where these have no room.
    preferred = program_of(made, {"site": "works"})
    assert taken(preferred) == set(NODES)
    (preference,) = preferred["affinity"]["nodeAffinity"][PREFERRED]
    assert preference["preference"]["matchExpressions"][0]["values"] == ["works"]


def test_a_pod_for_which_there_is_no_such_node_says_which_labels_are_missing() -> None:
    unmet = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unmet}
    pod = {"spec": pod_of(backend({"simulator": {}}, **AT_LAB)), "status": {"conditions": [waiting]}}
    trouble = pod_troubles.of_pod(pod_troubles.with_nodes_asked(pod))
    labels = f"qonverge.io/tier=Edge, qonverge.io/site=lab, {REGION}=eu"
    assert str(trouble) == (f"Unschedulable: no node that would take the pod has the labels {labels}: {unmet}")
    chosen = pod_troubles.of_pod(pod_troubles.with_nodes_asked({**pod, "spec": {"nodeSelector": {"disk": "fast"}}}))
    assert str(chosen) == f"Unschedulable: no node that would take the pod has the labels disk=fast: {unmet}"
    full = {**waiting, "message": "0/3 nodes are available: 3 Insufficient memory."}
    other = pod_troubles.of_pod(pod_troubles.with_nodes_asked({**pod, "status": {"conditions": [full]}}))
    assert str(other) == "Unschedulable: 0/3 nodes are available: 3 Insufficient memory."
