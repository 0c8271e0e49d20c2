"""Which pods go where there are more than are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that may go or stay."""

    name: str
    ready: bool
    draining: bool = False
    """Whether it gets no new tasks, since it is to go."""
    tasks: int = 0
    """Tasks that it runs or that wait in it."""
    remaining_seconds: float = 0.0
    """Forecast seconds until it has done them."""
    started: float = 0.0
    """When it was made, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What to do with a backend's pods."""

    drain: tuple[str, ...]
    """These get no new tasks, whether they do already or not."""
    remove: tuple[str, ...]
    """Those of them that have nothing to do any more."""


def choose(pods: Iterable[Pod], wanted: int) -> Removal:
    """Return which pods drain so that ``wanted`` are left, and which of those may be removed now.

    What does not serve yet goes first, then what is free, then what will be free first. A pod with a task is never
    removed: it drains until it has none, and is taken back before that where more are wanted again.
    """
    ordered = sorted(pods, key=_keeping)
    gone = ordered[: max(0, len(ordered) - wanted)]
    return Removal(tuple(pod.name for pod in gone), tuple(pod.name for pod in gone if not pod.tasks))


def _keeping(pod: Pod) -> tuple[object, ...]:
    """Return a key that is the larger the more a pod is worth keeping; what drains already goes before its likes."""
    return (pod.ready, pod.tasks > 0, not pod.draining, pod.remaining_seconds, -pod.started, pod.name)
