"""Metrics of a backend server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qonverge.telemetry import definitions as names
from qonverge.telemetry.exposition import Bounded, Exposition, Reading

OTHER = "Other"
"""The reason of errors whose codes have no series of their own."""
_STATES = ("Completed", "Failed", "Cancelled")
READ = (
    names.QUEUE_LENGTH,
    names.QUEUE_LIMIT,
    names.TASKS_RUNNING,
    names.UTILIZATION,
    names.CALIBRATION_TIMESTAMP,
    names.TWO_QUBIT_ERROR,
    names.READOUT_ERROR,
    names.DEVICE_ONLINE,
    names.DEVICE_QUEUE_LENGTH,
    names.DEVICE_WAIT,
    names.DEVICE_ROUND_TRIP,
)
"""What is asked of an engine at each scrape."""
LINKS = (names.LINK_ROUND_TRIP, names.LINK_LOSS, names.LINK_BANDWIDTH)
"""What is asked of its server then."""


class BackendMetrics:
    """What a backend server counts."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._exposition = made = Exposition()
        self.tasks = made.counter(names.TASKS)
        for state in _STATES:
            # What is counted from 0 has a rate from its first one on.
            self.tasks.labels(state)
        self._errors = made.counter(names.TASK_ERRORS)
        self._reasons = Bounded(names.MOST_REASONS)
        self.queue_seconds = made.histogram(names.QUEUE_SECONDS).labels()
        self.run_seconds = made.histogram(names.RUN_SECONDS).labels()
        self.workers = made.gauge(names.WORKERS).labels()
        self.restarts = made.counter(names.WORKER_RESTARTS).labels()
        self.kept_bytes = made.gauge(names.KEPT_RESULT_BYTES).labels()
        self.cloud_calls = made.counter(names.CLOUD_CALLS)
        self.cloud_wait_seconds = made.counter(names.CLOUD_CALL_WAIT)
        self.cloud_billed = made.counter(names.CLOUD_BILLED)
        self.spool_tasks = made.gauge(names.SPOOL_TASKS)
        self.spool_bytes = made.gauge(names.SPOOL_BYTES).labels()
        self.remote_calls = made.counter(names.REMOTE_CALLS)

    def read_at_scrape(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """Ask for the values of ``READ`` at each scrape."""
        self._exposition.read(READ, readings)

    def read_links_at_scrape(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """Ask for the values of ``LINKS`` at each scrape."""
        self._exposition.read(LINKS, readings)

    def failed(self, reason: str) -> None:
        """Count a task that failed, by the code of its error."""
        self._errors.labels(*self._reasons.of((reason,), (OTHER,))).inc()

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return self._exposition.text()
