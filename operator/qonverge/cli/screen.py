"""What a person sees while jobs run: a line for each step, and a live bar where there is a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from qonverge.api import HybridJob
from qonverge.cli import render
from qonverge.cli.job_lines import left


class Screen:
    """Tells what happens, each thing once."""

    def __init__(self, stream: TextIO, *, quiet: bool, results: bool = True, named: bool = False) -> None:
        """Write to a stream.

        Args:
            stream: where to.
            quiet: the results only; of a job that failed, the reason on standard error.
            results: whether a quiet screen shows results: not where the standard output has them already.
            named: whether a quiet screen says whose result it is.
        """
        # Lines for a file or another program are not broken where a terminal would end.
        terminal = stream.isatty()
        self._stream = stream
        self._quiet = quiet
        self._results = results
        self._named = named
        self._console = Console(file=stream, highlight=False, soft_wrap=not terminal)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._last: tuple[str, int | None, str | None] | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    @contextlib.contextmanager
    def job(self, job: HybridJob) -> Iterator[None]:
        """Show a job's bar while it runs."""
        self._last = None
        self._task = self._bar.add_task(job.metadata.name, total=None, shown="")
        try:
            yield
        finally:
            self._bar.remove_task(self._task)

    def on_status(self, job: HybridJob) -> None:
        """Say what changed."""
        if self._quiet:
            return
        name, status = job.metadata.name, job.status
        shown = (status.state, status.attempts, status.progress)
        running = status.state == "Running"
        metrics = "  ".join(f"{key}={value:.6g}" for key, value in (status.metrics or {}).items())
        if running and self._task is not None and not self._bar.disable:
            done = None if status.progress is None else float(status.progress.removesuffix("%"))
            text = "  ".join(part for part in (status.progress, metrics, left(status, time.time())) if part)
            self._bar.update(self._task, total=None if done is None else 100, completed=done or 0, shown=text)
        if self._last == shown:
            return
        before, self._last = self._last, shown
        if status.state == "Placed":
            self._say(name, f"placed: {status.placement}")
        elif running and (before is None or before[:2] != shown[:2]):
            again = f", attempt {status.attempts}" if (status.attempts or 1) > 1 else ""
            self._say(name, f"running on {', '.join(status.backends or [status.backend or ''])}{again}")
        elif running and self._bar.disable:
            self._say(name, f"{status.progress:>4}  {metrics}".rstrip())

    def on_line(self, job: HybridJob, line: str) -> None:
        """Pass on a line that the job's program printed."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._console.out(f"  │ {line}", highlight=False)
        else:
            # A program may print millions of lines, and rich takes its time for each.
            self._stream.write(f"  │ {line}\n")
            self._stream.flush()

    def on_warning(self, job: HybridJob, warning: str) -> None:
        """Say what is valid in a job's program and may mislead."""
        if not self._quiet:
            print(f"warning: {job.metadata.name}: {warning}", file=sys.stderr)

    def ended(self, job: HybridJob, elapsed: float) -> None:
        """Show the result, or what went wrong."""
        if self._quiet and not self._results:
            return
        parts = render.result(job)
        if self._quiet and self._named and parts:
            self._console.print(Text(job.metadata.name, style="bold"))
        for part in parts:
            self._console.print(part)
        if not self._quiet:
            self._console.print(render.ending(job, elapsed))
        elif job.status.state != "Complete":
            Console(stderr=True, highlight=False, soft_wrap=True).print(render.ending(job, elapsed))

    def _say(self, name: str, text: str) -> None:
        self._console.print(Text(f"{name}  ", style="bold") + Text(text))
