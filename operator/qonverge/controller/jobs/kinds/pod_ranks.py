"""How the pods of an attempt are, one for each rank: which has started, failed, or was lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qonverge.api import HybridJob
from qonverge.controller.objects import pod_troubles
from qonverge.programs.python import left_reason
from qonverge.programs.ranks import named

Pod = Mapping[str, Any]
_OOM_EXIT_CODE = 137


class Failed(NamedTuple):
    """A rank that failed of itself."""

    pod: Pod
    code: int
    """Its exit code."""
    terminated: Mapping[str, Any]
    """The state of its container."""


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


def leaves_by(pods: Sequence[Pod]) -> str | None:
    """Return until when a pod that somebody deleted has to have ended, the first of them; None where none was."""
    return min((pod["endsBy"] for pod in pods if pod.get("endsBy") is not None), default=None)


def undisturbed(pods: Sequence[Pod]) -> list[Pod]:
    """Return the pods that nobody but their program ends."""
    return [pod for pod in pods if not _disrupted(pod)]


def failed(pods: Sequence[Pod]) -> Failed | None:
    """Return the rank that failed first, of itself: when one fails the others are ended."""
    found = []
    for pod in undisturbed(pods):
        terminated = _terminated(pod)
        if terminated is None:
            continue
        if (code := int(terminated.get("exitCode", -1))) != 0:
            found.append(Failed(pod, code, terminated))
    return min(found, key=lambda each: str(each.terminated.get("finishedAt", "")), default=None)


def why_failed(job: HybridJob, rank: Failed) -> tuple[str, str]:
    """Return the reason and the message of a job of which a rank failed."""
    pod, code, terminated = rank
    size, number = job.spec.program.world_size, int(pod.get("rank", 0))
    if terminated.get("reason") == "OOMKilled":
        limit = pod.get("memoryLimit")
        limited = f" its limit of {limit}" if limit else " the node has"
        sentence = (
            f"the program used more memory than{limited}: "
            f"raise program.{job.spec.program.chosen}.resources.limits.memory"
        )
        return "OutOfMemory", named(number, size, sentence)
    # What the client library leaves there.
    if (left := left_reason(str(terminated.get("message", "")))) is not None:
        return left
    if code == _OOM_EXIT_CODE:
        return "ProgramFailed", named(number, size, "the program was killed (exit code 137)")
    sentence = f"the program ended with exit code {code}; its last lines are in status.log"
    return "ProgramFailed", named(number, size, sentence)


def why_lost(job: HybridJob, pods: Sequence[Pod]) -> str:
    """Return which pod of an attempt was lost, and what Kubernetes says of it."""
    size = job.spec.program.world_size
    lost = next((pod for pod in pods if _disrupted(pod) and pod.get("endsBy") is None), None)
    lost = lost or next((pod for pod in pods if _disrupted(pod) or _terminated(pod) is None), first(pods))
    why = pod_troubles.of_pod(lost or {})
    told = "the program's pod was lost" if size == 1 or lost is None else f"the pod of rank {lost['rank']} was lost"
    return told + (f": {why}" if why else "")


def _terminated(pod: Pod) -> Mapping[str, Any] | None:
    for container in pod.get("containerStatuses") or []:
        state: Mapping[str, Any] = container.get("state") or {}
        if "terminated" in state:
            terminated: Mapping[str, Any] = state["terminated"]
            return terminated
    return None


def _disrupted(pod: Pod) -> bool:
    if pod.get("endsBy") is not None:
        # Whoever deletes a pod asks its processes to end first: how they did is not the program's own failure.
        return True
    conditions = pod.get("conditions") or []
    return any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)
