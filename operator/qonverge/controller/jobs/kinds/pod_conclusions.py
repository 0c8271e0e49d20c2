"""How attempts at programs in pods end: well, for good, or so that another begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qonverge import __version__
from qonverge.api import HybridJobStatus
from qonverge.api.job_status import Provenance
from qonverge.api.retries import RetryAction
from qonverge.controller.jobs.actions import Action, Requeue, Warn
from qonverge.controller.jobs.kinds import pod_points, pod_ranks
from qonverge.controller.jobs.kinds.pod_actions import Finish, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.objects.program_inits import commits_of
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import uses_backend
from qonverge.execution import retries
from qonverge.execution.points import PointEnd
from qonverge.programs.source import digest

_SOON_SECONDS = 1.0
# Fields of the status that are of one attempt.
_OF_ATTEMPT_AT_POINTS = ("estimated_end_at", "started_at", "duration")
_OF_ATTEMPT = (*_OF_ATTEMPT_AT_POINTS, "progress", "result", "paused")


def conclude(view: View, flight: Flight, *, complete: bool) -> list[Action]:
    """End the job as its batch Job did, or try again where its policy says so."""
    job, pods = view.job, view.pods
    evicted = not complete and bool((view.batch or {}).get("suspended"))
    if pod_points.is_swept(job) and not evicted:
        if not pod_points.is_seen(view):
            return [Requeue(view.now + _SOON_SECONDS)]
        return _conclude_points(view, flight, None)
    if complete:
        labels = ", ".join(job.status.backends or [job.status.backend or ""])
        told = view.complete(f"completed on {labels}", exit_code=0, provenance=_provenance(view, flight))
        return [Finish(told, pod_ranks.name_of(pod_ranks.first(pods)))]
    if (unprepared := pod_ranks.unprepared(pods)) is not None:
        unstarted, failure = unprepared
        end = PodEnd(failure.reason, failure.message, silent=True)
        return ended_badly(view, flight, end, unstarted, worth_it=failure.again)
    if evicted:
        # Who suspends a Job whose pod runs ends the pod, which may fail in that moment.
        end = PodEnd("Evicted", "its Job was suspended while its pod ran, as Kueue does to evict it")
        return ended_badly(view, flight, end, pod_ranks.first(pods))
    pod = pod_ranks.first_to_end(pods)
    return ended_badly(view, flight, pod_ranks.end_of_rank(job, pod), pod)


def unheard(view: View, pod: Mapping[str, Any]) -> PodEnd:
    """Return how an attempt ended of which a pod was to end, and whose node does not say that it did."""
    end = pod_ranks.end_of_rank(view.job, pod)
    message = f"{end.message}, and its node does not say that it has ended"
    return replace(end, message=message, silent=True)


def expire(view: View, status: HybridJobStatus) -> list[Action]:
    """End a job whose time is over, or that was cancelled, with what its program printed."""
    if view.batch is not None and pod_points.is_swept(view.job):
        status = status.model_copy(update=pod_points.progress(view))
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


def ended_badly(
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
    default: RetryAction | None = None if worth_it else "Fail"
    ended = pod_points.attempt_end(view, end, pod)
    if pod_points.is_swept(job):
        return _conclude_points(view, flight, PointEnd(0, ended, default), silent=end.silent)
    runs = view.batch is not None and goes_on(view.batch)
    verdict, asked = retries.judge(job, ended, default), None if end.silent else name
    if verdict.again:
        # Written first, so that the end of what still runs is not taken for the program's own.
        # What the attempt told of itself is not what the next one finds.
        fields = {**verdict.fields, **dict.fromkeys(_OF_ATTEMPT)}
        if (commit := _commit(view)) is not None:
            # The next one runs the same.
            fields["provenance"] = Provenance(commit=commit)
        again = view.move("Pending", end.reason, verdict.message, **fields)
        return [
            TryAgain(again, ended.attempt, asked, remove=runs),
            Warn(end.reason, f"attempt {ended.attempt}: {end.message}"),
            Requeue(max(view.now, verdict.begins_at)),
        ]
    fields = {**verdict.fields, "exit_code": end.exit_code, "provenance": _provenance(view, flight)}
    if name is not None:
        fields["pod"] = name
    return [Finish(view.fail(end.reason, verdict.message, **fields), asked, remove=runs)]


def _conclude_points(view: View, flight: Flight, whole: PointEnd | None, *, silent: bool = False) -> list[Action]:
    """End a sweep, or let another attempt begin at the points that are left.

    ``whole`` is how the attempt ended, where it did before all points had; ``silent`` where its pod is not to be asked.
    """
    found, attempt = pod_points.outcome(view, whole), view.job.status.attempts or 1
    runs = view.batch is not None and goes_on(view.batch)
    end = None if found.first is None else found.first.end
    asked = None if silent or end is None else end.pod
    if found.again:
        fields = {**found.fields, **dict.fromkeys(_OF_ATTEMPT_AT_POINTS)}
        if (commit := _commit(view)) is not None:
            fields["provenance"] = Provenance(commit=commit)
        again = view.move("Pending", found.reason, found.message, **fields)
        return [
            TryAgain(again, attempt, asked, remove=runs),
            Warn(found.reason, found.message),
            Requeue(max(view.now, found.begins_at)),
        ]
    fields = {**found.fields, "provenance": _provenance(view, flight)}
    if found.complete:
        del fields["progress"]
        told = view.complete(f"{found.message} completed on {view.job.status.backend}", exit_code=0, **fields)
        return [Finish(told, pod_ranks.name_of(pod_ranks.first(view.pods)))]
    if end is not None:
        fields |= {"exit_code": end.exit_code} | ({} if end.pod is None else {"pod": end.pod})
    return [Finish(view.fail(found.reason, found.message, **fields), asked, remove=runs)]


def _provenance(view: View, flight: Flight) -> Provenance:
    # An operator that took over may not have read the text.
    known = None if flight.source is None else digest(flight.source)
    return Provenance(
        program_digest=known,
        commit=_commit(view),
        image=_image(pod_ranks.first(view.pods)),
        qonverge_version=__version__,
        seed=view.job.spec.seed,
    )


def _commit(view: View) -> str | None:
    recorded = view.job.status.provenance
    known = None if recorded is None else recorded.commit
    return next(iter(commits_of(view.pods)), known)


def _image(pod: Mapping[str, Any] | None) -> str | None:
    statuses = (pod or {}).get("containerStatuses") or []
    return next((each.get("imageID") or None for each in statuses if each.get("name") == "program"), None)
