"""How much better or worse a device is than its calibration says, learned from what its circuits gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from qonverge.forecast.fidelity import LEAST
from qonverge.forecast.intervals import Z_TAIL, Floats, Interval, Intervals, Prediction, Tails
from qonverge.forecast.learning import Prior, State
from qonverge.forecast.observed import Observed

# Deviations of the logarithm of a factor on errors: what forecasts miss of a device whatever its calibration says, how
# far the device drifts from it, and what is left from circuit to circuit. Set on the tuning half of bench.placement.
_LASTING, _DRIFT, _NOISE = 0.12, 0.15, 0.2
# What shots leave more uncertain than this teaches nothing: logarithms of such figures are biased.
_MOST_UNCERTAIN = 0.5
_LEAST_FIDELITY = 1e-6
_LEAST_SIDE = 1e-3
_USUAL_ENDS = Tails().ends()


@dataclass(frozen=True, slots=True)
class FidelityModel:
    """Forecasts F = exp(-D) of one device become exp(-f D): errors that grow by f make a power of the fidelity.

    So where F is near 1, f is a factor on the infidelity. It has two parts, what lasts and what has come since the
    calibration; a new one takes back the second. Errors are those of log(D + least), so that factors on next to nothing
    do not count. Before anything is seen, forecasts and their intervals are those that are given; then both sides grow
    and shrink with the errors that are seen beyond them.
    """

    prior: ClassVar[Prior] = Prior(np.diag([_LASTING**2, _DRIFT**2]), _NOISE, np.array([0.0, 1.0]))
    calibration: str
    """Digest of the one on which the forecasts rest."""
    state: State

    @classmethod
    def cold(cls, calibration: str) -> Self:
        """Return the model of a device that has run nothing."""
        return cls(calibration, State.fresh(cls.prior))

    def on(self, calibration: str) -> Self:
        """Return the model after a calibration: nothing is known of the drift since."""
        if calibration == self.calibration:
            return self
        state = self.state
        covariance = np.diag(self.prior.covariance.diagonal())
        covariance[0, 0] = state.covariance[0, 0]
        factors = np.array([state.factors[0], 0.0])
        renewed = replace(state, factors=factors, covariance=covariance, rise=0.0, fall=0.0, since=0)
        return replace(self, calibration=calibration, state=renewed)

    def predict(self, given: Intervals, like_seen: NDArray[np.bool_] | bool = True) -> Intervals:
        """Return forecasts as experience corrects them.

        Args:
            given: by the calibration.
            like_seen: whether each is of the kind that outcomes are compared with. Errors of others may be larger, so
                that their intervals do not become narrower.
        """
        logs, gradients = self._explained(given.mid)
        deviations = self.state.spread(gradients)
        usual = State.fresh(self.prior).spread(gradients)
        (low, high), (usual_low, usual_high) = self.state.tails.ends(), _USUAL_ENDS
        better, worse = (
            np.where(like_seen, scale, np.maximum(1.0, scale))
            for scale in (low * deviations / (usual_low * usual), high * deviations / (usual_high * usual))
        )
        before = _log(given.mid)
        best = _fidelity(logs - better * (before - _log(given.high)))
        worst = _fidelity(logs + worse * (_log(given.low) - before))
        # An interval that reaches an end of what is possible does so whatever is known of errors.
        return Intervals(np.where(given.low <= 0, 0.0, worst), _fidelity(logs), np.where(given.high >= 1, 1.0, best))

    def predict_one(self, given: Interval, *, like_seen: bool = True) -> Interval:
        """Return one forecast, see ``predict``."""
        return self.predict(_of(given), like_seen)[0]

    def observe(self, given: Interval, seen: Observed, at: float, promised: Interval | None = None) -> Self:
        """Return the model after a circuit ran.

        Args:
            given: its forecast by the calibration.
            seen: what it gave.
            at: when, Unix seconds.
            promised: its forecast as it was corrected when it was sent, where that was kept.
        """
        intervals = _of(given)
        (log,), gradients = self._explained(intervals.mid)
        expected = float(_fidelity(np.array([log]))[0])
        uncertain = seen.error / (expected * float(np.exp(log)))
        if not uncertain <= _MOST_UNCERTAIN:
            return self
        outcome = float(_log(np.array([seen.fidelity]))[0])
        told = self.predict(intervals) if promised is None else _of(promised)
        promise = self._judged(intervals, told, outcome, uncertain)
        error = outcome - float(log)
        return replace(
            self, state=self.state.learn(self.prior, gradients[0], error, at, more=uncertain, promised=promise)
        )

    def _judged(self, given: Intervals, told: Intervals, outcome: float, uncertain: float) -> Prediction:
        """Return how a forecast did, by an outcome's logarithm that shots leave so uncertain."""
        best, middle, worst = (float(_log(side)[0]) for side in (told.high, told.mid, told.low))
        error = outcome - middle
        # A miss must be one beyond what shots alone do.
        more = Z_TAIL * uncertain
        below = error < -np.hypot(middle - best, more)
        above = error > np.hypot(worst - middle, more)
        # Both sides in the same units, that of the deviation: the study found one longer than the other.
        _, gradients = self._explained(given.mid)
        end = _USUAL_ENDS[1] * float(State.fresh(self.prior).spread(gradients)[0])
        before = float(_log(given.mid)[0])
        side = float(_log(given.low)[0]) - before if error > 0 else before - float(_log(given.high)[0])
        return Prediction(error * end / max(_LEAST_SIDE, side), below=bool(below), above=bool(above))

    def _explained(self, mid: Floats) -> tuple[Floats, Floats]:
        """Return the logarithms (J,) of corrected forecasts, and their gradients (J, 2)."""
        depth = _depth(mid) * np.exp(self.state.factors.sum())
        return np.log(depth + LEAST), np.repeat((depth / (depth + LEAST))[:, None], 2, axis=1)


def _of(interval: Interval) -> Intervals:
    return Intervals(*(np.array([side]) for side in (interval.low, interval.mid, interval.high)))


def _depth(fidelity: Floats) -> Floats:
    depth: Floats = -np.log(np.clip(fidelity, _LEAST_FIDELITY, 1.0))
    return depth


def _log(fidelity: Floats) -> Floats:
    log: Floats = np.log(_depth(fidelity) + LEAST)
    return log


def _fidelity(log: Floats) -> Floats:
    fidelity: Floats = np.exp(-np.maximum(0.0, np.exp(log) - LEAST))
    return fidelity
