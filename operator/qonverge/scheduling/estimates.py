"""Forecasts of jobs on backends, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

        def stacked(rows: list[Floats]) -> Floats:
            return np.concatenate(rows or [np.empty(0)]).reshape(len(jobs), backends)

        return cls(
            fidelity=stacked([job.fidelity.mid for job in jobs]),
            fidelity_low=stacked([job.fidelity.low for job in jobs]),
            fidelity_high=stacked([job.fidelity.high for job in jobs]),
            run_seconds=stacked([job.run_seconds.mid for job in jobs]),
            run_seconds_low=stacked([job.run_seconds.low for job in jobs]),
            run_seconds_high=stacked([job.run_seconds.high for job in jobs]),
            cost=stacked([job.cost.mid for job in jobs]),
            cost_low=stacked([job.cost.low for job in jobs]),
            cost_high=stacked([job.cost.high for job in jobs]),
        )
