"""Circuits: one task on a backend, or several where shots are split or a job is hedged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qonverge.accounting.conversion import usage_of
from qonverge.api import HybridJob
from qonverge.controller.jobs.actions import Action, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds.kind import JobKind, Tools
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import SEEN_SECONDS, unplaced
from qonverge.controller.store.flights import Flight
from qonverge.execution import transitions
from qonverge.programs import circuit as circuits
from qonverge.scheduling import Decision
from qonverge.wire.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Submit(Action):
    """Send the circuit to the backend, as the next attempt."""

    decision: Decision


class CircuitJobs:
    """Jobs whose program is a circuit. An attempt lives in the flight: nothing of it stands in the cluster."""

    follows_changes = False

    def attend(self, view: View, flight: Flight) -> list[Action] | None:
        """Return None: there is nothing to look after that the flight does not tell."""
        return None

    def advance(self, view: View, flight: Flight) -> list[Action]:
        """Send the circuit, show that it runs, and end the job when there is a result."""
        job, now = view.job, view.now
        if flight.result is not None:
            return _conclude(view, flight)
        if flight.running is not None and flight.started_at is not None:
            if job.status.state == "Running" and (job.status.attempts or 0) == flight.attempts:
                return []
            if now < flight.started_at + SEEN_SECONDS:
                return [Requeue(flight.started_at + SEEN_SECONDS)]
            return [
                SetStatus(view.move("Running", "Running", f"attempt {flight.attempts}", **_run_fields(view, flight)))
            ]
        return _submit(view, flight)

    async def perform(self, action: Action, key: str, job: HybridJob, tools: Tools) -> None:
        """Send the circuit."""
        match action:
            case Submit(decision):
                flight = tools.state.flights[key]
                if tools.submissions.send(key, job, flight, decision):
                    tools.queue.add_at(f"HybridJob {key}", tools.clock() + SEEN_SECONDS)
                else:
                    tools.replan(key, flight)
            case _:
                raise TypeError(f"{action} is nothing that a circuit needs")

    async def remove(self, job: HybridJob, tools: Tools) -> None:
        """Do nothing: its tasks are cancelled with the flight."""


KIND: JobKind = CircuitJobs()


def _submit(view: View, flight: Flight) -> list[Action]:
    decision = flight.proposal
    return [Submit(decision)] if decision is not None and decision.backend is not None else unplaced(view, flight)


def _conclude(view: View, flight: Flight) -> list[Action]:
    result, job = flight.result, view.job
    assert result is not None
    assert flight.source is not None
    fields = {**_run_fields(view, flight), "provenance": circuits.provenance(flight.source, result)}
    if result.error is None:
        message = f"completed on {fields['backend']}"
        return [SetStatus(view.complete(message, result=circuits.outcome(result), **fields)), Stop()]
    error, limit = result.error, job.spec.retry_policy.max_attempts
    # Where this operator cancels a task, it forgets the flight: somebody else did, and the job still wants it.
    if not error.retryable and error.code != Cancelled.code:
        return [SetStatus(view.fail(circuits.failure_reason(error), error.message, **fields)), Stop()]
    if flight.attempts - flight.withdrawn >= limit:
        return [SetStatus(view.fail(error.code, f"after {limit} attempts: {error.message}", **fields)), Stop()]
    lost = f"attempt {flight.attempts}: {error.message}"
    again = _submit(view, flight)
    return [Warn(error.code, lost), *again] if any(isinstance(action, Submit) for action in again) else again


def _run_fields(view: View, flight: Flight) -> dict[str, Any]:
    """Return what the status says of an attempt at a circuit."""
    decision = flight.decision
    assert decision is not None
    assert decision.backend is not None
    return {
        "backend": decision.backend.label_for(view.job.metadata.namespace),
        "placement": decision.reason,
        "attempts": flight.attempts,
        "placed_at": transitions.timestamp(flight.placed_at or view.now),
        "started_at": transitions.timestamp(flight.started_at or view.now),
        "forecast": list(flight.forecast) or None,
        "usage": usage_of(flight.usage),
    }
