"""Forecasts of jobs on backends, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_FIELDS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Forecasts, shape (jobs, backends) each; NaN where nothing is known.

    ``_low`` and ``_high`` bound the 80 % interval.
    """

    fidelity: Floats
    fidelity_low: Floats
    fidelity_high: Floats
    run_seconds: Floats
    run_seconds_low: Floats
    run_seconds_high: Floats
    cost: Floats
    """In each backend's currency, for the whole job."""
    cost_low: Floats
    cost_high: Floats

    @classmethod
    def stack(cls, rows: Sequence[Floats], backends: int) -> Estimates:
        """Return the estimates of the jobs whose rows ``row`` made; ``backends`` is the width when there is no job."""
        cube = np.stack(rows) if rows else np.empty((0, _FIELDS, backends))
        return cls(*(cube[:, index] for index in range(_FIELDS)))


def row(
    fidelity: ArrayLike,
    run_seconds: ArrayLike,
    cost: ArrayLike,
    *,
    fidelity_low: ArrayLike | None = None,
    fidelity_high: ArrayLike | None = None,
    run_seconds_low: ArrayLike | None = None,
    run_seconds_high: ArrayLike | None = None,
    cost_low: ArrayLike | None = None,
    cost_high: ArrayLike | None = None,
) -> Floats:
    """Return one job's forecasts, shape (9, backends), to be kept for as long as they hold.

    A bound that is not given is the value itself.
    """
    groups = (
        (fidelity, fidelity_low, fidelity_high),
        (run_seconds, run_seconds_low, run_seconds_high),
        (cost, cost_low, cost_high),
    )
    values = [value if bound is None else bound for value, low, high in groups for bound in (value, low, high)]
    return np.stack([np.asarray(value, dtype=np.float64) for value in values])
