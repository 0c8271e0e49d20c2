"""Relative frequencies of outcomes, which some clouds return, as counts. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

# Probabilities are written with six digits or more.
_TOLERANCE = 1e-3
_Outcome = TypeVar("_Outcome")


def counts_of(frequencies: Mapping[_Outcome, float], shots: int) -> dict[_Outcome, int]:
    """Return how often each outcome came, ``shots`` in sum; what rounding leaves goes where the largest fractions are.

    Raises:
        ValueError: they are no frequencies.
    """
    exact = {outcome: float(frequency) * shots for outcome, frequency in frequencies.items()}
    total = sum(exact.values())
    # A sum that is no number is refused too.
    if not abs(total - shots) <= _TOLERANCE * shots or min(exact.values(), default=0.0) < 0:
        raise ValueError(f"the probabilities of the outcomes sum to {total / shots}, the least is {_least(exact)}")
    exact = {outcome: times * shots / total for outcome, times in exact.items()}
    times = {outcome: math.floor(value) for outcome, value in exact.items()}
    for outcome in sorted(exact, key=lambda each: times[each] - exact[each])[: shots - sum(times.values())]:
        times[outcome] += 1
    return {outcome: count for outcome, count in times.items() if count}


def _least(values: Mapping[_Outcome, float]) -> float:
    return min(values.values(), default=0.0)
