"""Which pods a ReplicaSet takes first, and by how many it may shrink so that only those go that may."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.controller.objects.pod_order import COST, GOES_FIRST, Shown, marked, taken_first

PLAIN, MARKED = Shown(), Shown(cost=GOES_FIRST)
STARTING, PENDING = Shown(ready=False), Shown(placed=False, runs=False, ready=False)


@pytest.mark.parametrize(
    ("pods", "may_go", "count"),
    [
        pytest.param({"a": [MARKED], "b": [PLAIN]}, {"a"}, 1, id="marked"),
        pytest.param({"a": [PLAIN], "b": [PLAIN]}, {"a"}, 0, id="not-marked"),
        pytest.param({"a": [PLAIN], "b": [PLAIN]}, {"a", "b"}, 2, id="all-may"),
        pytest.param({"a": [MARKED], "b": [MARKED]}, {"a"}, 0, id="another-is-marked"),
        pytest.param({"a": [MARKED], "b": [STARTING]}, {"a"}, 0, id="another-is-not-ready"),
        pytest.param({"a": [STARTING], "b": [PLAIN]}, {"a"}, 0, id="not-ready-and-not-marked"),
        pytest.param({"a": [PENDING], "b": [MARKED], "c": [PLAIN]}, {"b"}, 0, id="another-has-no-node"),
        # What its controller may not have seen yet.
        pytest.param({"a": [MARKED, PLAIN], "b": [PLAIN]}, {"a"}, 0, id="marked-just-now"),
        pytest.param({"a": [MARKED], "b": [PLAIN, MARKED]}, {"a"}, 0, id="another-was-marked-just-now"),
        pytest.param({"a": [MARKED], "b": [PLAIN, STARTING]}, {"a"}, 0, id="another-became-ready-just-now"),
        pytest.param({"a": [MARKED], "b": [MARKED, PLAIN], "c": [PLAIN]}, {"a", "b"}, 1, id="one-of-two-is-seen"),
    ],
)
def test_no_more_go_than_those_that_certainly_go_first(
    pods: dict[str, list[Shown]], may_go: set[str], count: int
) -> None:
    assert taken_first(pods, may_go) == count


def shown(annotations: Any = None, **status: Any) -> Shown:
    metadata = {"annotations": annotations}
    return Shown.of({"metadata": metadata, "spec": {"nodeName": "n"}, "status": status}, "rs")


def test_a_pod_is_read_as_its_replica_set_reads_it() -> None:
    running = [{"name": "sidecar", "containerID": "x", "state": {"running": {}}}]
    running += [{"name": "backend", "containerID": "c1", "state": {"running": {}}}]
    ready = [{"type": "Ready", "status": "True"}]
    pod = shown({COST: "-100"}, phase="Running", conditions=ready, containerStatuses=running)
    assert (pod.marked, pod.ready, pod.runs, pod.placed, pod.counts, pod.process) == (*[True] * 5, "c1")
    assert shown({COST: "soon"}).cost == 0
    assert [shown(phase=phase).counts for phase in ("Pending", "Running", "Failed", "Succeeded")] == [
        *(True, True, False, False)
    ]
    waiting = [{"name": "backend", "containerID": "c1", "state": {"waiting": {}}}]
    assert shown(phase="Running", containerStatuses=waiting).process == ""


def test_a_mark_is_taken_off_by_applying_nothing() -> None:
    assert marked("p", "lab", "u", goes=True)["metadata"]["annotations"] == {COST: "-100"}
    assert marked("p", "lab", "u", goes=False)["metadata"] == {"name": "p", "namespace": "lab", "uid": "u"}
