"""What to do about programs that run in a pod of their own: from their start to how they ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import FINALIZER, Submission
from qonverge.api.job import Provenance
from qonverge.controller.jobs.actions import Action, Hold, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds import pod_start
from qonverge.controller.jobs.kinds.pod_actions import Abandon, Finish, Launch, ReadEvents, Renew
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import NEWS_SECONDS, say_waiting, unplaced
from qonverge.controller.objects import pod_troubles
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.store.flights import Flight
from qonverge.execution import cloud_tasks, transitions
from qonverge.programs.python import left_reason
from qonverge.programs.source import digest
from qonverge.scheduling import Decision
from qonverge.wire.tokens import run_of

_LOST_BATCH_SECONDS = 20.0
# A pod that was deleted has ended by then, unless its node cannot be reached.
_NODE_SECONDS = 10.0
_OOM_EXIT_CODE = 137


def launch(view: View, flight: Flight, attempt: int) -> list[Action]:
    """Start an attempt where a round found a place for it."""
    decision = flight.proposal
    if decision is None or decision.backend is None:
        return unplaced(view, flight)
    if (refusal := flight.refusal) is not None:
        # The API server did not take the program's objects. Another backend would not change that.
        if refusal.lasts:
            return [SetStatus(view.fail("ApplyFailed", refusal.message)), Stop(program=True)]
        limit = view.job.spec.start_deadline_seconds
        if view.now >= refusal.since + limit:
            message = f"the program's objects were not made within startDeadlineSeconds, {limit} s: {refusal.message}"
            return [SetStatus(view.fail("StartDeadlineExceeded", message)), Stop(program=True)]
        if view.now < refusal.again_at:
            return [*say_waiting(view, "ApplyFailed", refusal.message), Requeue(refusal.again_at)]
    if cloud_tasks.is_recorded(decision) and (recording := _recording(view, decision, attempt)):
        return recording
    label = decision.backend.label_for(view.job.metadata.namespace)
    fields = {"backend": label, "placement": decision.reason, "attempts": attempt, "placed_at": view.stamp}
    fields["forecast"] = list(flight.forecast) or None
    return [Launch(decision, attempt, view.move("Placed", "Placed", decision.reason, **fields))]


def _recording(view: View, decision: Decision, attempt: int) -> list[Action]:
    """Record where an attempt's tasks will be before it begins, if that is not done: whoever ends it knows of them."""
    job = view.job
    if FINALIZER not in job.metadata.finalizers:
        return [Hold(), Requeue(view.now)]
    assert decision.backend is not None
    task = run_of(account_of(job), attempt)
    record, known = Submission(task=task, backend=decision.backend.key, attempt=attempt), job.status.submissions or ()
    if record in known:
        return []
    told = {"submissions": [*known, record], "placement": decision.reason}
    return [SetStatus(job.status.model_copy(update=told)), Requeue(view.now)]


def attend(view: View, flight: Flight) -> list[Action]:
    """Look after an attempt, and keep its token good."""
    status, batch, pod = view.job.status, view.batch, view.pod
    ended = end_of(batch or {})
    if view.withdrawn is not None and (ended is None or ended["type"] != "Complete"):
        # A program that fails then fails of this.
        return _withdraw(view, flight, *view.withdrawn)
    renewal: list[Action] = [Renew()] if view.now >= flight.renew_at else [Requeue(flight.renew_at)]
    if batch is None:
        placed = transitions.seconds(status.placed_at or view.stamp)
        if view.now < placed + _LOST_BATCH_SECONDS:
            return [*renewal, Requeue(placed + _LOST_BATCH_SECONDS)]
        # Somebody deleted it, or it was never created.
        return _again(view, flight, "ProgramLost", "the program's Job is gone")
    if ended is None:
        if (ends_by := (pod or {}).get("endsBy")) is not None:
            abandoned = transitions.seconds(ends_by) + _NODE_SECONDS
            if view.now >= abandoned:
                # Its Job has not failed before the pod is gone, and that is when its node answers again.
                return _again(view, flight, "PodLost", "the program's pod was to end, and its node does not say it did")
            renewal = [*renewal, Requeue(abandoned)]
        phase, behind = "Pending" if pod is None else pod.get("phase", "Pending"), view.is_behind
        if phase == "Running" and (status.state != "Running" or behind):
            message = f"attempt {status.attempts}"
            begun = status.started_at if status.state == "Running" else view.stamp
            shown = view.move("Running", "Running", message, started_at=begun, pod=_pod_name(pod))
            return [SetStatus(shown), *renewal]
        if phase == "Pending" and status.state == "Placed":
            return _starting(view, flight, batch, renewal)
        if (gone := usage_of(flight.unreachable_usage)) != (status.usage or usage_of(Amounts())):
            return [SetStatus(status.model_copy(update={"usage": gone})), *renewal]
        return renewal
    return _ended(view, flight, complete=ended["type"] == "Complete")


def _ended(view: View, flight: Flight, *, complete: bool) -> list[Action]:
    """End the job as its batch Job did, or try again where that was not the program's doing."""
    job, pod = view.job, view.pod
    name, fields = _pod_name(pod), {"provenance": _provenance(job, flight)}
    if complete:
        return [Finish(view.complete(f"completed on {job.status.backend}", exit_code=0, **fields), name)]
    terminated = _terminated(pod)
    if terminated is None or _disrupted(pod):
        why = pod_troubles.of_pod(pod or {})
        return _again(view, flight, "PodLost", "the program's pod was lost" + (f": {why}" if why else ""))
    code = int(terminated.get("exitCode", -1))
    reason, message = _why_ended(job, pod or {}, code, terminated)
    return [Finish(view.fail(reason, message, exit_code=code, **fields), name)]


def end_of(batch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition that says that a batch Job has ended; None while it has not."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return next((c for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")), None)


def _starting(view: View, flight: Flight, batch: Mapping[str, Any], renewal: list[Action]) -> list[Action]:
    """Say what keeps a program's pod from starting, and end its attempt where that takes too long."""
    job, status = view.job, view.job.status
    start = pod_start.look(job, flight, batch, view.pod, view.now)
    if start.overdue:
        if start.elsewhere:
            return _again(view, flight, "StartDeadlineExceeded", start.message)
        return [SetStatus(view.fail("StartDeadlineExceeded", start.message)), Stop(program=True)]
    actions: list[Action] = [] if start.events_of is None else [ReadEvents(start.events_of)]
    actions += [Requeue(start.next_at), *renewal]
    if start.trouble is None:
        if status.reason == "Placed" and not view.is_behind:
            return actions
        return [SetStatus(view.move("Placed", "Placed", status.placement or "", pod=_pod_name(view.pod))), *actions]
    told, reason = status.message or "", start.trouble.reason or "PodPending"
    shown = SetStatus(view.move("Placed", "PodPending", start.message, pod=_pod_name(view.pod)))
    known = status.reason == "PodPending" and not view.is_behind
    if known and same_but_for_numbers(told, start.message):
        return actions
    if not known or f": {reason}: " not in told:
        return [shown, Warn(reason, start.message), *actions]
    # The words for one thing change with every try.
    again = flight.written_at + NEWS_SECONDS
    return [*actions, Requeue(again)] if view.now < again else [shown, *actions]


def _pod_name(pod: Mapping[str, Any] | None) -> str | None:
    return None if pod is None else str(pod["name"])


def _again(view: View, flight: Flight, reason: str, message: str) -> list[Action]:
    attempts = view.job.status.attempts or 1
    if (failed := _out_of_attempts(view, flight, reason, message)) is not None:
        goes_on = view.batch is not None and end_of(view.batch) is None
        return [failed, Stop(program=goes_on)]
    again = launch(view, flight, attempts + 1)
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
        SetStatus(view.move("Pending", reason, again)),
        Abandon(attempts, reason, message),
        Requeue(view.now),
    ]


def _out_of_attempts(view: View, flight: Flight, reason: str, message: str) -> SetStatus | None:
    """Return how a program fails that may not be tried again, None where it may."""
    attempts, limit = view.job.status.attempts or 1, view.job.spec.retry_policy.max_attempts
    if attempts < limit:
        return None
    used = usage_of(flight.usage)
    return SetStatus(view.fail(reason, f"after {limit} attempts: {message}", usage=used))


def _terminated(pod: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    for container in (pod or {}).get("containerStatuses") or []:
        state: Mapping[str, Any] = container.get("state") or {}
        if "terminated" in state:
            terminated: Mapping[str, Any] = state["terminated"]
            return terminated
    return None


def _disrupted(pod: Mapping[str, Any] | None) -> bool:
    if pod is None or pod.get("endsBy") is not None:
        # Whoever deletes a pod asks its processes to end first: how they did is not the program's own failure.
        return True
    conditions = pod.get("conditions") or []
    return any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)


def _why_ended(job: HybridJob, pod: Mapping[str, Any], code: int, terminated: Mapping[str, Any]) -> tuple[str, str]:
    if terminated.get("reason") == "OOMKilled":
        limit = pod.get("memoryLimit")
        limited = f" its limit of {limit}" if limit else " the node has"
        return (
            "OutOfMemory",
            f"the program used more memory than{limited}: "
            f"raise program.{job.spec.program.chosen}.resources.limits.memory",
        )
    # What the client library leaves there.
    if (left := left_reason(str(terminated.get("message", "")))) is not None:
        return left
    if code == _OOM_EXIT_CODE:
        return "ProgramFailed", "the program was killed (exit code 137)"
    return "ProgramFailed", f"the program ended with exit code {code}; its last lines are in status.log"


def _provenance(job: HybridJob, flight: Flight) -> Provenance:
    # An operator that took over may not have read the text.
    known = None if flight.source is None else digest(flight.source)
    return Provenance(program_digest=known, qonverge_version=__version__, seed=job.spec.seed)
