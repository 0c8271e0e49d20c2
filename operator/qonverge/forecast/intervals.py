"""Intervals, and how they stay honest when the world changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COVERAGE = 0.8
"""Share of outcomes that an interval should hold."""
TAIL = (1 - COVERAGE) / 2
Z_TAIL = NormalDist().inv_cdf(1 - TAIL)
"""Half an interval's width in standard deviations, where errors are normal."""

# Scores that are kept, the last ones: enough for a quantile at a tenth, few enough to follow a change.
MOST_SCORES = 96
# What errors are expected to be before any is known: so many quantiles of the normal distribution.
_ASSUMED = np.array([NormalDist().inv_cdf((index + 0.5) / 20) for index in range(20)])
# How fast a tail's level follows its misses (gamma of Gibbs & Candes), and where it stops.
_STEP = 0.02
_LEAST_LEVEL, _MOST_LEVEL = 0.004, 0.35


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure that is expected, within bounds that hold in four of five cases."""

    low: float
    mid: float
    """The median."""
    high: float

    def moved(self, by: float) -> Self:
        """Return the interval with this added, no side below 0."""
        return replace(self, low=max(0.0, self.low + by), mid=max(0.0, self.mid + by), high=max(0.0, self.high + by))


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of many figures, each array of shape (J,)."""

    low: Floats
    mid: Floats
    high: Floats

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> Self:
        """Return the same intervals as arrays."""
        sides = np.array([(each.low, each.mid, each.high) for each in intervals], dtype=np.float64)
        return cls(*sides.reshape(len(intervals), 3).T)

    def __getitem__(self, index: int) -> Interval:
        """Return one of them."""
        return Interval(float(self.low[index]), float(self.mid[index]), float(self.high[index]))

    def __len__(self) -> int:
        return len(self.mid)


@dataclass(frozen=True, slots=True, eq=False)
class JobForecasts:
    """What is forecast of one job on B backends, each of shape (B,); NaN where nothing is known."""

    fidelity: Intervals
    run_seconds: Intervals
    cost: Intervals
    """In each backend's currency, for the whole job."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How a forecast did that was made when its task was sent. Much may have been learned since."""

    error: float
    """Logarithm of the outcome less that of the median."""
    below: bool
    above: bool

    @classmethod
    def of(cls, interval: Interval, outcome: float, offset: float = 0.0) -> Self:
        """Compare; the offset is added to all before logarithms are taken."""
        error = math.log((outcome + offset) / (interval.mid + offset))
        return cls(error, below=outcome < interval.low, above=outcome > interval.high)


@dataclass(frozen=True, slots=True)
class Tails:
    """Where an interval ends on each side, in units of what the model takes for its standard deviation.

    Adaptive conformal inference (Gibbs & Candes, NeurIPS 2021, arXiv:2106.00170), on each tail by itself: the ends are
    quantiles of the last scores, and the level of each quantile moves with its misses, so that the share of misses
    comes to what it should be whatever the errors' distribution, and again after it changed.
    """

    scores: tuple[float, ...] = ()
    """Errors of past forecasts in standard deviations, the oldest first; each from before its outcome was learned."""
    low_level: float = TAIL
    high_level: float = TAIL

    def ends(self) -> tuple[float, float]:
        """Return the lower and the upper end in standard deviations, the median between them.

        Where all errors of late were on one side, the model is about to follow, and the other end is the median.
        """
        assumed = _ASSUMED[:: 1 + len(self.scores) // 16] if len(self.scores) < 64 else _ASSUMED[:0]
        known = np.sort(np.concatenate((assumed, self.scores)))
        places = np.array((self.low_level, 1 - self.high_level)) * (len(known) + 1) - 1
        low, high = np.interp(places, np.arange(len(known)), known).tolist()
        return min(low, 0.0), max(high, 0.0)

    def learn(self, score: float, promised: Prediction | None = None) -> Self:
        """Return the tails after one more outcome; without a promise it is judged by the ends as they are."""
        if promised is None:
            low, high = self.ends()
            promised = Prediction(score, below=score < low, above=score > high)
        return replace(
            self,
            scores=(*self.scores, score)[-MOST_SCORES:],
            low_level=_moved(self.low_level, missed=promised.below),
            high_level=_moved(self.high_level, missed=promised.above),
        )

    def without_last(self, count: int) -> Self:
        """Return the tails without the scores of so many last outcomes, which a change of the world made."""
        return replace(self, scores=self.scores[: max(0, len(self.scores) - count)])


def _moved(level: float, *, missed: bool) -> float:
    return min(_MOST_LEVEL, max(_LEAST_LEVEL, level + _STEP * (TAIL - missed)))
