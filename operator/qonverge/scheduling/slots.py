"""Slots of backends for programs: each rank holds one from its start to its end, whatever it asks meanwhile.

A program has one rank, unless it is parallel. Of a backend that has fewer slots than ranks it takes all.
"""

from __future__ import annotations

from collections.abc import Sequence

from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.model import Backend, Job

USUAL_PROGRAM_SECONDS = 60.0
"""How long a program of which nothing is known is taken to run."""


class Slots:
    """When slots of the backends are free, as programs are put on them."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        """Begin as the backends are now."""
        self._lanes = [None if each.slot_seconds is None else Lanes(each.slot_seconds) for each in backends]
        self._waiting = [0] * len(backends)

    def limited(self, job: Job) -> bool:
        """Return whether the job is a program that needs a slot somewhere."""
        return job.needs is None and any(lanes is not None for lanes in self._lanes)

    def start(self, job: Job, backend: int, part: int = 0) -> float:
        """Return when slots are free for a part of the job, seconds from now; 0 where it needs none."""
        lanes, ranks = self._lanes[backend], job.ranks_of(part)
        return 0.0 if ranks == 0 or lanes is None else lanes.start(_length(job), min(ranks, lanes.workers))

    def put(self, job: Job, backend: int, part: int = 0) -> int:
        """Give a part of a program its slots, and return its place among those that wait for some, from 1.

        It is 0 where they are free.
        """
        lanes, ranks = self._lanes[backend], job.ranks_of(part)
        if ranks == 0 or lanes is None or lanes.put(_length(job), min(ranks, lanes.workers)) <= 0:
            return 0
        self._waiting[backend] += 1
        return self._waiting[backend]

    def waiting(self, backend: int) -> int:
        """Return how many programs of this round wait for a slot of the backend."""
        return self._waiting[backend]


def _length(job: Job) -> float:
    return USUAL_PROGRAM_SECONDS if job.program_seconds is None else job.program_seconds
