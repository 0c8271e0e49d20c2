"""What is counted of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.placement.simulate import Outcome, Run
from qonverge.forecast.intervals import Interval

_LEAST_WAIT = 0.5
"""Shorter waits are none, seconds."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's figures; seconds."""

    policy: str
    completion_mean: float
    """From a job's arrival to its end."""
    completion_median: float
    completion_p95: float
    wait_mean: float
    """From a job's arrival to its start."""
    wait_p95: float
    wait_longest: float
    fidelity_mean: float
    """Of what came out."""
    utilisation: float
    """Share of the devices' time, until the last arrival, in which they ran jobs."""
    deadlines_feasible: int
    """Jobs whose deadline the fastest device would have met, had it been idle when the job came."""
    deadlines_met: float
    """Share of those; NaN where there are none."""
    unserved: int
    """Jobs whose terms no device kept; everything else is of the others."""
    covered_run: float
    """Share of run times within their 80 % intervals."""
    covered_fidelity: float
    covered_wait: float
    """Of the waits of jobs that were not sent as soon as they were planned; NaN where there are none."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON carries them."""
        return {key: None if value != value else value for key, value in asdict(self).items()}


def figures(run: Run, since: float = 0.0, until: float = math.inf) -> Figures:
    """Return the figures of the jobs that came between two times; the utilisation is of the whole run."""
    arrivals = run.trace.arrivals
    counted = [job for job, arrival in enumerate(arrivals) if since <= arrival.seconds < until]
    outcomes = [run.outcomes[job] for job in counted]
    came = np.array([arrivals[job].seconds for job in counted])
    waits = np.array([outcome.start for outcome in outcomes]) - came
    times = np.array([outcome.end for outcome in outcomes]) - came
    due = np.array([np.inf if (d := arrivals[job].deadline) is None else d for job in counted])
    feasible = np.isfinite(due) & (np.array(run.fastest)[counted] <= due)
    told = {job: run.promises[job] for job in counted if job in run.promises}
    return Figures(
        run.policy,
        float(times.mean()),
        float(np.median(times)),
        float(np.quantile(times, 0.95)),
        float(waits.mean()),
        float(np.quantile(waits, 0.95)),
        float(waits.max()),
        float(np.mean([outcome.fidelity for outcome in outcomes])),
        utilisation(run),
        int(feasible.sum()),
        _share(bool(met) for met in (times <= due)[feasible]),
        run.unserved,
        _share(_within(o.run, o.end - o.start) for o in outcomes),
        _share(_within(o.promised_fidelity, o.fidelity) for o in outcomes),
        _share(
            _within(promise.wait, run.outcomes[job].start - promise.at)
            for job, promise in told.items()
            if promise.planned > _LEAST_WAIT
        ),
    )


def utilisation(run: Run) -> float:
    """Return the share of the devices' time in which they ran jobs, until the last arrival."""
    until = run.trace.arrivals[-1].seconds
    return sum(_worked(outcome, until) for outcome in run.outcomes) / (until * len(run.fleet.devices)) if until else 1.0


def fairness(run: Run, until: float) -> float:
    """Return Jain's index over the namespaces' worker seconds until then, each by its weight.

    ``sum(x)**2 / (n * sum(x**2))`` (Jain, Chiu and Hawe, DEC-TR-301, 1984): 1 where all have the same.
    """
    used: dict[str, float] = {arrival.namespace: 0.0 for arrival in run.trace.arrivals}
    for arrival, outcome in zip(run.trace.arrivals, run.outcomes, strict=True):
        used[arrival.namespace] += _worked(outcome, until)
    shares = np.array([seconds / run.trace.shares.get(namespace, 1.0) for namespace, seconds in used.items()])
    return float(shares.sum() ** 2 / (len(shares) * (shares**2).sum()))


def _worked(outcome: Outcome, until: float) -> float:
    return max(0.0, min(outcome.end, until) - outcome.start)


def _within(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


def _share(those: Iterable[bool]) -> float:
    found = list(those)
    return sum(found) / len(found) if found else float("nan")
