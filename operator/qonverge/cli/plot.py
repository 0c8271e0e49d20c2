"""Pictures of jobs: counts, expectation values, and the courses of metrics. matplotlib is loaded for them only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qonverge.api import HybridJob
from qonverge.api.job_status import MetricCurve, Result
from qonverge.cli.cluster import connected
from qonverge.cli.result import fetched
from qonverge.cli.sweep_plot import sweep_panels
from qonverge.local.manifests import ManifestError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = "#2f6f9f"
_MOST_BARS = 64
_MOST_NUMBERS = 32
_MOST_MARKS = 40

Panel = Callable[["Axes"], None]
"""Draws one diagram."""


class NothingToDraw(Exception):
    """A job has no counts, no expectation values and no metrics."""


def plot_job(name: str, namespace: str | None, *, path: Path, metrics: Sequence[str], url: str | None) -> None:
    """Draw a job of the cluster into a file.

    Args:
        name: of the job.
        namespace: of the job; None: that of the context.
        path: of the picture; its ending says the format.
        metrics: whose courses are drawn; none: of all that are kept.
        url: of the operator, for a result that the status has no room for; None: through the API server.

    Raises:
        ManifestError: the picture cannot be written there.
        NoAnswer: the API server does not answer, or has no such job.
        NoResult: the job has its result no more.
        NothingToDraw: the job has nothing that can be drawn.
        ModuleNotFoundError: matplotlib is not installed.
    """
    check_path(path, "-o")
    job = asyncio.run(_get(name, namespace, url))
    if not write([job], path, metrics, "-o"):
        status = job.status
        known = ", ".join(curve.name for curve in status.metric_curves or ())
        what = (
            f"no metric {', '.join(metrics)}; it has {known or 'none'}" if metrics else "no counts, values or metrics"
        )
        raise NothingToDraw(f"{name} has {what}: it is {status.state}: {status.message or 'new'}")


async def _get(name: str, namespace: str | None, url: str | None) -> HybridJob:
    async with connected() as cluster:
        job = HybridJob.model_validate(await cluster.job(name, namespace))
        kept = job.status.result
        if kept is None or (kept.kept is None and kept.stored is None):
            return job
        result = Result.model_validate_json(await fetched(cluster, job, url))
        return job.model_copy(update={"status": job.status.model_copy(update={"result": result})})


def check_path(path: Path, option: str) -> None:
    """Find out whether a picture can be written there.

    Raises:
        ManifestError: it cannot, which names the option.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ManifestError([f"{option} {path}: the name must end in one of {', '.join(f'.{kind}' for kind in kinds)}"])
    if not os.access(path.parent, os.W_OK):
        raise ManifestError([f"{option} {path}: {path.parent} is no folder that can be written to"])


def write(jobs: Sequence[HybridJob], path: Path, metrics: Sequence[str], option: str) -> bool:
    """Draw what jobs have into one picture, and return whether there was anything.

    Raises:
        ManifestError: the picture cannot be written, which names the option.
    """
    panels = [panel for job in jobs for panel in panels_of(job, metrics)]
    if not panels:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2 * len(panels)), layout="constrained")
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise ManifestError([f"{option} {path}: {error}"]) from None
    return True


def panels_of(job: HybridJob, metrics: Sequence[str] = ()) -> list[Panel]:
    """Return the diagrams of a job; where metrics are named, those of their courses only."""
    status, result = job.status, job.status.result
    curves = [curve for curve in status.metric_curves or () if not metrics or curve.name in metrics]
    found: list[Panel] = [_course(job, curve) for curve in curves]
    if metrics or result is None:
        return found
    if result.points:
        found += sweep_panels(job, result)
    if result.counts:
        found.append(_histogram(job, result.counts))
    if result.expectation_values:
        found.append(_values(job, result))
    return found


def _histogram(job: HybridJob, counts: dict[str, int]) -> Panel:
    def draw(axes: Axes) -> None:
        kept = sorted(counts, key=lambda outcome: (-counts[outcome], outcome))[:_MOST_BARS]
        shown = {outcome: counts[outcome] for outcome in counts if outcome in set(kept)}
        bars = axes.bar(list(shown), list(shown.values()), color=_COLOUR)
        if len(shown) <= _MOST_NUMBERS:
            axes.bar_label(bars, fontsize=8)
        some = f", {len(shown)} of {len(counts)} outcomes" if len(shown) < len(counts) else ""
        axes.set_title(f"{_where(job)}, {sum(counts.values())} shots{some}", fontsize=10)
        axes.set_ylabel("counts")
        axes.tick_params(axis="x", rotation=90 if len(shown) > 8 else 0)

    return draw


def _values(job: HybridJob, result: Result) -> Panel:
    def draw(axes: Axes) -> None:
        from qonverge.cli.render import observable_name
        from qonverge.programs.kinds import kind_of

        values = result.expectation_values or []
        names = [f"<{observable_name(each)}>" for each in kind_of(job).observables(job)]
        axes.errorbar(range(len(values)), values, yerr=result.standard_errors, fmt="o", color=_COLOUR, capsize=3)
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        if len(names) <= _MOST_NUMBERS:
            axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 8 else 0, fontsize=8)
        axes.set_title(_where(job), fontsize=10)
        axes.set_ylabel("expectation value")

    return draw


def _course(job: HybridJob, curve: MetricCurve) -> Panel:
    def draw(axes: Axes) -> None:
        steps, values = points(curve, (job.status.metrics or {}).get(curve.name))
        axes.plot(steps, values, color=_COLOUR, marker="." if len(steps) <= _MOST_MARKS else None)
        axes.set_title(f"{_where(job)}: {curve.name} = {values[-1]:.6g} after {curve.reports} reports", fontsize=10)
        axes.set_xlabel("report")
        axes.set_ylabel(curve.name)

    return draw


def points(curve: MetricCurve, last: float | None) -> tuple[list[int], list[float]]:
    """Return the numbers of reports, from 1, and the values there; the last value is the present one if it is known."""
    steps = [1 + index * curve.every for index in range(len(curve.values))]
    values = list(curve.values)
    if last is not None and steps and steps[-1] < curve.reports:
        steps.append(curve.reports)
        values.append(last)
    return steps, values


def _where(job: HybridJob) -> str:
    return f"{job.metadata.name} on {job.status.backend}" if job.status.backend else job.metadata.name
