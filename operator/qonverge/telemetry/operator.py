"""Metrics of the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qonverge.amounts import Amounts
from qonverge.telemetry import definitions as names
from qonverge.telemetry.exposition import Bounded, Exposition, Reading

MOST_SPENDERS = 2000
"""Pairs of namespace and backend that have series of their own."""
OTHERS = "(others)"
"""Namespace and backend of those that come after them: no object has this name."""
OTHER = "Other"
"""The reason of jobs whose reasons have no series of their own."""
READ = (
    names.LEADER,
    names.OBJECTS_WAITING,
    names.JOBS_IN_FLIGHT,
    names.JOBS,
    names.NAMESPACE_USAGE,
    names.NAMESPACE_WEIGHT,
    names.QUOTA_USED,
    names.QUOTA_LIMIT,
    names.BACKEND_PLACE,
    names.WANTED_PODS,
    names.READY_PODS,
    names.WAITING_TASKS,
    names.WORK,
    names.BACKEND_PROGRAMS,
    names.PROGRAM_SLOTS,
    names.PROGRAM_SLOTS_RESERVED,
    names.PROGRAMS_WAITING,
    names.PROGRAMS_PAUSED,
    names.BACKEND_UTILIZATION,
    names.QUEUE_FORECAST,
    names.BACKEND_ROUND_TRIP,
    names.BACKEND_BANDWIDTH,
    names.BACKEND_ONLINE,
    names.BACKEND_CALIBRATION,
    names.CALIBRATION_STALE,
    names.BACKEND_TASK_POWER,
    names.BACKEND_TWO_QUBIT_ERROR,
    names.BACKEND_READOUT_ERROR,
)
"""What is asked for at each scrape."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended."""

    backend: str
    """The backend's key; empty of a job that none was found for."""
    state: str
    reason: str
    wait_seconds: float | None = None
    """From its creation or resumption to the start of its last attempt; None where it never began."""
    run_seconds: float | None = None
    """Of the last attempt."""


class OperatorMetrics:
    """What the operator counts."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._exposition = made = Exposition()
        self._reconciles = made.counter(names.RECONCILES)
        self.reconcile_seconds = made.histogram(names.RECONCILE_SECONDS_METRIC)
        self._last_reconcile = made.gauge(names.LAST_RECONCILE)
        self._round_seconds = made.histogram(names.ROUND_SECONDS).labels()
        self._source_up = made.gauge(names.SOURCE_UP)
        self._figures = made.counter(names.FIGURES)
        self._shots = made.counter(names.SHOTS)
        self._cost = made.counter(names.COST)
        self._energy = made.counter(names.ENERGY)
        self._spenders = Bounded(MOST_SPENDERS)
        self._ended = made.counter(names.JOBS_ENDED)
        self._reasons: dict[str, Bounded] = {}
        self._wait = made.histogram(names.JOB_WAIT)
        self._run = made.histogram(names.JOB_RUN)
        self._ratios = made.histogram(names.FORECAST_RATIO)
        self._forecasts = made.counter(names.FORECASTS)
        self.shadow_rounds = made.counter(names.SHADOW_ROUNDS)
        self.shadow_jobs = made.counter(names.SHADOW_JOBS)
        self.shadow_figures = made.counter(names.SHADOW_FIGURES)
        self.shadow_figure_jobs = made.counter(names.SHADOW_FIGURE_JOBS)
        self.shadow_seconds = made.histogram(names.SHADOW_SECONDS).labels()

    def read_at_scrape(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """Ask for the values of ``READ`` at each scrape."""
        self._exposition.read(READ, readings)

    def reconciled(self, kind: str, now: float, *, failed: bool) -> None:
        """Count a reconcile of an object; ``now`` in Unix seconds."""
        self._reconciles.labels(kind, "failed" if failed else "done").inc()
        if not failed:
            self._last_reconcile.labels(kind).set(now)

    def planned(self, seconds: float, figures: Iterable[tuple[str, str]]) -> None:
        """Count a round of placement that took so long, and the figures in it, each with its source."""
        self._round_seconds.observe(seconds)
        for figure, source in figures:
            self._figures.labels(figure, source).inc()

    def answered(self, source: str, *, up: bool) -> None:
        """Record whether a source of figures answered."""
        self._source_up.labels(source).set(up)

    def spend(self, namespace: str, backend: str, used: Amounts) -> None:
        """Count what a namespace used of a backend; beyond so many pairs of them further ones count as one."""
        pair = self._spenders.of((namespace, backend), (OTHERS, OTHERS))
        if used.shots:
            self._shots.labels(*pair).inc(used.shots)
        for money in used.costs:
            self._cost.labels(*pair, money.currency).inc(float(money.amount))
        if used.joules:
            self._energy.labels(*pair).inc(used.joules)

    def ended(self, job: JobEnd) -> None:
        """Count a job that ended."""
        reasons = self._reasons.setdefault(job.backend, Bounded(names.MOST_REASONS))
        self._ended.labels(job.backend, *reasons.of((job.state, job.reason), (job.state, OTHER))).inc()
        if job.wait_seconds is not None:
            self._wait.labels(job.backend).observe(job.wait_seconds)
        if job.run_seconds is not None:
            self._run.labels(job.backend).observe(job.run_seconds)

    def compare(self, backend: str, figure: str, forecast: tuple[float, float, float], observed: float) -> None:
        """Count how an outcome compares with its forecast.

        Args:
            backend: the backend's key.
            figure: run or wait.
            forecast: the least, the median and the most that was told, seconds.
            observed: seconds.
        """
        low, mid, high = forecast
        if mid > 0:
            self._ratios.labels(backend, figure).observe(observed / mid)
        self._forecasts.labels(backend, figure, str(low <= observed <= high).lower()).inc()

    def forget(self, backend: str) -> None:
        """Drop the series of a backend that is gone; what was spent there stays counted."""
        self._reasons.pop(backend, None)
        for counters in (self._ended, self._forecasts):
            counters.forget("backend", backend)
        for histograms in (self._wait, self._run, self._ratios):
            histograms.forget("backend", backend)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return self._exposition.text()
