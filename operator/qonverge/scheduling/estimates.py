"""Forecasts of jobs on backends, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from qonverge.forecast.intervals import Floats, JobForecasts


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
    def stack(cls, jobs: Sequence[JobForecasts], backends: int) -> Estimates:
        """Return the estimates of jobs, one below the other, on so many backends."""
        sides = [
            side
            for job in jobs
            for quantity in (job.fidelity, job.run_seconds, job.cost)
            for side in (quantity.mid, quantity.low, quantity.high)
        ]
        # One block of memory: with many smaller ones the allocator asks the system anew for each array of a round.
        block = np.concatenate(sides or [np.empty(0)]).reshape(len(jobs), len(fields(cls)), backends)
        return cls(*block.swapaxes(0, 1))
