"""What the operator decides about a job: a view in, actions out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qonverge.amounts import Amounts
from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.usage import Usage
from qonverge.controller.jobs.actions import CheckProgram, RequestPlacement, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.circuit import Submit
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement, Checked, Ended, Running
from qonverge.execution.placement import waiting
from qonverge.execution.transitions import timestamp
from qonverge.programs.kinds import kind_of
from qonverge.scheduling import Backend, Decision, Snapshot, plan
from qonverge.wire.errors import EngineFailed, WireError, WorkerLost
from qonverge.wire.messages import PubResult, TaskResult
from tests.unit.controller.worlds import BELL, NO_TASK

CREATED = 1_000_000.0
AER = Backend("aer", "default", admits_all_namespaces=False, memory_bytes=2**30)


def job(status: dict[str, Any] | None = None, *, python: bool = False, **spec: Any) -> HybridJob:
    program = {"python": {"source": "x"}} if python else {"circuit": {"openqasm": "x"}}
    given = {
        "metadata": {
            "name": "j",
            "uid": "12345678-uid",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": timestamp(CREATED),
        },
        "spec": {"program": program, **spec},
        "status": status or {},
    }
    return HybridJob.model_validate(given)


def flight(**fields: Any) -> Flight:
    return Flight("12345678-uid", 1, **{"program": Checked("x", BELL), **fields})


def view(
    job: HybridJob,
    flight: Flight | None = None,
    *,
    after: float = 0.5,
    pod: dict[str, Any] | None = None,
    **fields: Any,
) -> View:
    """``pod``: the only one of a program."""
    return View(job, flight, CREATED + after, pods=() if pod is None else (pod,), **fields)


def planned(job: HybridJob, flight: Flight, *backends: Backend) -> Flight:
    """Return the flight after a round of placement."""
    needs = kind_of(job).needs(job, flight.checked)
    snapshot = Snapshot((waiting(job, CREATED, needs, Amounts()),), backends, CREATED)
    decision = plan(snapshot).decisions[0]
    again = replace(flight)
    again.await_placement()
    again.propose(decision, (), tried_at=0.0)
    return again


def under_way(result: TaskResult | None = None, **fields: Any) -> Flight:
    """Return the flight of a circuit whose first attempt runs, or has ended with this result."""
    decision = Decision("default/j", AER, "aer is the only candidate")
    phase = Running(decision, CREATED, (), NO_TASK) if result is None else Ended(decision, CREATED, result)
    return flight(**{"phase": phase, "placed_at": CREATED, "attempts": 1, **fields})


def written(actions: list[Any]) -> HybridJobStatus:
    (status,) = [action.status for action in actions if isinstance(action, SetStatus)]
    return status


def ended(error: WireError | None = None) -> TaskResult:
    pub = PubResult(counts=({"00": 5, "11": 3},), shots=8, method="stabilizer")
    return TaskResult("t", "Failed" if error else "Completed", () if error else (pub,), error, "Aer 0.18", 4)


def test_a_new_job_is_begun_and_nothing_is_written() -> None:
    assert decide(view(job())) == [CheckProgram()]


def test_a_checked_circuit_is_sent_without_a_write() -> None:
    assert decide(view(job(), flight())) == [RequestPlacement()]
    assert decide(view(job(), flight(phase=AwaitingPlacement()))) == []
    (submit,) = decide(view(job(), planned(job(), flight(), AER)))
    assert isinstance(submit, Submit)
    assert submit.decision.backend == AER


def test_running_is_shown_only_to_a_person_who_waits() -> None:
    running = under_way()
    assert decide(view(job(), running)) == [Requeue(CREATED + 2)]
    status = written(decide(view(job(), running, after=2)))
    assert (status.state, status.attempts, status.backend) == ("Running", 1, "aer")
    assert decide(view(job(status.to_dict()), running, after=3)) == []


def test_an_attempt_that_was_handed_back_and_is_elsewhere_is_shown_there() -> None:
    shown = written(decide(view(job(), under_way(), after=2)))
    elsewhere = Running(Decision("default/j", replace(AER, name="b"), "b is free"), CREATED, (), NO_TASK)
    status = written(decide(view(job(shown.to_dict()), under_way(phase=elsewhere), after=3)))
    assert (status.state, status.attempts, status.backend, status.placement) == ("Running", 1, "b", "b is free")


def test_a_result_ends_the_job_with_one_write() -> None:
    actions = decide(view(job(), under_way(result=ended())))
    status = written(actions)
    assert Stop() in actions
    assert status.state == "Complete"
    assert status.result is not None
    assert status.result.counts == {"00": 5, "11": 3}
    assert (status.placement, status.attempts) == ("aer is the only candidate", 1)


def test_a_lost_worker_is_another_attempt_until_the_policy_says_no() -> None:
    lost = under_way(result=ended(WorkerLost("gone")))
    first, warn, again = decide(view(job(), lost))
    assert isinstance(first, SetStatus)
    assert (first.status.state, first.status.reason, first.status.attempts) == ("Pending", "WorkerLost", 1)
    assert first.status.message == "attempt 1 ended (1 of 3 failures): gone; another begins at once"
    assert (warn, again) == (Warn("WorkerLost", "attempt 1: gone"), Requeue(CREATED + 0.5))
    known = job(first.status.to_dict())
    assert decide(view(known, lost)) == [RequestPlacement()]
    (submit,) = decide(view(known, planned(known, lost, AER)))
    assert isinstance(submit, Submit)
    last = decide(view(job(retryPolicy={"maxAttempts": 1}), under_way(result=ended(WorkerLost("gone")))))
    status = written(last)
    assert (status.state, status.reason) == ("Failed", "WorkerLost")
    assert status.message == "after 1 attempt: gone"


def test_what_fails_for_good_is_not_tried_again() -> None:
    status = written(decide(view(job(), under_way(result=ended(EngineFailed("no"))))))
    assert (status.state, status.message) == ("Failed", "no")


@pytest.mark.parametrize("changed", ["uid", "generation"])
def test_work_for_an_older_job_is_stopped(changed: str) -> None:
    old = under_way()
    old.uid, old.generation = ("other", 1) if changed == "uid" else (old.uid, 0)
    assert decide(view(job(), old))[0] == Stop()


def test_a_job_without_backend_waits_and_says_so_once() -> None:
    nowhere = view(job(), planned(job(), flight()), after=3)
    status = written(decide(nowhere))
    assert (status.state, status.reason) == ("Pending", "Unschedulable")
    assert "there is none that this namespace may use" in (status.message or "")
    assert decide(replace(nowhere, job=job(status.to_dict()))) == []


def test_what_no_backend_can_ever_run_fails_with_the_numbers() -> None:
    wide = replace(BELL.analysis, num_qubits=40, clifford=False, bond_bits=20)
    asked = planned(job(), flight(program=Checked("x", replace(BELL, analysis=wide))), AER)
    status = written(decide(view(job(), asked)))
    assert (status.state, status.reason) == ("Failed", "Unschedulable")
    assert "16 TiB" in (status.message or "")


def test_suspending_stops_what_runs() -> None:
    actions = decide(view(job(suspend=True), under_way()))
    assert actions[0] == Stop(program=True)
    assert written(actions).state == "Suspended"


@pytest.mark.parametrize("state", ["Pending", "Suspended", "Running"])
@pytest.mark.parametrize("suspend", [True, False])
def test_a_cancelled_job_ends_whatever_it_does(state: str, suspend: bool) -> None:
    cancelled = job({"state": state}, cancel=True, suspend=suspend, activeDeadlineSeconds=1)
    # Its specification is another since the flight began.
    running = Flight("12345678-uid", 0, usage=Amounts(100, 1.5))
    for known, usage in ((running, Usage(shots=100, seconds=1.5)), (None, None)):
        first, *rest = decide(view(cancelled, known, after=100))
        assert isinstance(first, SetStatus)
        assert (first.status.state, first.status.reason, first.status.usage) == ("Failed", "Cancelled", usage)
        assert rest == [Stop()]


def test_a_cancelled_program_keeps_what_it_printed() -> None:
    running = {"state": "Running", "backend": "lab/a", "attempts": 1, "placedAt": timestamp(CREATED)}
    cancelled = job(running, python=True, cancel=True)
    (finish,) = decide(view(cancelled, source(), batch={}, pod={"name": "p", "phase": "Running"}))
    assert isinstance(finish, Finish)
    assert (finish.status.state, finish.status.reason) == ("Failed", "Cancelled")
    assert (finish.pod, finish.remove) == ("p", True)


def test_a_deadline_counts_from_the_job_s_creation() -> None:
    limited = job(activeDeadlineSeconds=10)
    assert decide(view(limited, under_way(), after=1))[-1] == Requeue(CREATED + 10)
    flight = under_way()
    flight.charge(Amounts(100, 1.5))
    actions = decide(view(limited, flight, after=10))
    status = written(actions)
    assert (status.reason, status.usage) == ("DeadlineExceeded", Usage(shots=100, seconds=1.5))
    # What is written counts; only then is the rest counted.
    assert actions[-1] == Stop()


def program(state: str = "Running", **fields: Any) -> HybridJob:
    return job({"state": state, "attempts": 1, "backend": "aer", "placedAt": timestamp(CREATED), **fields}, python=True)


def batch(kind: str) -> dict[str, Any]:
    return {"owner": "default/j", "conditions": [{"type": kind, "status": "True"}]}


def pod(code: int, reason: str = "Error", **fields: Any) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason}
    return {"name": "p", "containerStatuses": [{"state": {"terminated": terminated}}], **fields}


def source(**fields: Any) -> Flight:
    return Flight("12345678-uid", 1, **{"program": Checked("x", None), "renew_at": CREATED + 100, **fields})


def test_a_program_is_launched_on_its_backend() -> None:
    (launch,) = decide(view(job(python=True), planned(job(python=True), source(), AER)))
    assert isinstance(launch, Launch)
    assert (launch.attempt, launch.status.state, launch.status.backend) == (1, "Placed", "aer")


@pytest.mark.parametrize(
    ("code", "why", "reason", "says"),
    [
        (3, "Error", "ProgramFailed", "exit code 3"),
        (137, "OOMKilled", "OOMKilled", "its limit of 2Gi: raise program.python.resources.limits.memory"),
        (137, "Error", "ProgramFailed", "killed (exit code 137)"),
    ],
)
def test_why_a_program_failed(code: int, why: str, reason: str, says: str) -> None:
    (collect,) = decide(view(program(), source(), batch=batch("Failed"), pod={**pod(code, why), "memoryLimit": "2Gi"}))
    assert isinstance(collect, Finish)
    assert (collect.status.state, collect.status.reason, collect.status.exit_code) == ("Failed", reason, code)
    assert says in (collect.status.message or "")
    assert collect.pod == "p"


def test_why_a_program_failed_stands_where_its_client_left_it() -> None:
    words = {"message": "ResultTooLarge: the result takes 9 bytes: return less"}
    own = pod(1, "Error")
    own["containerStatuses"][0]["state"]["terminated"] |= words
    (collect,) = decide(view(program(), source(), batch=batch("Failed"), pod=own))
    assert isinstance(collect, Finish)
    assert (collect.status.reason, collect.status.message) == (
        "ResultTooLarge",
        "the result takes 9 bytes: return less",
    )
    for named in ("BudgetExceeded", "QuotaExceeded"):
        own["containerStatuses"][0]["state"]["terminated"] |= {"message": f"{named}: the task costs 2 USD"}
        (collect,) = decide(view(program(), source(), batch=batch("Failed"), pod=own))
        assert isinstance(collect, Finish)
        assert (collect.status.reason, collect.status.message) == (named, "the task costs 2 USD")
    # Other words are the program's own, and no reason of a job.
    own["containerStatuses"][0]["state"]["terminated"] |= {"message": "Unschedulable: so it says"}
    (collect,) = decide(view(program(), source(), batch=batch("Failed"), pod=own))
    assert isinstance(collect, Finish)
    assert collect.status.reason == "ProgramFailed"


def test_a_program_that_ended_well() -> None:
    (collect,) = decide(view(program(), source(), batch=batch("Complete"), pod=pod(0, "Completed")))
    assert isinstance(collect, Finish)
    assert (collect.status.state, collect.status.exit_code) == ("Complete", 0)


def test_a_disrupted_pod_is_no_fault_of_the_program() -> None:
    moved = {"type": "DisruptionTarget", "status": "True"}
    again, warn, _ = decide(view(program(), source(), batch=batch("Failed"), pod=pod(143, conditions=[moved])))
    assert warn == Warn("PodLost", "attempt 1: the program's pod was lost")
    assert isinstance(again, TryAgain)
    known = job(again.status.to_dict(), python=True)
    (launch,) = decide(view(known, planned(known, source(), AER)))
    assert isinstance(launch, Launch)
    assert launch.attempt == 2
    last = job(
        {"state": "Running", "attempts": 1, "placedAt": timestamp(CREATED)},
        python=True,
        retryPolicy={"maxAttempts": 1, "maxInterruptions": 0},
    )
    (finish,) = decide(view(last, source(), batch=batch("Failed"), pod=pod(143, conditions=[moved])))
    assert isinstance(finish, Finish)
    assert (finish.status.state, finish.status.reason) == ("Failed", "PodLost")


def test_a_program_whose_job_is_gone_is_launched_again_but_not_at_once() -> None:
    soon = decide(view(program("Placed"), source(), after=5))
    assert set(map(type, soon)) == {Requeue}
    again, warn, _ = decide(view(program("Placed"), source(), after=60))
    assert warn == Warn("ProgramLost", "attempt 1: the program's Job is gone")
    assert isinstance(again, TryAgain)
    assert again.status.interruptions == 1


def test_counts_are_not_touched_on_their_way() -> None:
    estimated = PubResult(expectation_values=np.array([[0.5]]), standard_errors=np.array([[0.1]]), shots=9, method="m")
    checked = replace(BELL, observables=((("ZZ", 1.0),),))
    result = TaskResult("t", "Completed", (estimated,), None, "Aer 0.18", 4)
    status = written(decide(view(job(), under_way(result, program=Checked("x", checked)))))
    assert status.result is not None
    assert status.result.expectation_values == [0.5]
    assert status.result.standard_errors == [0.1]
