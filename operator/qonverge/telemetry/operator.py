"""Metrics of the operator. Names and units follow Prometheus' conventions."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from qonverge.amounts import Amounts

MOST_SPENDERS = 2000
"""Pairs of namespace and backend that have series of their own."""
OTHERS = "(others)"
"""Namespace and backend of those that come after them: no object has this name."""


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

        self._shots = Counter(
            "qonverge_operator_shots",
            "Shots that ended on a backend.",
            ["namespace", "backend"],
            registry=self._registry,
        )
        self._cost = Counter(
            "qonverge_operator_cost",
            "Money that was spent on a backend, in units of the currency.",
            ["namespace", "backend", "currency"],
            registry=self._registry,
        )
        self._spenders: set[tuple[str, str]] = set()

        self.shadow_rounds = Counter(
            "qonverge_operator_shadow_rounds",
            "Rounds beside which the shadow policy was to decide, by what came of it.",
            ["result"],
            registry=self._registry,
        )
        self.shadow_jobs = Counter(
            "qonverge_operator_shadow_jobs",
            "Jobs that a policy sent in a compared round, by whether both send them to the same backends.",
            ["same"],
            registry=self._registry,
        )
        self.shadow_figures = Counter(
            "qonverge_operator_shadow_figures",
            "Sum of what is forecast of jobs that both policies send, by figure and policy.",
            ["figure", "policy"],
            registry=self._registry,
        )
        self.shadow_figure_jobs = Counter(
            "qonverge_operator_shadow_figure_jobs",
            "Jobs in these sums.",
            ["figure"],
            registry=self._registry,
        )
        self.shadow_seconds = Histogram(
            "qonverge_operator_shadow_seconds", "Time of a decision of the shadow policy.", registry=self._registry
        )

    def spend(self, namespace: str, backend: str, used: Amounts) -> None:
        """Count what a namespace used of a backend; beyond so many pairs of them further ones count as one."""
        pair = (namespace, backend)
        if pair not in self._spenders:
            if len(self._spenders) >= MOST_SPENDERS:
                pair = (OTHERS, OTHERS)
            else:
                self._spenders.add(pair)
        if used.shots:
            self._shots.labels(*pair).inc(used.shots)
        for money in used.costs:
            self._cost.labels(*pair, money.currency).inc(float(money.amount))

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
