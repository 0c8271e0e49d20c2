"""What an assignment costs: the one definition for solvers, their bound and the exhaustive search of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import numpy as np
from numpy.typing import NDArray

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.lanes import Lanes

Sequences = list[list[int]]
"""For each backend its jobs, in the order in which they are put on its workers."""
Work = tuple[float, float, int, float, float]
"""Static cost, run seconds, slots, weight of a second, due seconds: of one job on one backend."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """An assignment to find: n jobs, B backends.

    The objective is, over all jobs, ``static[i, b] + weight[i] * C[i]``, and ``lateness`` for each with
    ``C[i] > due[i]``, where ``b`` is the job's backend and ``C[i]`` the time at which it ends there: the start that the
    backend's lanes give when its jobs are put on them in sequence, and the run time.
    """

    static: Floats
    """(n, B): what does not depend on time; infinite where the job may not go."""
    run: Floats
    """(n, B), seconds."""
    slots: NDArray[np.intp]
    """(n,)"""
    weight: Floats
    """(n,), per second."""
    due: Floats
    """(n,), seconds from now; infinite without a deadline."""
    lateness: float
    lanes: tuple[Lanes, ...]
    """One per backend, as they are before these jobs."""

    @property
    def shape(self) -> tuple[int, int]:
        """Jobs and backends."""
        jobs, backends = self.static.shape
        return jobs, backends

    def works(self, backend: int, jobs: Sequence[int]) -> list[Work]:
        """Return these jobs as work on the backend."""
        which = np.asarray(jobs, dtype=np.intp)
        return list(
            zip(
                self.static[which, backend].tolist(),
                self.run[which, backend].tolist(),
                self.slots[which].tolist(),
                self.weight[which].tolist(),
                self.due[which].tolist(),
                strict=True,
            )
        )


def sequence_cost(lanes: Lanes, works: Sequence[Work], lateness: float) -> float:
    """Return what works cost that are put on a backend's lanes in this order; the lanes stay as they are."""
    if lanes.has_gaps:
        return _cost_between_gaps(lanes, works, lateness)
    # Most of a round's time goes here. Without gaps, and with works of one worker each, the next free worker is all
    # that matters; times that are sorted are a heap.
    free = list(lanes.times)
    total = 0.0
    for static, run, slots, weight, due in works:
        if slots != 1:
            return _cost_between_gaps(lanes, works, lateness)
        end = free[0] + run
        heapreplace(free, end)
        total += static + weight * end
        if end > due:
            total += lateness
    return total


def _cost_between_gaps(lanes: Lanes, works: Sequence[Work], lateness: float) -> float:
    lanes = lanes.copy()
    total = 0.0
    for static, run, slots, weight, due in works:
        end = lanes.put(run, slots) + run
        total += static + weight * end
        if end > due:
            total += lateness
    return total


def objective(problem: Problem, sequences: Sequences) -> float:
    """Return the objective of an assignment."""
    return sum(
        sequence_cost(problem.lanes[backend], problem.works(backend, jobs), problem.lateness)
        for backend, jobs in enumerate(sequences)
        if jobs
    )
