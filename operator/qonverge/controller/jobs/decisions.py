"""What to do about a job. Pure: a view in, actions out; nothing here waits or writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qonverge import __version__
from qonverge.accounting.ledger import Use
from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job import Provenance
from qonverge.controller.jobs import program_start
from qonverge.controller.jobs.actions import (
    Abandon,
    Action,
    CheckProgram,
    Continue,
    Finish,
    Launch,
    ReadEvents,
    Renew,
    RequestPlacement,
    Requeue,
    SetStatus,
    Stop,
    Submit,
    View,
    Warn,
)
from qonverge.controller.jobs.status_events import forecast_differs, same_but_for_numbers
from qonverge.controller.objects import pod_troubles
from qonverge.controller.store.state import Flight
from qonverge.execution import transitions
from qonverge.programs import circuit as circuits
from qonverge.programs.source import digest as program_digest
from qonverge.wire.errors import Cancelled, ResultTooLarge

SEEN_SECONDS = 2.0
"""A person sees a job wait or run only when it takes longer than this; before, its end is its one write."""
_RETRY_TEXT_SECONDS = 5.0
_LOST_BATCH_SECONDS = 20.0
_NEWS_SECONDS = 30.0
_BEHIND = (
    "more jobs wait than are planned at a time: it is planned after those of its namespace that came before it, and "
    "namespaces take turns"
)
_OOM_EXIT_CODE = 137


def is_running(job: HybridJob) -> bool:
    """Return whether an attempt at the job's program has begun and is not over."""
    return job.spec.program.python is not None and job.status.state in ("Placed", "Running")


def decide(view: View) -> list[Action]:
    """Return what to do now."""
    job, flight, now = view.job, view.flight, view.now
    if flight is not None and (flight.uid, flight.generation) != (job.metadata.uid, job.metadata.generation):
        if flight.uid == job.metadata.uid and job.spec.program.python is not None and not job.spec.suspend:
            return [Continue(), Requeue(now)]
        # Another job of this name, or another specification: what runs is about the old one.
        return [Stop(), Requeue(now)]
    if job.spec.suspend:
        return _suspended(view)
    if job.status.state == "Suspended":
        return [SetStatus(_move(view, "Pending", "Resumed", "the job was resumed", resumed_at=_stamp(now)))]
    deadline, limit = min(transitions.deadlines(job, _created(view)), default=(math.inf, ""))
    if now >= deadline:
        message = f"the job did not end within {limit}"
        # Written before the rest is counted, so that the status tells what was used.
        used = {"usage": flight.usage.shown()} if flight is not None and flight.usage else {}
        return [SetStatus(_fail(view, "DeadlineExceeded", message, **used)), Stop(program=True)]
    actions = _advance(view)
    return actions if deadline == math.inf else [*actions, Requeue(deadline)]


def _suspended(view: View) -> list[Action]:
    """Hold the job, and keep a forecast of it for who decides about it."""
    flight, status = view.flight, view.job.status
    busy = flight is not None and (flight.running is not None or flight.decision is not None)
    stop: list[Action] = [Stop(program=True)] if busy or view.batch is not None else []
    message = "the job is suspended: set spec.suspend to false to run it"
    if flight is not None and flight.problem is not None:
        message += f"; it would fail with {flight.problem[0]}: {flight.problem[1]}"
    elif flight is not None and flight.waiting is not None:
        message += f"; no forecast yet: {flight.waiting}"
    elif (flight is None or flight.source is None) and status.state == "Suspended":
        # While the program is read nothing is known better.
        message = status.message or message
    planned = flight is not None and flight.planned is not None
    forecast = list(flight.forecast) if flight is not None and planned else status.forecast
    told = (status.state, status.message, status.observed_generation)
    if told != ("Suspended", message, view.job.metadata.generation) or forecast_differs(status.forecast, forecast):
        return [*stop, SetStatus(_move(view, "Suspended", "Suspended", message, forecast=forecast))]
    if flight is None:
        return [*stop, CheckProgram()]
    if flight.waiting is not None:
        return [Stop(), Requeue(view.now + _RETRY_TEXT_SECONDS)]
    return [*stop, *([RequestPlacement()] if flight.source is not None and not flight.wants and not busy else [])]


def _advance(view: View) -> list[Action]:
    job, flight, now = view.job, view.flight, view.now
    if flight is None:
        return [CheckProgram()]
    if is_running(job):
        # What runs has its text already, whatever became of a ConfigMap.
        return _running(view, flight)
    if flight.problem is not None:
        return [SetStatus(_fail(view, *flight.problem)), Stop()]
    if flight.waiting is not None:
        return [*_say_waiting(view, "WaitingForProgram", flight.waiting), Stop(), Requeue(now + _RETRY_TEXT_SECONDS)]
    if flight.source is None:
        return []
    if flight.checked is None:
        return _launch(view, flight, (job.status.attempts or 0) + 1)
    if flight.result is not None:
        return _conclude(view, flight)
    if flight.running is not None and flight.started_at is not None:
        if job.status.state == "Running" and (job.status.attempts or 0) == flight.attempts:
            return []
        if now < flight.started_at + SEEN_SECONDS:
            return [Requeue(flight.started_at + SEEN_SECONDS)]
        return [SetStatus(_move(view, "Running", "Running", f"attempt {flight.attempts}", **_run_fields(view, flight)))]
    return _submit(view, flight)


def _submit(view: View, flight: Flight) -> list[Action]:
    decision = flight.planned
    return [Submit(decision)] if decision is not None and decision.backend is not None else _unplaced(view, flight)


def _unplaced(view: View, flight: Flight) -> list[Action]:
    decision, ask = flight.planned, [] if flight.wants else [RequestPlacement()]
    if decision is None:
        return [*ask, *(_say_waiting(view, "Queued", _BEHIND) if flight.behind else [])]
    if decision.impossible:
        reason = decision.reason + (f"; {decision.remedy}" if decision.remedy else "")
        return [SetStatus(_fail(view, "Unschedulable", reason, forecast=list(flight.forecast) or None)), Stop()]
    return [*ask, *_say_waiting(view, "Queued" if decision.planned else "Unschedulable", decision.reason)]


def _say_waiting(view: View, reason: str, message: str) -> list[Action]:
    status, flight, generation = view.job.status, view.flight, view.job.metadata.generation
    before = (status.state, status.reason, status.observed_generation)
    if (*before, status.message) == ("Pending", reason, generation, message):
        return []
    if before == ("Pending", reason, generation) and same_but_for_numbers(status.message or "", message):
        # Forecasts move all the time: that is worth a write now and then.
        again = (flight.told_at if flight is not None else 0.0) + _NEWS_SECONDS
        if view.now < again:
            return [Requeue(again)]
    created = transitions.seconds(view.job.metadata.creation_timestamp or _stamp(view.now))
    if view.now < created + SEEN_SECONDS and status.state == "Pending":
        return [Requeue(created + SEEN_SECONDS)]
    fields: dict[str, Any] = {}
    if flight is not None and flight.attempts:
        fields["attempts"] = flight.attempts
    if flight is not None and flight.forecast:
        fields["forecast"] = list(flight.forecast)
    return [SetStatus(_move(view, "Pending", reason, message, **fields))]


def _conclude(view: View, flight: Flight) -> list[Action]:
    result, job = flight.result, view.job
    assert result is not None
    assert flight.source is not None
    fields = {**_run_fields(view, flight), "provenance": circuits.provenance(flight.source, result)}
    if result.error is None:
        message = f"completed on {fields['backend']}"
        status = transitions.complete(
            job.status,
            now=view.now,
            generation=job.metadata.generation,
            message=message,
            result=circuits.outcome(result),
            **fields,
        )
        return [SetStatus(status), Stop()]
    error, limit = result.error, job.spec.retry_policy.max_attempts
    # Where this operator cancels a task, it forgets the flight: somebody else did, and the job still wants it.
    if not error.retryable and error.code != Cancelled.code:
        return [SetStatus(_fail(view, circuits.failure_reason(error), error.message, **fields)), Stop()]
    if flight.attempts - flight.withdrawn >= limit:
        return [SetStatus(_fail(view, error.code, f"after {limit} attempts: {error.message}", **fields)), Stop()]
    lost = f"attempt {flight.attempts}: {error.message}"
    again = _submit(view, flight)
    return [Warn(error.code, lost), *again] if any(isinstance(action, Submit) for action in again) else again


def _running(view: View, flight: Flight) -> list[Action]:
    """Look after an attempt at a program, and keep its token good."""
    job, status = view.job, view.job.status
    batch, pod = view.batch, view.pod
    ended = end_of(batch or {})
    if view.withdrawn is not None and (ended is None or ended["type"] != "Complete"):
        # A program that fails then fails of this.
        return _withdraw(view, flight, *view.withdrawn)
    renewal: list[Action] = [Renew()] if view.now >= flight.renew_at else [Requeue(flight.renew_at)]
    if batch is None:
        placed = transitions.seconds(status.placed_at or _stamp(view.now))
        if view.now < placed + _LOST_BATCH_SECONDS:
            return [*renewal, Requeue(placed + _LOST_BATCH_SECONDS)]
        # Somebody deleted it, or it was never created.
        return _again(view, flight, "ProgramLost", "the program's Job is gone")
    if ended is None:
        phase, behind = "Pending" if pod is None else pod.get("phase", "Pending"), _is_behind(view)
        if phase == "Running" and (status.state != "Running" or behind):
            message = f"attempt {status.attempts}"
            begun = status.started_at if status.state == "Running" else _stamp(view.now)
            shown = _move(view, "Running", "Running", message, started_at=begun, pod=_name(pod))
            return [SetStatus(shown), *renewal]
        if phase == "Pending" and status.state == "Placed":
            return _starting(view, flight, batch, renewal)
        if (gone := flight.gone.shown()) != (status.usage or Use().shown()):
            return [SetStatus(status.model_copy(update={"usage": gone})), *renewal]
        return renewal
    terminated = _terminated(pod)
    name = _name(pod)
    if ended["type"] == "Complete":
        done = transitions.complete(
            status,
            now=view.now,
            generation=job.metadata.generation,
            message=f"completed on {status.backend}",
            exit_code=0,
            provenance=_program_provenance(job, flight),
        )
        return [Finish(done, name)]
    if terminated is None or _disrupted(pod):
        why = pod_troubles.of_pod(pod or {})
        return _again(view, flight, "PodLost", "the program's pod was lost" + (f": {why}" if why else ""))
    code = int(terminated.get("exitCode", -1))
    reason, message = _why_ended(pod or {}, code, terminated)
    fields = {"exit_code": code, "provenance": _program_provenance(job, flight)}
    return [Finish(_fail(view, reason, message, **fields), name)]


def end_of(batch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition that says that a batch Job has ended; None while it has not."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return next((c for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")), None)


def _starting(view: View, flight: Flight, batch: Mapping[str, Any], renewal: list[Action]) -> list[Action]:
    """Say what keeps a program's pod from starting, and end its attempt where that takes too long."""
    job, status = view.job, view.job.status
    start = program_start.look(job, flight, batch, view.pod, view.now)
    if start.overdue:
        if start.elsewhere:
            return _again(view, flight, "StartDeadlineExceeded", start.message)
        return [SetStatus(_fail(view, "StartDeadlineExceeded", start.message)), Stop(program=True)]
    actions: list[Action] = [] if start.events_of is None else [ReadEvents(start.events_of)]
    actions += [Requeue(start.next_at), *renewal]
    if start.trouble is None:
        if status.reason == "Placed" and not _is_behind(view):
            return actions
        return [SetStatus(_move(view, "Placed", "Placed", status.placement or "", pod=_name(view.pod))), *actions]
    told, reason = status.message or "", start.trouble.reason or "PodPending"
    shown = SetStatus(_move(view, "Placed", "PodPending", start.message, pod=_name(view.pod)))
    known = status.reason == "PodPending" and not _is_behind(view)
    if known and same_but_for_numbers(told, start.message):
        return actions
    if not known or f": {reason}: " not in told:
        return [shown, Warn(reason, start.message), *actions]
    # The words for one thing change with every try.
    again = flight.told_at + _NEWS_SECONDS
    return [*actions, Requeue(again)] if view.now < again else [shown, *actions]


def _is_behind(view: View) -> bool:
    return view.job.status.observed_generation != view.job.metadata.generation


def _name(pod: Mapping[str, Any] | None) -> str | None:
    return None if pod is None else str(pod["name"])


def _launch(view: View, flight: Flight, attempt: int) -> list[Action]:
    decision = flight.planned
    if decision is None or decision.backend is None:
        return _unplaced(view, flight)
    if (refusal := flight.refusal) is not None:
        # The API server did not take the program's objects. Another backend would not change that.
        if refusal.lasts:
            return [SetStatus(_fail(view, "ApplyFailed", refusal.message)), Stop(program=True)]
        limit = view.job.spec.start_deadline_seconds
        if view.now >= refusal.since + limit:
            message = f"the program's objects were not made within startDeadlineSeconds, {limit} s: {refusal.message}"
            return [SetStatus(_fail(view, "StartDeadlineExceeded", message)), Stop(program=True)]
        if view.now < refusal.again_at:
            return [*_say_waiting(view, "ApplyFailed", refusal.message), Requeue(refusal.again_at)]
    label = decision.backend.label_for(view.job.metadata.namespace)
    fields = {"backend": label, "placement": decision.reason, "attempts": attempt, "placed_at": _stamp(view.now)}
    fields["forecast"] = list(flight.forecast) or None
    return [Launch(decision, attempt, _move(view, "Placed", "Placed", decision.reason, **fields))]


def _again(view: View, flight: Flight, reason: str, message: str) -> list[Action]:
    attempts = view.job.status.attempts or 1
    if (failed := _out_of_attempts(view, flight, reason, message)) is not None:
        goes_on = view.batch is not None and end_of(view.batch) is None
        return [failed, Stop(program=goes_on)]
    again = _launch(view, flight, attempts + 1)
    lost = Warn(reason, f"attempt {attempts}: {message}")
    return [lost, *again] if any(isinstance(action, Launch) for action in again) else again


def _withdraw(view: View, flight: Flight, reason: str, message: str) -> list[Action]:
    """End an attempt whose backend serves it no more, and try again elsewhere."""
    attempts = view.job.status.attempts or 1
    if (failed := _out_of_attempts(view, flight, reason, message)) is not None:
        return [failed, Stop(program=True)]
    again = f"{message}: attempt {attempts} has ended, and another begins where a backend takes it"
    # First, so that the end of its pod is not taken for the program's own.
    return [
        SetStatus(_move(view, "Pending", reason, again)),
        Abandon(attempts, reason, message),
        Requeue(view.now),
    ]


def _out_of_attempts(view: View, flight: Flight, reason: str, message: str) -> SetStatus | None:
    """Return how a program fails that may not be tried again, None where it may."""
    attempts, limit = view.job.status.attempts or 1, view.job.spec.retry_policy.max_attempts
    if attempts < limit:
        return None
    used = flight.usage.shown()
    return SetStatus(_fail(view, reason, f"after {limit} attempts: {message}", usage=used))


def _terminated(pod: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    for container in (pod or {}).get("containerStatuses") or []:
        state: Mapping[str, Any] = container.get("state") or {}
        if "terminated" in state:
            terminated: Mapping[str, Any] = state["terminated"]
            return terminated
    return None


def _disrupted(pod: Mapping[str, Any] | None) -> bool:
    if pod is None or pod.get("deleted"):
        # Whoever deletes a pod asks its processes to end first: how they did is not the program's own failure.
        return True
    conditions = pod.get("conditions") or []
    return any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)


def _why_ended(pod: Mapping[str, Any], code: int, terminated: Mapping[str, Any]) -> tuple[str, str]:
    if terminated.get("reason") == "OOMKilled":
        limit = pod.get("memoryLimit")
        limited = f" its limit of {limit}" if limit else " the node has"
        return (
            "OutOfMemory",
            f"the program used more memory than{limited}: raise program.python.resources.limits.memory",
        )
    # What the client library leaves there.
    reason, separator, message = str(terminated.get("message", "")).partition(": ")
    if separator and reason == ResultTooLarge.code:
        return reason, message
    if code == _OOM_EXIT_CODE:
        return "ProgramFailed", "the program was killed (exit code 137)"
    return "ProgramFailed", f"the program ended with exit code {code}; its last lines are in status.log"


def _program_provenance(job: HybridJob, flight: Flight) -> Provenance:
    # An operator that took over may not have read the text.
    digest = None if flight.source is None else program_digest(flight.source)
    return Provenance(program_digest=digest, qonverge_version=__version__, seed=job.spec.seed)


def _run_fields(view: View, flight: Flight) -> dict[str, Any]:
    """Return what the status says of an attempt at a circuit."""
    decision = flight.decision
    assert decision is not None
    assert decision.backend is not None
    return {
        "backend": decision.backend.label_for(view.job.metadata.namespace),
        "placement": decision.reason,
        "attempts": flight.attempts,
        "placed_at": _stamp(flight.placed_at or view.now),
        "started_at": _stamp(flight.started_at or view.now),
        "forecast": list(flight.forecast) or None,
        "usage": flight.usage.shown(),
    }


def _created(view: View) -> float:
    created = view.job.metadata.creation_timestamp
    return view.now if created is None else transitions.seconds(created)


def _move(view: View, state: Any, reason: str, message: str, **fields: Any) -> HybridJobStatus:
    generation = view.job.metadata.generation
    return transitions.move(
        view.job.status, state, reason=reason, message=message, now=view.now, generation=generation, **fields
    )


def _fail(view: View, reason: str, message: str, **fields: Any) -> HybridJobStatus:
    generation = view.job.metadata.generation
    return transitions.fail(
        view.job.status, reason=reason, message=message, now=view.now, generation=generation, **fields
    )


def _stamp(now: float) -> str:
    return transitions.timestamp(now)
