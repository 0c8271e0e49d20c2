"""What the operator decides about a job whose tasks cost money: the intent first, and never another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import FINALIZER
from qonverge.controller.jobs.actions import (
    CheckProgram,
    Continue,
    Hold,
    RequestPlacement,
    Requeue,
    SetStatus,
    Settle,
    Stop,
)
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.circuit import Submit
from qonverge.controller.jobs.kinds.pod_actions import Launch
from qonverge.controller.pods.errors import BackendLost
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement
from qonverge.scheduling import Backend, Decision
from qonverge.wire.errors import WorkerLost
from qonverge.wire.vendor import VendorTask
from tests.unit.controller.jobs.test_decisions import CREATED, ended, flight, job, source, under_way, view, written

ACME = Backend("acme", "default", admits_all_namespaces=False, recorded=True)
TASK = "12345678-uid-1-1"
LIMITS = {"programs": 1, "leastTotalShots": 1}
RECORD = {"task": TASK, "backend": "default/acme", "attempt": 1, "hedge": False, "limits": LIMITS}


def held(status: dict[str, Any] | None = None, **spec: Any) -> HybridJob:
    found = job(status, **spec)
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"finalizers": [FINALIZER]})})


def placed(**fields: Any) -> HybridJob:
    status = {"state": "Placed", "attempts": 1, "backend": "acme", "observedGeneration": 1, "submissions": [RECORD]}
    return held({**status, **fields})


def proposed(backend: Backend | None = ACME, **fields: Any) -> Flight:
    return flight(phase=AwaitingPlacement(proposal=Decision("default/j", backend, "the only one")), **fields)


def running(**fields: Any) -> Flight:
    return under_way(**fields)


def test_the_finalizer_then_the_intent_then_the_task() -> None:
    assert decide(view(job(), proposed()))[:1] == [Hold()]
    status, submit = decide(view(held(), proposed(), boots={"acme-0": "b1"}))
    assert isinstance(status, SetStatus)
    told = status.status
    assert (told.state, told.backend, told.attempts, told.placement) == ("Placed", "acme", 1, "the only one")
    assert [each.to_dict() for each in told.submissions or ()] == [RECORD]
    assert {each.type: each.status for each in told.conditions}["Placed"] == "True"
    assert isinstance(submit, Submit)
    # The server that was there before the record was.
    assert [each.task for each in submit.record] == [TASK]
    assert (submit.again, submit.boots) == (False, {"acme-0": "b1"})


def test_who_follows_goes_on_with_the_record_and_with_nothing_else() -> None:
    assert decide(view(placed())) == [CheckProgram()]
    assert decide(view(placed(), flight())) == [RequestPlacement()]
    (submit,) = decide(view(placed(), proposed(), boots={"acme-0": "b2"}))
    assert isinstance(submit, Submit)
    # It may have been sent when it was recorded, to whatever server was there then.
    assert ([each.task for each in submit.record], submit.again, submit.boots) == ([TASK], True, {})
    # Its ids are the recorded ones, also where the specification has another generation by now.
    later = placed().model_copy(update={"metadata": placed().metadata.model_copy(update={"generation": 5})})
    (submit,) = decide(view(later, replace(proposed(), generation=5)))
    assert isinstance(submit, Submit)
    assert [each.task for each in submit.record] == [TASK]


def test_while_its_pod_does_not_answer_the_job_waits_for_it() -> None:
    status = written(decide(view(placed(), proposed(None))))
    assert (status.state, status.reason, status.message) == ("Placed", "AwaitingBackend", "the only one")
    assert [each.task for each in status.submissions or ()] == [TASK]


def test_only_when_the_backend_is_gone_for_good_it_gives_up() -> None:
    actions = decide(view(placed(), proposed(None), lost=("default/acme",)))
    status = written(actions)
    assert (status.state, status.reason) == ("Failed", "BackendLost")
    assert status.message == (
        "default/acme was deleted while it had the job's tasks: what its vendor runs may run on and cost money"
    )
    assert actions[-1] == Stop()
    lost = under_way(replace(ended(BackendLost("the backend default/acme was deleted")), id=TASK))
    assert written(decide(view(placed(), lost))).reason == "BackendLost"


def test_another_generation_does_not_begin_it_anew_and_suspension_ends_it() -> None:
    later = placed().model_copy(update={"metadata": placed().metadata.model_copy(update={"generation": 2})})
    assert decide(view(later, running())) == [Continue(), Requeue(CREATED + 0.5)]
    suspended = held(placed().status.to_dict(), suspend=True)
    actions = decide(view(suspended, running()))
    assert Stop(program=True) in actions
    assert actions[-1] == Settle()
    # Resumed before all has ended: that first.
    assert decide(view(placed(state="Suspended"), None)) == [Settle()]


def test_how_it_stands_there_is_in_the_status_and_its_numbers_not_all_the_time() -> None:
    flying = running()
    flying.note(TASK, (VendorTask("arn:1", "Queued", "https://x", queue_position=9),))
    status = written(decide(view(placed(), flying)))
    assert (status.state, status.reason) == ("Placed", "QueuedElsewhere")
    assert status.message == "1 task queued on acme, at place 9 of its queue"
    assert [each.id for each in status.cloud_tasks or ()] == ["arn:1"]
    shown = placed().model_copy(update={"status": status})
    assert decide(view(shown, flying)) == []
    flying.record_write(CREATED)
    flying.note(TASK, (VendorTask("arn:1", "Queued", "https://x", queue_position=8),))
    assert decide(view(shown, flying)) == [Requeue(CREATED + 30)]
    assert written(decide(view(shown, flying, after=31))).message == "1 task queued on acme, at place 8 of its queue"
    flying.note(TASK, (VendorTask("arn:1", "Running", "https://x"),))
    status = written(decide(view(shown, flying)))
    assert (status.state, {each.type: each.status for each in status.conditions}["Running"]) == ("Running", "True")


def test_the_end_leaves_only_what_may_run() -> None:
    good = under_way(replace(ended(), id=TASK))
    good.note(TASK, (VendorTask("arn:1", "Completed"),))
    status = written(decide(view(placed(), good)))
    assert (status.state, status.submissions) == ("Complete", None)
    assert [each.state for each in status.cloud_tasks or ()] == ["Completed"]
    # The first of two gave the result: the other is cancelled.
    both = [{**RECORD, "hedge": True}, {**RECORD, "task": f"{TASK}.1", "backend": "default/other", "hedge": True}]
    status = written(decide(view(placed(submissions=both), good)))
    assert [each.task for each in status.submissions or ()] == [f"{TASK}.1"]


def test_after_a_failure_that_may_pass_the_next_attempt_is_recorded_beside_it() -> None:
    failed = under_way(replace(ended(WorkerLost("the fridge is warm")), id=TASK))
    known = written(decide(view(placed(), failed)))
    again = replace(failed)
    again.await_placement()
    again.propose(Decision("default/j", ACME, "again"), (), tried_at=0.0)
    status = written(decide(view(held(known.to_dict()), again)))
    assert status.attempts == 2
    assert [(each.task, each.attempt) for each in status.submissions or ()] == [(TASK, 1), ("12345678-uid-1-2", 2)]


@pytest.mark.parametrize("state", ["Pending", "Running"])
def test_what_is_left_of_an_attempt_that_is_over_is_ended(state: str) -> None:
    status = {"state": state, "attempts": 2, "backend": "acme", "observedGeneration": 1, "submissions": [RECORD]}
    assert decide(view(held(status), flight()))[-1] == Settle()


def test_of_a_program_the_finalizer_then_the_intent_then_its_pod() -> None:
    proposal = AwaitingPlacement(proposal=Decision("default/j", ACME, "the only one"))
    assert decide(view(job(python=True), source(phase=proposal)))[:1] == [Hold()]
    intent, again = decide(view(held(python=True), source(phase=proposal)))
    assert isinstance(intent, SetStatus)
    assert again == Requeue(CREATED + 0.5)
    told = intent.status
    record = {"task": "12345678-uid-0.1", "backend": "default/acme", "attempt": 1, "hedge": False}
    assert [each.to_dict() for each in told.submissions or ()] == [record]
    assert (told.attempts, told.state) == (None, "Pending")
    (launch,) = decide(view(held(told.to_dict(), python=True), source(phase=proposal)))
    assert isinstance(launch, Launch)
    assert (launch.status.state, launch.status.attempts) == ("Placed", 1)
    assert launch.status.submissions == told.submissions
