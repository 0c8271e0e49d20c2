"""What is decided about sessions: from their token to their end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.jobs.actions import CheckProgram, Continue, RequestPlacement, Requeue, SetStatus
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, Renew
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import AwaitingPlacement
from qonverge.execution.transitions import timestamp
from qonverge.programs.kinds import kind_of
from tests.unit.controller.jobs.test_decisions import AER, CREATED, flight, job, planned, source, view, written


def session(state: str = "", *, after: float = 0.0, section: dict[str, Any] | None = None, **spec: Any) -> HybridJob:
    """Return a session of 30 minutes, which began so long after its creation if it is Running."""
    at = timestamp(CREATED + after)
    status: dict[str, Any] = {}
    if state:
        status = {"state": state, "backend": "lab/aer", "attempts": 1, "placedAt": timestamp(CREATED)}
    if state == "Running":
        told = {"secret": "j-12345-1", "service": "lab/aer-qb", "endsAt": timestamp(CREATED + after + 1800)}
        status |= {"startedAt": at, "observedGeneration": 1, "session": told}
    return job(status, program={"session": {"duration": "30m", **(section or {})}}, **spec)


def checked() -> Flight:
    return source()


def ends(actions: list[Any]) -> HybridJobStatus:
    (finish,) = [each for each in actions if isinstance(each, Finish)]
    assert finish.pod is None
    return finish.status


def test_a_session_gets_a_place_as_a_program_does_and_then_its_token() -> None:
    assert decide(view(session())) == [CheckProgram()]
    waiting = flight(program=checked().program)
    assert decide(view(session(), waiting)) == [RequestPlacement()]
    (launch,) = decide(view(session(), planned(session(), waiting, AER)))
    assert isinstance(launch, Launch)
    assert (launch.status.state, launch.attempt) == ("Placed", 1)


def test_it_runs_as_soon_as_its_token_is_there_and_says_where_that_is() -> None:
    actions = decide(view(session("Placed"), checked(), after=20))
    status = written(actions)
    assert (status.state, status.started_at) == ("Running", timestamp(CREATED + 20))
    assert status.session is not None
    assert status.session.to_dict() == {
        "secret": "j-12345-1",
        "service": "lab/aer-qb",
        "endsAt": timestamp(CREATED + 1820),
    }
    assert Requeue(CREATED + 1820) in actions
    assert Requeue(CREATED + 100) in actions
    assert decide(view(session("Running", after=20), checked(), after=21)) == actions[1:]


def test_its_token_is_renewed_and_its_time_goes_on_under_another_operator() -> None:
    assert Renew() in decide(view(session("Running"), checked(), after=100))
    assert Renew() in decide(view(session("Running"), source(renew_at=0.0), after=5))
    assert decide(view(session("Running"))) == [CheckProgram()]


def test_it_is_complete_when_its_time_is_over() -> None:
    assert not any(isinstance(each, Finish) for each in decide(view(session("Running"), checked(), after=1799)))
    status = ends(decide(view(session("Running"), checked(), after=1800)))
    assert (status.state, status.message) == ("Complete", "the session's time, 30m, is over")


def test_one_that_runs_is_complete_when_it_is_cancelled_and_one_that_waits_fails() -> None:
    status = ends(decide(view(session("Running", cancel=True), checked(), after=5)))
    assert (status.state, status.message) == ("Complete", "the session was ended: spec.cancel is true")
    waits = ends(decide(view(session(cancel=True), checked())))
    assert (waits.state, waits.reason) == ("Failed", "Cancelled")
    # The change of the specification is followed first.
    changed = session("Running", cancel=True)
    changed = changed.model_copy(update={"metadata": changed.metadata.model_copy(update={"generation": 2})})
    assert decide(view(changed, checked()))[0] == Continue()
    # One that is suspended too is held, and used nothing since.
    assert ends(decide(view(session("Running", cancel=True, suspend=True), checked()))).state == "Failed"


def test_a_program_that_runs_and_is_cancelled_fails_as_before() -> None:
    program = job({"state": "Running", "backend": "aer", "attempts": 1}, python=True, cancel=True)
    assert ends(decide(view(program, checked(), batch={}))).reason == "Cancelled"


def test_one_that_loses_its_backend_is_over() -> None:
    lost = ("BackendLost", "the backend aer was deleted")
    status = ends(decide(view(session("Running"), checked(), withdrawn=lost)))
    assert (status.state, status.reason) == ("Failed", "BackendLost")
    assert status.message == "the backend aer was deleted: the session is over, begin another"


def test_one_whose_slot_a_job_of_higher_priority_takes_is_over() -> None:
    displaced = checked()
    displaced.displace("it waits for lab/urgent, of higher priority")
    status = ends(decide(view(session("Running"), displaced, after=5)))
    assert (status.state, status.reason) == ("Failed", "Preempted")
    assert status.message == "it waits for lab/urgent, of higher priority: the session is over, begin another"


def test_one_that_is_suspended_is_stopped_and_begins_anew_with_all_of_its_time() -> None:
    actions = decide(view(session("Running", suspend=True), source(phase=AwaitingPlacement())))
    assert written(actions).state == "Suspended"
    resumed = decide(view(session("Placed", section={"duration": "1h"}), checked(), after=50))
    told = written(resumed).session
    assert told is not None
    assert told.ends_at == timestamp(CREATED + 3650)


def test_its_deadline_holds_beside_its_duration() -> None:
    late = decide(view(session("Running", activeDeadlineSeconds=60), checked(), after=61))
    assert ends(late).reason == "DeadlineExceeded"


@pytest.mark.parametrize("duration", ["0s", "25h", "1d", "soon"])
def test_a_length_that_no_session_has_is_refused(duration: str) -> None:
    with pytest.raises(ValidationError):
        session(section={"duration": duration})


def test_what_only_a_program_has_a_use_for_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match="a session has one token, and no pod"):
        job(program={"session": {}, "parallelism": 2})
    useless = job(
        program={"session": {}, "parameters": {"x": 1}}, shots=5, queueName="q", retryPolicy={"maxAttempts": 5}
    )
    assert kind_of(useless).contradiction(useless) == (
        "spec.shots, spec.queueName, spec.retryPolicy, spec.program.parameters: leave it out, since a session runs no "
        "program: what calls the backend says it"
    )
    assert kind_of(session()).contradiction(session(budget={"amount": "5"}, dependsOn=[{"name": "a"}])) is None


def test_what_is_written_of_a_session_that_runs_already_follows_its_specification() -> None:
    changed = session("Running")
    changed = changed.model_copy(update={"metadata": changed.metadata.model_copy(update={"generation": 2})})
    known = checked()
    known.adopt_generation(2)
    (first, *_) = decide(view(changed, known, after=5))
    assert isinstance(first, SetStatus)
    assert (first.status.observed_generation, first.status.started_at) == (2, timestamp(CREATED))
