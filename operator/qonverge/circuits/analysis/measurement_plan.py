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


def blocks(pairs: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """Return (observables, parameter sets): observables that are wanted for the same sets share their runs.

    ``pairs``: indices of a parameter set and an observable.
    """
    wanted: dict[int, set[int]] = {}
    for index, k in pairs:
        wanted.setdefault(k, set()).add(index)
    together: dict[tuple[int, ...], list[int]] = {}
    for k, indices in wanted.items():
        together.setdefault(tuple(sorted(indices)), []).append(k)
    return [(observables, list(sets)) for sets, observables in together.items()]


def tasks_for(shots: int, most: int | None) -> int:
    """Return how many tasks a device is sent for these shots of a circuit in one basis; 1 where values are exact.

    ``most``: shots that the device takes at once; None: any number.
    """
    return 1 if most is None else max(1, -(-shots // most))
