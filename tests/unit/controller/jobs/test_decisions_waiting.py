"""What the operator decides about jobs that wait or are suspended, and when that is worth a write."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.amounts import Amounts
from qonverge.api.placement import Candidate, ForecastInterval
from qonverge.controller.jobs.actions import CheckProgram, RequestPlacement, Requeue, SetStatus, Stop
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.circuit import Submit
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement, Ended, Invalid, SourceMissing
from qonverge.execution.transitions import timestamp
from qonverge.scheduling import Decision
from qonverge.wire.errors import WorkerLost
from tests.unit.controller.jobs.test_decisions import AER, CREATED, ended, flight, job, under_way, view, written

SUSPENDED = "the job is suspended: set spec.suspend to false to run it"


def interval(mid: float) -> ForecastInterval:
    return ForecastInterval(low=mid / 2, mid=mid, high=mid * 2)


def candidate(mid: float = 1.0, **fields: Any) -> Candidate:
    return Candidate(backend="aer", run_seconds=interval(mid), **fields)


def forecast(*candidates: Candidate) -> Flight:
    """Return the flight of a suspended job after a round."""
    phase = AwaitingPlacement(proposal=Decision("default/j", AER, "because"))
    return flight(phase=phase, forecast=candidates)


def held(*candidates: Candidate, **fields: Any) -> dict[str, Any]:
    shown = [each.to_dict() for each in candidates] if candidates else None
    return {"state": "Suspended", "message": SUSPENDED, "observedGeneration": 1, "forecast": shown, **fields}


def test_a_suspended_job_is_told_so_before_its_program_is_read() -> None:
    status = written(decide(view(job(suspend=True))))
    assert (status.state, status.message, status.forecast) == ("Suspended", SUSPENDED, None)
    assert decide(view(job(held(), suspend=True))) == [CheckProgram()]
    assert decide(view(job(held(), suspend=True), flight())) == [RequestPlacement()]


def test_a_first_forecast_is_written_and_the_same_is_not() -> None:
    status = written(decide(view(job(held(), suspend=True), forecast(candidate()))))
    assert status.forecast == [candidate()]
    assert decide(view(job(held(candidate()), suspend=True), forecast(candidate()))) == []


@pytest.mark.parametrize(
    ("now", "news"),
    [
        ([candidate(1.9)], False),
        ([candidate(0.6)], False),
        ([candidate(2.1)], True),
        ([candidate(0.4)], True),
        ([candidate(rejected="its queue is full")], True),
        ([candidate(wait_seconds=interval(1.0))], True),
        ([candidate(), Candidate(backend="new")], True),
        ([Candidate(backend="other", run_seconds=interval(1.0))], True),
        ([], True),
    ],
)
def test_a_forecast_is_written_again_when_it_leaves_what_was_told(now: list[Candidate], news: bool) -> None:
    actions = decide(view(job(held(candidate()), suspend=True), forecast(*now)))
    if news:
        assert written(actions).forecast == now, "a forecast of backends that are gone does not stay"
    else:
        assert actions == []


def test_a_suspended_job_whose_program_is_not_there_says_what_it_lacks() -> None:
    waiting = Flight("12345678-uid", 1, program=SourceMissing("waiting for the ConfigMap programs"))
    status = written(decide(view(job(held(), suspend=True), waiting)))
    assert status.message == f"{SUSPENDED}; no forecast yet: waiting for the ConfigMap programs"
    told = job(held(message=status.message), suspend=True)
    assert decide(view(told, waiting)) == [Stop(), Requeue(CREATED + 0.5 + 5)]
    # While it is read again nothing is known better.
    assert decide(view(told)) == [CheckProgram()]
    assert decide(view(told, Flight("12345678-uid", 1))) == []


def test_a_suspended_job_that_can_t_run_says_so_across_restarts() -> None:
    bad = Flight("12345678-uid", 1, program=Invalid("InvalidProgram", "line 1"))
    status = written(decide(view(job(held(), suspend=True), bad)))
    assert status.message == f"{SUSPENDED}; it would fail with InvalidProgram: line 1"
    assert decide(view(job(held(message=status.message), suspend=True))) == [CheckProgram()]


def test_a_suspended_job_of_a_new_generation_is_observed() -> None:
    told = held(candidate())
    changed = job(told, suspend=True).model_copy(
        update={"metadata": job().metadata.model_copy(update={"generation": 2})}
    )
    status = written(decide(view(changed)))
    assert (status.observed_generation, status.forecast) == (2, [candidate()])


def test_resuming_is_told_and_counts_from_then() -> None:
    status = written(decide(view(job(held(candidate())), forecast(candidate()), after=100)))
    assert (status.state, status.resumed_at) == ("Pending", timestamp(CREATED + 100))
    resumed = job(status.to_dict(), activeDeadlineSeconds=50)
    assert decide(view(resumed, after=120))[-1] == Requeue(CREATED + 150)
    assert written(decide(view(resumed, after=150))).reason == "DeadlineExceeded"


def test_the_earlier_deadline_counts_and_is_named() -> None:
    both = job(activeDeadlineSeconds=100, deadline=timestamp(CREATED + 10))
    assert decide(view(both, under_way()))[-1] == Requeue(CREATED + 10)
    status = written(decide(view(both, under_way(), after=10)))
    assert status.message == f"the job did not end within its deadline, {timestamp(CREATED + 10)}"
    assert decide(view(job(held(candidate()), suspend=True, deadline=timestamp(CREATED)), forecast(candidate()))) == []


def waiting(reason: str, told: str | None = None, **fields: Any) -> list[Any]:
    decision = Decision("default/j", None, reason, planned=fields.pop("planned", None))
    state = {"state": "Pending", "reason": "Unschedulable", "message": told, "observedGeneration": 1}
    given = job(state if told is not None else None)
    return decide(view(given, flight(phase=AwaitingPlacement(proposal=decision), **fields), after=100))


def test_held_back_is_queued_and_without_a_place_it_is_unschedulable() -> None:
    assert written(waiting("held for aer", planned=AER)).reason == "Queued"
    assert written(waiting("nothing fits")).reason == "Unschedulable"
    assert waiting("nothing fits", "nothing fits") == []


def test_numbers_that_move_are_worth_a_write_now_and_then_only() -> None:
    now = CREATED + 100
    again = waiting("best wait: aer, 41.5 s", "best wait: aer, 2.5 min", written_at=now - 10)
    assert again == [Requeue(now + 20)]
    assert written(waiting("best wait: aer, 41.5 s", "best wait: aer, 2.5 min", written_at=now - 30))
    assert written(waiting("best wait: heron, 2.5 min", "best wait: aer, 2.5 min", written_at=now - 10))


def test_attempts_that_were_withdrawn_do_not_count() -> None:
    """Neither those whose place another job took, of which nothing is recorded, nor those whose pod was ended."""
    lost = ended(WorkerLost("gone"))
    strict = job(retryPolicy={"maxAttempts": 2})
    first = written(decide(view(strict, under_way(lost, attempts=3))))
    assert (first.state, first.failures) == ("Pending", 1)
    known = job(first.to_dict(), retryPolicy={"maxAttempts": 2})
    ending = under_way(attempts=4, phase=Ended(Decision("default/j", AER, "aer"), CREATED, lost, counts=False))
    interrupted = written(decide(view(known, ending)))
    assert (interrupted.state, interrupted.failures, interrupted.interruptions) == ("Pending", 1, 1)
    known = job(interrupted.to_dict(), retryPolicy={"maxAttempts": 2})
    status = written(decide(view(known, under_way(lost, attempts=5), after=60)))
    assert (status.state, status.message) == ("Failed", "after 2 attempts: gone")


def test_a_retry_waits_for_a_new_place_and_says_how_often_it_was_tried() -> None:
    lost = under_way(result=ended(WorkerLost("gone")))
    failed = job(written(decide(view(job(), lost))).to_dict())
    lost.await_placement()
    lost.propose(Decision("default/j", None, "nothing fits"), (), tried_at=CREATED)
    status = written(decide(view(failed, lost, after=3)))
    assert (status.state, status.reason, status.attempts) == ("Pending", "Unschedulable", 1)
    assert status.failed_attempts == failed.status.failed_attempts
    again = Decision("default/j", AER, "aer again")
    lost.propose(again, (), tried_at=0.0)
    assert decide(view(failed, lost)) == [Submit(again)]


def test_usage_is_that_of_all_attempts_once() -> None:
    """The flight has counted since the job's last status, and that status told of the first attempt already."""
    told = {"state": "Running", "attempts": 2, "usage": {"shots": 0, "seconds": 5.0}}
    status = written(decide(view(job(told), under_way(result=ended(), usage=Amounts(8, 7.0)))))
    assert status.usage is not None
    assert (status.usage.shots, status.usage.seconds) == (8, 7.0)


def test_a_program_that_waits_for_its_text_says_for_what() -> None:
    there = Flight("12345678-uid", 1, program=SourceMissing("waiting for the ConfigMap programs"))
    actions = decide(view(job(), there, after=3))
    assert written(actions).reason == "WaitingForProgram"
    assert actions[1:] == [Stop(), Requeue(CREATED + 3 + 5)]
    assert not any(isinstance(action, SetStatus) for action in decide(view(job(), there, after=1)))


def test_an_attempt_that_was_handed_back_is_none_in_the_status_either() -> None:
    held = Decision("default/j", None, "a is not ready")
    back = flight(phase=AwaitingPlacement(proposal=held), placed_at=CREATED, attempts=0)
    running = job({"state": "Running", "attempts": 1, "observedGeneration": 1})
    status = written(decide(view(running, back, after=9)))
    assert (status.state, status.attempts) == ("Pending", 0)
