"""How good and how fast forecasts of run time and memory are: ``python -m bench.forecasts [FILE] [--json FILE]``.

A record of real tasks (``bench.runtimes``) is replayed: each task is forecast by what was learned of those before it,
then its outcome is learned. From the middle on all times may be multiplied, as if the machine had changed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.runtimes import Timed, read
from qonverge.forecast.features import table
from qonverge.forecast.intervals import Interval
from qonverge.forecast.learning_models import MemoryModel, PartsModel, RunTimeModel

RECORD = Path(__file__).parent.parent / "tests" / "unit" / "forecast" / "runtimes.csv"
# Smaller peaks hide in what an allocator keeps.
_SEEN_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class Judged:
    """A task that was forecast, then ran."""

    task: Timed
    forecast: Interval
    outcome: float

    @property
    def covered(self) -> bool:
        """Whether the outcome was within the interval."""
        return self.forecast.low <= self.outcome <= self.forecast.high

    @property
    def relative_error(self) -> float:
        """Size of the median's error, in outcomes."""
        return abs(self.forecast.mid / self.outcome - 1)


def replay(
    tasks: Iterable[Timed],
    outcome: Callable[[int, Timed], float],
    cold: Callable[[str], PartsModel] = RunTimeModel.cold,
) -> tuple[list[Judged], dict[str, PartsModel]]:
    """Forecast and learn each task in turn; ``outcome`` says what is learned of the task at a place in the record."""
    models: dict[str, PartsModel] = {}
    judged = []
    for place, task in enumerate(tasks):
        model = models.get(task.method) or cold(task.method)
        got = outcome(place, task)
        judged.append(Judged(task, model.predict_task(task.work), got))
        models[task.method] = model.observe((task.work,), got, float(place))
    return judged, models


def slowed(count: int, factor: float) -> Callable[[int, Timed], float]:
    """Return run times that are so many times as long in the second half of a record of so many tasks."""
    return lambda place, task: task.seconds * (factor if place >= count // 2 else 1.0)


def summary(judged: Sequence[Judged]) -> dict[str, float]:
    """Return how many there are, the share that was covered, the median error and the width; of none only that."""
    if not judged:
        return {"tasks": 0}
    return {
        "tasks": len(judged),
        "coverage": float(np.mean([each.covered for each in judged])),
        "median_relative_error": float(np.median([each.relative_error for each in judged])),
        "median_high_by_low": float(np.median([each.forecast.high / max(1e-9, each.forecast.low) for each in judged])),
    }


def accuracy(tasks: Sequence[Timed]) -> dict[str, dict[str, float]]:
    """Return the summaries of a record: as it is by method, cold, after its speed changed, and of memory."""
    half = len(tasks) // 2
    plain, _ = replay(tasks, slowed(len(tasks), 1.0))
    out = {"all": summary(plain), "first 100": summary(plain[:100])}
    for method in sorted({task.method for task in tasks}):
        out[method] = summary([each for each in plain if each.task.method == method])
    for factor in (3.0, 1 / 3):
        drifted, _ = replay(tasks, slowed(len(tasks), factor))
        out[f"before x{factor:.2g}"] = summary(drifted[:half])
        out[f"after x{factor:.2g}"] = summary(drifted[half:])
        out[f"first 60 after x{factor:.2g}"] = summary(drifted[half : half + 60])
    memory, _ = replay(tasks, lambda _, task: float(task.peak_bytes), MemoryModel.cold)
    out["memory, peaks from 32 MiB"] = summary([each for each in memory if each.outcome >= _SEEN_BYTES])
    return out


def speed(tasks: Sequence[Timed], jobs: int = 10_000, backends: int = 100) -> dict[str, float]:
    """Return seconds: of all jobs on all backends, of one job on 16 backends, and of learning one outcome."""
    _, models = replay(tasks, slowed(len(tasks), 1.0))
    model = models["Statevector"]
    works = [tasks[place % len(tasks)].work for place in range(jobs)]
    start = time.perf_counter()
    parts = model.parts(table(works))
    for _ in range(backends):
        model.predict(parts)
    everything = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(16):
        model.predict_task(works[0])
    one = time.perf_counter() - start
    start = time.perf_counter()
    for task in tasks[:100]:
        model = model.observe((task.work,), task.seconds, 0.0)
    return {
        f"{jobs} jobs x {backends} backends": everything,
        "1 job x 16 backends": one,
        "learn": (time.perf_counter() - start) / 100,
    }


def main(arguments: list[str] | None = None) -> None:
    """Replay, print and write."""
    parser = argparse.ArgumentParser(prog="bench.forecasts", description="Judge forecasts of run time and memory.")
    parser.add_argument("record", type=Path, nargs="?", default=RECORD, help="what bench.runtimes wrote")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args(arguments)
    tasks = read(options.record)
    figures: dict[str, Any] = {"accuracy": accuracy(tasks), "seconds": speed(tasks)}
    for name, row in figures["accuracy"].items():
        if not row["tasks"]:
            continue
        print(
            f"{name:28} {row['tasks']:5.0f} tasks, {row['coverage']:.1%} covered, median error "
            f"{row['median_relative_error']:.0%}, high/low {row['median_high_by_low']:.2f}"
        )
    for name, seconds in figures["seconds"].items():
        print(f"{name}: {1000 * seconds:.3g} ms")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
