"""Larger sizes of a backend: what is made of them, and when one goes."""

from __future__ import annotations

from typing import Any

from qonverge.api import QuantumBackend
from qonverge.api.conditions import timestamp
from qonverge.backend.config import EngineConfig
from qonverge.controller.backends.sizes import has_gone, names_taken, owner_of_size, sizes_to_apply
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.objects.backend_objects import deployment
from qonverge.controller.objects.sizes import sizes_of
from qonverge.controller.settings import Settings
from qonverge.controller.store.pods import Endpoint
from qonverge.controller.store.resources import Change, Unread
from qonverge.controller.store.state import State
from qonverge.scheduling import Backend
from tests.unit.controller.worlds import NOW, World, info

GIB = 2**30


def backend(most: str = "4Gi", **spec: Any) -> QuantumBackend:
    metadata = {"name": "b", "namespace": "lab", "uid": "uid-b", "labels": {"team": "a"}}
    resources = {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
    given = {
        "simulator": {"method": "Statevector"},
        "capacity": {"concurrency": 2, "queueLimit": 7},
        "scaling": {"minReplicas": 1, "maxReplicas": 9, "stableWindow": "10s", "vertical": {"maxMemory": most}},
        "template": {"resources": resources, "labels": {"x": "y"}},
        **spec,
    }
    return QuantumBackend.model_validate({"metadata": metadata, "spec": given})


def shown(state: State, obj: dict[str, Any]) -> QuantumBackend:
    """Return a manifest as the watch shows it, once it is there."""
    metadata = {**obj["metadata"], "uid": f"uid-{obj['metadata']['name']}", "resourceVersion": "1", "generation": 1}
    state.observe("QuantumBackend", {**obj, "metadata": metadata}, deleted=False)
    return state.backends[f"lab/{metadata['name']}"]


def test_a_size_is_a_backend_with_the_same_specification_and_more_memory_for_one_circuit() -> None:
    sizes = sizes_of(backend())
    assert list(sizes) == ["lab/b-2gi", "lab/b-4gi"]
    size = QuantumBackend.model_validate(sizes["lab/b-4gi"])
    assert size.size_of is not None
    assert (size.size_of.name, size.size_of.uid, size.metadata.labels["team"]) == ("b", "uid-b", "a")
    assert (size.spec.simulator, size.spec.template.labels) == (backend().spec.simulator, {"x": "y"})
    assert (size.spec.capacity.concurrency, size.spec.capacity.queue_limit) == (1, 7)
    scaling = size.spec.scaling
    assert scaling is not None
    assert (scaling.min_replicas, scaling.max_replicas, scaling.scale_to_zero_after) == (0, 1, "60s")
    assert (scaling.stable_window, scaling.vertical, sizes_of(size)) == ("10s", None, {})
    # Its memory is reserved: a limit alone is the request too.
    container = deployment(size, Settings(), b"")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == "4Gi"
    assert container["resources"]["requests"] == {"cpu": "1", "ephemeral-storage": "64Mi"}


def test_without_a_bound_there_are_no_sizes() -> None:
    assert sizes_of(backend(scaling={"maxReplicas": 3})) == {}


def test_a_size_begins_without_pods_and_a_backend_with_one() -> None:
    state = State()
    size = shown(state, sizes_of(backend())["lab/b-2gi"])
    assert (state.replicas_of(size), state.replicas_of(backend())) == (0, 1)


def test_a_stopped_backend_stops_its_sizes() -> None:
    assert {size["spec"]["replicas"] for size in sizes_of(backend(replicas=0)).values()} == {0}


def test_a_name_that_another_has_is_left_alone_and_said() -> None:
    state = State()
    made, taken = sizes_to_apply(state, backend()), names_taken(state, backend())
    assert ([each["metadata"]["name"] for each in made], taken) == (["b-2gi", "b-4gi"], "")
    shown(state, made[0])
    obj = backend().to_dict()
    shown(state, {**obj, "metadata": {"name": "b-4gi", "namespace": "lab"}})
    made, taken = sizes_to_apply(state, backend()), names_taken(state, backend())
    assert [each["metadata"]["name"] for each in made] == ["b-2gi"]
    status = status_of(backend(), Seen(taken=taken), NOW)
    stalled = next(each for each in status.conditions if each.type == "Stalled")
    assert (stalled.status, stalled.reason) == ("True", "ApplyFailed")
    assert "QuantumBackend b-4gi is there already and is no size of this one" in stalled.message
    # One that cannot be read is known by its metadata.
    owners = made[0]["metadata"]["ownerReferences"]
    del state.backends["lab/b-4gi"]
    state.unread["QuantumBackend lab/b-4gi"] = Unread("QuantumBackend", {"ownerReferences": owners}, {}, "odd")
    assert names_taken(state, backend()) == ""


def test_a_size_goes_when_its_backend_has_it_no_more_and_no_pod_is_left() -> None:
    state, before = State(), backend("4Gi")
    size = shown(state, sizes_of(before)["lab/b-4gi"])
    assert not has_gone(state, size), "its backend is not there: the cluster deletes it"
    state.backends["lab/b"] = before
    assert not has_gone(state, size)
    state.backends["lab/b"] = backend("2Gi")
    assert has_gone(state, size)
    state.pods.observe("p", "lab/p", Endpoint("p", "lab/p", "lab/b-4gi-qb", "http://p"), backend="lab/b-4gi-qb")
    assert not has_gone(state, size)
    state.pods.remove("lab/p")
    state.deployments["lab/b-4gi-qb"] = {"replicas": 1}
    assert not has_gone(state, size)
    state.backends["lab/b"] = backend("2Gi").model_copy(
        update={"metadata": before.metadata.model_copy(update={"uid": "another"})}
    )
    state.deployments.clear()
    assert not has_gone(state, size)


def test_a_size_that_somebody_changes_is_seen_to_and_one_whose_status_changes_is_not() -> None:
    state = State()
    made = sizes_of(backend())["lab/b-2gi"]
    size = shown(state, made)
    changed = size.model_copy(update={"metadata": size.metadata.model_copy(update={"generation": 2})})

    def owners(before: QuantumBackend | None, after: QuantumBackend | None) -> list[str]:
        return list(owner_of_size(Change("QuantumBackend", "lab/b-2gi", made, before, after)))

    assert (owners(size, changed), owners(size, None), owners(size, size)) == (["lab/b"], ["lab/b"], [])


def seen_by_rounds(world: World) -> dict[str, Backend]:
    return {each.name: each for each in world.rounds.sight.backends(NOW)}


def test_rounds_know_what_a_size_has_before_a_pod_of_it_serves_and_when_one_will() -> None:
    world = World()
    world.state.backends["lab/b"] = backend()
    for size in sizes_of(backend()).values():
        shown(world.state, size)
    known = {
        name: EngineConfig(concurrency=workers, memory_bytes=memory, spare=True).circuit_bytes
        for name, workers, memory in [("b", 2, GIB), ("b-2gi", 1, 2 * GIB), ("b-4gi", 1, 4 * GIB)]
    }
    found = seen_by_rounds(world)
    assert {name: each.memory_bytes for name, each in found.items()} == known
    assert [found[name].smaller_bytes for name in known] == [None, known["b"], known["b-2gi"]]
    assert [found[name].larger for name in known] == [True, True, False]
    assert found["b-4gi"].starting == "a pod with 4 GiB of memory is started for it"
    assert found["b-4gi"].free_seconds == (10.0,)

    # One of the usual size took 3 s: so will the others.
    world.state.start_seconds["lab/b"] = 3.0
    assert seen_by_rounds(world)["b-4gi"].free_seconds == (3.0,)
    world.state.pods.observe("p", "lab/p", None, backend="lab/b-4gi-qb", created=NOW - 1)
    assert seen_by_rounds(world)["b-4gi"].starting == "a pod with 4 GiB of memory starts for it"
    world.serve(Endpoint("p", "lab/p", "lab/b-4gi-qb", "http://p"))
    world.pod("p").info = info(memory=GIB)
    serves = seen_by_rounds(world)["b-4gi"]
    assert (serves.starting, serves.memory_bytes) == ("", GIB), "its node has less than its limit"


def test_a_pod_that_no_node_can_hold_is_said_to_wait_for_one() -> None:
    world = World()
    world.state.backends["lab/b"] = backend()
    shown(world.state, sizes_of(backend())["lab/b-4gi"])
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "lab",
            "uid": "p",
            "resourceVersion": "1",
            "creationTimestamp": timestamp(NOW - 1),
            "labels": {"qonverge.io/backend": "b-4gi-qb"},
        },
        "spec": {"containers": []},
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
            ]
        },
    }
    world.state.observe("Pod", pod, deleted=False)
    found = seen_by_rounds(world)["b-4gi"]
    assert found.serving
    assert found.starting == "its pod with 4 GiB of memory waits for a node: 0/1 nodes"


def test_a_size_that_its_backend_has_no_more_is_for_nobody() -> None:
    world = World()
    world.state.backends["lab/b"] = backend("2Gi")
    for size in sizes_of(backend("4Gi")).values():
        shown(world.state, size)
    found = seen_by_rounds(world)
    former, usual = found["b-4gi"].smaller_bytes, found["b"].memory_bytes
    assert former is not None
    assert former > 2**60
    assert (found["b-2gi"].smaller_bytes, found["b-2gi"].larger) == (usual, False)


def test_while_a_size_is_not_there_the_largest_that_is_waits_for_it() -> None:
    world = World()
    world.state.backends["lab/b"] = backend()
    assert seen_by_rounds(world)["b"].awaits_larger
    made = sizes_of(backend())
    for key, waiting in (("lab/b-2gi", {"b": False, "b-2gi": True}), ("lab/b-4gi", {"b-2gi": False, "b-4gi": False})):
        shown(world.state, made[key])
        found = seen_by_rounds(world)
        assert {name: found[name].awaits_larger for name in waiting} == waiting
    # Somebody deleted it.
    world.state.observe(
        "QuantumBackend",
        {
            **made["lab/b-4gi"],
            "metadata": {**made["lab/b-4gi"]["metadata"], "uid": "uid-b-4gi", "resourceVersion": "2", "generation": 1},
        },
        deleted=True,
    )
    assert seen_by_rounds(world)["b-2gi"].awaits_larger
