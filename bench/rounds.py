"""How long one round of placement takes: ``python -m bench.rounds``.

Jobs and backends are random, forecasts are there already, as the operator keeps them for each job.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from qonverge.forecast.intervals import Floats, Intervals, JobForecasts
from qonverge.scheduling import Backend, Estimates, Job, Needs, Snapshot, plan

_ROUNDS = 5
_NOW = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Case:
    """A size, and what a round of it may take."""

    jobs: int
    backends: int
    namespaces: int
    seconds: float


CASES = (
    Case(1_000, 50, 8, 0.25),
    Case(1_000, 50, 1, 0.25),
    Case(10_000, 100, 8, 3.0),
    Case(10_000, 100, 1, 3.0),
)


def snapshot(case: Case, seed: int) -> Snapshot:
    """Return a round: devices of 5 to 127 qubits with one worker each, jobs that fit on most of them."""
    random = np.random.default_rng(seed)
    qubits = random.choice((5, 27, 127), case.backends, p=(0.1, 0.4, 0.5))
    backends = tuple(
        Backend(
            f"qpu-{index}",
            "lab",
            admits_all_namespaces=True,
            max_qubits=int(width),
            workers=1,
            free_seconds=(float(random.uniform(0, 60)),),
            dispatch_depth=2,
        )
        for index, width in enumerate(qubits)
    )
    quality, speed = random.uniform(0.7, 1.0, case.backends), random.uniform(0.5, 2.0, case.backends)
    jobs, rows = [], []
    for index in range(case.jobs):
        width = int(random.integers(2, 28))
        namespace = f"team-{index % case.namespaces}"
        needs = Needs(width, 1024, clifford=False, statevector_bytes=16 << width)
        jobs.append(Job(f"{namespace}/job-{index}", namespace, _NOW - float(random.uniform(0, 600)), needs))
        figures = quality ** (1 + width / 10), random.uniform(1, 30) * speed, np.zeros(case.backends)
        rows.append(JobForecasts(*map(_certain, figures)))
    return Snapshot(tuple(jobs), backends, _NOW, Estimates.stack(rows, case.backends))


def _certain(figures: Floats) -> Intervals:
    return Intervals(figures, figures, figures)


def measure(case: Case) -> tuple[float, float]:
    """Return the median wall and processor seconds of a round."""
    plan(snapshot(case, 0))
    wall, cpu = [], []
    for seed in range(1, _ROUNDS + 1):
        given = snapshot(case, seed)
        began, used = time.perf_counter(), time.process_time()
        plan(given)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(cpu)


def main() -> None:
    """Measure every case and print a table."""
    print(f"{'jobs':>6} {'backends':>8} {'namespaces':>10} {'wall s':>8} {'CPU s':>8} {'bar s':>6}")
    for case in CASES:
        wall, cpu = measure(case)
        print(
            f"{case.jobs:>6} {case.backends:>8} {case.namespaces:>10} {wall:>8.3f} {cpu:>8.3f} {case.seconds:>6g}"
            + ("" if wall < case.seconds else "  MISSED")
        )


if __name__ == "__main__":
    main()
