"""What the operator decides about jobs that depend on others."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.jobs.actions import CheckProgram, SetStatus, TakeInputs
from qonverge.controller.jobs.decisions import decide
from qonverge.controller.store.dependents import Awaited, Dependents, SeenDependency, awaited
from qonverge.controller.store.state import State
from qonverge.execution.dependencies import released
from tests.unit.controller.jobs.test_decisions import job, view, written

SEEN = {"name": "a", "uid": "u", "state": "Running"}


def seen(name: str = "a", state: str | None = "Running", reason: str = "", uid: str | None = "u") -> SeenDependency:
    return SeenDependency(name, uid, state, reason)


def waiting(*dependencies: Any, status: dict[str, Any] | None = None, **spec: Any) -> HybridJob:
    return job(status, dependsOn=[{"name": each} if isinstance(each, str) else each for each in dependencies], **spec)


def decided(job: HybridJob, *known: SeenDependency, cycle: tuple[str, ...] = ()) -> HybridJobStatus:
    return written(decide(view(job, awaited=Awaited(known, cycle))))


def test_it_waits_for_those_that_are_not_complete_and_says_how_they_are() -> None:
    status = decided(waiting("a", "b", "c"), seen(), seen("b", None, uid=None), seen("c", "Complete"))
    assert (status.state, status.reason) == ("Pending", "WaitingForDependencies")
    assert status.message == "waiting for a (Running), b (not created yet)"
    assert status.dependencies is not None
    assert [(each.name, each.uid, each.state) for each in status.dependencies] == [
        ("a", "u", "Running"),
        ("b", None, None),
        ("c", "u", "Complete"),
    ]


def test_it_says_so_once() -> None:
    first = waiting("a")
    again = first.model_copy(update={"status": decided(first, seen())})
    assert decide(view(again, awaited=Awaited((seen(),)))) == []
    assert decided(again, seen(state="Suspended")).message == "waiting for a (Suspended)"


def test_its_inputs_are_taken_when_all_are_complete() -> None:
    known = Awaited((seen(state="Complete"), seen("b", "Complete")))
    assert decide(view(waiting("a", "b"), awaited=known)) == [TakeInputs()]
    assert decide(view(waiting("a", "b"), awaited=None)) == [CheckProgram()]


@pytest.mark.parametrize(
    ("state", "uid", "said"),
    [
        ("Failed", "u", "a failed with ProgramFailed, and this job depends on it: qonverge why a"),
        (None, None, "a was deleted before this job started, which depends on it"),
    ],
)
def test_it_fails_with_one_that_failed_or_was_deleted_unless_it_is_to_wait(
    state: str | None, uid: str | None, said: str
) -> None:
    known = seen(state=state, uid=uid, reason="ProgramFailed" if state else "")
    status = decided(waiting("a", status={"dependencies": [SEEN]}), known)
    assert (status.state, status.reason, status.message) == ("Failed", "DependencyFailed", said)
    patient = waiting({"name": "a", "failurePolicy": "Wait"}, status={"dependencies": [SEEN]})
    assert decided(patient, known).reason == "WaitingForDependencies"


def test_jobs_that_wait_for_each_other_fail_and_name_the_circle() -> None:
    status = decided(waiting("a"), seen(state="Pending"), cycle=("default/j", "default/a", "default/j"))
    assert (status.state, status.reason) == ("Failed", "DependencyCycle")
    assert status.message == "these jobs wait for each other: j -> a -> j"


def test_a_suspended_job_is_not_read_before_it_has_its_inputs() -> None:
    actions = decide(view(waiting("a", suspend=True), awaited=Awaited((seen(),))))
    assert [type(each) for each in actions] == [SetStatus]
    held = waiting("a", suspend=True, status={"state": "Suspended", "message": "m", "observedGeneration": 1})
    assert decide(view(held, awaited=Awaited((seen(),)))) == []
    assert decide(view(held)) == [CheckProgram()]


def shown(name: str, *on: str, version: int, state: str = "Pending") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": str(version)},
        "spec": {"program": {"python": {"source": "x"}}, "dependsOn": [{"name": each} for each in on]},
        "status": {"state": state, "reason": "Why"},
    }


def test_those_that_a_change_concerns_are_woken() -> None:
    state, dependents = State(), Dependents()

    def change(obj: dict[str, Any], *, deleted: bool = False) -> set[str]:
        found = state.observe("HybridJob", obj, deleted)
        assert found is not None
        dependents.observe(found)
        return set(dependents.concerned(found))

    assert change(shown("b", "a", version=1)) == set()
    assert dependents.of("n/a") == {"n/b"}
    assert change(shown("a", version=2)) == {"n/b"}
    known = awaited(state.jobs["n/b"], state)
    assert known == Awaited((SeenDependency("a", "uid-a", "Pending", "Why"),))
    assert change(shown("a", version=3, state="Failed")) == {"n/b"}
    assert awaited(state.jobs["n/b"], state).seen == (SeenDependency("a", "uid-a", "Failed", "Why"),)
    # Its end lets go of what was kept for it; what the watch shows again after a write of one's own does too.
    assert change(shown("b", "a", version=4, state="Failed")) == {"n/a"}
    assert change(shown("b", "a", version=4, state="Failed")) == {"n/a"}
    assert dependents.of("n/a") == set()
    assert change(shown("c", "a", version=5)) == set()
    assert change(shown("c", version=6), deleted=True) == {"n/a"}


def test_a_circle_is_found_among_those_that_still_wait() -> None:
    state = State()
    for version, (name, other) in enumerate({"a": "b", "b": "c", "c": "a"}.items(), 1):
        state.observe("HybridJob", shown(name, other, version=version), deleted=False)
    assert awaited(state.jobs["n/a"], state).cycle == ("n/a", "n/b", "n/c", "n/a")
    going = shown("b", "c", version=9, state="Running")
    going["status"]["dependencies"] = [{"name": "c", "parameters": {}, "values": {}}]
    state.observe("HybridJob", going, deleted=False)
    assert released(state.jobs["n/b"])
    assert awaited(state.jobs["n/a"], state).cycle == ()


def test_what_it_took_is_among_its_parameters_wherever_it_is_read() -> None:
    obj = shown("b", version=1)
    obj["spec"]["dependsOn"] = [{"name": "a", "parameters": {"x": "angle"}}]
    obj["status"]["dependencies"] = [{"name": "a", "parameters": {"x": "angle"}, "values": {"x": 0.5}}]
    state = State()
    state.observe("HybridJob", obj, deleted=False)
    assert state.jobs["n/b"].spec.program.parameters == {"x": 0.5}
