"""What learns from every outcome: a filter over a few factors, as values. An outcome gives a new state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from qonverge.forecast.intervals import Floats, Intervals, Prediction, Tails

# A factor that is not seen at work is as uncertain as at first again after about so many outcomes.
_MEMORY = 400
# Errors beyond so many standard deviations pull no further (Huber), and count as this much for a change.
_ROBUST = 2.0
_CLIPPED = 4.0
# CUSUM of the scores (Page, Biometrika 41, 1954): drifts below the allowance are the filter's own work.
_ALLOWANCE = 0.75
_ALARM = 6.0
# After a change the speed as a whole is uncertain by a factor of e.
_FREED = 1.0
_NOISE_RATE = 0.03
_LEAST_NOISE = 0.02


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before anything is seen. K factors, all of which are expected to be 0."""

    covariance: Floats
    """Of the factors, shape (K, K)."""
    noise: float
    """Standard deviation of an outcome's logarithm beyond what the factors explain."""
    common: Floats
    """How the factors move when everything becomes faster or slower, shape (K,)."""

    @classmethod
    def of_parts(cls, size: int, *, shared: float, each: float, noise: float) -> Self:
        """Return the prior of a sum's parts: deviations of all parts' logarithms together, and of each beyond that."""
        return cls(each**2 * np.eye(size) + shared**2, noise, np.ones(size))


@dataclass(frozen=True, slots=True)
class State:
    """What was learned. Plain numbers; K factors."""

    factors: Floats
    """Shape (K,)."""
    covariance: Floats
    """Of the factors, shape (K, K)."""
    noise: float
    """As in ``Prior``, as it was of late."""
    tails: Tails = field(default_factory=Tails)
    rise: float = 0.0
    """CUSUM of scores above 0."""
    fall: float = 0.0
    """CUSUM of scores below 0."""
    since: int = 0
    """Outcomes since both sums were last 0."""
    seen: int = 0
    """Outcomes in all."""
    updated: float = 0.0
    """When the last one came, Unix seconds."""

    @classmethod
    def fresh(cls, prior: Prior) -> Self:
        """Return the state of a model that has seen nothing."""
        return cls(np.zeros(len(prior.common)), prior.covariance, prior.noise)

    def spread(self, gradients: Floats, more: Floats | float = 0.0) -> Floats:
        """Return the standard deviations of outcomes' logarithms, shape (J,).

        Args:
            gradients: how each logarithm goes with the factors, shape (J, K).
            more: deviation of each that is known from elsewhere.
        """
        # No product of matrices: BLAS would start threads, which cost far more than they gain where CPUs are busy.
        explained = np.einsum("jl,jl->j", np.einsum("jk,kl->jl", gradients, self.covariance), gradients)
        spread: Floats = np.sqrt(explained + self.noise**2 + np.square(more))
        return spread

    def around(self, logs: Floats, deviations: Floats) -> Intervals:
        """Return intervals around medians that are given as logarithms (J,), with deviations (J,)."""
        low, high = self.tails.ends()
        mid = np.exp(logs)
        return Intervals(mid * np.exp(low * deviations), mid, mid * np.exp(high * deviations))

    def learn(
        self,
        prior: Prior,
        gradient: Floats,
        error: float,
        at: float,
        *,
        more: float = 0.0,
        promised: Prediction | None = None,
    ) -> Self:
        """Return the state after one more outcome.

        A Kalman filter that forgets towards the prior's covariance, so that nothing is believed for good, that bounds
        the pull of outliers, and that frees the speed as a whole when a CUSUM of its errors says that it has changed.

        Args:
            prior: the one that the state began with.
            gradient: how the outcome's logarithm goes with the factors, shape (K,).
            error: the outcome's logarithm less that of the median as it would be forecast now.
            at: when, Unix seconds.
            more: deviation of the outcome's logarithm that is known from elsewhere.
            promised: how the forecast did that was made when the task was sent, by which the tails are judged. A
                forecast of now knows the outcomes of the task's neighbours, and would make them too narrow.
        """
        pulled = self.covariance @ gradient
        variance = float(gradient @ pulled) + self.noise**2 + more**2
        score = error / math.sqrt(variance)
        bounded = max(-_CLIPPED, min(_CLIPPED, score))
        rise = max(0.0, self.rise + bounded - _ALLOWANCE)
        fall = max(0.0, self.fall - bounded - _ALLOWANCE)
        since = self.since + 1 if rise or fall else 0
        late = score if promised is None else promised.error / math.sqrt(variance)
        tails = self.tails.learn(late, promised)
        covariance = self.covariance - np.outer(pulled, pulled) / variance
        covariance += (prior.covariance - covariance) / _MEMORY
        if max(rise, fall) > _ALARM:
            covariance += _FREED**2 * np.outer(prior.common, prior.common)
            # The errors since it began are of the change, not of the noise.
            tails = tails.without_last(since)
            rise, fall, since = 0.0, 0.0, 0
        # Where the factors themselves are uncertain, an error says little of the noise.
        rate = _NOISE_RATE * self.noise**2 / variance
        noise = self.noise * math.sqrt(1 + rate * (min(score**2, _CLIPPED) - 1))
        return replace(
            self,
            factors=self.factors + pulled * max(-_ROBUST, min(_ROBUST, score)) / math.sqrt(variance),
            covariance=(covariance + covariance.T) / 2,
            noise=max(_LEAST_NOISE, noise),
            tails=tails,
            rise=rise,
            fall=fall,
            since=since,
            seen=self.seen + 1,
            updated=at,
        )
