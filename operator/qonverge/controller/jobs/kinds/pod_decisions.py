"""What to do about programs that run in a pod of their own: from their start to how they ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.cloud_tasks import FINALIZER, Submission
from qonverge.api.job import Provenance
from qonverge.controller.jobs.actions import Action, Hold, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds import pod_ranks, pod_start
from qonverge.controller.jobs.kinds.pod_actions import Finish, Launch, ReadEvents, ReadLog, Renew, TryAgain
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View, uses_backend
from qonverge.controller.jobs.waiting import NEWS_SECONDS, say_waiting, unplaced
from qonverge.controller.objects import pod_ends
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.store.flights import Flight
from qonverge.execution import cloud_tasks, retries, transitions
from qonverge.execution.retries import AttemptEnd
from qonverge.programs.source import digest
from qonverge.scheduling import Decision
from qonverge.wire.tokens import run_of

_LOST_BATCH_SECONDS = 20.0
# A pod that was deleted has ended by then, unless its node cannot be reached.
_NODE_SECONDS = 10.0
# Fields of the status that are of one attempt.
_OF_ATTEMPT = ("progress", "estimated_end_at", "result", "started_at", "duration")


def launch(view: View, flight: Flight) -> list[Action]:
    """Start the next attempt where a round found a place for it."""
    if view.now < (begins_at := retries.begins_at(view.job)):
        return [Requeue(begins_at)]
    decision, attempt = flight.proposal, (view.job.status.attempts or 0) + 1
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
    if view.unrecorded is not None and view.unrecorded.get("backends") != [each.key for each in decision.backends]:
        # An operator that was killed made it for other backends, and what a Job runs cannot be changed.
        attempt += 1
    if cloud_tasks.is_recorded(decision) and (recording := _recording(view, decision, attempt)):
        return recording
    labels = [each.label_for(view.job.metadata.namespace) for each in decision.backends]
    fields = {"backend": labels[0], "placement": decision.reason, "attempts": attempt, "placed_at": view.stamp}
    fields["backends"] = labels if len(labels) > 1 else None
    fields["forecast"] = list(flight.forecast) or None
    return [Launch(decision, attempt, view.move("Placed", "Placed", decision.reason, **fields))]


def _recording(view: View, decision: Decision, attempt: int) -> list[Action]:
    """Record where an attempt's tasks will be before it begins, if that is not done: whoever ends it knows of them."""
    job = view.job
    if FINALIZER not in job.metadata.finalizers:
        return [Hold(), Requeue(view.now)]
    task, known = run_of(account_of(job), attempt), job.status.submissions or ()
    record = [Submission(task=task, backend=each.key, attempt=attempt) for each in decision.backends]
    if not (new := [each for each in record if each not in known]):
        return []
    told = {"submissions": [*known, *new], "placement": decision.reason}
    return [SetStatus(job.status.model_copy(update=told)), Requeue(view.now)]


def attend(view: View, flight: Flight) -> list[Action]:
    """Look after an attempt, and keep its token good."""
    status, batch = view.job.status, view.batch
    ended = end_of(batch or {})
    if view.withdrawn is not None and (ended is None or ended["type"] != "Complete"):
        # A program that fails then fails of this.
        return _ended_badly(view, flight, PodEnd(*view.withdrawn), pod_ranks.first(view.pods))
    renewal: list[Action] = [Renew()] if view.now >= flight.renew_at else [Requeue(flight.renew_at)]
    if batch is None:
        placed = transitions.seconds(status.placed_at or view.stamp)
        if view.now < placed + _LOST_BATCH_SECONDS:
            return [*renewal, Requeue(placed + _LOST_BATCH_SECONDS)]
        # Somebody deleted it, or it was never created.
        gone = PodEnd("ProgramLost", "the program's Job is gone")
        return _ended_badly(view, flight, gone, pod_ranks.first(view.pods))
    if ended is None and not goes_on(batch) and pod_ranks.has_failed(view.pods):
        # The Job has failed when its other ranks are gone, which may take as long as they are given for that.
        return _ended(view, flight, complete=False)
    if ended is None:
        if (leaving := pod_ranks.leaving(view.pods)) is not None:
            abandoned = transitions.seconds(leaving["endsBy"]) + _NODE_SECONDS
            if view.now >= abandoned:
                # Its Job has not failed before the pod is gone, and that is when its node answers again.
                return _ended_badly(view, flight, _unheard(view, leaving), leaving)
            renewal = [*renewal, Requeue(abandoned)]
            if flight.last_log is None and not pod_ends.of_pod(leaving, "").silent:
                # When the pod is gone so is its log.
                renewal = [*renewal, ReadLog(str(leaving["name"]))]
        size, behind = view.job.spec.program.world_size, view.is_behind
        if pod_ranks.are_running(view.pods, size) and (status.state != "Running" or behind):
            message = f"attempt {status.attempts}"
            begun = status.started_at if status.state == "Running" else view.stamp
            name = pod_ranks.name_of(pod_ranks.first(view.pods))
            return [SetStatus(view.move("Running", "Running", message, started_at=begun, pod=name)), *renewal]
        if status.state == "Placed" and (late := pod_ranks.late(view.pods, size)) is not None:
            return _starting(view, flight, batch, late.pod, renewal)
        if (used := usage_of(flight.unreachable_usage)) != (status.usage or usage_of(Amounts())):
            return [SetStatus(status.model_copy(update={"usage": used})), *renewal]
        return renewal
    return _ended(view, flight, complete=ended["type"] == "Complete")


def _ended(view: View, flight: Flight, *, complete: bool) -> list[Action]:
    """End the job as its batch Job did, or try again where its policy says so."""
    job, pods = view.job, view.pods
    if complete:
        labels = ", ".join(job.status.backends or [job.status.backend or ""])
        told = view.complete(f"completed on {labels}", exit_code=0, provenance=_provenance(job, flight))
        return [Finish(told, pod_ranks.name_of(pod_ranks.first(pods)))]
    pod = pod_ranks.first_to_end(pods)
    return _ended_badly(view, flight, pod_ranks.end_of_rank(job, pod), pod)


def _unheard(view: View, pod: Mapping[str, Any]) -> PodEnd:
    """Return how an attempt ended of which a pod was to end, and whose node does not say that it did."""
    end = pod_ranks.end_of_rank(view.job, pod)
    message = f"{end.message}, and its node does not say that it has ended"
    return replace(end, message=message, silent=True)


def expire(view: View, status: HybridJobStatus) -> list[Action]:
    """End a job whose time is over, or that was cancelled, with what its program printed."""
    pod = pod_ranks.first(view.pods) if uses_backend(view.job) else None
    return [Finish(status, pod_ranks.name_of(pod), remove=True)]


def end_of(batch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition that says that a batch Job has ended; None while it has not."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return next((c for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")), None)


def goes_on(batch: Mapping[str, Any]) -> bool:
    """Return whether a batch Job has neither ended nor failed so far that Kubernetes ends what is left of it."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return not any(c["status"] == "True" and c["type"] in ("Complete", "Failed", "FailureTarget") for c in conditions)


def _starting(
    view: View, flight: Flight, batch: Mapping[str, Any], pod: Mapping[str, Any] | None, renewal: list[Action]
) -> list[Action]:
    """Say what keeps a program's pod from starting, and end its attempt where that takes too long."""
    job, status = view.job, view.job.status
    start = pod_start.look(job, flight, batch, pod, view.now)
    if start.overdue:
        end = PodEnd("StartDeadlineExceeded", start.message)
        return _ended_badly(view, flight, end, pod, worth_it=start.elsewhere)
    actions: list[Action] = [] if start.events_of is None else [ReadEvents(start.events_of)]
    actions += [Requeue(start.next_at), *renewal]
    if start.trouble is None:
        if status.reason == "Placed" and not view.is_behind:
            return actions
        return [SetStatus(view.move("Placed", "Placed", status.placement or "", pod=pod_ranks.name_of(pod))), *actions]
    told, reason = status.message or "", start.trouble.reason or "PodPending"
    shown = SetStatus(view.move("Placed", "PodPending", start.message, pod=pod_ranks.name_of(pod)))
    known = status.reason == "PodPending" and not view.is_behind
    if known and same_but_for_numbers(told, start.message):
        return actions
    if not known or f": {reason}: " not in told:
        return [shown, Warn(reason, start.message), *actions]
    # The words for one thing change with every try.
    again = flight.written_at + NEWS_SECONDS
    return [*actions, Requeue(again)] if view.now < again else [shown, *actions]


def _ended_badly(
    view: View, flight: Flight, end: PodEnd, pod: Mapping[str, Any] | None, *, worth_it: bool = True
) -> list[Action]:
    """End the job, or record how its attempt ended and let another begin.

    Args:
        view: what is known of the job.
        flight: of it.
        end: how the attempt ended.
        pod: the one of which it did; None where there is none.
        worth_it: False where another attempt would find all as it is, unless a rule says that it may not.
    """
    job, name = view.job, pod_ranks.name_of(pod)
    status, runs = job.status, view.batch is not None and goes_on(view.batch)
    ended = AttemptEnd(
        attempt=status.attempts or 1,
        reason=end.reason,
        message=end.message,
        ended_at=end.ended_at or view.stamp,
        exit_code=end.exit_code,
        started_at=end.started_at or (status.started_at if status.state == "Running" else None),
        backend=status.backend,
        pod=name,
        node=None if pod is None else pod.get("node"),
        printed=end.printed,
    )
    verdict, asked = retries.judge(job, ended, None if worth_it else "Fail"), None if end.silent else name
    if verdict.again:
        # Written first, so that the end of what still runs is not taken for the program's own.
        # What the attempt told of itself is not what the next one finds.
        fields = {**verdict.fields, **dict.fromkeys(_OF_ATTEMPT)}
        again = view.move("Pending", end.reason, verdict.message, **fields)
        return [
            TryAgain(again, ended.attempt, asked, remove=runs),
            Warn(end.reason, f"attempt {ended.attempt}: {end.message}"),
            Requeue(max(view.now, verdict.begins_at)),
        ]
    fields = {**verdict.fields, "exit_code": end.exit_code, "provenance": _provenance(job, flight)}
    if name is not None:
        fields["pod"] = name
    return [Finish(view.fail(end.reason, verdict.message, **fields), asked, remove=runs)]


def _provenance(job: HybridJob, flight: Flight) -> Provenance:
    # An operator that took over may not have read the text.
    known = None if flight.source is None else digest(flight.source)
    return Provenance(program_digest=known, qonverge_version=__version__, seed=job.spec.seed)
