"""Programs whose batch Jobs Kueue admits: after their slot is reserved, and without a word of ours from then on."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import Requeue, SetStatus, Warn
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, TryAgain
from qonverge.controller.kube.client import KubeError
from qonverge.controller.objects import object_names
from qonverge.controller.store.state import State
from qonverge.execution.transitions import timestamp
from tests.kstatus import kstatus
from tests.unit.controller.jobs.test_decisions import (
    CREATED,
    batch,
    job,
    pod,
    program,
    source,
    view,
    written,
)
from tests.unit.controller.jobs.test_reconciler import Desk

SUSPENDED = {"owner": "default/j", "uid": "batch-uid", "suspended": True, "queue": "research"}
ADMITTED = {**SUSPENDED, "suspended": False, "startTime": timestamp(CREATED + 5000)}
_PYTHON = {"python": {"source": "x"}}


class Refusing:
    """A cluster in which the Job is there already."""

    def __init__(self, desk: Desk, status: int) -> None:
        self._create, self._status = desk.server.create, status
        desk.server.create = self.create  # type: ignore[method-assign]

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        if obj["kind"] == "Job":
            raise KubeError(self._status, "the Job exists")
        return await self._create(obj)


async def launched(desk: Desk, **spec: Any) -> tuple[HybridJob, list[dict[str, Any]], list[dict[str, Any]]]:
    made = await desk.placed(program=_PYTHON, **spec)
    created = [obj for obj in desk.server.created if obj["kind"] == "Job"]
    return made, created, [obj for obj in desk.server.applied if obj["kind"] == "Job"]


async def test_the_job_is_made_suspended_with_its_queue_and_its_pod_has_no_such_label() -> None:
    _, (made,), applied = await launched(Desk(), queueName="research")
    assert applied == []
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert object_names.QUEUE_LABEL not in made["spec"]["template"]["metadata"]["labels"], (
        "Kueue would queue the pod too"
    )
    _, created, (plain,) = await launched(Desk())
    assert created == []
    assert "suspend" not in plain["spec"]
    assert object_names.QUEUE_LABEL not in plain["metadata"]["labels"]


async def test_one_that_was_made_before_a_restart_is_left_as_kueue_has_it() -> None:
    """The status was not written, so that the attempt is begun again."""
    desk = Desk()
    Refusing(desk, 409)
    made, _, applied = await launched(desk, queueName="research")
    assert applied == []
    assert desk.server.written[-1]["state"] == "Placed"
    other = Desk()
    Refusing(other, 403)
    await launched(other, queueName="research")
    refusal = other.world.flight("j").refusal
    assert refusal is not None
    assert made.metadata.name == "j"


@pytest.mark.parametrize("state", ["Placed", "Running"])
def test_a_suspended_job_waits_for_its_admission_however_long_and_keeps_its_slot(state: str) -> None:
    """Also one that ran and was evicted: its pod ends, or is gone."""
    ending = pod(143, endsBy=timestamp(CREATED))
    for there in (None, ending):
        seen = view(program(state), source(renew_at=1e12), batch=SUSPENDED, pod=there, after=5000)
        first, renewal = decide(seen)
        assert isinstance(first, SetStatus)
        status = first.status
        assert (status.state, status.reason) == ("Placed", "WaitingForAdmission")
        batch = object_names.program_name(program(), 1)
        assert status.message == (
            f"holds a slot of aer and waits for Kueue to admit its Job {batch} to the LocalQueue research"
        )
        assert kstatus({"metadata": {"generation": 1}, "status": status.to_dict()}) == "InProgress"
        told = job(status.to_dict(), python=True)
        assert decide(view(told, source(renew_at=1e12), batch=SUSPENDED, pod=there, after=9000)) == [renewal]


def test_one_that_somebody_else_suspended_says_so() -> None:
    message = written(decide(view(program(), source(), batch={**SUSPENDED, "queue": ""}))).message or ""
    assert message.endswith("-1 is suspended")
    assert "Kueue" not in message


def test_the_start_deadline_counts_from_the_admission() -> None:
    waiting = program("Placed", reason="WaitingForAdmission", message="m", placement="the best", observedGeneration=1)
    flight = source(renew_at=1e12)
    admitted = decide(view(waiting, flight, batch=ADMITTED, after=5001))
    assert (written(admitted).state, written(admitted).reason) == ("Placed", "Placed")
    assert Requeue(CREATED + 5004) in admitted
    (late,) = decide(view(waiting, flight, batch=ADMITTED, after=5900))
    assert isinstance(late, Finish)
    assert late.status.reason == "StartDeadlineExceeded"


@pytest.mark.parametrize("there", [None, pod(143, endsBy=timestamp(CREATED)), pod(143)])
def test_one_that_fails_as_it_is_evicted_begins_again_and_was_interrupted(there: dict[str, Any] | None) -> None:
    """The Job controller fails a Job that is suspended while its pod runs."""
    evicted = {**batch("Failed"), "suspended": True}
    running = program(attempts=7)
    again, warn, _ = decide(view(running, source(), batch=evicted, pod=there))
    assert isinstance(again, TryAgain)
    assert (again.status.state, again.status.failures, again.status.interruptions) == ("Pending", 0, 1)
    assert warn == Warn("Evicted", "attempt 7: its Job was suspended while its pod ran, as Kueue does to evict it")


def test_one_that_ended_is_no_matter_of_admission() -> None:
    (ended,) = decide(view(program(), source(), batch={**batch("Complete"), "suspended": True}, pod=pod(0)))
    assert isinstance(ended, Finish)


def test_what_the_store_keeps_of_a_job() -> None:
    state = State()
    metadata = {
        "name": "j-1",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "1",
        "labels": {object_names.QUEUE_LABEL: "research"},
        "ownerReferences": [{"kind": "HybridJob", "name": "j", "uid": "12345678-uid"}],
    }
    state.observe("Job", {"metadata": metadata, "spec": {"suspend": True}}, deleted=False)
    assert {name: state.batch_jobs["default/j-1"][name] for name in ("suspended", "queue")} == {
        "suspended": True,
        "queue": "research",
    }
    later = {**metadata, "resourceVersion": "2", "labels": None}
    state.observe("Job", {"metadata": later, "spec": {}}, deleted=False)
    assert (state.batch_jobs["default/j-1"]["suspended"], state.batch_jobs["default/j-1"]["queue"]) == (False, "")
