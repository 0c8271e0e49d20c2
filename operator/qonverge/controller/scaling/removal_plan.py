"""What to do next so that a backend has fewer pods and no task is ended for it. Pure.

A pod that is to go passes through these states, each of which is seen before the next: it gets no new tasks, says
itself that it takes none and has none, keeps no results, bears the mark by which its ReplicaSet takes it first, and
then the Deployment gets smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qonverge.controller.objects.pod_order import Shown, taken_first
from qonverge.scaling import removal

_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that may go."""

    uid: str
    name: str
    shown: Shown
    created: float = 0.0
    """When it was made, Unix seconds."""
    tasks: int = 0
    """Those that it runs or that wait there, as far as anybody knows; 1 where nobody does."""
    remaining_seconds: float = 0.0
    """Forecast seconds until it has done them."""
    draining: bool = False
    """Whether it gets no new tasks."""
    empty: bool = False
    """Whether it takes none, said that it has none, and did so since it takes none; or never took any."""
    kept: int = 0
    """Results that it keeps."""
    before: tuple[Shown, ...] = ()
    """What else was shown of it just now, which its ReplicaSet's controller may see still."""
    problem: str = ""
    """What went wrong with the last step."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many pods a Deployment has and should have."""

    wanted: int
    """What scaling wants."""
    present: int
    """What the Deployment says now."""
    observed: bool = True
    """Whether the controllers of the Deployment and its ReplicaSets have acted on that."""
    asked: int | None = None
    """A smaller number that it was given and that it does not show yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next."""

    replicas: int
    """What the Deployment may have now."""
    drain: tuple[str, ...] = ()
    """These get no new tasks, by uid."""
    move: tuple[str, ...] = ()
    """The results that these keep go to other pods."""
    mark: tuple[str, ...] = ()
    """These are to be taken first."""
    restore: tuple[str, ...] = ()
    """These get tasks again and are not taken first any more."""
    waiting: str = ""
    """Why the Deployment may not have what is wanted now; empty where it may."""


def plan(size: Size, pods: Sequence[Candidate]) -> Plan:
    """Return what to do next with the pods of a backend, of which those are left out that end already."""
    choice = removal.choose(
        (
            removal.Pod(
                pod.uid,
                pod.shown.ready,
                draining=pod.draining,
                tasks=pod.tasks,
                remaining_seconds=pod.remaining_seconds,
                started=pod.created,
            )
            for pod in pods
        ),
        size.wanted,
    )
    going, free = set(choice.drain), set(choice.remove)
    empty = [pod for pod in pods if pod.uid in free and pod.empty]
    # One that is wanted again is as empty until it is restored.
    least = len(pods) - _may_fall_by(pods, {pod.uid for pod in pods if pod.empty and not pod.kept})
    replicas = size.wanted if size.wanted >= size.present else max(size.wanted, min(size.present, least))
    waiting = _why(pods, [pod for pod in pods if pod.uid in going]) if replicas > size.wanted else ""
    if size.asked is not None and least <= size.asked < size.present:
        # It may be under way: what is to go then must not get tasks before that is seen.
        replicas = size.asked
        waiting = f"the Deployment was given {size.asked} replicas and does not show it yet"
    # Where the controllers may still act on a smaller number, they take what is marked: that has to stay empty.
    settled = size.observed and size.asked is None and size.present >= len(pods) and replicas >= size.present
    restore = [pod.uid for pod in pods if pod.uid not in going and (pod.draining or pod.shown.marked)]
    return Plan(
        replicas,
        drain=choice.drain,
        move=tuple(pod.uid for pod in empty if pod.kept),
        mark=tuple(pod.uid for pod in empty if not pod.kept and not pod.shown.marked),
        restore=tuple(restore) if settled else (),
        waiting=waiting if replicas != size.wanted else "",
    )


def _may_fall_by(pods: Sequence[Candidate], may_go: set[str]) -> int:
    # Of several ReplicaSets, as during a rollout, each loses a part.
    return 0 if _roll_out(pods) else taken_first({pod.uid: (pod.shown, *pod.before) for pod in pods}, may_go)


def _roll_out(pods: Sequence[Candidate]) -> bool:
    return len({pod.shown.replica_set for pod in pods}) > 1


def _why(pods: Sequence[Candidate], going: Sequence[Candidate]) -> str:
    if _roll_out(pods):
        return "pods go when the rollout that is under way has ended"
    return "; ".join(_stays(pod) for pod in going[:_MOST_TOLD]) + (
        f"; and {len(going) - _MOST_TOLD} more" if len(going) > _MOST_TOLD else ""
    )


def _stays(pod: Candidate) -> str:
    because = f": {pod.problem}" if pod.problem else ""
    if pod.tasks:
        count = f"{pod.tasks} task{'' if pod.tasks == 1 else 's'}"
        return f"pod {pod.name} is to go and has {count} to end first{because}"
    if not pod.empty:
        return f"pod {pod.name} is to go and has not said yet that it takes no tasks{because}"
    if pod.kept:
        count = f"{pod.kept} result{'' if pod.kept == 1 else 's'}"
        return f"pod {pod.name} is to go and keeps {count} that other pods have to take first{because}"
    return f"pod {pod.name} is about to go{because}"
