"""The points of a program's sweep in its job's status, and what follows where some failed."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.documents.reports import InvalidReport, PointResult, StoredContent
from qonverge.execution.points import Outcome, PointEnd, conclude, left, progress_of, room_for_point, with_results
from qonverge.execution.results import document
from qonverge.execution.retries import AttemptEnd
from qonverge.execution.transitions import timestamp

NOW = 1_000_000.0
RETRY = {"rules": [{"action": "Retry", "onExitCodes": {"operator": "In", "values": [3]}}], "maxAttempts": 2}


def job(values: int = 4, policy: dict[str, Any] | None = None, **status: Any) -> HybridJob:
    sweep = {"parameters": {"t": {"values": list(range(values))}}}
    spec = {"program": {"python": {"source": "x"}, "sweep": sweep}, "retryPolicy": policy or {}}
    given = {"state": "Running", "attempts": 1, "backend": "aer", **status}
    return HybridJob.model_validate({"metadata": {"name": "j"}, "spec": spec, "status": given})


def after(given: HybridJob, outcome: Outcome) -> HybridJob:
    """Return the job in its next attempt."""
    fields = {**outcome.fields, "attempts": (given.status.attempts or 0) + 1}
    return given.model_copy(update={"status": given.status.model_copy(update=fields)})


def failed(index: int, reason: str = "ProgramFailed", code: int | None = 1) -> PointEnd:
    message = f"the program ended with exit code {code}" if code else "the program's pod was lost"
    end = AttemptEnd(attempt=1, reason=reason, message=message, exit_code=code, ended_at=timestamp(NOW))
    return PointEnd(index, end)


def test_a_sweep_is_complete_when_all_its_points_are_also_those_without_a_result() -> None:
    given = job()
    reported = with_results(given, {2: PointResult(5), 0: PointResult({"e": 1})})
    told = given.model_copy(update={"status": given.status.model_copy(update={"result": reported})})
    found = conclude(told, [0, 1, 2, 3], [])
    assert (found.complete, found.again, found.message) == (True, False, "4 points")
    points = found.fields["result"].points
    assert [(point.index, point.parameters, point.value) for point in points] == [
        (0, {"t": 0}, {"e": 1}),
        (1, {"t": 1}, None),
        (2, {"t": 2}, 5),
        (3, {"t": 3}, None),
    ]


def test_a_failure_of_its_own_ends_a_point_and_not_the_others() -> None:
    found = conclude(job(), [0, 2, 3], [failed(1)])
    assert (found.again, found.complete, found.reason) == (False, False, "PointsFailed")
    assert found.message == "1 of 4 points failed: point 1 (t=1): the program ended with exit code 1"
    indexes = found.fields["indexes"]
    assert (indexes.succeeded, indexes.failed, indexes.failed_indexes) == (3, 1, "1")
    assert found.fields["result"].points[1].error == "ProgramFailed: the program ended with exit code 1"
    assert found.fields["progress"] == "100%"


def test_only_points_that_may_be_tried_again_are_and_as_often_as_the_policy_says() -> None:
    given = job(policy=RETRY)
    first = conclude(given, [0], [failed(1, code=3), failed(2, code=5), failed(3, code=3)])
    assert first.again
    assert first.fields["failures"] == 1
    assert "attempt 1 ended (1 of 2 failures): point 1 (t=1) and 1 more: " in first.message
    again = after(given, first)
    assert left(again) == [1, 3]
    assert again.status.progress == "50%"
    last = conclude(again, [1], [failed(3, code=3)])
    assert (last.again, last.reason) == (False, "PointsFailed")
    assert last.message.startswith("2 of 4 points failed: after 2 attempts: point 3 (t=3): the program ended with")
    assert last.fields["indexes"].failed_indexes == "2-3"


def test_what_others_ended_does_not_count_as_a_failure() -> None:
    given = job()
    found = conclude(given, [0, 1, 2], [failed(3, "PodLost", None)])
    assert found.again
    assert (found.fields["failures"], found.fields["interruptions"]) == (0, 1)
    assert left(after(given, found)) == [3]


def test_where_the_backend_is_lost_the_next_attempt_goes_on_with_what_is_left() -> None:
    given = job()
    found = conclude(given, [1], [failed(2)], failed(0, "BackendLost", None))
    assert found.again
    again = after(given, found)
    assert (left(again), again.status.indexes.failed_indexes if again.status.indexes else "") == ([0, 3], "2")


def test_a_job_that_ends_before_all_points_says_how_many_there_are() -> None:
    whole = failed(0, "StartDeadlineExceeded", None)
    found = conclude(job(), [1, 2], [], PointEnd(0, whole.end, "Fail"))
    assert (found.again, found.reason) == (False, "StartDeadlineExceeded")
    assert found.message.endswith("; after 2 of 4 points")


def test_points_that_failed_before_fail_the_job_in_the_end() -> None:
    found = conclude(job(indexes=indexes(completed="0-1", failed="3")), [2], [])
    assert (found.complete, found.message) == (False, "1 of 4 points failed: result.points tells why")
    assert found.fields["result"].points[3].error == "PodLost: how the program failed is not known"


def indexes(completed: str = "", failed: str = "") -> dict[str, Any]:
    return {"total": 4, "succeeded": 0, "failed": 0, "completedIndexes": completed, "failedIndexes": failed}


def test_progress_counts_each_point_once() -> None:
    found = progress_of(job(indexes=indexes(completed="0")), [0, 1], [3])
    assert found["progress"] == "75%"
    assert found["indexes"].completed_indexes == "0-1"


def test_what_is_stored_is_named_and_a_later_result_takes_its_place() -> None:
    given = job()
    first = with_results(given, {1: PointResult(stored=StoredContent(10, "0" * 64))})
    assert first.points is not None
    assert first.points[0].stored is True
    told = given.model_copy(update={"status": given.status.model_copy(update={"result": first})})
    later = with_results(told, {1: PointResult(4)}).points
    assert later is not None
    assert [(point.value, point.stored) for point in later] == [(4, None)]
    with pytest.raises(InvalidReport, match="the sweep has 4 points, and none of the index 4"):
        with_results(given, {4: PointResult(1)})


def test_results_of_all_points_have_room_together() -> None:
    given = job(1000)
    room = room_for_point(given)
    value = "x" * (room - len('{"value":""}'))
    whole = with_results(given, {index: PointResult(value) for index in range(1000)})
    assert 500_000 < len(document(whole)) <= 600_000
