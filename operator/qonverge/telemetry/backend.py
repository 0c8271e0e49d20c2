"""Metrics of a backend server. Names and units follow Prometheus' conventions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


class BackendMetrics:
    """What a backend server counts."""

    def __init__(self) -> None:
        """Use a registry of its own, so that several engines can live in one process."""
        self._registry = CollectorRegistry()
        self.tasks = Counter(
            "qonverge_backend_tasks", "Tasks that ended, by state.", ["state"], registry=self._registry
        )
        self.queue_seconds = Histogram(
            "qonverge_backend_queue_seconds", "Time that tasks waited.", buckets=_SECONDS, registry=self._registry
        )
        self.run_seconds = Histogram(
            "qonverge_backend_run_seconds", "Time that tasks ran.", buckets=_SECONDS, registry=self._registry
        )
        self.queued = Gauge("qonverge_backend_queue_length", "Tasks that wait.", registry=self._registry)
        self.running = Gauge("qonverge_backend_tasks_running", "Tasks that run.", registry=self._registry)
        self.workers = Gauge("qonverge_backend_workers", "Worker processes.", registry=self._registry)
        self.restarts = Counter(
            "qonverge_backend_worker_restarts", "Worker processes that were replaced.", registry=self._registry
        )
        self.kept_bytes = Gauge(
            "qonverge_backend_kept_result_bytes", "Results that are kept to be fetched.", registry=self._registry
        )
        self.cloud_calls = Counter(
            "qonverge_backend_cloud_calls",
            "Calls of the cloud, by what was asked and how that ended.",
            ["call", "result"],
            registry=self._registry,
        )
        self.cloud_wait_seconds = Counter(
            "qonverge_backend_cloud_call_wait_seconds",
            "Time that calls of the cloud waited for its limits or after failures.",
            ["kind"],
            registry=self._registry,
        )
        self.cloud_billed = Counter(
            "qonverge_backend_cloud_billed",
            "What the cloud billed for tasks that ended.",
            ["currency"],
            registry=self._registry,
        )

        self.spool_tasks = Gauge(
            *("qonverge_backend_spool_tasks", "Tasks on disk, by whether they have ended.", ["ended"]),
            registry=self._registry,
        )
        self.spool_bytes = Gauge("qonverge_backend_spool_bytes", "Bytes of tasks on disk.", registry=self._registry)
        self.remote_calls = Counter(
            "qonverge_backend_remote_calls",
            "Requests to another site, by kind and by whether an answer came.",
            ["kind", "answered"],
            registry=self._registry,
        )
        self.remote_round_trip = Gauge(
            "qonverge_backend_remote_round_trip_seconds",
            "Time of a request to another site and its answer, as last measured.",
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
