"""How long a new task waits on a backend: from what is ahead of it, and from how long tasks did wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np

from qonverge.forecast.intervals import TAIL, Z_TAIL, Floats, Interval, Intervals, Prediction
from qonverge.forecast.learning import Prior, State

_SAMPLES = 128
# Tasks at the end of the queue that are laid out one by one; those before them fill the workers evenly.
_LAID_OUT = 64
# Share of the variance of a run time's error that all tasks of a backend have in common.
_COMMON = 0.15
_NORMAL = NormalDist()
_GRID = np.array([_NORMAL.inv_cdf((index + 0.5) / _SAMPLES) for index in range(_SAMPLES)])
_PLACES = np.linspace(_GRID[0], _GRID[-1], 15)
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Running:
    """A task that runs."""

    forecast: Interval
    """Of its whole run time, seconds."""
    elapsed: float
    """Seconds that it has run."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What is ahead of a new task on a backend that takes tasks in the order in which they came."""

    workers: int
    """Tasks that run at once, in all pods; at least 1."""
    running: tuple[Running, ...] = ()
    waiting: tuple[Interval, ...] = ()
    """Forecast run times of the tasks that wait, seconds, the first to run first."""
    ready_in: float = 0.0
    """Seconds until the workers are there, where pods are still to start."""


def expected_wait(queue: Queue) -> Interval:
    """Return the seconds until a new task starts, if the run times are as forecast.

    Run times are lognormal with the intervals that are given; those of running tasks are conditional on what they have
    run already. A task takes the first worker that is free. The distribution is that of fixed quasi-random samples, so
    the same queue has the same forecast.

    Raises:
        ValueError: there are no workers.
    """
    if queue.workers < 1:
        raise ValueError(f"a queue with {queue.workers} workers never moves: ask when at least one is to start")
    if len(queue.running) + len(queue.waiting) < queue.workers:
        return Interval(queue.ready_in, queue.ready_in, queue.ready_in)
    random = np.random.default_rng(0)
    common = math.sqrt(_COMMON) * random.permutation(_GRID)
    free = np.full((_SAMPLES, max(queue.workers, len(queue.running))), queue.ready_in)
    for index, running in enumerate(queue.running):
        free[:, index] = np.maximum(queue.ready_in, _remaining(running, random))
    # More may run than there are workers, when pods are about to go: the last to end are theirs.
    free = np.sort(free, axis=1)[:, -queue.workers :] if free.shape[1] > queue.workers else free
    cut = max(0, len(queue.waiting) - _LAID_OUT)
    if cut:
        _fill(free, _total(queue.waiting[:cut], common, random))
    rows = np.arange(_SAMPLES)
    for task in queue.waiting[cut:]:
        free[rows, free.argmin(axis=1)] += _times(task, common, random)
    low, mid, high = np.quantile(free.min(axis=1), (TAIL, 0.5, 1 - TAIL)).tolist()
    return Interval(low, mid, high)


def _logs(task: Interval) -> tuple[float, float]:
    """Return the mean and the deviation of the run time's logarithm."""
    mid = max(task.mid, 1e-6)
    return math.log(mid), math.log(max(task.high, mid) / max(min(task.low, mid), 1e-9)) / (2 * Z_TAIL)


def _times(task: Interval, common: Floats, random: np.random.Generator) -> Floats:
    mean, deviation = _logs(task)
    own = math.sqrt(1 - _COMMON) * random.permutation(_GRID)
    return np.exp(mean + deviation * (common + own))


def _remaining(task: Running, random: np.random.Generator) -> Floats:
    """Return samples of what is left of the run time, given that it is longer than what has passed."""
    mean, deviation = _logs(task.forecast)
    if task.elapsed <= 0 or deviation <= 0:
        left = np.maximum(0.0, np.exp(mean + deviation * _GRID) - task.elapsed)
        return np.asarray(random.permutation(left))
    # The share of run times that are longer still; a task far beyond its forecast is as far out as floats go.
    beyond = max(1e-300, _NORMAL.cdf(-(math.log(task.elapsed) - mean) / deviation))
    places = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    ends = np.array([-_NORMAL.inv_cdf(max(1e-300, beyond * place)) for place in places.tolist()])
    left = np.maximum(0.0, np.exp(mean + deviation * ends) - task.elapsed)
    return np.asarray(random.permutation(left))


def _total(tasks: Sequence[Interval], common: Floats, random: np.random.Generator) -> Floats:
    """Return samples of the sum of run times, as many as there are: its mean and variance given the common error."""
    means, deviations = np.array([_logs(task) for task in tasks]).T
    own = (1 - _COMMON) * deviations**2
    # Both are smooth in the common error, so a few places are enough.
    each = np.exp(means[:, None] + deviations[:, None] * _PLACES + own[:, None] / 2)
    total = np.interp(common, _PLACES, each.sum(axis=0))
    deviation = np.interp(common, _PLACES, np.sqrt((each**2 * np.expm1(own)[:, None]).sum(axis=0)))
    return np.asarray(np.maximum(0.0, total + deviation * random.permutation(_GRID)))


def _fill(free: Floats, work: Floats) -> None:
    """Give the work to the workers that are free first, in place, as if it could be divided at will."""
    free.sort(axis=1)
    workers = free.shape[1]
    # What it takes to bring the first 1, 2, ... workers to the same time.
    needed = np.arange(1, workers + 1) * free - np.cumsum(free, axis=1)
    sharing = (needed <= work[:, None]).sum(axis=1)
    filled = np.cumsum(free, axis=1)[np.arange(len(free)), sharing - 1]
    level = (work + filled) / sharing
    np.maximum(free, level[:, None], out=free)


# An outcome is learned as its ratio to what was expected, both longer by this, seconds: what passes between two tasks
# anyway, and for a queue that others share a time that nobody minds.
_OWN_OFFSET = 0.02
_SHARED_OFFSET = 30.0


@dataclass(frozen=True, slots=True)
class QueueModel:
    """Corrects the expected wait by what tasks waited: a factor, and how it goes with the time of day."""

    shared: bool
    """Whether others send tasks that are not seen, as to a device in a cloud."""
    state: State

    @classmethod
    def cold(cls, *, shared: bool) -> Self:
        """Return the model of a queue in which nothing has waited yet."""
        return cls(shared, State.fresh(_prior(shared)))

    def predict(self, expected: Interval, at: float) -> Interval:
        """Return the wait of a task that is sent now.

        Args:
            expected: see ``expected_wait``; zeros where nothing is known of the queue.
            at: when it is sent, Unix seconds.
        """
        if self._certain(expected):
            return expected
        log, gradient, known = self._explained(expected, at)
        deviations = self.state.spread(gradient[None, :], known)
        wide: Intervals = self.state.around(np.array([log]), deviations)
        return wide[0].moved(-self._offset)

    def observe(self, expected: Interval, promised: Interval, sent: float, waited: float) -> Self:
        """Return the model after a task started.

        Tasks that wait together wait for the same ones, so their errors are one error. Only one of them teaches: a task
        that was sent after the last one that taught had started.

        Args:
            expected: what ``expected_wait`` was when it was sent.
            promised: what ``predict`` was then.
            sent: when, Unix seconds.
            waited: seconds; what is no number from 0 on teaches nothing, nor does a task that found a free worker.
        """
        if not 0 <= waited < math.inf or self._certain(expected) or sent < self.state.updated:
            return self
        log, gradient, known = self._explained(expected, sent)
        error = math.log(waited + self._offset) - log
        promise = Prediction.of(promised, waited, self._offset)
        prior = _prior(self.shared)
        state = self.state.learn(prior, gradient, error, sent + waited, more=known, promised=promise)
        return replace(self, state=state)

    @property
    def _offset(self) -> float:
        return _SHARED_OFFSET if self.shared else _OWN_OFFSET

    def _certain(self, expected: Interval) -> bool:
        """Whether a worker of a queue of our own is free, so that there is nothing to correct."""
        return not self.shared and expected.high <= 0

    def _explained(self, expected: Interval, at: float) -> tuple[float, Floats, float]:
        """Return the median's logarithm with the offset, its gradient (3,), and the deviation of what is ahead."""
        angle = 2 * math.pi * (at % _DAY) / _DAY
        gradient = np.array([1.0, math.cos(angle), math.sin(angle)])
        low, mid, high = (side + self._offset for side in (expected.low, expected.mid, expected.high))
        return math.log(mid) + float(gradient @ self.state.factors), gradient, math.log(high / low) / (2 * Z_TAIL)


def _prior(shared: bool) -> Prior:
    """Return what is believed of a queue: that what is ahead is what matters, or that others are there all day."""
    bias, daily, noise = (2.0, 0.5, 0.8) if shared else (0.3, 0.05, 0.1)
    return Prior(np.diag([bias**2, daily**2, daily**2]), noise, np.array([1.0, 0.0, 0.0]))
