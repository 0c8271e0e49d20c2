"""Why a pod does not start, as Kubernetes says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.controller.objects.node_placement import asked_of_nodes, explained

# A container says so while all goes as it should.
_USUAL = ("ContainerCreating", "PodInitializing")
UNSCHEDULABLE = "Unschedulable"
"""The scheduler's word for a pod that no node can hold now."""
# The kubelet goes to and fro between the two while it tries again.
_SAME = {"ErrImagePull": "ImagePullBackOff"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from starting."""

    reason: str
    """In one word, by the kubelet, the scheduler or a controller; empty where none is given."""
    message: str

    def __str__(self) -> str:
        """Return both."""
        return ": ".join(part for part in (self.reason, self.message) if part)


# Beside what Kubernetes writes into a pod's status.
_ASKED_OF_NODES = "askedOfNodes"


def with_nodes_asked(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's status, with the labels that its specification requires of nodes."""
    return {**(pod.get("status") or {}), _ASKED_OF_NODES: asked_of_nodes(pod.get("spec") or {})}


def of_pod(status: Mapping[str, Any]) -> Trouble | None:
    """Return what a pod's status says of why it does not run or serve; None where it says nothing.

    The status is as ``with_nodes_asked`` gives it. The last words of a container that ended say more than that it is
    started again.
    """
    for container in _containers(status):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting = state.get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        for ended in (state.get("terminated"), last.get("terminated")):
            if words := str((ended or {}).get("message") or "").strip():
                message = words.splitlines()[-1].removeprefix("qonverge.backend: ")
                return Trouble(reason or str((ended or {}).get("reason") or ""), message)
        if reason and reason not in _USUAL:
            return Trouble(_SAME.get(reason, reason), str(waiting.get("message") or ""))
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = explained(str(condition.get("message") or ""), status.get(_ASKED_OF_NODES, ""))
            return Trouble(str(condition.get("reason") or ""), message)
    if status.get("phase") == "Failed" and status.get("reason"):
        return Trouble(str(status["reason"]), str(status.get("message") or ""))
    return None


def of_events(events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Return what the last event about an object warns of; None where that is none, as once things go on."""
    last = max(events, key=_age, default=None)
    if last is None or last.get("type") != "Warning":
        return None
    return Trouble(str(last.get("reason") or ""), " ".join(str(last.get("message") or "").split()))


def has_node(status: Mapping[str, Any]) -> bool:
    """Return whether a pod was given a node."""
    conditions = status.get("conditions") or []
    return any(c["type"] == "PodScheduled" and c["status"] == "True" for c in conditions)


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(kind) or []


def _age(event: Mapping[str, Any]) -> tuple[str, int]:
    series = event.get("series") or {}
    stamp = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    # To the second, as most of them are; of one second the last written counts.
    return str(stamp)[:19], int(event["metadata"]["resourceVersion"])
