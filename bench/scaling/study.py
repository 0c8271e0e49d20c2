"""Every scaler on a trace: ours, the smallest fixed pool that holds the target, rivals with our pod-hours."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.scaling.plant import Fixed, Outcome, Plant, Pool, Scaler, Simulation, Trace
from bench.scaling.rivals import Hpa, Keda, Knative
from qonverge.scaling import Autoscaler, Policy

MOST = 500
"""Replicas that any scaler may ask for."""
POLICY = Policy(min_replicas=0, max_replicas=MOST)
"""Ours on every trace: the defaults, but for what all have alike."""
RIVALS: dict[str, Callable[[float, int], Scaler]] = {"HPA": Hpa, "KEDA": Keda, "Knative": Knative}
_STEPS = 7
_TARGETS = (0.5, 200.0)


class Qonverge:
    """``qonverge.scaling``, asked once a second as the operator does."""

    interval = 1.0
    start_replicas = 1
    drains = True

    def __init__(self) -> None:
        self._autoscaler = Autoscaler(POLICY, 0.0)

    def replicas(self, pool: Pool, now: float) -> int:
        return self._autoscaler.scale(pool.demand(), now).replicas


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a trace under a scaler."""

    trace: str
    scaler: str
    setting: str
    pod_hours: float
    p50: float
    p95: float
    p99: float
    mean: float
    cut_short: int
    changes: int

    @classmethod
    def of(cls, trace: Trace, scaler: str, setting: str, outcome: Outcome) -> Row:
        p50, p95, p99 = np.quantile(outcome.waits, (0.5, 0.95, 0.99)).tolist()
        return cls(
            trace.name,
            scaler,
            setting,
            pod_hours=round(outcome.pod_hours, 2),
            p50=round(p50, 2),
            p95=round(p95, 2),
            p99=round(p99, 2),
            mean=round(float(outcome.waits.mean()), 2),
            cut_short=outcome.cut_short,
            changes=outcome.events,
        )


def compare(trace: Trace, plant: Plant, executor: Executor) -> dict[str, Any]:
    """Return the rows of a trace, and of each rival all points that were tried, as JSON carries it."""
    ours = Simulation(trace, Qonverge(), plant).run()
    fixed = executor.submit(_smallest, trace, plant)
    rivals = {name: executor.submit(_with_hours, name, trace, plant, ours.pod_hours) for name in RIVALS}
    rows = [Row.of(trace, "Qonverge", "defaults", ours), fixed.result()]
    rows += [rival.result()[0] for rival in rivals.values()]
    facts = {"tasks": len(trace.arrivals), "hours": trace.arrivals[-1] / 3600, "load": trace.work / trace.arrivals[-1]}
    return {
        "name": trace.name,
        **{name: round(value, 2) for name, value in facts.items()},
        "rows": [asdict(row) for row in rows],
        "fronts": {name: sorted(rival.result()[1]) for name, rival in rivals.items()},
    }


def _smallest(trace: Trace, plant: Plant) -> Row:
    """Return the smallest fixed pool that holds the target."""
    holds: dict[int, Outcome] = {}

    def p95(pods: int) -> float:
        holds[pods] = Simulation(trace, Fixed(pods), plant).run()
        return holds[pods].p95

    low, high = 0, 1
    while p95(high) > POLICY.target_queue_seconds:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if p95(middle) > POLICY.target_queue_seconds:
            low = middle
        else:
            high = middle
    return Row.of(trace, "Fixed pool", f"{high} pods", holds[high])


def _with_hours(name: str, trace: Trace, plant: Plant, hours: float) -> tuple[Row, list[tuple[float, float]]]:
    """Return a rival with the largest target that takes at least these pod-hours, and (pod-hours, p95) of all tried."""
    low, high = map(math.log, _TARGETS)
    points = []

    def row(log: float) -> Row:
        outcome = Simulation(trace, RIVALS[name](math.exp(log), MOST), plant).run()
        found = Row.of(trace, name, f"{math.exp(log):.2f} tasks a pod", outcome)
        points.append((found.pod_hours, found.p95))
        return found

    best = row(low)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = row(middle)
        if found.pod_hours >= hours:
            low, best = middle, found
        else:
            high = middle
    return best, points
