"""Which of the jobs that wait a round of placement looks at, where more wait than it can. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that waits."""

    key: str
    namespace: str
    created: float
    """Unix seconds."""
    priority: int = 0
    held: bool = False
    """Whether a pod has its task already, from an operator before this one."""
    aged: bool = False
    """Whether it has waited so long that it goes before those that have not."""
    deadline: float = math.inf
    """Unix seconds."""
    tried_at: float = 0.0
    """When a round last found no place for it, Unix seconds; 0 where none has looked, or one has seen a place ahead."""


def chosen(candidates: Sequence[WaitingJob], most: int) -> set[str]:
    """Return the keys of at most so many jobs.

    Namespaces take turns, so that each gets an equal part, and what one does not need goes to the others. Within a
    namespace those that rounds found no place for take turns with the others: so neither keeps the other from being
    looked at. Of the former that comes first which was looked at least lately; of the latter what has aged, then
    priority, then the first deadline, then what was created first. What a pod has already goes before all.
    """
    if len(candidates) <= most:
        return {candidate.key for candidate in candidates}
    namespaces: defaultdict[str, list[WaitingJob]] = defaultdict(list)
    for candidate in candidates:
        namespaces[candidate.namespace].append(candidate)
    ranked = [
        (not candidate.held, rank, candidate.created, candidate.key)
        for members in namespaces.values()
        for rank, candidate in enumerate(_in_order(members))
    ]
    return {key for *_, key in sorted(ranked)[:most]}


def _in_order(members: Iterable[WaitingJob]) -> Iterable[WaitingJob]:
    ordered = sorted(
        members,
        key=lambda each: (each.tried_at, not each.aged, -each.priority, each.deadline, each.created, each.key),
    )
    new = [each for each in ordered if not each.tried_at]
    tried = ordered[len(new) :]
    return (each for each in chain.from_iterable(zip_longest(new, tried)) if each is not None)
