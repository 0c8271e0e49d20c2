"""How attempts at programs in pods end: well, for good, or so that another begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qonverge import __version__
from qonverge.api import HybridJobStatus
from qonverge.api.job_status import Provenance
from qonverge.controller.jobs.actions import Action, Requeue, Warn
from qonverge.controller.jobs.kinds import pod_ranks
from qonverge.controller.jobs.kinds.pod_actions import Finish, TryAgain
from qonverge.controller.jobs.view import View
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.objects.program_inits import commits_of
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import uses_backend
from qonverge.execution import retries
from qonverge.execution.retries import AttemptEnd
from qonverge.programs.source import digest

# Fields of the status that are of one attempt.
_OF_ATTEMPT = ("progress", "estimated_end_at", "result", "started_at", "duration", "paused")


def conclude(view: View, flight: Flight, *, complete: bool) -> list[Action]:
    """End the job as its batch Job did, or try again where its policy says so."""
    job, pods = view.job, view.pods
    if complete:
        labels = ", ".join(job.status.backends or [job.status.backend or ""])
        told = view.complete(f"completed on {labels}", exit_code=0, provenance=_provenance(view, flight))
        return [Finish(told, pod_ranks.name_of(pod_ranks.first(pods)))]
    if (unprepared := pod_ranks.unprepared(pods)) is not None:
        unstarted, failure = unprepared
        end = PodEnd(failure.reason, failure.message, silent=True)
        return ended_badly(view, flight, end, unstarted, worth_it=failure.again)
    if (view.batch or {}).get("suspended"):
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
        displaced=end.displaced,
    )
    verdict, asked = retries.judge(job, ended, None if worth_it else "Fail"), None if end.silent else name
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
