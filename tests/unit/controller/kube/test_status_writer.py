"""One way to write a status, for all kinds."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.dispatcher import Dispatcher


def merged(target: Any, patch: Any) -> Any:
    """Return what an API server makes of a merge patch, by RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class Server(Kube):
    """Keeps one job, and merges what it is sent."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.obj: dict[str, Any] = {
            "metadata": {"name": "j", "namespace": "chem", "uid": "u", "resourceVersion": "5"},
            "spec": {"program": {"circuit": {"openqasm": "x"}}},
            "status": status,
        }
        self.gone = False
        self.requests = 0

    async def patch_status(
        self, kind: str, namespace: str, name: str, status: dict[str, Any], resource_version: str
    ) -> dict[str, Any]:
        self.requests += 1
        metadata = self.obj["metadata"]
        if self.gone:
            raise KubeError(404, "not found")
        if resource_version != metadata["resourceVersion"]:
            raise KubeError(409, "the object has been modified")
        version = str(int(resource_version) + 1)
        self.obj = {
            **self.obj,
            "metadata": {**metadata, "resourceVersion": version},
            "status": merged(self.obj["status"], status),
        }
        return self.obj


class Desk:
    """A server, a store that knows its job, and the writer between them."""

    def __init__(self, **status: Any) -> None:
        self.server = Server(status)
        self.state = State()
        self.queue = WorkQueue(lambda: 0.0)
        dispatcher = Dispatcher(self.state, self.queue)
        dispatcher.observe("HybridJob", self.server.obj, deleted=False)
        self.statuses = StatusWriter(self.server, dispatcher.written)

    @property
    def job(self) -> HybridJob:
        return self.state.jobs["chem/j"]

    async def write(self, **changed: Any) -> dict[str, Any] | None:
        return await self.statuses.write(self.job, self.job.status.model_copy(update=changed))


async def test_the_answer_is_known_at_once() -> None:
    desk = Desk(state="Pending")
    assert await desk.write(state="Placed", backend="a") == desk.server.obj
    assert (desk.job.status.state, desk.job.metadata.resource_version) == ("Placed", "6")
    # What goes on from there is no conflict, although no watch has shown it.
    await desk.write(state="Running")
    assert desk.server.obj["status"]["state"] == "Running"


async def test_what_is_no_more_is_cleared_at_any_depth() -> None:
    provenance = {"engine": "Aer", "seed": 3}
    desk = Desk(
        state="Running", pod="p", metrics={"a": 1.0, "b": 2.0}, provenance=provenance, later={"of a newer version": 1}
    )
    before = desk.job.status
    assert before.provenance is not None
    await desk.write(
        pod=None, metrics={"b": 3.0}, provenance=before.provenance.model_copy(update={"seed": None}), attempts=2
    )
    assert desk.server.obj["status"] == {
        "state": "Running",
        "metrics": {"b": 3.0},
        "provenance": {"engine": "Aer"},
        "attempts": 2,
        "conditions": [],
        # This version does not know it, and leaves it.
        "later": {"of a newer version": 1},
    }


async def test_what_is_gone_is_left_alone() -> None:
    desk = Desk(state="Pending")
    desk.server.gone = True
    assert await desk.write(state="Placed") is None
    assert desk.job.status.state == "Pending"


async def test_a_conflict_is_for_the_caller_to_repeat() -> None:
    desk = Desk(state="Pending")
    desk.server.obj = {**desk.server.obj, "metadata": {**desk.server.obj["metadata"], "resourceVersion": "9"}}
    with pytest.raises(KubeError, match="modified") as conflict:
        await desk.write(state="Placed")
    assert conflict.value.status == 409


@pytest.mark.parametrize(
    ("log", "fits"),
    [("x" * 1_400_000, True), ("x" * 1_500_001, False), ("<" * 300_000, False)],
    ids=["large", "too-large", "too-large-once-escaped"],
)
async def test_what_could_not_be_stored_is_not_sent(log: str, fits: bool) -> None:
    desk = Desk(state="Running")
    if fits:
        assert await desk.write(log=log) is not None
        return
    with pytest.raises(KubeError, match=r"HybridJob chem/j takes \d+ bytes where it is stored") as refused:
        await desk.write(log=log)
    assert (refused.value.status, desk.server.requests) == (413, 0)
