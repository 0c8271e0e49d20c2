"""How the pods of an attempt are, one for each rank: which has started, failed, or was lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from qonverge.api import HybridJob
from qonverge.controller.objects import pod_ends, pod_troubles
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.objects.program_inits import Failure, failure_of
from qonverge.programs.ranks import named

Pod = Mapping[str, Any]


class Late(NamedTuple):
    """A rank whose pod has not started."""

    pod: Pod | None
    """None: it was not created."""


def name_of(pod: Pod | None) -> str | None:
    """Return the pod's name, None where there is none."""
    return None if pod is None else str(pod["name"])


def first(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod of the lowest rank."""
    return next(iter(pods), None)


def late(pods: Sequence[Pod], size: int) -> Late | None:
    """Return a rank that has not started, one that says why before others; None where all have."""
    pending = [pod for pod in pods if pod.get("phase", "Pending") == "Pending"]
    if pending:
        return Late(next((pod for pod in pending if pod_troubles.of_pod(pod) is not None), pending[0]))
    return Late(None) if len(pods) < size else None


def are_running(pods: Sequence[Pod], size: int) -> bool:
    """Return whether all ranks have started and not all have ended."""
    return late(pods, size) is None and any(pod.get("phase") == "Running" for pod in pods)


def leaving(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod that is the first to have ended of those that somebody deleted; None where nobody did."""
    deleted = [pod for pod in pods if pod.get("endsBy") is not None]
    return min(deleted, key=lambda pod: str(pod["endsBy"]), default=None)


def has_failed(pods: Sequence[Pod]) -> bool:
    """Return whether a rank failed of itself, or could not start: the others are ended then."""
    return any(pod_ends.failed_of_itself(pod) for pod in pods) or unprepared(pods) is not None


def unprepared(pods: Sequence[Pod]) -> tuple[Pod, Failure] | None:
    """Return the pod in which something failed before its program, and what did; None where there is none.

    What runs before a program is ended with its pod too: how it ended then says nothing.
    """
    for pod in pods:
        if pod_ends.was_asked_to_end(pod) or pod_ends.was_ended_by_kubelet(pod):
            continue
        if (failure := failure_of(pod)) is not None:
            return pod, failure
    return None


def first_to_end(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod of the rank of which an attempt failed, the first that did; None where there is none."""
    times = [(at, pod) for pod in pods if (at := pod_ends.failed_at(pod)) is not None]
    if times:
        return min(times, key=lambda each: each[0])[1]
    lost = [pod for pod in pods if not pod_ends.is_complete(pod)]
    return leaving(lost) or first(lost) or first(pods)


def end_of_rank(job: HybridJob, pod: Pod | None) -> PodEnd:
    """Return how a rank ended of which an attempt failed."""
    end = pod_ends.of_pod(pod, f"program.{job.spec.program.chosen}.resources")
    rank = 0 if pod is None else int(pod.get("rank", 0))
    return replace(end, message=named(rank, job.spec.program.world_size, end.message))
