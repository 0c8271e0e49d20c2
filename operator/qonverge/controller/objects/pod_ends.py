"""How the pod of a program's attempt ended, as Kubernetes says it. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.controller.objects import pod_troubles
from qonverge.programs.python import left_reason

_KILLED = 128 + signal.SIGKILL
_SIGNALS = {number.value: number.name for number in signal.Signals}
_OVERDUE = "DeadlineExceeded"
# By the reason of a pod's condition DisruptionTarget.
_DISRUPTIONS = {
    "PreemptionByScheduler": "Preempted",
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByTaintManager": "NodeLost",
    "DeletionByPodGC": "NodeLost",
}
# By the reason of a pod that its kubelet ended.
_BY_KUBELET = {
    "Evicted": "Evicted",
    "Preempting": "Preempted",
    "Terminated": "NodeShutdown",
    "NodeShutdown": "NodeShutdown",
}
_SENTENCES = {
    "Preempted": "the program's pod made room for a pod of higher priority",
    "Evicted": "the program's pod was evicted",
    "NodeLost": "the node of the program's pod was lost",
    "NodeShutdown": "the node of the program's pod was shut down",
}


@dataclass(frozen=True, slots=True)
class PodEnd:
    """How a program's pod ended."""

    reason: str
    message: str
    """A sentence, with what to do."""
    exit_code: int | None = None
    """Of the program, where it had one."""
    started_at: str | None = None
    ended_at: str | None = None
    printed: bool = False
    """Whether what the program printed says more."""
    silent: bool = False
    """Whether it is not asked for its log: its node does not answer, or its program never ran."""
    displaced: bool = False
    """Whether the operator ended it, for a job of higher priority."""


def of_pod(pod: Mapping[str, Any] | None, resources: str) -> PodEnd:
    """Return how a program's pod ended, whose batch Job has failed.

    Args:
        pod: as the store has it; None where nothing is known of it.
        resources: the field of the job that has the pod's requests and limits, for the message.
    """
    if pod is None:
        return PodEnd("PodLost", "the program's pod was lost")
    terminated = _terminated(pod) or {}
    times = (terminated.get("startedAt"), terminated.get("finishedAt"))
    code = terminated.get("exitCode")
    if (disruption := _disruption(pod, resources)) is not None:
        return PodEnd(*disruption, code, *times, silent=disruption[0] == "NodeLost")
    if pod.get("reason") == _OVERDUE:
        limit = "retryPolicy.attemptDeadlineSeconds"
        message = f"the program did not end within {limit}: raise it, or make the program shorter"
        return PodEnd(_OVERDUE, message, code, *times, printed=True)
    if code is None or pod.get("endsBy") is not None:
        # Whoever deletes a pod asks its processes to end first: how they did is not the program's own failure.
        why = pod_troubles.of_pod(pod)
        return PodEnd("PodLost", "the program's pod was lost" + (f": {why}" if why else ""), code, *times)
    if terminated.get("reason") == "OOMKilled":
        memory = pod.get("memoryLimit")
        limited = f" its limit of {memory}" if memory else " the node has"
        message = f"the program used more memory than{limited}: raise {resources}.limits.memory"
        return PodEnd("OOMKilled", message, code, *times)
    # What the client library leaves there.
    if (left := left_reason(str(terminated.get("message", "")))) is not None:
        return PodEnd(*left, code, *times)
    return PodEnd("ProgramFailed", _exit(code), code, *times, printed=code != _KILLED)


def failed_at(pod: Mapping[str, Any]) -> str | None:
    """Return when a pod failed, or others began to end it, RFC 3339, empty where nothing tells that.

    None: it did not, or somebody deleted it, as the Job controller does with other ranks of one that failed.
    """
    if is_complete(pod):
        return None
    ended = str((_terminated(pod) or {}).get("finishedAt") or "")
    if (condition := _disruption_target(pod)) is not None:
        # From then on, which other ranks may notice before the pod has ended.
        return str(condition.get("lastTransitionTime") or ended)
    return ended if was_ended_by_kubelet(pod) or failed_of_itself(pod) else None


def failed_of_itself(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's program failed, and nobody had asked it to end."""
    return not was_asked_to_end(pod) and _terminated(pod) is not None and not is_complete(pod)


def was_asked_to_end(pod: Mapping[str, Any]) -> bool:
    """Return whether somebody deleted a pod, or Kubernetes ends it for a reason that is not its program's."""
    return pod.get("endsBy") is not None or _disruption_target(pod) is not None


def was_ended_by_kubelet(pod: Mapping[str, Any]) -> bool:
    """Return whether its node ended a pod as a whole, and so whatever ran in it."""
    return pod.get("reason") in (*_BY_KUBELET, _OVERDUE)


def is_complete(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's program ended well."""
    return (_terminated(pod) or {}).get("exitCode") == 0


def _exit(code: int) -> str:
    if code == _KILLED:
        return (
            "the program was killed (exit code 137): not for its memory limit, so by something in its container or by "
            "its node, whose events may tell"
        )
    if (name := _SIGNALS.get(code - 128)) is not None:
        return f"the program was ended by the signal {name} (exit code {code})"
    return f"the program ended with exit code {code}"


def _disruption(pod: Mapping[str, Any], resources: str) -> tuple[str, str] | None:
    """Return the reason and the sentence where others ended the pod, and Kubernetes says who."""
    said, message = str(pod.get("reason") or ""), str(pod.get("message") or "")
    reason = _BY_KUBELET.get(said)
    if (condition := _disruption_target(pod)) is not None:
        reason = _DISRUPTIONS.get(str(condition.get("reason") or ""), reason or "PodLost")
        message = message or str(condition.get("message") or "")
    if reason is None:
        return None
    node = f" from {name}" if reason == "Evicted" and (name := pod.get("node")) else ""
    told = (
        _SENTENCES.get(reason, "the program's pod was lost") + node + (f": {message.rstrip('. ')}" if message else "")
    )
    if said == "Evicted":
        # The kubelet takes first what uses more than it asked for.
        told += f"; where it used more than it requests, raise {resources}.requests"
    return reason, told


def _disruption_target(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    conditions: list[dict[str, Any]] = pod.get("conditions") or []
    return next((c for c in conditions if c["type"] == "DisruptionTarget" and c["status"] == "True"), None)


def _terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return how the program's container ended; others, which a mesh may have added, say nothing of it."""
    for container in sorted(pod.get("containerStatuses") or [], key=lambda each: each.get("name") != "program"):
        state: Mapping[str, Any] = container.get("state") or {}
        if "terminated" in state:
            terminated: Mapping[str, Any] = state["terminated"]
            return terminated
    return None
