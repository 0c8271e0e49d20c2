"""The operator beside a bare client of the same API server, its writes and its memory.

All of it happens in one control plane. Sides that are compared take turns, since a machine that others use changes
from minute to minute.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from bench.audit import count_writes, stamp
from bench.driver import Driver, at_once, connected
from bench.lab import OPERATED, OPERATOR, Lab, running_lab
from bench.memory import footprint

BARE, BARE_WATCHED = "bare", "bare-watched"
_WARM_JOBS = 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    jobs: int = 2000
    """Jobs of each side in throughput."""
    blocks: int = 8
    """Turns of each side, of equal length."""
    in_flight: int = 20
    """Jobs under way at a time."""
    single: int = 200
    """Jobs one at a time."""
    finished: int = 10_000
    """Finished jobs in the cluster when memory is measured."""
    settle: float = 70.0
    """Seconds without work before memory is measured: one round of all that the operator does now and then."""


FULL = Sizes()
QUICK = Sizes(jobs=40, blocks=2, single=10, finished=80, settle=0.5)


def run(sizes: Sizes = FULL) -> dict[str, Any]:
    """Measure and return ``throughput``, ``writes``, ``latency`` and ``memory``, as JSON carries them.

    Raises:
        ClusterError: the control plane could not be started.
        RuntimeError: the operator or the backend server could not.
        JobFailed: a job did not complete.
    """
    with tempfile.TemporaryDirectory(prefix="qonverge-bench-") as folder:
        _say("starting the control plane, the operator and a backend")
        with running_lab(Path(folder), BARE, BARE_WATCHED) as lab:
            measurement = _Measurement(lab, sizes)
            return {
                "throughput": _driven(lab, measurement.throughput),
                "writes": measurement.writes(),
                "latency": _driven(lab, measurement.latency),
                "memory": measurement.memory(),
            }


def _driven(lab: Lab, measure: Callable[[Driver], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    async def measured() -> dict[str, Any]:
        async with connected(lab.plane.kubeconfig) as driver:
            return await measure(driver)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured())


class _Measurement:
    """One run, whose parts build on each other: the jobs of the first ones are the finished jobs of the last."""

    def __init__(self, lab: Lab, sizes: Sizes) -> None:
        self._lab = lab
        self._sizes = sizes
        self._numbers = itertools.count()
        self._counted: tuple[str, str] = ("", "")

    def _names(self, count: int) -> Iterator[str]:
        return (f"job-{number}" for number in itertools.islice(self._numbers, count))

    async def throughput(self, driver: Driver) -> dict[str, Any]:
        """Measure jobs per second, from the request that creates each to its completion on a watch.

        The bare client makes the same requests as driver and operator together: it creates the same object and writes
        the same status. It does so without a watch, and, for what the driver's watch costs, also with one.
        """
        sizes, size = self._sizes, self._sizes.jobs // self._sizes.blocks
        async with driver.watching(OPERATED), driver.watching(BARE_WATCHED):
            await at_once(self._names(_WARM_JOBS), sizes.in_flight, self._operated(driver))
            status = await driver.status(OPERATED, "job-0")
            sides: dict[str, Callable[[str], Awaitable[object]]] = {
                "operator": self._operated(driver),
                "bare": _bare(driver, BARE, status),
                "bare_watched": _bare(driver, BARE_WATCHED, status, watched=True),
            }
            for side in ("bare", "bare_watched"):
                await at_once(self._names(_WARM_JOBS), sizes.in_flight, sides[side])
            rates: dict[str, list[float]] = {side: [] for side in sides}
            cpu: dict[str, dict[str, float]] = {side: {} for side in sides}
            since = stamp(datetime.now(UTC))
            for turn in range(sizes.blocks):
                _say(f"throughput, turn {turn + 1} of {sizes.blocks}")
                # Each turn begins with another side, so that none has the machine at its best every time.
                order = [*sides][turn % len(sides) :] + [*sides][: turn % len(sides)]
                for side in order:
                    before = self._lab.cpu_seconds()
                    rates[side].append(size / await at_once(self._names(size), sizes.in_flight, sides[side]))
                    after = self._lab.cpu_seconds()
                    cpu[side] = {part: cpu[side].get(part, 0.0) + after[part] - before[part] for part in after}
            # A write that nobody waits for is counted as well.
            await asyncio.sleep(1.0)
        self._counted = (since, stamp(datetime.now(UTC)))
        for namespace in (BARE, BARE_WATCHED):
            await driver.delete_all(namespace)
        counted = size * sizes.blocks
        return {
            "jobs": counted,
            "in_flight": sizes.in_flight,
            **{f"{side}_per_second": counted / sum(size / rate for rate in of) for side, of in rates.items()},
            **_ratios("ratio", rates["operator"], rates["bare"]),
            **_ratios("ratio_watched", rates["operator"], rates["bare_watched"]),
            "blocks": rates,
            "cpu_ms_per_job": {
                side: {part: seconds / counted * 1e3 for part, seconds in parts.items()} for side, parts in cpu.items()
            },
        }

    def writes(self) -> dict[str, Any]:
        """Count the operator's writes during throughput, from the API server's audit log."""
        since, until = self._counted
        jobs = self._sizes.jobs // self._sizes.blocks * self._sizes.blocks
        return count_writes(self._lab.plane.audit_events(), user=OPERATOR, since=since, until=until, jobs=jobs)

    async def latency(self, driver: Driver) -> dict[str, Any]:
        """Measure milliseconds from the request that creates a job to its completion on a watch, one job at a time."""
        _say("latency")
        whole, create = [], []
        async with driver.watching(OPERATED):
            for name in self._names(self._sizes.single):
                ended = driver.ended(name)
                start = time.perf_counter()
                await driver.create(OPERATED, name)
                create.append((time.perf_counter() - start) * 1e3)
                whole.append((await ended - start) * 1e3)
        return {
            "jobs": len(whole),
            "median_ms": statistics.median(whole),
            "p90_ms": float(np.quantile(whole, 0.9)),
            "longest_ms": max(whole),
            "create_median_ms": statistics.median(create),
        }

    def memory(self) -> dict[str, Any]:
        """Measure the operator's memory in MiB: after it ran all jobs, and started anew among them."""
        lab, sizes = self._lab, self._sizes
        finished = _driven(lab, self._fill)["finished"]
        busy = footprint(lab.operator)
        settled = self._settled()
        lab.stop_operator()
        started = lab.start_operator()
        return {
            "finished": finished,
            "settle_seconds": sizes.settle,
            "just_after_the_last_job": busy,
            "after_all_jobs": settled,
            "started_anew": self._settled(),
            "start_seconds": started,
        }

    def _settled(self) -> dict[str, Any]:
        _say(f"memory, after {self._sizes.settle:g} s without work")
        time.sleep(self._sizes.settle)
        return footprint(self._lab.operator)

    async def _fill(self, driver: Driver) -> dict[str, Any]:
        done = self._sizes.single + self._sizes.jobs // self._sizes.blocks * self._sizes.blocks + _WARM_JOBS
        missing = max(0, self._sizes.finished - done)
        _say(f"{missing} more jobs, for memory")
        async with driver.watching(OPERATED):
            await at_once(self._names(missing), self._sizes.in_flight, self._operated(driver))
        return {"finished": done + missing}

    @staticmethod
    def _operated(driver: Driver) -> Callable[[str], Awaitable[object]]:
        async def one(name: str) -> None:
            ended = driver.ended(name)
            await driver.create(OPERATED, name)
            await ended

        return one


def _bare(
    driver: Driver, namespace: str, status: dict[str, Any], *, watched: bool = False
) -> Callable[[str], Awaitable[object]]:
    async def one(name: str) -> None:
        ended = driver.ended(name) if watched else None
        version = await driver.create(namespace, name)
        await driver.write_status(namespace, name, version, status)
        if ended is not None:
            await ended

    return one


def _ratios(name: str, first: list[float], second: list[float]) -> dict[str, float]:
    """Return the median and the lowest ratio of the turns."""
    ratios = [one / other for one, other in zip(first, second, strict=True)]
    return {name: statistics.median(ratios), f"{name}_lowest": min(ratios)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
