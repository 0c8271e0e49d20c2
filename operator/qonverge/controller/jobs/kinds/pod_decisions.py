"""What to do about programs that run in a pod of their own: from their start to how they ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import usage_of
from qonverge.amounts import Amounts
from qonverge.api.cloud_tasks import FINALIZER, Submission
from qonverge.api.job import Provenance
from qonverge.controller.jobs.actions import Action, Hold, Requeue, SetStatus, Stop, Warn
from qonverge.controller.jobs.kinds import pod_pauses, pod_ranks, pod_start
from qonverge.controller.jobs.kinds.pod_actions import Abandon, Finish, Launch, ReadEvents, Renew
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View
from qonverge.controller.jobs.waiting import NEWS_SECONDS, say_waiting, unplaced
from qonverge.controller.objects.manifests import program_name
from qonverge.controller.objects.program_inits import commits_of, failure_of
from qonverge.controller.quotas.accounts import account_of
from qonverge.controller.store.flights import Flight
from qonverge.execution import cloud_tasks, transitions
from qonverge.programs.source import digest
from qonverge.scheduling import Decision
from qonverge.wire.tokens import run_of

_LOST_BATCH_SECONDS = 20.0
# A pod that was deleted has ended by then, unless its node cannot be reached.
_NODE_SECONDS = 10.0
_SEVERAL_COMMITS = "the program's repository changed while its ranks fetched it, and they have different commits"
_UNADMITTED = "WaitingForAdmission"


def launch(view: View, flight: Flight, attempt: int) -> list[Action]:
    """Start an attempt where a round found a place for it."""
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
    decision = flight.proposal
    if decision is None or decision.backend is None:
        return unplaced(view, flight)
    if cloud_tasks.is_recorded(decision) and (recording := _recording(view, decision, attempt)):
        return recording
    labels = [each.label_for(view.job.metadata.namespace) for each in decision.backends]
    fields = {"backend": labels[0], "placement": decision.reason, "attempts": attempt, "placed_at": view.stamp}
    fields |= {"backends": labels if len(labels) > 1 else None, "paused": None, "pauses": None}
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
    if view.withdrawn is not None and (ended is None or ended["type"] != "Complete" or status.paused is not None):
        # A program that fails then fails of this.
        return _withdraw(view, flight, *view.withdrawn)
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
        return _again(view, flight, "ProgramLost", "the program's Job is gone")
    if ended is None:
        return _under_way(view, flight, batch, renewal)
    return _ended(view, flight, complete=ended["type"] == "Complete")


def _under_way(view: View, flight: Flight, batch: Mapping[str, Any], renewal: list[Action]) -> list[Action]:
    """Say how the pods of an attempt are whose Job has not ended."""
    status = view.job.status
    if _is_failing(batch) and _says_why(view.pods):
        # The Job has failed when its other ranks are gone, which may take as long as they are given for that.
        return _ended(view, flight, complete=False)
    if batch.get("suspended"):
        return [*_unadmitted(view, batch), *renewal]
    if (ends_by := pod_ranks.leaves_by(view.pods)) is not None:
        abandoned = transitions.seconds(ends_by) + _NODE_SECONDS
        if view.now >= abandoned:
            # Its Job has not failed before the pod is gone, and that is when its node answers again.
            return _again(view, flight, "PodLost", "the program's pod was to end, and its node does not say it did")
        renewal = [*renewal, Requeue(abandoned)]
    size, behind = view.job.spec.program.world_size, view.is_behind
    if pod_ranks.are_running(view.pods, size) and (status.state != "Running" or behind):
        return [*_running(view, flight), *renewal]
    if status.state == "Placed" and (late := pod_ranks.late(view.pods, size)) is not None:
        return _starting(view, flight, batch, late.pod, renewal)
    if (gone := usage_of(flight.unreachable_usage)) != (status.usage or usage_of(Amounts())):
        return [SetStatus(status.model_copy(update={"usage": gone})), *renewal]
    return renewal


def _running(view: View, flight: Flight) -> list[Action]:
    """Say that an attempt runs, and of which commit its program is."""
    status, commits = view.job.status, commits_of(view.pods)
    if len(commits) > 1:
        return _withdraw(view, flight, "ProgramNotFetched", _SEVERAL_COMMITS, Provenance(commit=commits[0]))
    fields: dict[str, Any] = {
        "started_at": status.started_at if status.state == "Running" or status.pauses else view.stamp,
        "pod": pod_ranks.name_of(pod_ranks.first(view.pods)),
    }
    if commits:
        # Before it ends: another attempt runs the same.
        fields["provenance"] = Provenance(commit=commits[0])
    return [SetStatus(view.move("Running", "Running", f"attempt {status.attempts}", **fields))]


def _ended(view: View, flight: Flight, *, complete: bool) -> list[Action]:
    """End the job as its batch Job did, or try again where that was not the program's doing."""
    job, pods = view.job, view.pods
    fields = {"provenance": _provenance(view, flight)}
    if complete:
        labels = ", ".join(job.status.backends or [job.status.backend or ""])
        told = view.complete(f"completed on {labels}", exit_code=0, **fields)
        return [Finish(told, pod_ranks.name_of(pod_ranks.first(pods)))]
    if (view.batch or {}).get("suspended"):
        # The Job controller does not count pods that it deletes itself, but one may have failed just before.
        return _begin_again(
            view, flight, "Evicted", "its Job was suspended while its pod ran, as Kueue does to evict it"
        )
    if (failure := failure_of(pod_ranks.undisturbed(pods))) is not None:
        if failure.again:
            return _again(view, flight, failure.reason, failure.message)
        return [Finish(view.fail(failure.reason, failure.message, **fields), None)]
    rank = pod_ranks.failed(pods)
    if rank is None:
        return _again(view, flight, "PodLost", pod_ranks.why_lost(job, pods))
    name = pod_ranks.name_of(rank.pod)
    reason, message = pod_ranks.why_failed(job, rank)
    return [Finish(view.fail(reason, message, exit_code=rank.code, pod=name, **fields), name)]


def end_of(batch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the condition that says that a batch Job has ended; None while it has not."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return next((c for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")), None)


def _is_failing(batch: Mapping[str, Any]) -> bool:
    """Return whether a rank has failed, so that Kubernetes ends the others."""
    conditions: list[dict[str, Any]] = batch.get("conditions") or []
    return any(c["status"] == "True" and c["type"] == "FailureTarget" for c in conditions)


def _says_why(pods: Sequence[pod_ranks.Pod]) -> bool:
    """Return whether it is known of a rank that it failed, or could not start."""
    return pod_ranks.failed(pods) is not None or failure_of(pod_ranks.undisturbed(pods)) is not None


def _unadmitted(view: View, batch: Mapping[str, Any]) -> list[Action]:
    """Say that the program's Job is suspended: it is not admitted yet, or was evicted and begins again."""
    status, queue = view.job.status, batch.get("queue")
    name, backends = program_name(view.job, status.attempts or 1), status.backends or [status.backend or ""]
    waits = (
        f"for Kueue to admit its Job {name} to the LocalQueue {queue}"
        if queue
        else f"since its Job {name} is suspended"
    )
    slots = "a slot" if view.job.spec.program.world_size == 1 else "slots"
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
        if start.elsewhere:
            return _again(view, flight, "StartDeadlineExceeded", start.message)
        return [SetStatus(view.fail("StartDeadlineExceeded", start.message)), Stop(program=True)]
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


def _again(view: View, flight: Flight, reason: str, message: str) -> list[Action]:
    if (failed := _out_of_attempts(view, flight, reason, message)) is not None:
        goes_on = view.batch is not None and end_of(view.batch) is None
        return [failed, Stop(program=goes_on)]
    return _begin_again(view, flight, reason, message)


def _begin_again(view: View, flight: Flight, reason: str, message: str) -> list[Action]:
    attempts = view.job.status.attempts or 1
    again = launch(view, flight, attempts + 1)
    lost = Warn(reason, f"attempt {attempts}: {message}")
    return [lost, *again] if any(isinstance(action, Launch) for action in again) else again


def _withdraw(
    view: View, flight: Flight, reason: str, message: str, provenance: Provenance | None = None
) -> list[Action]:
    """End an attempt that cannot go on, such as one whose backend serves it no more, and try again.

    ``provenance``: what the next one has to repeat; None: what is known already.
    """
    attempts = view.job.status.attempts or 1
    if (failed := _out_of_attempts(view, flight, reason, message)) is not None:
        return [failed, Stop(program=True)]
    again = f"{message}: attempt {attempts} has ended, and another begins where a backend takes it"
    # First, so that the end of its pod is not taken for the program's own.
    return [
        SetStatus(
            view.move("Pending", reason, again, provenance=provenance or view.job.status.provenance, paused=None)
        ),
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


def _provenance(view: View, flight: Flight) -> Provenance:
    # An operator that took over may not have read the text.
    known = None if flight.source is None else digest(flight.source)
    recorded = view.job.status.provenance
    commit = next(iter(commits_of(view.pods)), None) or (recorded and recorded.commit)
    return Provenance(
        program_digest=known,
        commit=commit,
        image=_image(pod_ranks.first(view.pods)),
        qonverge_version=__version__,
        seed=view.job.spec.seed,
    )


def _image(pod: Mapping[str, Any] | None) -> str | None:
    statuses = (pod or {}).get("containerStatuses") or []
    return next((each.get("imageID") or None for each in statuses if each.get("name") == "program"), None)
