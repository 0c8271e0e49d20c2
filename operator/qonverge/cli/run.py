"""``qonverge run``."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from qonverge.api import HybridJob
from qonverge.cli import render
from qonverge.local.manifests import ManifestError, Manifests, read
from qonverge.local.runner import LocalRunner, Observer


def run_files(files: Sequence[str], *, output: str | None, plot: Path | None, quiet: bool) -> bool:
    """Run every job and return whether all completed.

    Raises:
        ManifestError: when the files cannot be used.
    """
    manifests = read(files)
    if not manifests.jobs:
        raise ManifestError([f"{', '.join(files)}: there is no HybridJob to run"])
    # With -o the standard output belongs to the manifest.
    console = Console(stderr=output is not None, quiet=quiet, highlight=False)
    jobs = asyncio.run(_run(manifests, _Screen(console)))
    if output is not None:
        _print(jobs, output)
    if plot is not None:
        _plot(jobs, plot)
    return all(job.status.state == "Complete" for job in jobs)


class _Screen:
    """Tells a person what happens, each thing once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, tuple[str, str | None]] = {}

    def on_status(self, job: HybridJob) -> None:
        name, status = job.metadata.name, job.status
        shown = (status.state, status.progress)
        if self._last.get(name) == shown:
            return
        self._last[name] = shown
        if status.state == "Placed":
            self._say(name, f"placed: {status.placement}")
        elif status.state == "Running" and status.progress is None:
            again = f", attempt {status.attempts}" if (status.attempts or 1) > 1 else ""
            self._say(name, f"running on {status.backend}{again}")
        elif status.state == "Running":
            metrics = "  ".join(f"{key}={value:.6g}" for key, value in (status.metrics or {}).items())
            self._say(name, f"{status.progress:>4}  {metrics}")

    def on_line(self, job: HybridJob, line: str) -> None:
        self._console.print(Text("  │ ", style="dim") + Text(line))

    def ended(self, job: HybridJob, elapsed: float) -> None:
        for part in render.outcome(job, elapsed):
            self._console.print(part)

    def _say(self, name: str, text: str) -> None:
        self._console.print(Text(f"{name}  ", style="bold") + Text(text))


async def _run(manifests: Manifests, screen: _Screen) -> list[HybridJob]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    done = []
    runner = LocalRunner(manifests, Observer(screen.on_status, screen.on_line))
    async with runner.started():
        for job in manifests.jobs:
            start = time.monotonic()
            ended = await runner.run(job)
            screen.ended(ended, time.monotonic() - start)
            done.append(ended)
    return done


def _print(jobs: list[HybridJob], output: str) -> None:
    objects = [job.to_dict() for job in jobs]
    value = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
    if output == "json":
        json.dump(value, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        yaml.dump(value, sys.stdout, Dumper=_Literal, sort_keys=False, allow_unicode=True, width=120)


class _Literal(yaml.SafeDumper):
    """Keeps programs readable: texts of several lines stay as they are."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Literal.add_representer(str, _Literal.represent_str)


def _plot(jobs: list[HybridJob], path: Path) -> None:
    counted = [job for job in jobs if job.status.result is not None and job.status.result.counts]
    if not counted:
        raise ManifestError([f"--plot {path}: no job has counts to draw"])
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(counted), 1, figsize=(7, 3.2 * len(counted)), squeeze=False, layout="constrained"
    )
    for axis, job in zip(axes[:, 0], counted, strict=True):
        assert job.status.result is not None
        counts = job.status.result.counts or {}
        bars = axis.bar(list(counts), list(counts.values()), color="#2f6f9f")
        if len(counts) <= 32:
            axis.bar_label(bars, fontsize=8)
        axis.set_title(f"{job.metadata.name} on {job.status.backend}, {job.status.result.shots} shots", fontsize=10)
        axis.set_ylabel("counts")
        axis.tick_params(axis="x", rotation=90 if len(counts) > 8 else 0)
        axis.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise ManifestError([f"--plot {path}: {error}"]) from None
