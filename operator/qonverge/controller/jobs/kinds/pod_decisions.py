"""What to do about programs that run in a pod of their own, from their start to their end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts
from qonverge.api.cloud_tasks import FINALIZER, Submission
from qonverge.api.job_status import Provenance
from qonverge.controller.jobs.actions import Action, Hold, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds import pod_pauses, pod_points, pod_ranks, pod_start
from qonverge.controller.jobs.kinds.pod_actions import Launch, ReadEvents, ReadLog, Renew
from qonverge.controller.jobs.kinds.pod_conclusions import conclude, end_of, ended_badly, goes_on, unheard
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import NEWS_SECONDS, say_waiting, unplaced
from qonverge.controller.objects import pod_ends
from qonverge.controller.objects.object_names import program_name
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.objects.program_inits import commits_of
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.store.flights import Flight
from qonverge.execution import cloud_tasks, points, retries, transitions
from qonverge.scheduling import Decision
from qonverge.wire.tokens import run_of

_LOST_BATCH_SECONDS = 20.0
# A pod that was deleted has ended by then, unless its node cannot be reached.
_NODE_SECONDS = 10.0
_SEVERAL_COMMITS = "the program's repository changed while its pods fetched it, and they have different commits"
_UNADMITTED = "WaitingForAdmission"


def launch(view: View, flight: Flight) -> list[Action]:
    """Start the next attempt where a round found a place for it."""
    if view.now < (begins_at := retries.begins_at(view.job)):
        return [Requeue(begins_at)]
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
    decision, attempt = flight.proposal, (view.job.status.attempts or 0) + 1
    if decision is None or decision.backend is None:
        return unplaced(view, flight)
    if view.unrecorded is not None and view.unrecorded.get("backends") != [each.key for each in decision.backends]:
        # An operator that was killed made it for other backends, and what a Job runs cannot be changed.
        attempt += 1
    if cloud_tasks.is_recorded(decision) and (recording := _recording(view, decision, attempt)):
        return recording
    labels = [each.label_for(view.job.metadata.namespace) for each in decision.backends]
    fields = {"backend": labels[0], "placement": decision.reason, "attempts": attempt, "placed_at": view.stamp}
    fields |= {"backends": labels if len(labels) > 1 else None, "paused": None, "pauses": None}
    fields["forecast"] = list(flight.forecast) or None
    if pod_points.is_swept(view.job):
        fields |= points.progress_of(view.job, (), ())
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
    end = leaves(view, flight)
    if end is not None and (ended is None or ended["type"] != "Complete" or status.paused is not None):
        # A program that fails then fails of this.
        return ended_badly(view, flight, end, pod_ranks.first(view.pods))
    renewal: list[Action] = [Renew()] if view.now >= flight.renew_at else [Requeue(flight.renew_at)]
    if status.paused is not None:
        # However its process ended since.
        return [*pod_pauses.attend(view, flight, status.paused), *renewal]
    if (restart := pod_pauses.restart(view)) is not None:
        return [*restart, *renewal]
    if batch is None:
        placed = transitions.seconds(status.placed_at or view.stamp)
        if view.now < placed + _LOST_BATCH_SECONDS:
            return [*renewal, Requeue(placed + _LOST_BATCH_SECONDS)]
        # Somebody deleted it, or it was never created.
        gone = PodEnd("ProgramLost", "the program's Job is gone")
        return ended_badly(view, flight, gone, pod_ranks.first(view.pods))
    if ended is not None:
        return conclude(view, flight, complete=ended["type"] == "Complete")
    if not goes_on(batch) and not pod_points.is_swept(view.job) and pod_ranks.has_failed(view.pods):
        # The Job has failed when its other ranks are gone, which may take as long as they are given for that.
        return conclude(view, flight, complete=False)
    return _under_way(view, flight, batch, renewal)


def leaves(view: View, flight: Flight) -> PodEnd | None:
    """Return why an attempt has to leave its backend; None where it may stay."""
    if view.withdrawn is not None:
        return PodEnd(*view.withdrawn)
    return None if flight.displaced is None else PodEnd("Preempted", flight.displaced, displaced=True)


def _under_way(view: View, flight: Flight, batch: Mapping[str, Any], renewal: list[Action]) -> list[Action]:
    """Say how the pods of an attempt are whose Job has not ended."""
    status = view.job.status
    if batch.get("suspended"):
        return [*_unadmitted(view, batch), *renewal]
    if pod_points.is_swept(view.job):
        return _points_under_way(view, flight, batch, renewal)
    if (leaving := pod_ranks.leaving(view.pods)) is not None:
        abandoned = transitions.seconds(leaving["endsBy"]) + _NODE_SECONDS
        if view.now >= abandoned:
            # Its Job has not failed before the pod is gone, and that is when its node answers again.
            return ended_badly(view, flight, unheard(view, leaving), leaving)
        renewal = [*renewal, Requeue(abandoned)]
        if flight.last_log is None and not pod_ends.of_pod(leaving, "").silent:
            # When the pod is gone so is its log.
            renewal = [*renewal, ReadLog(str(leaving["name"]))]
    size, behind = view.job.spec.program.world_size, view.is_behind
    if pod_ranks.are_running(view.pods, size) and (status.state != "Running" or behind):
        return [*_running(view, flight), *renewal]
    if status.state == "Placed" and (late := pod_ranks.late(view.pods, size)) is not None:
        return _starting(view, flight, batch, late.pod, renewal)
    return [*_counting(view, flight, {}), *renewal]


def _points_under_way(view: View, flight: Flight, batch: Mapping[str, Any], renewal: list[Action]) -> list[Action]:
    """Say how far a sweep is whose Job has not ended."""
    status = view.job.status
    if (late := pod_points.late(view)) is not None and status.state == "Placed":
        return _starting(view, flight, batch, late.pod, renewal)
    if (leaving := pod_points.abandoned(view)) is not None:
        abandoned = transitions.seconds(leaving["endsBy"]) + _NODE_SECONDS
        if view.now >= abandoned:
            return ended_badly(view, flight, unheard(view, leaving), leaving)
        renewal = [*renewal, Requeue(abandoned)]
    # Pods that start late fetch their program late.
    if len(commits_of(view.pods)) > 1 or status.state != "Running" or view.is_behind:
        return [*_running(view, flight, **pod_points.progress(view)), *renewal]
    return [*_counting(view, flight, pod_points.progress(view)), *renewal]


def _counting(view: View, flight: Flight, fields: dict[str, Any]) -> list[Action]:
    """Write fields of the status of a program that runs, and what it used of pods that do not answer."""
    status, used = view.job.status, usage_of(flight.unreachable_usage)
    if used != (status.usage or usage_of(Amounts())):
        fields = {**fields, "usage": used}
    return [SetStatus(status.model_copy(update=fields))] if fields else []


def _running(view: View, flight: Flight, **told: Any) -> list[Action]:
    """Say that an attempt runs, and of which commit its program is, with further fields of the status."""
    status, commits = view.job.status, commits_of(view.pods)
    if len(commits) > 1:
        end = PodEnd("ProgramNotFetched", _SEVERAL_COMMITS)
        return ended_badly(view, flight, end, pod_ranks.first(view.pods))
    fields: dict[str, Any] = {
        **told,
        "started_at": status.started_at if status.state == "Running" or status.pauses else view.stamp,
        "pod": pod_ranks.name_of(pod_ranks.first(view.pods)),
    }
    if commits:
        # Before it ends: another attempt runs the same.
        fields["provenance"] = Provenance(commit=commits[0])
    return [SetStatus(view.move("Running", "Running", f"attempt {status.attempts}", **fields))]


def _unadmitted(view: View, batch: Mapping[str, Any]) -> list[Action]:
    """Say that the program's Job is suspended: it is not admitted yet, or was evicted and begins again."""
    status, queue = view.job.status, batch.get("queue")
    name, backends = program_name(view.job, status.attempts or 1), status.backends or [status.backend or ""]
    waits = (
        f"for Kueue to admit its Job {name} to the LocalQueue {queue}"
        if queue
        else f"since its Job {name} is suspended"
    )
    slots = "a slot" if view.job.spec.program.pods_at_once == 1 else "slots"
    message = f"holds {slots} of {', '.join(backends)} and waits {waits}"
    if (status.state, status.reason, status.message) == ("Placed", _UNADMITTED, message) and not view.is_behind:
        return []
    return [SetStatus(view.move("Placed", _UNADMITTED, message, pod=None))]


def _starting(
    view: View, flight: Flight, batch: Mapping[str, Any], pod: Mapping[str, Any] | None, renewal: list[Action]
) -> list[Action]:
    """Say what keeps a program's pod from starting, and end its attempt where that takes too long."""
    job, status = view.job, view.job.status
    start = pod_start.look(job, flight, batch, pod, view.now)
    if start.overdue:
        end = PodEnd("StartDeadlineExceeded", start.message)
        return ended_badly(view, flight, end, pod, worth_it=start.elsewhere)
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
