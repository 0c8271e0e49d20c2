"""Metrics of the operator. Names and units follow Prometheus' conventions."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class OperatorMetrics:
    """What the operator counts."""

    def __init__(self, *, queue_length: Callable[[], float], in_flight: Callable[[], float]) -> None:
        """Use a registry of its own, so that several operators can live in one process.

        Args:
            queue_length: returns how many objects wait to be reconciled, read at each scrape.
            in_flight: returns how many jobs are worked on, read at each scrape.
        """
        self._registry = CollectorRegistry()
        self.reconciles = Counter(
            "qonverge_operator_reconciles", "Reconciles of objects.", ["kind", "outcome"], registry=self._registry
        )
        self.reconcile_seconds = Histogram(
            "qonverge_operator_reconcile_seconds", "Time of a reconcile.", ["kind"], registry=self._registry
        )
        waiting = Gauge(
            "qonverge_operator_queue_length", "Objects that wait to be reconciled.", registry=self._registry
        )
        waiting.set_function(queue_length)
        flights = Gauge("qonverge_operator_jobs_in_flight", "Jobs that are worked on.", registry=self._registry)
        flights.set_function(in_flight)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
