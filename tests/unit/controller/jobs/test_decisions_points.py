"""What is decided about programs that are swept, whose attempts have a pod for each point."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import Requeue, SetStatus
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.execution.transitions import timestamp
from tests.unit.controller.jobs.test_decisions import CREATED, source
from tests.unit.controller.jobs.test_decisions import job as job_of
from tests.unit.controller.jobs.test_decisions_ranks import ended, pod

RETRY = {"rules": [{"action": "Retry", "onExitCodes": {"operator": "In", "values": [3]}}], "backoffSeconds": 0}


def swept(state: str = "Running", *, policy: dict[str, Any] | None = None, **status: Any) -> HybridJob:
    given = {"state": state, "reason": state, "attempts": 1, "placedAt": timestamp(CREATED), "observedGeneration": 1}
    alone = job_of({**given, "backend": "aer", "placement": "only aer fits", **status}, python=True).to_dict()
    alone["spec"]["program"]["sweep"] = {"parameters": {"t": {"values": [0, 1, 2, 3]}}}
    alone["spec"]["program"]["parallelism"] = 2
    alone["spec"]["retryPolicy"] = policy or {}
    return HybridJob.model_validate(alone)


def view(job: HybridJob, *pods: dict[str, Any], batch: dict[str, Any] | None = None, **fields: Any) -> View:
    given = {"indexes": "0-3", **(batch or {})}
    return View(job, source(), CREATED + 1, pods=pods, batch=given, **fields)


def over(kind: str = "Failed", **batch: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True"}], **batch}


def shown(*args: Any, **fields: Any) -> list[Any]:
    return [action.status for action in decide(view(*args, **fields)) if isinstance(action, SetStatus)]


def test_it_runs_when_one_point_does() -> None:
    assert shown(swept("Placed"), pod(0, "Pending"), pod(1, "Pending")) == []
    (status,) = shown(swept("Placed"), pod(0, "Pending"), pod(1))
    assert (status.state, status.progress, status.indexes.total) == ("Running", "0%", 4)


def test_a_point_that_fails_for_good_is_told_while_others_run() -> None:
    failing = {"completedIndexes": "0", "failedIndexes": "2"}
    (status,) = shown(swept(), ended(0, 0), pod(1), ended(2, 1), batch=failing)
    assert (status.state, status.progress) == ("Running", "50%")
    assert (status.indexes.completed_indexes, status.indexes.failed_indexes) == ("0", "2")
    # What is told is not written again.
    told = swept(indexes=status.indexes.to_dict(), progress="50%")
    assert shown(told, ended(0, 0), pod(1), ended(2, 1), batch=failing) == []


def test_one_that_may_be_tried_again_has_not_ended() -> None:
    (status,) = shown(swept(policy=RETRY), pod(1), ended(2, 3), batch={"failedIndexes": "2"})
    assert (status.progress, status.indexes.failed) == ("0%", 0)


def test_the_points_of_a_later_attempt_have_their_own_numbers() -> None:
    known = {"total": 4, "succeeded": 2, "failed": 0, "completedIndexes": "0,2", "failedIndexes": ""}
    (status,) = shown(swept(attempts=2, indexes=known), pod(1), batch={"indexes": "1,3", "completedIndexes": "0"})
    assert status.indexes.completed_indexes == "0-2"


def test_what_failed_is_run_again_when_all_have_ended() -> None:
    batch = over(completedIndexes="0-2", failedIndexes="3")
    actions = decide(view(swept(policy=RETRY), ended(3, 3), batch=batch))
    (again,) = [action for action in actions if isinstance(action, TryAgain)]
    assert (again.status.state, again.pod, again.remove) == ("Pending", "j-3", False)
    assert (again.status.progress, again.status.failures) == ("75%", 1)


def test_the_end_of_a_pod_is_awaited_that_is_not_seen_yet() -> None:
    batch = over(completedIndexes="0-2", failedIndexes="3")
    actions = decide(view(swept(), pod(3), batch=batch))
    assert [type(action) for action in actions] == [Requeue]


def test_of_several_pods_of_a_point_the_one_tells_that_nobody_else_ended() -> None:
    target = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    evicted = ended(3, 143, 1, conditions=target, startTime=timestamp(CREATED))
    failed = {**ended(3, 7, 5, startTime=timestamp(CREATED + 3)), "name": "second"}
    batch = over(completedIndexes="0-2", failedIndexes="3")
    (finish,) = [each for each in decide(view(swept(), failed, evicted, batch=batch)) if isinstance(each, Finish)]
    assert (finish.status.state, finish.status.reason, finish.status.exit_code) == ("Failed", "PointsFailed", 7)
    assert finish.pod == "second"


def test_it_is_complete_with_its_batch_job() -> None:
    batch = over("Complete", completedIndexes="0-3")
    pods = [ended(number, 0) for number in range(4)]
    (finish,) = [each for each in decide(view(swept(), *pods, batch=batch)) if isinstance(each, Finish)]
    assert (finish.status.state, finish.status.message) == ("Complete", "4 points completed on aer")
    assert (finish.status.progress, finish.status.exit_code) == ("100%", 0)


def test_a_backend_that_is_lost_costs_only_what_was_under_way() -> None:
    batch = {"completedIndexes": "0-1"}
    lost = ("BackendLost", "the backend was deleted")
    actions = decide(view(swept(), pod(2), batch=batch, withdrawn=lost))
    (again,) = [action for action in actions if isinstance(action, TryAgain)]
    assert again.remove
    assert again.status.indexes is not None
    assert (again.status.indexes.completed_indexes, again.status.interruptions) == ("0-1", 1)


def test_a_job_that_is_cancelled_tells_how_far_it_came() -> None:
    given = swept()
    cancelled = given.model_copy(update={"spec": given.spec.model_copy(update={"cancel": True})})
    (finish,) = [
        each for each in decide(view(cancelled, pod(2), batch={"completedIndexes": "0"})) if isinstance(each, Finish)
    ]
    assert (finish.status.reason, finish.status.progress) == ("Cancelled", "25%")


@pytest.mark.parametrize("running", [True, False])
def test_a_node_that_is_silent_ends_an_attempt_only_where_nothing_else_goes_on(running: bool) -> None:
    leaving = pod(2, endsBy=timestamp(CREATED - 60))
    actions = decide(view(swept(indexes=None), leaving, *([pod(3)] if running else [])))
    assert any(isinstance(action, TryAgain) for action in actions) is not running
