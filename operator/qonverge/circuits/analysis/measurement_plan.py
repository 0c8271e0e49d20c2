"""How often a circuit is run for what is wanted of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from qonverge.amounts import TaskLimits
from qonverge.circuits.analysis.observables import Group, Observable, grouped, worst_spread

DEFAULT_SHOTS = 1024
_MOST_SHOTS = 10**9


def runs(observables: Sequence[Observable], shots: int | None, precision: float | None) -> tuple[int, int]:
    """Return (measured bases, shots of each), for one parameter set; 0 shots where values are exact.

    Of identities alone nothing is measured.

    Args:
        observables: none where bits are wanted.
        shots: as asked for.
        precision: standard error wanted of each expectation value, instead.
    """
    if not observables:
        return 1, shots or DEFAULT_SHOTS
    if shots is None and precision is None:
        return 1, 0
    groups = grouped(observables)
    if shots is None and precision is not None:
        needed = shots_for(precision, observables, groups)
        shots = _MOST_SHOTS if needed is None else min(_MOST_SHOTS, needed)
    return len(groups), shots or DEFAULT_SHOTS


def shots_for(precision: float, observables: Sequence[Observable], groups: Sequence[Group]) -> int | None:
    """Return the shots of each group that keep every standard error within the precision in the worst case.

    None: no number of them does.
    """
    needed = worst_spread(observables, groups) / max(precision**2, 1e-300)
    # One more, since the variance is estimated from the sample itself, about its own mean.
    return max(2, math.ceil(needed) + 1) if math.isfinite(needed) else None


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


def cut(shots: int, most: int | None) -> list[int]:
    """Return the shots of each part of a measurement where a device takes ``most`` at once; [0] of exact values."""
    if most is None or shots <= most:
        return [shots]
    whole, rest = divmod(shots, most)
    return [most] * whole + ([rest] if rest else [])


def together(programs: int, shots: int, limits: TaskLimits) -> list[tuple[int, int]]:
    """Return how programs that have as many shots each become tasks, in their order: (tasks, programs in each).

    Args:
        programs: how many.
        shots: of each, as ``cut`` gives them; 0: exact values, which go alone, or as the device chooses.
        limits: of the device.
    """
    most = limits.programs if shots or not limits.least_total_shots else 1
    if shots and limits.total_shots is not None:
        most = min(most, limits.total_shots // shots)
    whole, rest = divmod(programs, max(1, most))
    # A set that is too small is sent program by program.
    enough = [
        (tasks, size) if size * shots >= limits.least_total_shots else (tasks * size, 1)
        for tasks, size in ((whole, max(1, most)), (1, rest))
    ]
    return [(tasks, size) for tasks, size in enough if tasks * size]


def tasks_for(measured: Iterable[tuple[int, int]], limits: TaskLimits) -> int:
    """Return how many tasks a device is sent for what is measured.

    Args:
        measured: (measurements, shots of each), a measurement being a circuit in one basis with one parameter set; 0
            shots where values are exact.
        limits: of the device.
    """
    alike: Counter[int] = Counter()
    for count, shots in measured:
        most = limits.shots
        if most is None or shots <= most:
            alike[shots] += count
        else:
            whole, rest = divmod(shots, most)
            alike[most] += count * whole
            alike[rest] += count if rest else 0
    return sum(tasks for shots, count in alike.items() for tasks, _ in together(count, shots, limits))
