"""``qonverge watch``: jobs of the cluster as they go on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qonverge.cli import job_lines
from qonverge.cli.cluster import connected
from qonverge.cli.following import SeenJob, followed

_BAR_WIDTH = 20
_MARKS = {"Complete": ("✓", "green"), "Failed": ("✗", "red"), "Running": ("▶", "cyan"), "Suspended": ("‖", "yellow")}


def watch_jobs(names: Sequence[str], namespace: str | None, *, all_namespaces: bool) -> bool:
    """Show jobs until all that are named have ended, and return whether all ended well.

    Args:
        names: of the jobs; none: all of the namespace that have not ended, and new ones, for ever.
        namespace: whose jobs; None: that of the context.
        all_namespaces: whether those of all namespaces are meant.

    Raises:
        NoAnswer: the API server does not answer, or has no such job.
    """
    return asyncio.run(_watch(names, namespace, all_namespaces=all_namespaces))


async def _watch(names: Sequence[str], namespace: str | None, *, all_namespaces: bool) -> bool:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    shown: dict[str, SeenJob] = {}
    live = Live(console=console, get_renderable=lambda: table(shown.values(), time.time()), refresh_per_second=2)
    async with connected() as cluster:
        where = None if all_namespaces else namespace or cluster.namespace
        begun = False
        if console.is_terminal:
            live.start()
        try:
            async for changed in followed(cluster, where, names):
                for job in changed:
                    # What ended before anybody looked is no news, unless it was asked for.
                    if job.ended and not names and not begun:
                        continue
                    before, shown[job.uid] = shown.get(job.uid), job
                    if not console.is_terminal and (before is None or job_lines.key(before) != job_lines.key(job)):
                        print(job_lines.line(job, time.time()), flush=True)
                begun = True
                if names and all(job.ended for job in shown.values()):
                    return all(job.complete for job in shown.values())
        finally:
            live.stop()
    raise AssertionError("it follows jobs for ever")


def table(jobs: Iterable[SeenJob], now: float) -> RenderableType:
    """Return a row for each job, the oldest first; ``now`` is in Unix seconds."""
    ordered = sorted(jobs, key=lambda job: (job.created, job.name))
    if not ordered:
        return Text("no job waits or runs", style="dim")
    several = len({job.namespace for job in ordered}) > 1
    rows = Table.grid(padding=(0, 2))
    head = (*(("NAMESPACE",) if several else ()), "JOB", "STATE", "BACKEND", "PROGRESS", "", "METRICS", "")
    rows.add_row(*(Text(name, style="dim") for name in head))
    for job in ordered:
        status = job.status
        mark, style = _MARKS.get(status.state, ("·", "")) if not job.deleted else ("✗", "red")
        done = None if status.progress is None else float(status.progress.removesuffix("%"))
        rows.add_row(
            *((Text(job.namespace),) if several else ()),
            Text(job.name, style="bold"),
            Text(f"{mark} {'Deleted' if job.deleted else status.state}", style=style),
            Text(status.backend or ""),
            "" if done is None else ProgressBar(total=100, completed=done, width=_BAR_WIDTH),
            Text(status.progress or ""),
            Text(status.metrics_summary or "", overflow="ellipsis", no_wrap=True),
            Text(_words(job, now), style="dim", overflow="ellipsis", no_wrap=True),
        )
    return rows


def _words(job: SeenJob, now: float) -> str:
    """Return what else is worth a few words."""
    status = job.status
    if job.ended:
        return (
            "" if job.deleted else (f"in {status.duration}" if job.complete else f"{status.reason}: {status.message}")
        )
    return job_lines.left(status, now) if status.state == "Running" else status.message or ""
