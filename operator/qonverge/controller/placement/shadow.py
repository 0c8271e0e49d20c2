"""A second policy that decides beside the one in force, without effect: what it would change is counted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from qonverge.scheduling import Plan, Policy, Snapshot
from qonverge.scheduling.comparison import Figures, differing
from qonverge.scheduling.trace import Outcome, Recorded
from qonverge.telemetry import OperatorMetrics

logger = logging.getLogger(__name__)

# The shadow takes at most this part of the time, so that rounds and the event loop have the processor.
_SHARE = 0.05
_LONGEST_REST = 60.0


class Shadow:
    """Decides rounds again in a thread of its own, one at a time; those that come meanwhile are passed over.

    No round waits for it, and neither does the operator's end: a scheduler that never returns costs its thread.
    """

    def __init__(self, policy: Policy, metrics: OperatorMetrics, *, rest: Callable[[float], None] = time.sleep) -> None:
        """``rest`` sleeps for so many seconds."""
        self._policy = policy
        self._metrics = metrics
        self._rest = rest
        self._rounds: queue.Queue[Recorded] = queue.Queue(maxsize=1)
        threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def offer(self, snapshot: Snapshot, policy: Policy, plan: Plan) -> None:
        """Have a round decided again when there is time for it; returns at once."""
        outcomes = tuple(Outcome.of(decision) for decision in plan.decisions)
        try:
            self._rounds.put_nowait(Recorded(snapshot, policy, outcomes))
        except queue.Full:
            self._metrics.shadow_rounds.labels("Skipped").inc()

    def wait(self) -> None:
        """Wait until what was offered has been decided."""
        self._rounds.join()

    def _run(self) -> None:
        while True:
            recorded, started = self._rounds.get(), time.monotonic()
            try:
                self._compare(recorded)
            except Exception as error:
                # Whatever the code of others does, the operator goes on.
                logger.warning("the shadow policy could not decide a round: %s", error)
                self._metrics.shadow_rounds.labels("Failed").inc()
            seconds = time.monotonic() - started
            self._metrics.shadow_seconds.observe(seconds)
            self._rounds.task_done()
            self._rest(min(_LONGEST_REST, seconds * (1 / _SHARE - 1)))

    def _compare(self, recorded: Recorded) -> None:
        pairs = [pair for pair in differing(recorded, self._policy) if pair.sent]
        for pair in pairs:
            self._metrics.shadow_jobs.labels(str(not pair.differs).lower()).inc()
            if pair.before is not None and pair.after is not None:
                self._count(pair.before, pair.after)
        self._metrics.shadow_rounds.labels("Compared").inc()

    def _count(self, before: Figures, after: Figures) -> None:
        figures = [
            ("wait_seconds", before.wait, after.wait),
            ("fidelity", before.fidelity, after.fidelity),
            ("energy_joules", before.energy, after.energy),
        ]
        for currency in {*before.costs, *after.costs}:
            figures.append((f"cost_{currency}", before.costs.get(currency, 0.0), after.costs.get(currency, 0.0)))
        for name, old, new in figures:
            if old is None or new is None:
                continue
            self._metrics.shadow_figures.labels(name, "InForce").inc(max(0.0, old))
            self._metrics.shadow_figures.labels(name, "Shadow").inc(max(0.0, new))
            self._metrics.shadow_figure_jobs.labels(name).inc()
