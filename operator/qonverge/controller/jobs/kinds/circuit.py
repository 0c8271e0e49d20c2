"""Circuits: one task on a backend, or several where shots are split or a job is hedged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qonverge.accounting.conversion import usage_of
from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.cloud_tasks import FINALIZER, Submission
from qonverge.controller.jobs.actions import Action, Hold, RequestPlacement, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds.kind import JobKind, Tools
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import NEWS_SECONDS, SEEN_SECONDS, unplaced
from qonverge.controller.store.flights import Flight
from qonverge.execution import cloud_tasks, retries, transitions
from qonverge.execution.retries import AttemptEnd
from qonverge.programs import circuit as circuits
from qonverge.scheduling import Decision
from qonverge.wire.errors import ResultTooLarge, WireError
from qonverge.wire.messages import TaskResult


@dataclass(frozen=True, slots=True)
class Submit(Action):
    """Send the circuit to the backend, as the next attempt."""

    decision: Decision
    record: tuple[Submission, ...] = ()
    """Of its tasks, where they are recorded in the job's status."""
    again: bool = False
    """Whether these were recorded before, and so may have been sent."""
    boots: Mapping[str, str] = field(default_factory=dict)
    """The servers, by their pods, that were there before these were recorded: no earlier ones had them."""


class CircuitJobs:
    """Jobs whose program is a circuit. An attempt lives in the flight: nothing of it stands in the cluster."""

    follows_changes = False
    completes_when_cancelled = False

    def attend(self, view: View, flight: Flight) -> list[Action] | None:
        """Return None: there is nothing to look after that the flight does not tell."""
        return None

    def advance(self, view: View, flight: Flight) -> list[Action]:
        """Send the circuit, show that it runs, and end the job when there is a result."""
        job, now = view.job, view.now
        if flight.result is not None:
            return _conclude(view, flight)
        if flight.running is not None and flight.started_at is not None:
            if cloud_tasks.under_way(job):
                return _elsewhere(view, flight)
            fields = _run_fields(view, flight)
            told = (job.status.state, job.status.attempts or 0, job.status.backend)
            # What a pod handed back is the same attempt elsewhere.
            if told == ("Running", fields["attempts"], fields["backend"]):
                return []
            if now < flight.started_at + SEEN_SECONDS:
                return [Requeue(flight.started_at + SEEN_SECONDS)]
            return [SetStatus(view.move("Running", "Running", f"attempt {flight.attempts}", **fields))]
        return _submit(view, flight)

    def expire(self, view: View, status: HybridJobStatus) -> list[Action]:
        """Write it, and cancel what runs."""
        return [SetStatus(status), Stop()]

    async def perform(self, action: Action, key: str, job: HybridJob, tools: Tools) -> None:
        """Send the circuit."""
        match action:
            case Submit(decision, record, again, boots):
                flight, known = tools.state.flights[key], tools.state.jobs.get(key)
                recorded = [] if known is None else [each.task for each in cloud_tasks.under_way(known)]
                if not {each.task for each in record} <= set(recorded):
                    # It was deleted or changed while that was written.
                    return
                if tools.submissions.send(key, job, flight, decision, record, again=again, boots=boots):
                    tools.queue.add_at(f"HybridJob {key}", tools.clock() + SEEN_SECONDS)
                else:
                    tools.replan(key, flight)
            case _:
                raise TypeError(f"{action} is nothing that a circuit needs")

    async def remove(self, job: HybridJob, tools: Tools) -> None:
        """Do nothing: its tasks are cancelled with the flight."""


KIND: JobKind = CircuitJobs()


def _submit(view: View, flight: Flight) -> list[Action]:
    decision, record = flight.proposal, cloud_tasks.under_way(view.job)
    # The present attempt's: those of one that has ended are over.
    record = [each for each in record if each.attempt == flight.attempts + 1]
    if record and view.lost:
        message = f"{' and '.join(view.lost)} was deleted while it had the job's tasks"
        return [
            SetStatus(view.fail("BackendLost", f"{message}: what its vendor runs may run on and cost money")),
            Stop(),
        ]
    if decision is None or decision.backend is None:
        if record:
            # Where it is, is decided; only when it can be gone on with is not.
            return _awaiting(view, flight)
        return unplaced(view, flight)
    if record:
        return [Submit(decision, tuple(record), again=True)]
    if view.unkeepable is not None:
        return [SetStatus(view.fail(ResultTooLarge.code, view.unkeepable)), Stop()]
    return _recorded(view, flight, decision) if cloud_tasks.is_recorded(decision) else [Submit(decision)]


def _awaiting(view: View, flight: Flight) -> list[Action]:
    """Wait for the pod that has the job's tasks, and say so."""
    ask = [] if flight.awaiting_placement else [RequestPlacement()]
    said, status = flight.proposal, view.job.status
    if said is None or (status.reason, status.message) == ("AwaitingBackend", said.reason):
        return [*ask]
    return [*ask, SetStatus(view.move(status.state, "AwaitingBackend", said.reason))]


def _recorded(view: View, flight: Flight, decision: Decision) -> list[Action]:
    """Record what is to be sent before it is: a successor sends the same tasks, which are begun once."""
    if FINALIZER not in view.job.metadata.finalizers:
        return [Hold(), Requeue(view.now)]
    assert decision.backend is not None
    attempt, label = flight.attempts + 1, decision.backend.label_for(view.job.metadata.namespace)
    record = cloud_tasks.submissions(decision, flight.next_identity, attempt)
    fields = {
        "backend": label,
        "placement": decision.reason,
        "attempts": attempt,
        "placed_at": transitions.timestamp(flight.placed_at or view.now),
        "forecast": list(flight.forecast) or None,
        "submissions": [*(view.job.status.submissions or ()), *record],
        "cloud_tasks": None,
    }
    state, reason, message = cloud_tasks.progress((), label)
    return [
        SetStatus(view.move(state, reason, message, **fields)),
        Submit(decision, tuple(record), boots=view.boots),
    ]


def _elsewhere(view: View, flight: Flight) -> list[Action]:
    """Show how the job's tasks on devices elsewhere stand."""
    status, tasks = view.job.status, flight.all_vendor_tasks
    label = status.backend or ""
    state, reason, message = cloud_tasks.progress(tasks, label)
    shown = cloud_tasks.in_status(tasks, status.cloud_tasks or ())
    told = (status.state, status.reason, status.message, status.observed_generation)
    if (told, status.cloud_tasks) == ((state, reason, message, view.job.metadata.generation), shown):
        return []
    again = flight.written_at + NEWS_SECONDS
    if (
        view.now < again
        and (state, reason) == (status.state, status.reason)
        and same_but_for_numbers(status.message or "", message)
        and len(shown or ()) == len(status.cloud_tasks or ())
    ):
        return [Requeue(again)]
    fields = _run_fields(view, flight) if state == "Running" else {}
    return [SetStatus(view.move(state, reason, message, cloud_tasks=shown, **fields))]


def _conclude(view: View, flight: Flight) -> list[Action]:
    result, job = flight.result, view.job
    assert result is not None
    assert flight.source is not None
    fields = {**_run_fields(view, flight), "provenance": circuits.provenance(flight.source, result)}
    if cloud_tasks.under_way(job):
        fields |= _ended_elsewhere(view, flight, result)
    if result.error is None:
        message = f"completed on {fields['backend']}"
        return [SetStatus(view.complete(message, result=circuits.outcome(job, result), **fields)), Stop()]
    if retries.is_recorded(job, flight.attempts):
        begins_at = retries.begins_at(job)
        return [Requeue(begins_at)] if view.now < begins_at else _submit(view, flight)
    default = retries.default_of_circuit(result.error, ended_by_others=not flight.counts)
    reason, end = circuits.failure_reason(result.error), _end(view, flight, result.error, fields["backend"])
    verdict = retries.judge(job, end, default)
    if not verdict.again:
        return [SetStatus(view.fail(reason, verdict.message, **fields, **verdict.fields)), Stop()]
    kept = {"attempts": flight.attempts, "usage": fields["usage"], **verdict.fields}
    return [
        SetStatus(view.move("Pending", reason, verdict.message, **kept)),
        Warn(reason, f"attempt {flight.attempts}: {result.error.message}"),
        Requeue(max(view.now, verdict.begins_at)),
    ]


def _end(view: View, flight: Flight, error: WireError, backend: str) -> AttemptEnd:
    return AttemptEnd(
        attempt=flight.attempts,
        reason=error.code,
        message=error.message,
        started_at=transitions.timestamp(flight.started_at or view.now),
        ended_at=view.stamp,
        backend=backend,
    )


def _ended_elsewhere(view: View, flight: Flight, result: TaskResult) -> dict[str, Any]:
    """Return what the status says when an attempt on devices elsewhere has ended: what is left is cancelled."""
    merged = result.error is None and not any(each.hedge for each in view.job.status.submissions or ())
    left = [
        each
        for each in view.job.status.submissions or ()
        if each.attempt != flight.attempts or not (merged or each.task == result.id)
    ]
    return {"submissions": left or None, "cloud_tasks": cloud_tasks.in_status(flight.all_vendor_tasks)}


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
