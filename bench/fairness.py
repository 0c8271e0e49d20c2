"""How long a namespace with little waits beside one with much: ``python -m bench.fairness``.

In one namespace thousands of small jobs are created, or a few large circuits; in another one job at a time, whose wait
is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.driver import Driver, at_once, connected
from bench.lab import Lab, running_lab
from bench.memory import footprint, peak
from bench.report import Row, table

CROWD, ALONE = "crowd", "alone"
_THREADS = 16
_HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    jobs: int = 5000
    """Small jobs of the crowd."""
    large: int = 10
    """Large circuits of the crowd."""
    large_bytes: int = 700_000


FULL = Sizes()
BARS = (2.0, 5.0)
"""Seconds that a job may wait at most beside many small ones, and beside large ones."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What the namespace with little saw."""

    crowd: str
    seconds: float
    """From the first job of the crowd to the end of its last."""
    waits: tuple[float, ...]
    """Of each job of the other namespace, from the request that creates it to its completion, seconds."""
    operator_peak: float | None
    """The operator's resident memory at most, MiB."""
    children: float
    """That of its children at most, as far as it was looked at twice a second, MiB."""


def run(sizes: Sizes = FULL) -> list[Waits]:
    """Measure beside many small jobs, and beside a few large circuits.

    Raises:
        ClusterError: the control plane could not be started.
        RuntimeError: the operator or the backend server could not.
        JobFailed: a job did not complete.
    """
    with (
        tempfile.TemporaryDirectory(prefix="qonverge-bench-") as folder,
        running_lab(Path(folder), CROWD, ALONE, watched=()) as lab,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measured(lab, sizes))


async def _measured(lab: Lab, sizes: Sizes) -> list[Waits]:
    async with connected(lab.plane.kubeconfig) as driver, driver.watching(ALONE), driver.watching(CROWD):
        # The parser is loaded and the first forecasts are made.
        await _one(driver, ALONE, "first", small(0))
        many = {f"small-{number}": small(number) for number in range(sizes.jobs)}
        few = {f"large-{number}": large(sizes.large_bytes, number) for number in range(sizes.large)}
        return [
            await _beside(lab, driver, f"{sizes.jobs} small jobs", many),
            await _beside(lab, driver, f"{sizes.large} circuits of {sizes.large_bytes // 1000} kB", few),
        ]


async def _beside(lab: Lab, driver: Driver, title: str, crowd: dict[str, str]) -> Waits:
    waits, children = [], 0.0

    async def crowded() -> float:
        start = time.perf_counter()
        ended = {name: driver.ended(name) for name in crowd}
        await at_once(crowd, _THREADS, lambda name: driver.create(CROWD, name, crowd[name]))
        await asyncio.gather(*ended.values())
        return time.perf_counter() - start

    whole = asyncio.create_task(crowded())
    number = 0
    while not (number and whole.done()):
        await asyncio.wait({whole}, timeout=_PAUSE_SECONDS)
        children = max(children, footprint(lab.operator)["children"]["rss"])
        # One at least, and none after the end.
        if not (number and whole.done()):
            number += 1
            # Another circuit each time, which nobody has checked.
            waits.append(await _one(driver, ALONE, f"alone-{title.split()[1]}-{number}", small(100_000 + number)))
    return Waits(title, await whole, tuple(waits), peak(lab.operator.pid), children)


async def _one(driver: Driver, namespace: str, name: str, circuit: str) -> float:
    ended, start = driver.ended(name), time.perf_counter()
    await driver.create(namespace, name, circuit)
    return await ended - start


def small(number: int) -> str:
    """Return a circuit of two qubits that no other number has."""
    return f"{_HEADER}qubit[2] q;\nbit[2] c;\nrx({number} / 1000000) q[0];\ncx q[0], q[1];\nc = measure q;\n"


def large(size: int, number: int) -> str:
    """Return a circuit of 12 qubits whose text has about so many bytes, and which no other number has."""
    head, tail = f"{_HEADER}qubit[12] q;\nbit[12] c;\nrx({number}) q[0];\n", "c = measure q;\n"
    lines, length, step = [head], len(head) + len(tail), 0
    while length < size:
        lines.append(f"cx q[{step % 12}], q[{(step + 1 + step // 12 % 11) % 12}];\n")
        length += len(lines[-1])
        step += 1
    return "".join([*lines, tail])


def rows(measured: Sequence[Waits]) -> list[Row]:
    """Return the waits beside their bars, and what the whole took."""
    found = []
    for waits, bar in zip(measured, BARS, strict=True):
        longest = max(waits.waits)
        figure = f"{longest:.2f} s (median {statistics.median(waits.waits):.2f} s, {len(waits.waits)} jobs)"
        found.append(
            Row(
                f"longest wait of a job beside {waits.crowd} of another namespace",
                figure,
                f"under {bar:g} s",
                longest < bar,
            )
        )
    for waits in measured:
        found.append(Row(f"{waits.crowd}: create to the last one's end", f"{waits.seconds:.0f} s", ""))
        if (most := waits.operator_peak) is not None:
            figure = f"{most:.0f} MiB, its children {waits.children:.0f} MiB"
            found.append(Row(f"{waits.crowd}: operator's resident memory at most", figure, "under 300 MiB", most < 300))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.fairness", description="Measure waits beside another namespace.")
    parser.add_argument("--jobs", type=int, default=FULL.jobs, help="small jobs of the other namespace")
    parser.add_argument("--large", type=int, default=FULL.large, help="large circuits of the other namespace")
    options = parser.parse_args(arguments)
    print(table(rows(run(Sizes(options.jobs, options.large)))))


if __name__ == "__main__":
    main()
