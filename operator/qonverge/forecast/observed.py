"""The Hellinger fidelity that a device's counts show, where the circuit's ideal distribution is known.

With ideal probabilities p and counts n_x of N shots, F = B^2 and B = sum_x sqrt(p_x q_x). Putting n_x / N for q_x gives
too little, since the mean of a root is below the root of the mean: where all outcomes are frequent, by

    (sum_x sqrt(p_x / q_x) - B) / 8N    (second order of the delta method for multinomial counts),

which is K / 8N for K outcomes as likely as they should be, and so more than the errors of a good device. Below some ten
counts each the series does not converge, so Poisson's own moments take its place: with m(l) the mean of sqrt(n) for a
Poisson count n of mean l, and v(l) = l - m(l)^2 its variance,

    bias(B) = sum_x sqrt(p_x / N) (m(l_x) - sqrt(l_x)) + B / 8N,    var(B) = sum_x p_x v(l_x) / N - B^2 / 4N.

The last terms are what a fixed number of shots takes from Poisson's; for frequent outcomes var(F) = 4 F var(B) becomes
F (1 - F) / N, that of a share. The l_x are those of p mixed with the uniform distribution, in the proportion that the
counts show: the errors matter in the correction only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qonverge.circuits.error_response.ideal import Floats

# A larger correction of F says that there are too few shots for so many outcomes.
_MOST_CORRECTION = 0.1
# Where q is no such mixture, the correction errs by about so much of itself times 1 - F. Found by simulation, with
# qubits that relax in place of depolarising.
_MODEL_ERROR = 2.0
# Above, the series of Poisson's moments is exact to seven digits.
_FREQUENT = 30.0
_COUNTS = np.arange(100, dtype=np.float64)
_LOG_FACTORIALS = np.array([math.lgamma(count + 1) for count in _COUNTS.tolist()])


@dataclass(frozen=True, slots=True)
class Observed:
    """What counts show."""

    fidelity: float
    """Without bias, so that chance may take it above 1."""
    error: float
    """Its standard deviation."""


def observed(ideal: Floats, counts: Floats, shots: int, bits: int) -> Observed | None:
    """Return the fidelity of counts with the distribution that they should have; None where shots are too few.

    Args:
        ideal: probability of each outcome that has one, shape (K,).
        counts: how often each of them was measured, shape (K,).
        shots: in all, those with other outcomes included.
        bits: measured.
    """
    if shots < 1 or not 0 <= counts.sum() <= shots:
        return None
    root = float(np.sqrt(ideal * counts / shots).sum())
    square, even = float(ideal @ ideal), 0.5**bits
    seen = float(ideal @ counts) / shots
    kept = min(1.0, max(0.0, (seen - even) / (square - even))) if square - even > 1e-9 else 1.0
    expected = shots * (kept * ideal + (1 - kept) * even)
    bias, variance = _of_root(ideal, expected, shots, min(1.0, root))
    corrected = root - bias
    correction = corrected**2 - root**2
    if correction > _MOST_CORRECTION:
        return None
    fidelity = corrected**2 - variance
    model = _MODEL_ERROR * max(0.0, 1 - fidelity) * abs(correction)
    return Observed(fidelity, math.sqrt(4 * corrected**2 * variance + model**2 + 1 / shots**2))


def _of_root(ideal: Floats, expected: Floats, shots: int, root: float) -> tuple[float, float]:
    """Return bias and variance of B, where its outcomes' counts are expected to be these and B was found."""
    means = _mean_roots(expected)
    modelled = float(np.sqrt(ideal * expected / shots).sum())
    bias = float(np.sqrt(ideal / shots) @ (means - np.sqrt(expected))) + modelled / (8 * shots)
    # Less may be in common with p than the mixture says, which leaves more to chance.
    common = min(root - bias, modelled)
    variance = float(ideal @ (expected - means**2)) / shots - common**2 / (4 * shots)
    return bias, max(0.0, variance)


def _mean_roots(means: Floats) -> Floats:
    """Return the mean of sqrt(n) for Poisson counts n of these means, shape (K,)."""
    many = np.sqrt(np.maximum(means, 1.0))
    # E sqrt(n) = sqrt(l) (1 - 1/8l - 7/128l^2 - ...), from the central moments of n.
    found: Floats = many - 1 / (8 * many) - 7 / (128 * many**3)
    rare = means <= _FREQUENT
    few = np.maximum(means[rare], 1e-12)[:, None]
    found[rare] = np.exp(_COUNTS * np.log(few) - few - _LOG_FACTORIALS) @ np.sqrt(_COUNTS)
    return found
