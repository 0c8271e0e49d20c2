"""What is recorded of a job's tasks on devices elsewhere, who goes on with it, and what is said of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qonverge.amounts import Money, TaskLimits
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import FINALIZER, CloudTask, Submission
from qonverge.execution import cloud_tasks
from qonverge.scheduling.model import Backend, Decision, Part
from qonverge.wire.vendor import VendorTask

ACME = Backend("acme", "lab", True, recorded=True, task_limits=TaskLimits(10_000, 100, 40_000))
OTHER = Backend("other", "lab", True, recorded=True)
AER = Backend("aer", "lab", True)


def job(**given: Any) -> HybridJob:
    metadata = {"name": "j", "namespace": "chem", "uid": "u", "generation": 1, **given.pop("metadata", {})}
    program = {"circuit": {"openqasm": "x"}}
    return HybridJob.model_validate(
        {"metadata": metadata, "spec": {"program": program, **given.pop("spec", {})}, "status": given}
    )


def record(attempt: int = 1, **fields: Any) -> dict[str, Any]:
    return {"task": f"u-1-{attempt}", "backend": "lab/acme", "attempt": attempt, **fields}


def test_only_what_costs_money_is_recorded() -> None:
    assert cloud_tasks.is_recorded(Decision("j", ACME, ""))
    assert not cloud_tasks.is_recorded(Decision("j", AER, ""))
    mixed = (Part(AER, 10, "Hedge"), Part(ACME, 10, "Hedge"))
    assert cloud_tasks.is_recorded(Decision("j", AER, "", parts=mixed))


@pytest.mark.parametrize(
    ("parts", "identities"),
    [
        ((), ["u-1-1"]),
        ((Part(ACME, 70, "Split"), Part(OTHER, 30, "Split")), ["u-1-1.0.70", "u-1-1.1.30"]),
        ((Part(ACME, 100, "Hedge"), Part(OTHER, 100, "Hedge")), ["u-1-1", "u-1-1.1"]),
    ],
)
def test_a_record_gives_the_same_decision_and_the_same_tasks_again(
    parts: tuple[Part, ...], identities: list[str]
) -> None:
    decision = Decision("chem/j", ACME, "the best", parts=parts)
    made = cloud_tasks.submissions(decision, "u-1-1", 1)
    assert [each.task for each in made] == identities
    told = job(state="Placed", attempts=1, placement="the best", submissions=[each.to_dict() for each in made])
    read = cloud_tasks.under_way(told)
    assert read == made
    again = cloud_tasks.resumed(told, read, {"lab/acme": ACME, "lab/other": OTHER})
    assert (again.backend, again.reason) == (ACME, "the best")
    assert cloud_tasks.parts_of(again) == cloud_tasks.parts_of(decision)
    # Each device's tasks are made by what it took then.
    backends = [backend for backend, _ in cloud_tasks.parts_of(decision)]
    assert [cloud_tasks.limits_of(each) for each in read] == [each.task_limits for each in backends]
    assert cloud_tasks.is_hedged(again) == cloud_tasks.is_hedged(decision)
    assert [part.backend for part in again.parts] == [part.backend for part in parts]


@pytest.mark.parametrize(
    ("given", "wanted", "left"),
    [
        ({"state": "Placed", "attempts": 1}, 1, 0),
        ({"state": "Running", "attempts": 1}, 1, 0),
        # Of an attempt that was abandoned.
        ({"state": "Running", "attempts": 2}, 0, 1),
        ({"state": "Pending", "attempts": 1}, 0, 1),
        ({"state": "Suspended", "attempts": 1}, 0, 1),
        ({"state": "Running", "attempts": 1, "spec": {"suspend": True}}, 0, 1),
        ({"state": "Failed", "attempts": 1}, 0, 1),
        ({"state": "Running", "attempts": 1, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, 1, 1),
    ],
)
def test_what_is_gone_on_with_and_what_is_cancelled(given: dict[str, Any], wanted: int, left: int) -> None:
    found = job(**given, submissions=[record()])
    assert (len(cloud_tasks.under_way(found)), len(cloud_tasks.left_over(found))) == (wanted, left)
    assert cloud_tasks.needs_settling(found) == bool(left)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"state": "Pending"}, []),
        ({"state": "Placed", "attempts": 1}, []),
        # A pod was lost, and the next attempt is about to begin.
        ({"state": "Running", "attempts": 1, "submissions": [record(), record(2)]}, []),
        ({"state": "Running", "attempts": 2, "submissions": [record(), record(2)]}, [1]),
        ({"state": "Pending", "attempts": 1, "submissions": [record(), record(2)]}, [1]),
        ({"state": "Failed"}, [1]),
        ({"state": "Suspended"}, [1]),
        ({"state": "Pending", "spec": {"suspend": True}}, [1]),
        ({"state": "Pending", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, [1]),
    ],
)
def test_an_attempt_that_is_about_to_begin_is_wanted(given: dict[str, Any], left: list[int]) -> None:
    found = job(**{"submissions": [record()], **given})
    assert [each.attempt for each in cloud_tasks.left_over(found)] == left


def test_a_suspended_job_without_tasks_is_let_go() -> None:
    assert cloud_tasks.needs_settling(job(state="Suspended", metadata={"finalizers": [FINALIZER]}))
    assert not cloud_tasks.needs_settling(job(state="Suspended"))
    # Between the finalizer and the intent.
    assert not cloud_tasks.needs_settling(job(state="Pending", metadata={"finalizers": [FINALIZER]}))


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([], ("Placed", "Sent", "sent to acme, which has not told of its tasks yet")),
        (
            [VendorTask("a", "Queued", queue_position=7, expected_start=1e9), VendorTask("b", "Queued")],
            (
                "Placed",
                "QueuedElsewhere",
                "2 tasks queued on acme, at place 7 of its queue, expected to start at 2001-09-09T01:46:40Z",
            ),
        ),
        (
            [VendorTask("a", "Queued", expected_seconds=4.25), VendorTask("b", "Queued", expected_seconds=2.0)],
            ("Placed", "QueuedElsewhere", "2 tasks queued on acme, expected to take 6.25 s of it"),
        ),
        (
            [VendorTask("a", "Queued", expected_seconds=4.25), VendorTask("b", "Queued")],
            ("Placed", "QueuedElsewhere", "2 tasks queued on acme"),
        ),
        (
            [VendorTask("a", "Queued", message="the device is offline")],
            ("Placed", "QueuedElsewhere", "1 task queued on acme: the device is offline"),
        ),
        (
            [VendorTask("a", "Completed"), VendorTask("b", "Running"), VendorTask("c", "Queued")],
            ("Running", "Running", "3 tasks on acme: 1 running, 1 ended"),
        ),
    ],
)
def test_progress(tasks: list[VendorTask], said: tuple[str, str, str]) -> None:
    assert cloud_tasks.progress(tasks, "acme") == said


def test_vendors_tasks_in_the_status_are_few() -> None:
    bill = Money(Decimal("0.25"), "EUR")
    task = VendorTask("a", "Completed", "https://x", "", None, 0.0, bill, run_seconds=3.5, expected_seconds=4.25)
    found = cloud_tasks.in_status([task])
    assert found is not None
    assert [each.to_dict() for each in found] == [
        {
            "id": "a",
            "state": "Completed",
            "link": "https://x",
            "expectedStart": "1970-01-01T00:00:00Z",
            "expectedSeconds": 4.25,
            "seconds": 3.5,
            "cost": "0.25 EUR",
        }
    ]
    assert len(cloud_tasks.in_status([task] * 1000) or ()) == 100
    assert cloud_tasks.in_status([]) is None
    many = [CloudTask(id=str(number), state="Queued", key=str(number)) for number in range(200)]
    assert len(cloud_tasks.in_status([task], many) or ()) == 100
    assert not cloud_tasks.is_settled([task, VendorTask("b", "Running")])


def test_what_was_known_of_vendors_tasks_stays_in_the_status_while_a_new_pod_has_not_heard_of_them() -> None:
    before = cloud_tasks.in_status([VendorTask("a", "Running", key="1"), VendorTask("b", "Queued", key="2")])
    assert before is not None
    assert cloud_tasks.ids_of(before) == {"1": "a", "2": "b"}
    assert cloud_tasks.in_status([], before) == before
    waits = [VendorTask("", "Queued", message="the pod begins"), VendorTask("a", "Completed", key="1")]
    found = cloud_tasks.in_status(waits, before)
    assert found is not None
    assert [(each.id, each.state) for each in found] == [("", "Queued"), ("a", "Completed"), ("b", "Queued")]
    # What has no id or no key is told anew, or not any more.
    assert cloud_tasks.in_status(waits, [CloudTask(id="", state="Queued", message="the pod begins")]) == found[:2]
    assert cloud_tasks.ids_of(waits) == {"1": "a"}


def test_a_record_survives_the_api_server_s_form() -> None:
    given = Submission(task="t", backend="lab/acme", attempt=3, shots=7, hedge=False)
    assert Submission.model_validate(given.to_dict()) == given
