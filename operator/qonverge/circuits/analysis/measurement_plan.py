"""How often a circuit is run for what is wanted of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qonverge.circuits.analysis.observables import Observable, bases, worst_spread

DEFAULT_SHOTS = 1024
_MOST_SHOTS = 1e9


def runs(observables: Sequence[Observable], shots: int | None, precision: float | None) -> tuple[int, int]:
    """Return (measured bases, shots of each), for one parameter set; 0 shots where values are exact.

    An engine that takes more trouble may measure in fewer bases.

    Args:
        observables: none where bits are wanted.
        shots: as asked for.
        precision: standard error wanted of each expectation value, instead.
    """
    if not observables:
        return 1, shots or DEFAULT_SHOTS
    if shots is None and precision is None:
        return 1, 0
    groups = bases(observables)
    if precision is not None:
        shots = math.ceil(min(_MOST_SHOTS, worst_spread(observables, groups) / precision**2)) + 1
    return max(1, len(groups)), shots or DEFAULT_SHOTS
