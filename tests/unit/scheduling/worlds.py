"""Small worlds for the scheduler: builders of snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qonverge.forecast.intervals import Intervals, JobForecasts
from qonverge.scheduling import Backend, Estimates, Job, Needs, Snapshot

NEEDS = Needs(2, 1000, False, 64)


def job(name: str, namespace: str = "chem", created: float = 0.0, **fields: object) -> Job:
    return Job(f"{namespace}/{name}", namespace, created, **{"needs": NEEDS, **fields})  # type: ignore[arg-type]


def backend(name: str, **fields: object) -> Backend:
    return Backend(name, "lab", True, **{"dispatch_depth": 0, **fields})  # type: ignore[arg-type]


def row(fidelity: ArrayLike, run: ArrayLike, cost: ArrayLike, high: float = 1.0) -> JobForecasts:
    """One job's forecasts, which are certain but for the run time: ``high`` times it is its upper bound."""
    fidelities, runs, costs = (np.asarray(values, dtype=np.float64) for values in (fidelity, run, cost))
    return JobForecasts(
        fidelity=Intervals(fidelities, fidelities, fidelities),
        run_seconds=Intervals(runs, runs, runs * high),
        cost=Intervals(costs, costs, costs),
    )


def estimates(
    fidelity: Sequence[Sequence[float]] | float,
    run: Sequence[Sequence[float]] | float,
    cost: Sequence[Sequence[float]] | float,
    shape: tuple[int, int],
    high: float = 1.0,
) -> Estimates:
    """Forecasts from tables or one number for all; ``high`` times the run time is its upper bound."""
    tables = [np.broadcast_to(np.asarray(values, dtype=np.float64), shape) for values in (fidelity, run, cost)]
    rows = [row(f, r, c, high) for f, r, c in zip(*tables, strict=True)]
    return Estimates.stack(rows, shape[1])


def snapshot(
    jobs: Sequence[Job],
    backends: Sequence[Backend],
    fidelity: Sequence[Sequence[float]] | float = 0.9,
    run: Sequence[Sequence[float]] | float = 10.0,
    cost: Sequence[Sequence[float]] | float = 0.0,
    now: float = 0.0,
    high: float = 1.0,
    **fields: object,
) -> Snapshot:
    made = estimates(fidelity, run, cost, (len(jobs), len(backends)), high)
    return Snapshot(tuple(jobs), tuple(backends), now, made, **fields)  # type: ignore[arg-type]
