"""How long jobs wait beside what a plan expects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from qonverge.forecast.intervals import Interval, Prediction
from qonverge.forecast.learning import Prior, State

_OFFSET = 1.0
"""Seconds that are added to all waits before logarithms are taken: shorter ones are as good as none."""
_PRIOR = Prior(np.array([[0.3**2]]), 0.7, np.ones(1))
"""A plan's waits change with every job that comes, so that they are far less certain than those of a queue."""


@dataclass(frozen=True, slots=True)
class PlannedWaits:
    """Corrects planned waits by those of all jobs that have started.

    The operator's model of a queue learns from one of the jobs that wait together, since it knows their common order.
    Jobs of a plan overtake each other, so that the one that starts first, and teaches, has waited less than the rest.
    """

    state: State

    @classmethod
    def cold(cls) -> Self:
        """Return the model before any job has started."""
        return cls(State.fresh(_PRIOR))

    def predict(self, planned: float) -> Interval:
        """Return the wait of a job that the plan lets wait so long, seconds; none where it is to start at once."""
        if planned <= 0:
            return Interval(0.0, 0.0, 0.0)
        logs = np.log([planned + _OFFSET]) + self.state.factors
        return self.state.around(logs, self.state.spread(np.ones((1, 1))))[0].moved(-_OFFSET)

    def observe(self, planned: float, promised: Interval, at: float, waited: float) -> Self:
        """Return the model after a job has started."""
        if planned <= 0:
            return self
        error = math.log((waited + _OFFSET) / (planned + _OFFSET)) - float(self.state.factors[0])
        promise = Prediction.of(promised, waited, _OFFSET)
        return replace(self, state=self.state.learn(_PRIOR, np.ones(1), error, at, promised=promise))
