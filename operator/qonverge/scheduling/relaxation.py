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

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.objective import Problem, Sequences

_SMALLEST_WEIGHT = 1e-12
_FORBIDDEN = 1e9
_GOLDEN = 0.6180339887498949
_ENOUGH = 0.01
"""Relative gap at which the relaxation is good enough."""
_STEPS = 40
_LARGE = 200_000
"""Pairs of job and backend beyond which half of the steps must do: the assignment is as good, the bound is not."""
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
        self._lanes = problem.lanes
        self._workers = np.array([lanes.workers for lanes in problem.lanes], dtype=np.float64)[:, None]
        first = np.array([lanes.first for lanes in problem.lanes])[:, None]
        mean = np.array([lanes.mean for lanes in problem.lanes])[:, None]
        self._weight = weight
        self._work = run * problem.slots
        # Finite, so that what may not go somewhere has a product with a share of 0 there.
        static = np.nan_to_num(np.ascontiguousarray(problem.static.T), posinf=_FORBIDDEN)
        free_of_order = static + 0.5 * weight * run
        self._lowest = free_of_order + weight * first + problem.lateness * (first + run > problem.due)
        self._base = free_of_order + weight * mean + problem.lateness * (mean + run > problem.due)
        self._ratio = self._work / weight
        self.order: NDArray[np.intp] = np.argsort(self._ratio, axis=1, kind="stable")
        self._place = np.argsort(self.order, axis=1, kind="stable")
        self._sorted_work = np.take_along_axis(self._work, self.order, axis=1)
        self._sorted_weight = weight[self.order]

    def crowding(self, share: Floats) -> Floats:
        """Return ``D @ share / workers`` for every backend: what the others there cost each job, and it them."""
        sorted_share = np.take_along_axis(share, self.order, axis=1)
        ahead = np.cumsum(sorted_share * self._sorted_work, axis=1)
        behind = np.cumsum(sorted_share * self._sorted_weight, axis=1)
        ahead *= self._sorted_weight
        np.subtract(behind[:, -1:].copy(), behind, out=behind)
        behind *= self._sorted_work
        ahead += behind
        ahead /= self._workers
        crowding: Floats = np.take_along_axis(ahead, self._place, axis=1)
        return crowding

    def solve(self) -> tuple[NDArray[np.intp], float]:
        """Return a backend for each job, and a lower bound on the objective of any assignment."""
        share = self._spread()
        crowding = self.crowding(share)
        bound = self._bound(share, crowding)
        for _ in range(_STEPS if self._base.size <= _LARGE else _STEPS // 2):
            gradient = self._base + crowding
            best = np.argmin(gradient, axis=0)
            linear = float(gradient[best, self._columns].sum() - _dot(gradient, share))
            value = _dot(gradient, share) - 0.5 * _dot(crowding, share)
            if -linear <= _ENOUGH * abs(value):
                break
            target = self._one_hot(best)
            change = self.crowding(target)
            change -= crowding
            target -= share
            curvature = _dot(target, change)
            length = 1.0 if curvature <= 0 else min(1.0, -linear / curvature)
            share += length * target
            crowding += length * change
        bound = max(bound, self._bound(share, crowding))
        # Jobs that are alike have like shares: the largest of each would send all to one backend.
        drawn = np.argmax(np.cumsum(share, axis=0) >= self._columns * _GOLDEN % 1.0 * (1 - 1e-9), axis=0)
        return self._improve(min((np.argmax(share, axis=0), drawn), key=self._value)), bound

    def _spread(self) -> Floats:
        """Return shares by speed over all backends that a job may go to."""
        speed = np.where(self._base < _FORBIDDEN / 2, self._workers / np.maximum(self._work, 1e-9), 0.0)
        share: Floats = speed / speed.sum(axis=0)
        return share

    def _value(self, choice: NDArray[np.intp]) -> float:
        """Return the relaxed objective of an assignment."""
        here = choice, self._columns
        return float(self._base[here].sum() + 0.5 * self.crowding(self._one_hot(choice))[here].sum())

    def _bound(self, share: Floats, crowding: Floats) -> float:
        """Return the least value over all assignments of a tangent, which a convex function is never below."""
        tangent = self._lowest + crowding
        constant = -0.5 * _dot(share, crowding)
        for backend, lanes in enumerate(self._lanes):
            unequal = self._unequal(backend, lanes, share[backend])
            if unequal is not None:
                tangent[backend] += unequal[0]
                constant += unequal[1]
        return float(tangent.min(axis=0).sum()) + constant

    def _unequal(self, backend: int, lanes: Lanes, share: Floats) -> tuple[Floats, float] | None:
        """Return what workers that are free later than the first add to the bound: for each job, and in all.

        The time until a worker is free is a job of its own whose end is known. With a weight of that time over ``r``,
        for any ``r``, it adds its crowding to the others and takes away what it costs itself.
        """
        later = np.array(lanes.times) - lanes.first
        if lanes.has_gaps or not later.any() or not share.any():
            return None
        spread = float(later.var()) * len(later) / 2
        ratio, work = self._ratio[backend], self._work[backend]
        options = []
        for r in np.quantile(ratio[share > 0], (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)):
            if r > 0:
                each = float(later.mean()) * np.minimum(self._weight, work / r)
                options.append((_dot(each, share) - spread / r, each, -spread / r))
        best = max(options, key=lambda option: option[0], default=None)
        return None if best is None or best[0] <= 0 else best[1:]

    def _one_hot(self, choice: NDArray[np.intp]) -> Floats:
        share: Floats = np.zeros_like(self._base)
        share[choice, self._columns] = 1.0
        return share

    def _improve(self, choice: NDArray[np.intp]) -> NDArray[np.intp]:
        """Move jobs to where they cost least as the others are, a few per backend at once, while that helps."""
        backends = len(self._base)
        at_once = max(1, self._size // (8 * backends))
        own = self._work * self._weight / (2 * self._workers)
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


def _dot(one: Floats, other: Floats) -> float:
    """Return the sum of products, without BLAS: its threads would wait for each other where cores are shared."""
    return float(np.einsum("i,i->" if one.ndim == 1 else "ij,ij->", one, other))


def _rank(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many earlier elements are of the same group, for each element."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(groups)])
    rank = np.empty(len(groups), dtype=np.intp)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return rank
