"""What to do about a job that waits for others. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from qonverge.api import HybridJob
from qonverge.api.dependencies import DependencyStatus
from qonverge.controller.jobs.actions import Action, SetStatus, TakeInputs
from qonverge.controller.jobs.view import View
from qonverge.controller.store.dependents import Awaited, SeenDependency
from qonverge.execution.dependencies import circle, problem


def await_dependencies(view: View, known: Awaited) -> list[Action]:
    """Wait for the jobs that a job depends on, take what it needs of them, or let it fail with them."""
    job = view.job
    if (wrong := problem(job)) is not None:
        return [SetStatus(view.fail("InvalidProgram", wrong))]
    if known.cycle:
        return [SetStatus(view.fail("DependencyCycle", circle(known.cycle)))]
    if (lost := next(_lost(job, known), None)) is not None:
        return [SetStatus(view.fail("DependencyFailed", lost))]
    if all(each.state == "Complete" for each in known.seen):
        return [TakeInputs()]
    told = [DependencyStatus(name=each.name, uid=each.uid, state=each.state) for each in known.seen]
    waits = ", ".join(f"{each.name} ({_state(each)})" for each in known.seen if each.state != "Complete")
    return wait(view, f"waiting for {waits}", told)


def wait(view: View, message: str, told: list[DependencyStatus] | None = None) -> list[Action]:
    """Say what a job waits for, where that is news."""
    status, told = view.job.status, view.job.status.dependencies if told is None else told
    before = (status.state, status.reason, status.message, status.observed_generation, status.dependencies)
    if before == ("Pending", "WaitingForDependencies", message, view.job.metadata.generation, told):
        return []
    return [SetStatus(view.move("Pending", "WaitingForDependencies", message, dependencies=told))]


def _lost(job: HybridJob, known: Awaited) -> Iterator[str]:
    """Yield a sentence about each dependency that failed or was deleted, and without which the job fails."""
    before = {each.name: each.uid for each in job.status.dependencies or ()}
    for dependency, each in zip(job.spec.depends_on, known.seen, strict=True):
        if dependency.failure_policy == "Wait":
            continue
        if each.state == "Failed":
            why = f" with {each.reason}" if each.reason else ""
            yield f"{each.name} failed{why}, and this job depends on it: qonverge why {each.name}"
        elif each.uid is None and before.get(each.name) is not None:
            yield f"{each.name} was deleted before this job started, which depends on it"


def _state(each: SeenDependency) -> str:
    if each.uid is None:
        return "not created yet"
    return f"Failed: {each.reason}" if each.state == "Failed" and each.reason else each.state or "Pending"
