"""Counts as a device of some fidelity would give them."""

from __future__ import annotations

import numpy as np

from bench.placement.fleet import Floats
from qonverge.circuits.error_response.ideal import Ideal
from qonverge.forecast.observed import Observed, observed

_HALVINGS = 30


def drawn(ideal: Ideal, fidelity: float, shots: int, random: np.random.Generator) -> Observed | None:
    """Return what so many shots of a device show of the circuit's fidelity, by the operator's own estimate.

    The device gives the ideal distribution mixed with another one, which is even or all zeros, whichever is farther
    from the ideal, in the proportion that has this fidelity.
    """
    p = ideal.distribution()
    zeros = np.zeros(len(p))
    zeros[0] = 1.0
    other = min((np.full(len(p), 1 / len(p)), zeros), key=lambda q: _fidelity(p, q))
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        low, high = (share, high) if _fidelity(p, _mixed(p, other, share)) > fidelity else (low, share)
    counts = random.multinomial(shots, _mixed(p, other, low)).astype(np.float64)
    return observed(ideal.probabilities, counts[ideal.indices], shots, ideal.bits)


def _mixed(p: Floats, other: Floats, share: float) -> Floats:
    return (1 - share) * p + share * other


def _fidelity(p: Floats, q: Floats) -> float:
    return float(np.sqrt(p * q).sum() ** 2)
