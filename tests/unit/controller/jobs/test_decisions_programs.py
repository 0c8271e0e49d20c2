"""What is decided about programs that run: their tokens, and backends that serve them no more."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import CheckProgram, Continue, RequestPlacement, Requeue, Stop, Warn
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.jobs.kinds.pod_actions import Finish, ReadLog, Renew, TryAgain
from qonverge.controller.store.phases import SourceMissing
from qonverge.execution.transitions import timestamp
from tests.unit.controller.jobs.test_decisions import CREATED, batch, job, pod, program, source, view

_LOST = ("BackendLost", "the backend aer was deleted")


def of_generation(job: HybridJob, generation: int) -> HybridJob:
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"generation": generation})})


@pytest.mark.parametrize("state", ["Placed", "Running"])
def test_a_token_is_renewed_when_it_is_due(state: str) -> None:
    running: dict[str, Any] = {"batch": {}, "pod": {"name": "p", "phase": state.replace("Placed", "Pending")}}
    before = decide(view(program(state), source(), after=99, **running))
    assert Requeue(CREATED + 100) in before
    assert Renew() not in before
    assert Renew() in decide(view(program(state), source(), after=100, **running))
    # Nobody knows how old the token is that a former operator gave.
    assert Renew() in decide(view(program(state), source(renew_at=0.0), **running))


def test_a_program_runs_on_without_the_config_map_that_it_came_from() -> None:
    flight = source(program=SourceMissing("waiting for the ConfigMap c"))
    running = decide(view(program(), flight, batch={}, pod={"name": "p", "phase": "Running"}))
    assert Requeue(CREATED + 100) in running
    (collect,) = decide(view(program(), flight, batch=batch("Complete"), pod=pod(0)))
    assert isinstance(collect, Finish)
    assert collect.status.provenance is not None
    assert collect.status.provenance.program_digest is None


def test_the_image_that_ran_is_recorded() -> None:
    ran = pod(0)
    sidecar = {"name": "proxy", "imageID": "registry/proxy@sha256:1"}
    program_status = {**ran["containerStatuses"][0], "name": "program", "imageID": "ghcr.io/lab/vqe@sha256:2"}
    (collect,) = decide(
        view(program(), source(), batch=batch("Complete"), pod={**ran, "containerStatuses": [sidecar, program_status]})
    )
    assert isinstance(collect, Finish)
    assert collect.status.provenance is not None
    assert collect.status.provenance.image == "ghcr.io/lab/vqe@sha256:2"


def test_a_changed_specification_does_not_end_a_program() -> None:
    status = program().status.to_dict()
    running = of_generation(job(status, python=True, budget={"amount": "7"}), 2)
    assert decide(view(running, source(), batch={}))[0] == Continue()
    waiting = of_generation(job(python=True), 2)
    assert decide(view(waiting, source()))[0] == Continue()
    assert decide(view(of_generation(job(), 2), source()))[0] == Stop()
    assert decide(view(of_generation(job(status, python=True, suspend=True), 2), source()))[0] == Stop()


@pytest.mark.parametrize("seen", [{"batch": {}}, {}, {"batch": batch("Failed"), "pod": pod(1)}])
def test_a_program_that_loses_its_backend_tries_again(seen: dict[str, Any]) -> None:
    """Whatever became of its pod meanwhile: a program that fails when its backend is gone fails of that."""
    first, told, again = decide(view(program(), source(), withdrawn=_LOST, **seen))
    assert isinstance(first, TryAgain)
    assert (first.status.state, first.status.reason) == ("Pending", "BackendLost")
    assert first.status.message == (
        "attempt 1 ended (does not count as a failure): the backend aer was deleted; another begins at once"
    )
    assert (first.status.failures, first.status.interruptions) == (0, 1)
    # What has ended already is left for who looks at it.
    assert (first.attempt, first.remove) == (1, seen.get("batch") == {})
    assert told == Warn("BackendLost", "attempt 1: the backend aer was deleted")
    assert again == Requeue(CREATED + 0.5)
    assert decide(view(job(first.status.to_dict(), python=True), source())) == [RequestPlacement()]


def test_a_program_without_attempts_left_fails_of_its_backend() -> None:
    status = {"state": "Running", "attempts": 3, "placedAt": timestamp(CREATED), "interruptions": 2}
    last = job(status, python=True, retryPolicy={"maxInterruptions": 2})
    (finish,) = decide(view(last, source(), withdrawn=_LOST, batch={}))
    assert isinstance(finish, Finish)
    assert (finish.status.state, finish.status.reason, finish.remove) == ("Failed", "BackendLost", True)
    assert finish.status.message == (
        "after 3 interruptions, and retryPolicy.maxInterruptions is 2: the backend aer was deleted"
    )


@pytest.mark.parametrize("seen", [{"batch": {}}, {"batch": batch("Failed"), "pod": pod(1)}])
def test_a_program_whose_slot_was_taken_goes_on_however_few_attempts_are_left(seen: dict[str, Any]) -> None:
    status = {"state": "Running", "attempts": 3, "placedAt": timestamp(CREATED), "failures": 2, "interruptions": 2}
    last = job(status, python=True, retryPolicy={"maxAttempts": 3, "maxInterruptions": 2})
    first, told, _ = decide(view(last, source(displaced="makes room for chem/high"), **seen))
    assert isinstance(first, TryAgain)
    assert (first.status.state, first.status.reason) == ("Pending", "Preempted")
    assert first.status.message == (
        "attempt 3 ended (does not count as a failure): makes room for chem/high; another begins at once"
    )
    assert (first.status.failures, first.status.interruptions) == (2, 2)
    assert told == Warn("Preempted", "attempt 3: makes room for chem/high")


def test_a_program_that_has_ended_well_needs_no_backend() -> None:
    for lost, displaced in ((_LOST, None), (None, "makes room for chem/high")):
        flight = source(displaced=displaced)
        (collect,) = decide(view(program(), flight, withdrawn=lost, batch=batch("Complete"), pod=pod(0)))
        assert isinstance(collect, Finish)
        assert collect.status.state == "Complete"


def test_a_new_operator_takes_a_running_program_up() -> None:
    assert decide(view(program())) == [CheckProgram()]


def test_a_suspended_program_whose_pod_still_ends_asks_for_no_forecast_yet() -> None:
    """What stops it forgets its flight, and the next reconcile begins another."""
    status = {"state": "Suspended", "message": "the job is suspended: set spec.suspend to false to run it"}
    held = job({**status, "observedGeneration": 1}, python=True, suspend=True)
    assert decide(view(held, source(), batch={})) == [Stop(program=True)]
    assert decide(view(held, source())) == [RequestPlacement()]


def test_a_program_whose_node_cannot_be_reached_begins_again_elsewhere() -> None:
    """Its Job fails only when the node says that the pod is gone."""
    going = {"name": "p", "phase": "Running", "endsBy": timestamp(CREATED + 30)}
    wait = decide(view(program(), source(), after=39, batch={}, pod=going))
    assert Requeue(CREATED + 40) in wait
    # Its log is read while there is one.
    assert ReadLog("p") in wait
    read = source()
    read.keep_log("so far")
    assert ReadLog("p") not in decide(view(program(), read, after=39, batch={}, pod=going))
    again, *_ = decide(view(program(), source(), after=40, batch={}, pod=going))
    assert isinstance(again, TryAgain)
    assert (again.status.reason, again.remove) == ("PodLost", True)
