"""Programs beside bare ``batch/v1`` Jobs, in jobs a second: ``python -m bench.program_rate``.

A real API server, Job controller and scheduler; KWOK plays the nodes, on which each pod ends as soon as it has begun.
A bare Job has the pod of a program's, and no Secret or HybridJob. The sides take turns, each with so many
jobs in flight; a job counts from the request that creates it until a watch shows it complete.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench import report
from bench.audit import count_writes, stamp
from bench.driver import Driver, at_once, connected
from bench.lab import OPERATED, OPERATOR, Lab, running_lab

BAR = 0.8
"""Least ratio of the rates."""
BARE = "bare"
_PROGRAMS = f"apis/qonverge.io/v1alpha1/namespaces/{OPERATED}/hybridjobs"
_JOBS = "apis/batch/v1/namespaces/{}/jobs"
_WARM_JOBS = 10
_LIMIT_SECONDS = 300.0


@dataclass(slots=True)
class Side:
    """What one side took."""

    per_second: list[float] = field(default_factory=list)
    """Jobs, of each turn."""
    seconds: list[float] = field(default_factory=list)
    """Median of a job in each turn."""
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """CPU time of each part of the cluster, of one job."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Both sides."""

    jobs: int
    """Of each side."""
    in_flight: int
    ratio: float
    """Median of the turns."""
    lowest: float
    programs: Side
    bare: Side
    writes: dict[str, float]
    """The operator's writes by request and answer, of one program."""


def run(jobs: int = 400, turns: int = 4, in_flight: int = 20) -> Figures:
    """Measure so many jobs of each side.

    Raises:
        ClusterError: the control plane could not be started.
        RuntimeError: the operator or the backend server could not.
        JobFailed: a program failed.
        TimeoutError: a turn did not end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="qonverge-bench-") as folder,
        running_lab(Path(folder), BARE, slots=10 * in_flight) as lab,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measured(lab, jobs // turns, turns, in_flight))


async def _measured(lab: Lab, size: int, turns: int, in_flight: int) -> Figures:
    async with connected(lab.plane.kubeconfig) as driver, driver.watching(OPERATED):
        names = (f"job-{number}" for number in itertools.count())
        await _programs(driver)("first")
        template = _pod((await driver.get(_JOBS.format(OPERATED)))["items"][0])
        async with _bare(driver, template) as bare:
            ways: dict[str, Callable[[str], Awaitable[object]]] = {"programs": _programs(driver), "bare": bare}
            sides = {name: Side() for name in ways}
            for way in ways.values():
                await at_once(itertools.islice(names, _WARM_JOBS), in_flight, way)
            since = stamp(datetime.now(UTC))
            for turn in range(turns):
                # Each turn begins with the other side.
                for name in [*ways][:: -1 if turn % 2 else 1]:
                    before = lab.cpu_seconds()
                    async with asyncio.timeout(_LIMIT_SECONDS):
                        await _turn(sides[name], ways[name], itertools.islice(names, size), size, in_flight)
                    after = lab.cpu_seconds()
                    used = {part: (after[part] - before[part]) * 1e3 / (size * turns) for part in after}
                    sides[name].cpu_ms = {part: sides[name].cpu_ms.get(part, 0.0) + used[part] for part in used}
                    print(f"turn {turn + 1}, {name}: {sides[name].per_second[-1]:.1f}/s", file=sys.stderr, flush=True)
    until = stamp(datetime.now(UTC))
    counted = count_writes(lab.plane.audit_events(), user=OPERATOR, since=since, until=until, jobs=size * turns)
    programs, others = sides["programs"], sides["bare"]
    ratios = [one / other for one, other in zip(programs.per_second, others.per_second, strict=True)]
    writes = {request: count / (size * turns) for request, count in counted["by_request"].items()}
    return Figures(size * turns, in_flight, statistics.median(ratios), min(ratios), programs, others, writes)


async def _turn(
    side: Side, way: Callable[[str], Awaitable[object]], names: Iterator[str], size: int, in_flight: int
) -> None:
    took = []

    async def one(name: str) -> None:
        began = time.perf_counter()
        await way(name)
        took.append(time.perf_counter() - began)

    side.per_second.append(size / await at_once(names, in_flight, one))
    side.seconds.append(statistics.median(took))


def _programs(driver: Driver) -> Callable[[str], Awaitable[object]]:
    async def one(name: str) -> None:
        ended = driver.ended(name)
        spec = {"program": {"python": {"source": "print(1)"}}}
        await driver.post(_PROGRAMS, _object("qonverge.io/v1alpha1", "HybridJob", OPERATED, name, spec))
        await ended

    return one


@contextlib.asynccontextmanager
async def _bare(driver: Driver, template: dict[str, Any]) -> AsyncIterator[Callable[[str], Awaitable[object]]]:
    """Return what makes a Job and waits for its end."""
    awaited: dict[str, asyncio.Future[None]] = {}

    def take(job: dict[str, Any]) -> None:
        conditions = job.get("status", {}).get("conditions") or ()
        if any(each["type"] == "Complete" and each["status"] == "True" for each in conditions):
            future = awaited.pop(job["metadata"]["name"], None)
            if future is not None:
                future.set_result(None)

    async def one(name: str) -> None:
        awaited[name] = ended = asyncio.get_running_loop().create_future()
        await driver.post(_JOBS.format(BARE), _object("batch/v1", "Job", BARE, name, template))
        await ended

    async with driver.shown(_JOBS.format(BARE), take):
        yield one


def _pod(job: dict[str, Any]) -> dict[str, Any]:
    """Return the specification of a program's Job, without what the API server adds."""
    spec = {name: value for name, value in job["spec"].items() if name not in ("selector", "suspend")}
    metadata = spec["template"]["metadata"]
    labels = {name: value for name, value in metadata["labels"].items() if "controller-uid" not in name}
    labels = {name: value for name, value in labels.items() if "job-name" not in name}
    return {**spec, "template": {**spec["template"], "metadata": {**metadata, "labels": labels}}}


def _object(version: str, kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def rows(found: Figures) -> list[report.Row]:
    """Return the figures beside their bar, and what explains them."""
    shown = [
        report.Row(
            f"programs a second / bare Jobs, {found.in_flight} in flight",
            f"{found.ratio:.2f} (lowest turn {found.lowest:.2f})",
            f"at least {BAR:g}",
            found.ratio >= BAR,
        )
    ]
    for name, side in (("programs", found.programs), ("bare Jobs", found.bare)):
        rate, seconds = statistics.median(side.per_second), statistics.median(side.seconds)
        parts = ", ".join(f"{part} {of:.1f}" for part, of in side.cpu_ms.items() if of >= 0.05)
        shown.append(report.Row(f"{name}: a second; median of one", f"{rate:.1f}; {seconds:.2f} s", ""))
        shown.append(report.Row(f"{name}: CPU of one, ms", f"{sum(side.cpu_ms.values()):.1f}: {parts}", ""))
    writes = ", ".join(f"{request} {count:.2f}" for request, count in found.writes.items() if count >= 0.05)
    return [*shown, report.Row("the operator's writes of one program", writes, "")]


def main() -> None:
    """Measure and print the table; exit status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="bench.program_rate", description="Programs beside bare batch/v1 Jobs.")
    parser.add_argument("--jobs", type=int, default=400, help="of each side")
    parser.add_argument("--turns", type=int, default=4, help="of each side")
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = run(options.jobs, options.turns, options.in_flight)
    judged = rows(found)
    print(report.table(judged))
    if options.json:
        report.write(options.json, judged, json.loads(json.dumps(asdict(found))))
    sys.exit(0 if found.ratio >= BAR else 1)


if __name__ == "__main__":
    main()
