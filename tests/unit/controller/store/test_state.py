"""Which pods are taken for backends' own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from qonverge.api import QuantumBackend
from qonverge.controller.objects.object_names import BACKEND_LABEL, PORT_NAME
from qonverge.controller.store.state import State

_VERSIONS = itertools.count(1)


def metadata(
    name: str, owner: tuple[str, str] | None = None, *, controller: bool = True, **more: Any
) -> dict[str, Any]:
    owners = []
    if owner is not None:
        kind, uid = owner
        owners.append({"kind": kind, "name": "aer", "uid": uid, "controller": controller})
    version = str(next(_VERSIONS))
    own = {"name": name, "namespace": "lab", "uid": f"uid-{name}", "resourceVersion": version}
    return {**own, "ownerReferences": owners, **more}


def deployment() -> dict[str, Any]:
    return {"metadata": metadata("aer-qb", ("QuantumBackend", "uid-aer")), "status": {}}


def replica_set(name: str = "rs", deployment: str = "uid-aer-qb", **more: Any) -> dict[str, Any]:
    return {"metadata": metadata(name, ("Deployment", deployment), **more)}


def pod(name: str = "pod", replica_set: str | None = "uid-rs", **more: Any) -> dict[str, Any]:
    owner = None if replica_set is None else ("ReplicaSet", replica_set)
    ports = [{"name": PORT_NAME, "containerPort": 8080}]
    return {
        "metadata": metadata(name, owner, labels={BACKEND_LABEL: "aer-qb"}, **more),
        "spec": {"containers": [{"ports": ports}]},
        "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_pod_of_the_backend_s_deployment_is_an_endpoint_in_whatever_order_one_hears(order: tuple[int, ...]) -> None:
    state = State()
    hear: list[Callable[[], object]] = [
        lambda: state.observe("Deployment", deployment(), False),
        lambda: state.observe("ReplicaSet", replica_set(), False),
        lambda: state.observe("Pod", pod(), False),
    ]
    for number in order:
        assert not state.pods.serving()
        hear[number]()
    assert [pod.key for pod in state.pods.reachable("lab/aer-qb")] == ["lab/pod"]


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([pod(replica_set=None)], id="labels alone"),
        pytest.param([pod(replica_set="uid-none")], id="a ReplicaSet that is none"),
        pytest.param([pod(controller=False)], id="an owner that does not control it"),
        pytest.param([replica_set("mine", "uid-mine"), pod(replica_set="uid-mine")], id="another Deployment"),
        pytest.param(
            [replica_set("mine", controller=False), pod(replica_set="uid-mine")], id="no controlling Deployment"
        ),
    ],
)
def test_a_pod_that_only_looks_like_a_backend_s_is_none(seen: list[dict[str, Any]]) -> None:
    state = State()
    state.observe("Deployment", deployment(), False)
    state.observe("ReplicaSet", replica_set(), False)
    for obj in seen:
        if "spec" in obj:
            state.observe("Pod", obj, False)
        else:
            state.observe("ReplicaSet", obj, False)
    assert not state.pods.serving()


def test_a_pod_that_is_not_ready_or_gone_is_no_endpoint_any_more() -> None:
    state = State()
    state.observe("Deployment", deployment(), False)
    state.observe("ReplicaSet", replica_set(), False)
    state.observe("Pod", pod(), False)
    # A rollout may delete the ReplicaSet before the pod has ended.
    gone = metadata("rs")
    state.observe("ReplicaSet", {"metadata": gone}, True)
    assert state.pods.serving()
    state.observe("Pod", {**pod(), "status": {"podIP": "10.0.0.1", "conditions": []}}, False)
    assert not state.pods.serving()
    state.observe("ReplicaSet", replica_set(), False)
    assert not state.pods.serving()
    state.observe("Pod", pod(), False)
    assert state.pods.serving()
    state.observe("Pod", pod(), True)
    assert not state.pods.serving()


def test_when_a_pod_was_made_and_became_ready_is_read_from_it() -> None:
    state = State()
    made = pod(creationTimestamp="2026-01-02T03:04:05Z")
    made["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-02T03:04:09Z"
    state.observe("Pod", made, False)
    (found,) = state.pods.of("lab/aer-qb")
    assert (found.created, found.started_in) == (1767323045.0, 4.0)


@pytest.mark.parametrize(
    ("spec", "deployed", "decided", "replicas"),
    [
        ({"replicas": 3}, 7, None, 3),
        ({"scaling": {"mode": "External"}, "replicas": 3}, 7, None, 3),
        ({"scaling": {"maxReplicas": 9}}, 7, 5, 5),
        ({"scaling": {"maxReplicas": 9}}, 7, None, 7),
        ({"scaling": {"maxReplicas": 9, "minReplicas": 2}}, None, None, 2),
        ({"scaling": {"maxReplicas": 9, "minReplicas": 0}}, None, None, 1),
        ({"scaling": {"maxReplicas": 9}, "replicas": 0}, 7, None, 0),
    ],
)
def test_how_many_pods_a_backend_should_have(
    spec: dict[str, Any], deployed: int | None, decided: int | None, replicas: int
) -> None:
    state = State()
    backend = QuantumBackend.model_validate(
        {"metadata": {"name": "aer", "namespace": "lab", "uid": "u"}, "spec": {"simulator": {}, **spec}}
    )
    if deployed is not None:
        state.observe("Deployment", deployment() | {"spec": {"replicas": deployed}}, False)
    if decided is not None:
        state.replicas["lab/aer"] = decided
    assert state.replicas_of(backend) == replicas
