"""Which of a backend's pods the cluster takes away first where its Deployment gets fewer. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COST = "controller.kubernetes.io/pod-deletion-cost"
"""The annotation by which a ReplicaSet takes one of several ready pods before others: the lowest goes first."""
CONTAINER = "backend"
"""The name of the server's container."""
GOES_FIRST = -100
"""Its value on a pod that is to go; without it a pod has 0."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the API server shows of a backend's pod."""

    replica_set: str = ""
    """The uid of the ReplicaSet that controls it."""
    placed: bool = True
    """Whether it has a node."""
    runs: bool = True
    """Whether its containers were started."""
    ready: bool = True
    counts: bool = True
    """Whether it is one of its ReplicaSet's pods: it has not ended and is not being deleted."""
    terminating: bool = False
    """Whether somebody deleted it: its server does what it runs, within its grace period, and takes nothing more."""
    cost: int = 0
    process: str = ""
    """Its server's container while that runs: another one after each restart."""

    @property
    def marked(self) -> bool:
        """Whether it goes before its likes, since the operator wants that."""
        return self.cost == GOES_FIRST

    @classmethod
    def of(cls, obj: Mapping[str, Any], replica_set: str) -> Shown:
        """Return what a Pod shows."""
        metadata, status = obj["metadata"], obj.get("status") or {}
        ready = [each["status"] for each in status.get("conditions") or [] if each["type"] == "Ready"]
        running = [each for each in status.get("containerStatuses") or [] if "running" in (each.get("state") or {})]
        return cls(
            replica_set=replica_set,
            placed=bool((obj.get("spec") or {}).get("nodeName")),
            runs=status.get("phase") == "Running",
            ready=ready == ["True"],
            terminating=bool(metadata.get("deletionTimestamp")),
            counts=not metadata.get("deletionTimestamp") and status.get("phase") not in ("Succeeded", "Failed"),
            cost=_cost((metadata.get("annotations") or {}).get(COST, "0")),
            process=next((str(each.get("containerID")) for each in running if each["name"] == CONTAINER), ""),
        )


def taken_first(pods: Mapping[str, Sequence[Shown]], may_go: Container[str]) -> int:
    """Return by how many their number may fall so that only pods go that may.

    A ReplicaSet takes pods without a node first, then those that did not start, then those that are not ready, then
    those of the lowest cost. Among likes it goes by their nodes and times, which is not followed here: of several likes
    any may be taken.

    Args:
        pods: the ReplicaSet's pods, by uid, each with what was shown of it of late: which of that the ReplicaSet's
            controller has seen nobody knows.
        may_go: those that may be taken.
    """
    stays = min((min(map(_rank, shown)) for uid, shown in pods.items() if uid not in may_go), default=None)
    # What is not ready may have become so and not be shown yet: only the mark counts.
    goes = [(True, True, True, max(each.cost for each in shown)) for uid, shown in pods.items() if uid in may_go]
    return sum(stays is None or rank < stays for rank in goes)


def marked(name: str, namespace: str, uid: str, *, goes: bool) -> dict[str, Any]:
    """Return what to apply to a pod so that it goes before its likes, or no more."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid}
    if goes:
        metadata["annotations"] = {COST: str(GOES_FIRST)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def _cost(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        # As a ReplicaSet reads it.
        return 0


def _rank(pod: Shown) -> tuple[bool, bool, bool, int]:
    return (pod.placed, pod.runs, pod.ready, pod.cost)
