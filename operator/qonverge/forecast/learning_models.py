"""Run time and peak memory of tasks on one backend by one method: parts from the analysis, factors from telemetry."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from qonverge.forecast import features
from qonverge.forecast.features import Work, WorkTable, table
from qonverge.forecast.intervals import Floats, Interval, Intervals, Prediction
from qonverge.forecast.learning import Prior, State
from qonverge.providers.figures import Figures
from qonverge.providers.installed import usual_figures

# An allocator takes smaller blocks from what it has kept (glibc: up to 32 MiB), so smaller peaks do not show.
_UNSEEN_BYTES = 32.0 * 1024**2


@dataclass(frozen=True, slots=True)
class PartsModel(ABC):
    """A figure that is a sum of parts, each known but for a factor: ``y = sum_k exp(factor_k) * part_k``.

    So what is learned from small tasks holds for large ones as far as the same part dominates, and the interval of a
    task whose parts were not seen at work yet is as wide as the prior. Its error is lognormal but for the tails.
    """

    prior: ClassVar[Prior]
    method: str
    """As in the API, such as ``Statevector``; see ``features.seconds``."""
    state: State
    figures: Figures = field(default_factory=usual_figures)
    """Of the engine."""

    @classmethod
    def cold(cls, method: str, figures: Figures | None = None) -> Self:
        """Return the model of a backend that has run nothing by this method."""
        return cls(method, State.fresh(cls.prior), figures or usual_figures())

    @abstractmethod
    def parts(self, works: WorkTable) -> Floats:
        """Return the parts of each of J tasks, shape (J, K); they depend on the method alone."""

    def predict(self, parts: Floats) -> Intervals:
        """Return the figure of each row of ``parts`` as a task of its own; backends may share the parts."""
        logs, gradients = self._explained(parts)
        return self.state.around(logs, self.state.spread(gradients))

    def predict_task(self, *pubs: Work) -> Interval:
        """Return the figure of one task."""
        return self.predict(self._joined(self.parts(table(pubs))))[0]

    def observe(self, pubs: Sequence[Work], outcome: float, at: float, promised: Interval | None = None) -> Self:
        """Return the model after a task ended.

        Args:
            pubs: what the task asked for.
            outcome: its figure as it was measured; one that is no positive number teaches nothing.
            at: when, Unix seconds.
            promised: its forecast when it was sent, where that was kept.
        """
        if not (pubs and math.isfinite(outcome) and outcome > 0):
            return self
        logs, gradients = self._explained(self._joined(self.parts(table(pubs))))
        error = math.log(outcome) - float(logs[0])
        promise = None if promised is None else Prediction.of(promised, outcome)
        return replace(self, state=self.state.learn(self.prior, gradients[0], error, at, promised=promise))

    def _joined(self, parts: Floats) -> Floats:
        """Return the parts of a task of several pubs, shape (1, K)."""
        joined: Floats = parts.sum(axis=0, keepdims=True)
        return joined

    def _explained(self, parts: Floats) -> tuple[Floats, Floats]:
        """Return the figures' logarithms (J,), and their gradients (J, K), which are the parts' shares."""
        scaled = parts * np.exp(self.state.factors)
        totals = scaled.sum(axis=1)
        return np.log(totals), scaled / totals[:, None]


@dataclass(frozen=True, slots=True)
class RunTimeModel(PartsModel):
    """Seconds that a task runs in a worker, its circuits not known there before."""

    prior = Prior.of_parts(len(features.TIME_PARTS), shared=1.0, each=0.7, noise=0.4)

    def parts(self, works: WorkTable) -> Floats:
        """Return seconds, see ``features.seconds``."""
        return features.seconds(self.method, works, self.figures)


@dataclass(frozen=True, slots=True)
class MemoryModel(PartsModel):
    """Bytes that a task takes at most, beyond what its worker had before.

    What is forecast is what will be used, for scaling and for choosing between backends. Whether a circuit may run is
    for the engine's own bound, which does not learn.
    """

    prior = Prior.of_parts(1 + len(features.MEMORY_PARTS), shared=0.3, each=0.5, noise=0.3)

    def parts(self, works: WorkTable) -> Floats:
        """Return bytes, see ``features.peak_bytes``; the first part is what an allocator hides."""
        hidden = np.full((len(works), 1), _UNSEEN_BYTES)
        return np.hstack((hidden, features.peak_bytes(self.method, works, self.figures)))

    def observe(self, pubs: Sequence[Work], outcome: float, at: float, promised: Interval | None = None) -> Self:
        """Return the model after a task whose peak was measured, bytes; 0 is a peak that the allocator hid."""
        if not outcome >= 0:
            return self
        seen = None if promised is None else promised.moved(_UNSEEN_BYTES)
        return PartsModel.observe(self, pubs, outcome + _UNSEEN_BYTES, at, seen)

    def _joined(self, parts: Floats) -> Floats:
        """Pubs run one after the other, so the largest counts."""
        return parts[[int(parts.sum(axis=1).argmax())]]

    def predict(self, parts: Floats) -> Intervals:
        """Return the peak of each row of ``parts`` as a task of its own."""
        seen = PartsModel.predict(self, parts)
        low, mid, high = (np.maximum(0.0, side - _UNSEEN_BYTES) for side in (seen.low, seen.mid, seen.high))
        return Intervals(low, mid, high)
