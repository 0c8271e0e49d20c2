"""What to do about a job. Pure: a view in, actions out; nothing here waits or writes."""

from __future__ import annotations

import math

from qonverge.accounting.conversion import usage_of
from qonverge.controller.jobs.actions import (
    Action,
    CheckProgram,
    Continue,
    RequestPlacement,
    Requeue,
    SetStatus,
    Settle,
    Stop,
)
from qonverge.controller.jobs.dependencies import await_dependencies
from qonverge.controller.jobs.kinds.registry import job_kind
from qonverge.controller.jobs.status_events import forecast_differs
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import say_waiting
from qonverge.controller.store.program_slots import uses_backend
from qonverge.execution import cloud_tasks, transitions

_RETRY_TEXT_SECONDS = 5.0


def decide(view: View) -> list[Action]:
    """Return what to do now."""
    job, flight, now = view.job, view.flight, view.now
    if job.spec.cancel and not (job_kind(job).completes_when_cancelled and uses_backend(job) and not job.spec.suspend):
        # No change of the specification is followed any more.
        return _end(view, "Cancelled", "the job was cancelled: spec.cancel is true")
    if flight is not None and (flight.uid, flight.generation) != (job.metadata.uid, job.metadata.generation):
        # What costs money is not begun anew for a change that does not concern it.
        follows = job_kind(job).follows_changes or bool(cloud_tasks.under_way(job))
        if flight.uid == job.metadata.uid and follows and not job.spec.suspend:
            return [Continue(), Requeue(now)]
        # Another job of this name, or another specification: what runs is about the old one.
        return [Stop(), Requeue(now)]
    settle: list[Action] = [Settle()] if cloud_tasks.needs_settling(job) else []
    if job.spec.suspend:
        return [*_suspended(view), *settle]
    if settle and job.status.state == "Suspended":
        # Resumed it would begin anew: what it had is ended before.
        return settle
    if job.status.state == "Suspended":
        return [SetStatus(view.move("Pending", "Resumed", "the job was resumed", resumed_at=view.stamp))]
    deadline, limit = min(transitions.deadlines(job, view.created), default=(math.inf, ""))
    if now >= deadline:
        return _end(view, "DeadlineExceeded", f"the job did not end within {limit}")
    actions = [*_advance(view), *settle]
    return actions if deadline == math.inf else [*actions, Requeue(deadline)]


def _end(view: View, reason: str, message: str) -> list[Action]:
    """End the job, whatever runs for it."""
    # Written before the rest is counted, so that the status tells what was used.
    flight, uid = view.flight, view.job.metadata.uid
    used = {"usage": usage_of(flight.usage)} if flight is not None and flight.uid == uid and flight.usage else {}
    return job_kind(view.job).expire(view, view.fail(reason, message, **used))


def _suspended(view: View) -> list[Action]:
    """Hold the job, and keep a forecast of it for who decides about it."""
    flight, status = view.flight, view.job.status
    busy = flight is not None and flight.decision is not None
    stands = view.batch is not None or view.unrecorded is not None
    stop: list[Action] = [Stop(program=True)] if busy or stands else []
    message = "the job is suspended: set spec.suspend to false to run it"
    if flight is not None and flight.problem is not None:
        message += f"; it would fail with {flight.problem[0]}: {flight.problem[1]}"
    elif flight is not None and flight.waiting is not None:
        message += f"; no forecast yet: {flight.waiting}"
    elif (flight is None or flight.source is None) and status.state == "Suspended":
        # While the program is read nothing is known better.
        message = status.message or message
    planned = flight is not None and flight.proposal is not None
    forecast = list(flight.forecast) if flight is not None and planned else status.forecast
    told = (status.state, status.message, status.observed_generation)
    if told != ("Suspended", message, view.job.metadata.generation) or forecast_differs(status.forecast, forecast):
        return [*stop, SetStatus(view.move("Suspended", "Suspended", message, forecast=forecast, paused=None))]
    if flight is None:
        # Without what it takes from others nothing can be said of it.
        return [*stop, *([CheckProgram()] if view.awaited is None else [])]
    if flight.waiting is not None:
        return [Stop(), Requeue(view.now + _RETRY_TEXT_SECONDS)]
    asks = not stop and flight.source is not None and not flight.awaiting_placement
    return [*stop, *([RequestPlacement()] if asks else [])]


def _advance(view: View) -> list[Action]:
    job, flight, now = view.job, view.flight, view.now
    if flight is None:
        return [CheckProgram()] if view.awaited is None else await_dependencies(view, view.awaited)
    kind = job_kind(job)
    if (actions := kind.attend(view, flight)) is not None:
        # What runs has its text already, whatever became of a ConfigMap.
        return actions
    if flight.problem is not None:
        return [SetStatus(view.fail(*flight.problem)), Stop()]
    if flight.waiting is not None:
        return [*say_waiting(view, "WaitingForProgram", flight.waiting), Stop(), Requeue(now + _RETRY_TEXT_SECONDS)]
    return [] if flight.source is None else kind.advance(view, flight)
