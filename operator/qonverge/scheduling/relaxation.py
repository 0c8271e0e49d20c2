"""A convex relaxation of the assignment: for rounds of thousands of jobs, and for a bound on what is best.

On one machine the weighted sum of completion times, with the best order, is ``x'Dx / 2 + sum(D[i, i] * x[i]) / 2`` for
a binary ``x``, where ``D[i, j] = min(v[i] * p[j], v[j] * p[i])`` is positive semidefinite (Skutella, J. ACM 48 (2001)
206). Several machines have at least a share of it (Eastman, Even and Isaacs, Management Science 11 (1964) 268; with
jobs that take several at once: Turek et al., SPAA 1994, 200). So the objective is bounded from below by a convex
quadratic function of how much of each job goes where, which Frank and Wolfe's method minimises: a step needs one sort
order per backend, made once, and sums along it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qonverge.scheduling.estimates import Floats
from qonverge.scheduling.objective import Problem, Sequences

_SMALLEST_WEIGHT = 1e-12
_ENOUGH = 0.005
"""Relative gap at which the relaxation is good enough."""
_STEPS = 40
_MOVES = 24


class Relaxation:
    """The relaxed problem; arrays are (backends, jobs) here, so that sums run along memory."""

    def __init__(self, problem: Problem) -> None:
        """Sort each backend's jobs by Smith's ratio."""
        jobs = len(problem.static)
        weight = np.maximum(problem.weight, _SMALLEST_WEIGHT)
        self._size = jobs
        self._columns = np.arange(jobs)
        run = np.ascontiguousarray(problem.run.T)
        self._workers = np.array([lanes.workers for lanes in problem.lanes], dtype=np.float64)[:, None]
        first = np.array([lanes.first for lanes in problem.lanes])[:, None]
        mean = np.array([lanes.mean for lanes in problem.lanes])[:, None]
        work = run * problem.slots
        surely_late = problem.lateness * (first + run > problem.due)
        free_of_order = np.ascontiguousarray(problem.static.T) + 0.5 * weight * run
        self._lowest = free_of_order + weight * first + surely_late
        self._base = free_of_order + weight * mean + problem.lateness * (mean + run > problem.due)
        self._self = work * weight
        self.order: NDArray[np.intp] = np.argsort(work / weight, axis=1, kind="stable")
        self._sorted_work = np.take_along_axis(work, self.order, axis=1)
        self._sorted_weight = weight[self.order]

    def crowding(self, share: Floats) -> Floats:
        """Return ``D @ share / workers`` for every backend: what the others there cost each job, and it them."""
        sorted_share = np.take_along_axis(share, self.order, axis=1)
        ahead = np.cumsum(sorted_share * self._sorted_work, axis=1)
        behind = np.cumsum(sorted_share * self._sorted_weight, axis=1)
        values = self._sorted_weight * ahead + self._sorted_work * (behind[:, -1:] - behind)
        values /= self._workers
        result: Floats = np.empty_like(values)
        np.put_along_axis(result, self.order, values, axis=1)
        return result

    def solve(self) -> tuple[NDArray[np.intp], float]:
        """Return a backend for each job, and a lower bound on the objective of any assignment."""
        choice = np.argmin(self._base, axis=0)
        share = self._one_hot(choice)
        crowding = self.crowding(share)
        for _ in range(_STEPS):
            gradient = self._base + crowding
            best = np.argmin(gradient, axis=0)
            allowed = share > 0
            linear = float(gradient[best, self._columns].sum() - (gradient[allowed] * share[allowed]).sum())
            value = float(((self._base[allowed] + 0.5 * crowding[allowed]) * share[allowed]).sum())
            if -linear <= _ENOUGH * abs(value):
                break
            target = self._one_hot(best)
            there = self.crowding(target)
            step = target - share
            curvature = float((step * (there - crowding)).sum())
            length = 1.0 if curvature <= 0 else min(1.0, -linear / curvature)
            share += length * step
            crowding += length * (there - crowding)
        return self._improve(np.argmax(share, axis=0)), self._bound(share, crowding)

    def _bound(self, share: Floats, crowding: Floats) -> float:
        # A convex function is above each of its tangents; the least value of this one over all assignments is that
        # of taking the cheapest backend for each job.
        tangent = self._lowest + crowding
        return float(tangent.min(axis=0).sum() - 0.5 * (share * crowding).sum())

    def _one_hot(self, choice: NDArray[np.intp]) -> Floats:
        share: Floats = np.zeros_like(self._base)
        share[choice, self._columns] = 1.0
        return share

    def _improve(self, choice: NDArray[np.intp]) -> NDArray[np.intp]:
        """Move jobs to where they cost least as the others are, a few per backend at once, while that helps."""
        backends = len(self._base)
        at_once = max(1, self._size // (8 * backends))
        own = self._self / (2 * self._workers)
        best_value, best_choice = np.inf, choice
        for _ in range(_MOVES):
            share = self._one_hot(choice)
            crowding = self.crowding(share)
            here = choice, self._columns
            value = float(self._base[here].sum() + 0.5 * crowding[here].sum())
            if value < best_value:
                best_value, best_choice = value, choice
            elif at_once == 1:
                break
            else:
                at_once = max(1, at_once // 2)
                choice = best_choice
                continue
            marginal = self._base + crowding + own
            marginal[here] -= 2 * own[here]
            target = np.argmin(marginal, axis=0)
            gain = marginal[here] - marginal[target, self._columns]
            movers = np.flatnonzero(gain > 1e-9 * max(1.0, abs(value)) / self._size)
            if not movers.size:
                break
            movers = movers[np.argsort(-gain[movers], kind="stable")]
            movers = movers[(_rank(target[movers]) < at_once) & (_rank(choice[movers]) < at_once)]
            choice = choice.copy()
            choice[movers] = target[movers]
        return best_choice

    def sequences(self, choice: NDArray[np.intp]) -> Sequences:
        """Return each backend's jobs in Smith's order."""
        return [order[choice[order] == backend].tolist() for backend, order in enumerate(self.order)]


def _rank(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many earlier elements are of the same group, for each element."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(groups)])
    rank = np.empty(len(groups), dtype=np.intp)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return rank
