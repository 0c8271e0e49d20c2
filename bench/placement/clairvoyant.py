"""A schedule of one who knows everything beforehand, found by search: it can be reached, and the bound perhaps not.

Simulated annealing (Kirkpatrick, Gelatt and Vecchi, Science 220 (1983) 671) over the order of jobs on each device: a
job is put beside another one that came at about the same time, or changes places with it. On a device every job starts
when it has come and the one before it has ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.placement.bound import Work
from bench.placement.front import Point
from bench.placement.world import STEP

_MOVES = 600
"""For each job."""
_HOT, _COLD = 3.0, 0.03
"""Temperatures from first to last, seconds of the sum over all jobs."""
_SWAPS = 0.5
"""Share of moves by which two jobs change places."""
_ENOUGH = 1e-6
"""Gains that count: sums go wrong by less."""
_NEAR = 30
"""Jobs that came so many before or after may be neighbours."""


@dataclass(frozen=True, slots=True)
class _Device:
    """Jobs in order, and what they take and give."""

    jobs: Sequence[int]
    cost: float = 0.0
    completion: float = 0.0
    fidelity: float = 0.0


class Search:
    """Schedules of some work."""

    def __init__(self, work: Work, worth: float, seed: int = 0) -> None:
        """``worth`` is what all of a job's fidelity counts, seconds."""
        self._worth = worth
        self._arrivals: list[float] = work.arrivals.tolist()
        self._run: list[list[float]] = work.run.tolist()
        self._fidelity: list[list[list[float]]] = work.fidelity.tolist()
        self._fits = [np.flatnonzero(row).tolist() for row in np.isfinite(work.run)]
        self._last = work.fidelity.shape[2] - 1
        self._random = np.random.default_rng(seed)

    def best(self) -> Point:
        """Return what the schedule takes and gives that is best of those found, in the mean over jobs."""
        count = len(self._arrivals)
        devices = self._start()
        steps = _MOVES * count
        cooling = (_COLD / _HOT) ** (1 / steps)
        temperature = _HOT
        best, least = list(devices), sum(device.cost for device in devices)
        cost = least
        draws = self._random.random((steps, 4))
        for first, near, move, luck in draws.tolist():
            job = int(first * count)
            beside = min(max(job + int((2 * near - 1) * (_NEAR + 1)), 0), count - 1)
            cost += self._try(devices, job, beside, move, -temperature * math.log(max(luck, 1e-300)))
            if cost < least - _ENOUGH:
                least, best = cost, list(devices)
            temperature *= cooling
        return Point(sum(device.completion for device in best) / count, sum(device.fidelity for device in best) / count)

    def _start(self) -> list[_Device]:
        """Return each job, when it comes, where it costs least behind those before it."""
        devices = [_Device([]) for _ in self._run[0]]
        self._where = [0] * len(self._arrivals)
        for job in range(len(self._arrivals)):
            options = [(self._device(where, [*devices[where].jobs, job]), where) for where in self._fits[job]]
            made, where = min(options, key=lambda option: option[0].cost - devices[option[1]].cost)
            devices[where], self._where[job] = made, where
        return devices

    def _try(self, devices: list[_Device], job: int, beside: int, move: float, allowed: float) -> float:
        """Put the job beside another one, or let both change places, unless that costs more than is allowed.

        Return what it costs.
        """
        source, target = self._where[job], self._where[beside]
        if job == beside or target not in self._fits[job]:
            return 0.0
        swaps = move < _SWAPS and source in self._fits[beside]
        rest = [other for other in devices[source].jobs if other != job]
        there = rest if source == target else devices[target].jobs
        place = there.index(beside)
        if swaps and source != target:
            here = devices[source].jobs.index(job)
            left = self._device(source, [*rest[:here], beside, *rest[here:]])
            put = self._device(target, [*there[:place], job, *there[place + 1 :]])
        else:
            place += move > (1 + _SWAPS) / 2
            put = self._device(target, [*there[:place], job, *there[place:]])
            left = put if source == target else self._device(source, rest)
        before = devices[target].cost + (0.0 if source == target else devices[source].cost)
        after = put.cost + (0.0 if source == target else left.cost)
        if after - before > allowed:
            return 0.0
        devices[source], devices[target] = left, put
        self._where[job] = target
        if swaps:
            self._where[beside] = source
        return after - before

    def _device(self, where: int, jobs: Sequence[int]) -> _Device:
        arrivals, run, fidelity, last = self._arrivals, self._run, self._fidelity, self._last
        free = completion = gained = 0.0
        for job in jobs:
            came = arrivals[job]
            start = came if came > free else free
            step = int(start / STEP)
            gained += fidelity[job][where][step if step < last else last]
            free = start + run[job][where]
            completion += free - came
        return _Device(list(jobs), completion - self._worth * gained, completion, gained)
