"""Programs that give their pods back while a task of theirs goes on, and begin again when it has ended."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import Requeue, SetStatus
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, LookForTasks, Restart, TryAgain
from qonverge.controller.objects import object_names
from qonverge.controller.pods.errors import PodSilent
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Checked
from qonverge.controller.store.program_slots import reserved
from qonverge.documents.reports import InvalidReport, Report
from qonverge.execution.transitions import timestamp
from qonverge.wire.messages import TaskInfo
from qonverge.wire.tokens import Caller
from tests.kstatus import kstatus
from tests.unit.controller.jobs.test_decisions import (
    AER,
    CREATED,
    batch,
    job,
    planned,
    pod,
    program,
    source,
    view,
    written,
)
from tests.unit.controller.jobs.test_reconciler import Desk
from tests.unit.controller.worlds import NOW

_TASK = "12345678-uid-1-abc-1"
_PAUSE = {"pause": {"tasks": [_TASK], "state": {"values": {"a": 1}, "tasks": {}}}}


def paused(**fields: Any) -> HybridJob:
    return program(reason="Paused", paused={"tasks": [_TASK], "since": timestamp(CREATED)}, **fields)


@pytest.mark.parametrize(
    "there",
    [
        {"batch": batch("Complete"), "pod": pod(0)},
        {"batch": batch("Failed"), "pod": pod(137)},
        {"batch": {"owner": "default/j"}, "pod": {"name": "p", "phase": "Running"}},
        {},
    ],
)
def test_a_paused_program_waits_for_its_tasks_however_its_pod_ended(there: dict[str, Any]) -> None:
    flight = source(renew_at=math.inf)
    seen = {"after": 60.0, **there}
    look, again, _ = decide(view(paused(), flight, **seen))
    assert look == LookForTasks((_TASK,))
    assert again == Requeue(CREATED + 63.0)
    flight.seek_tasks(CREATED + 60.0)
    assert decide(view(paused(), flight, **seen))[0] == Requeue(CREATED + 63.0)


def test_it_begins_again_in_another_pod_of_the_same_attempt_when_they_have_ended() -> None:
    flight = source(renew_at=math.inf)
    flight.seek_tasks(CREATED + 60.0, ended=True)
    first, *_ = decide(view(paused(pauses=1), flight, batch=batch("Complete"), pod=pod(0), after=60.0))
    assert isinstance(first, SetStatus)
    status = first.status
    assert (status.state, status.reason, status.pauses, status.paused) == ("Placed", "Restarting", 2, None)
    assert status.attempts == 1
    assert kstatus({"metadata": {"generation": 1}, "status": status.to_dict()}) == "InProgress"
    told = paused().model_copy(update={"status": status})
    # The Job of this pause is not there, however long ago the attempt was placed.
    restart, _ = decide(view(told, flight, after=5000.0))
    assert restart == Restart(1, 2)
    made = {"owner": "default/j", "created": timestamp(CREATED + 5000.0)}
    shown = written(decide(view(told, flight, batch=made, after=5001.0)))
    assert (shown.state, shown.reason) == ("Placed", "Placed")
    (late,) = decide(view(told, flight, batch=made, after=5900.0))
    assert isinstance(late, Finish)
    assert late.status.reason == "StartDeadlineExceeded", "it counts from this pod on"


def test_a_program_that_began_again_began_when_it_first_did() -> None:
    began = timestamp(CREATED + 5.0)
    again = program("Placed", reason="Placed", pauses=1, startedAt=began)
    running = written(decide(view(again, source(), batch={}, pod={"name": "p", "phase": "Running"}, after=900.0)))
    assert (running.state, running.started_at) == ("Running", began)
    assert (
        written(
            decide(view(program("Placed", startedAt=began), source(), batch={}, pod={"name": "p", "phase": "Running"}))
        ).started_at
        != began
    )


def test_the_backend_of_a_paused_program_may_be_lost_and_the_next_attempt_is_not_paused() -> None:
    lost = ("BackendLost", "the backend aer was deleted")
    first, *_ = decide(view(paused(pauses=1), source(), batch=batch("Complete"), pod=pod(0), withdrawn=lost))
    assert isinstance(first, TryAgain)
    assert (first.status.state, first.status.paused) == ("Pending", None)
    waiting = paused().model_copy(update={"status": first.status})
    (launch,) = decide(view(waiting, planned(waiting, source(), AER)))
    assert isinstance(launch, Launch)
    assert (launch.attempt, launch.status.pauses, launch.status.paused) == (2, None, None)


def test_a_paused_program_that_is_suspended_or_ends_waits_for_nothing_any_more() -> None:
    status = paused().status
    held = job(status.to_dict(), python=True, suspend=True)
    _, told = decide(view(held, source(), batch=batch("Complete")))
    assert isinstance(told, SetStatus)
    assert (told.status.state, told.status.paused) == ("Suspended", None)
    late = job(status.to_dict(), python=True, activeDeadlineSeconds=10)
    (ended,) = decide(view(late, source(), batch=batch("Complete"), after=10.0))
    assert isinstance(ended, Finish)
    failed = ended.status
    assert (failed.reason, failed.paused) == ("DeadlineExceeded", None)


def test_each_pod_of_an_attempt_has_a_batch_job_and_they_share_what_they_mount() -> None:
    names = [object_names.program_name(program(pauses=pauses), 1) for pauses in (None, 1, 2)]
    assert names == ["j-12345-1", "j-12345-1-1", "j-12345-1-2"]
    assert object_names.program_name(program(pauses=2), 2) == "j-12345-2", "the next attempt begins with none"
    assert object_names.attempt_name(program(pauses=2), 1) == "j-12345-1"


class Paused(Desk):
    """A program of which the first attempt runs on a backend with two pods."""

    def __init__(self, after: int | None = 30, **status: Any) -> None:
        super().__init__()
        self.world.backend("a", pods=2)
        python = {"source": "x"} if after is None else {"source": "x", "pauseAfterSeconds": after}
        told = {"state": "Running", "backend": "lab/a", "attempts": 1, "placedAt": timestamp(NOW), **status}
        self.job = self.world.job("j", status=told, program={"python": python})
        self.world.state.flights["chem/j"] = Flight("uid-j", 1, program=Checked("x", None), renew_at=math.inf)
        self.deleted: list[str] = []
        self.server.delete = self._delete  # type: ignore[method-assign]
        self.under_way: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.world.pods.tasks = self._tasks  # type: ignore[method-assign]

    async def _delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        self.deleted.append(f"{kind} {name}")

    async def _tasks(self, endpoint: Any, audience: str) -> list[TaskInfo]:
        if endpoint.pod in self.silent:
            raise PodSilent("the pod does not answer")
        return [TaskInfo(each, "chem/j", "Running") for each in self.under_way.get(endpoint.pod, ())]

    async def report(self, given: dict[str, Any]) -> None:
        caller = Caller("chem/j", account_of(self.job), 1)
        await self.jobs.report("chem/j", caller, Report.parse(json.dumps(given).encode()))


async def test_what_the_program_leaves_is_kept_before_the__that_it_paused() -> None:
    desk = Paused(estimatedEndAt=timestamp(NOW + 60))
    await desk.report({**_PAUSE, "metrics": {"energy": -1.0}})
    (kept,) = desk.server.applied
    assert (kept["kind"], kept["metadata"]["name"]) == ("ConfigMap", object_names.steps_name(desk.job))
    assert json.loads(kept["data"]["steps.json"]) == _PAUSE["pause"]["state"]
    (status,) = desk.server.written
    assert (status["state"], status["reason"], status["metrics"]) == ("Running", "Paused", {"energy": -1.0})
    assert status["paused"]["tasks"] == [_TASK]
    assert status.get("estimatedEndAt") is None
    assert reserved(desk.world.state, NOW), "its tasks use the backend, so that its slot is its own"


async def test_a_job_that_does_not_say_so_has_no_pauses() -> None:
    desk = Paused(after=None)
    with pytest.raises(InvalidReport, match="pauseAfterSeconds"):
        await desk.report(_PAUSE)
    assert not desk.server.written
    assert not desk.server.applied


async def test_a_pause_that_is_refused_spoils_no_report_that_waits() -> None:
    desk = Paused(after=None)
    await desk.report({"metrics": {"energy": -1.0}})
    waiting = asyncio.create_task(desk.report({"metrics": {"energy": -2.0}}))
    await asyncio.sleep(0)
    with pytest.raises(InvalidReport, match="pauseAfterSeconds"):
        await desk.report(_PAUSE)
    await desk.report({"progress": 1, "last": True})
    await waiting
    assert desk.server.written[-1]["metrics"] == {"energy": -2.0}
    assert not desk.server.applied


async def test_its_pod_is_made_again_when_no_pod_of_the_backend_has_its_tasks() -> None:
    told: dict[str, Any] = {
        "reason": "Paused",
        "paused": {"tasks": [_TASK], "since": timestamp(NOW)},
        "observedGeneration": 1,
    }
    desk = Paused(**told)
    desk.under_way = {"a-1": ["others", _TASK]}
    await desk.jobs.reconcile("chem/j")
    assert not desk.server.written
    desk.under_way, desk.silent = {"a-0": ["others"]}, {"a-1"}
    desk.world.now += 60
    await desk.jobs.reconcile("chem/j")
    await desk.jobs.reconcile("chem/j")
    assert not desk.server.written, "a pod that does not answer may have it"
    desk.silent = set()
    desk.world.now += 60
    await desk.jobs.reconcile("chem/j")
    await desk.jobs.reconcile("chem/j")
    assert [(each["state"], each["reason"]) for each in desk.server.written] == [("Placed", "Restarting")]
    desk.server.applied.clear()
    await desk.jobs.reconcile("chem/j")
    assert desk.deleted == [f"Job {object_names.program_name(desk.job, 1)}"], "the pod that it gave back"
    secret, job = desk.server.applied
    assert [secret["kind"], job["kind"]] == ["Secret", "Job"]
    assert secret["metadata"]["name"] == object_names.attempt_name(desk.job, 1)
    assert job["metadata"]["name"] == object_names.program_name(desk.job, 1, 1)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert (given["QONVERGE_PAUSE_AFTER"], given["QONVERGE_TASK_PREFIX"]) == ("30", "uid-j-1")
    assert given["QONVERGE_STEPS_FILE"] == "/run/qonverge-steps/steps.json"
    (mounted,) = [each for each in job["spec"]["template"]["spec"]["volumes"] if each["name"] == "steps"]
    assert mounted["configMap"] == {"name": object_names.steps_name(desk.job), "optional": True}
    assert not desk.world.flight("j").tasks_ended, "it may pause again"


async def test_a_backend_without_pods_may_have_its_tasks_still() -> None:
    told: dict[str, Any] = {
        "reason": "Paused",
        "paused": {"tasks": [_TASK], "since": timestamp(NOW)},
        "observedGeneration": 1,
    }
    desk = Paused(**told)
    for uid in ("a-0", "a-1"):
        desk.world.take_away(uid)
    await desk.jobs.reconcile("chem/j")
    await desk.jobs.reconcile("chem/j")
    assert not desk.server.written


@pytest.mark.parametrize(
    ("pause", "problem"),
    [
        (3, "pause is 3"),
        ({"tasks": ["t"]}, "an object with tasks and state is expected"),
        ({"tasks": [], "state": {}}, "1 to 64 ids of tasks"),
        ({"tasks": ["t"] * 65, "state": {}}, "1 to 64 ids of tasks"),
        ({"tasks": ["t", 1], "state": {}}, "1 to 64 ids of tasks"),
        ({"tasks": ["x" * 254], "state": {}}, "1 to 64 ids of tasks"),
        ({"tasks": "t", "state": {}}, "1 to 64 ids of tasks"),
        ({"tasks": ["t"], "state": {"values": "x" * 600_000}}, "524288 are kept"),
    ],
)
def test_what_is_no_pause_is_refused(pause: Any, problem: str) -> None:
    with pytest.raises(InvalidReport, match=problem):
        Report.parse(json.dumps({"pause": pause}).encode())
