"""Pictures of sweeps: curves over one parameter, heat maps over two."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.api.sweep import Sweep, SweepPoint
from qonverge.cli.program_columns import columns_of_program
from qonverge.cli.render import observable_name
from qonverge.programs.kinds import kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_MOST_CURVES = 8
_MOST_MAPS = 4
_MOST_MARKS = 40


@dataclass(frozen=True, slots=True)
class Series:
    """One number at each point."""

    name: str
    values: Sequence[float]
    """Shape (N,)."""
    errors: Sequence[float]
    """Standard errors, shape (N,)."""


def sweep_panels(job: HybridJob, result: Result) -> list[Callable[[Axes], None]]:
    """Return the diagrams of a sweep: one of curves, or a heat map for each series where two parameters vary."""
    sweep, points = job.spec.program.sweep, result.points or []
    assert sweep is not None
    series = series_of(job, points)
    if not series:
        return []
    varying = varying_parameters(sweep)
    if len(varying) == 2 and sweep.combination == "Product":
        return [_heat_map(job, points, each, varying) for each in series[:_MOST_MAPS]]
    along = varying[0] if len(varying) == 1 or (varying and sweep.combination == "Zip") else None
    return [_curves(job, points, series[:_MOST_CURVES], along)]


def varying_parameters(sweep: Sweep) -> list[str]:
    """Return the parameters that have more than one value, by name."""
    return [name for name in sweep.names if sweep.parameters[name].count > 1]


def series_of(job: HybridJob, points: Sequence[SweepPoint]) -> list[Series]:
    """Return the expectation value of each observable, or the frequency of each outcome, the most frequent first.

    Of a program it is each number that it returned, not a number where it did not.
    """
    if points and points[0].index is not None:
        return _numbers(points)
    if points and points[0].counts is None:
        return [
            Series(
                f"<{observable_name(observable)}>",
                [(point.expectation_values or [])[place] for point in points],
                [(point.standard_errors or [])[place] for point in points],
            )
            for place, observable in enumerate(kind_of(job).observables(job))
        ]
    shares = [_shares(point.counts or {}) for point in points]
    totals: dict[str, float] = {}
    for each in shares:
        for outcome, share in each.items():
            totals[outcome] = totals.get(outcome, 0.0) + share
    ordered = sorted(totals, key=lambda outcome: (-totals[outcome], outcome))
    return [
        Series(f"P({outcome})", [each.get(outcome, 0.0) for each in shares], [0.0] * len(points)) for outcome in ordered
    ]


def _numbers(points: Sequence[SweepPoint]) -> list[Series]:
    columns = list(columns_of_program(points).items())[len(points[0].parameters) :]
    known = {name: [value for value in column if value is not None] for name, column in columns}
    numeric = [
        (name, column)
        for name, column in columns
        if known[name] and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known[name])
    ]
    return [
        Series(name, [math.nan if value is None else float(value) for value in column], [0.0] * len(points))
        for name, column in numeric
    ]


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    shots = sum(counts.values())
    return {outcome: count / shots for outcome, count in counts.items()}


def _curves(
    job: HybridJob, points: Sequence[SweepPoint], series: Sequence[Series], along: str | None
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        # Texts keep their order, and numbers lie where they are.
        places: list[Any] = list(range(1, len(points) + 1))
        if along is not None:
            places = [point.parameters[along] for point in points]
        named = any(isinstance(place, str) for place in places)
        order = list(range(len(points))) if named else sorted(range(len(points)), key=places.__getitem__)
        across = [places[index] for index in order]
        for each in series:
            axes.errorbar(
                across,
                [each.values[index] for index in order],
                yerr=[each.errors[index] for index in order] if any(each.errors) else None,
                marker="." if len(points) <= _MOST_MARKS else None,
                capsize=2,
                label=each.name,
            )
        axes.set_xlabel(along or "point")
        axes.set_title(f"{job.metadata.name}, {len(points)} points", fontsize=10)
        axes.legend(fontsize=8)

    return draw


def _heat_map(
    job: HybridJob, points: Sequence[SweepPoint], series: Series, varying: Sequence[str]
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        import numpy as np

        down, across = ([point.parameters[name] for point in points] for name in varying)
        rows, row = np.unique(down, return_inverse=True)
        columns, column = np.unique(across, return_inverse=True)
        grid = np.full((len(rows), len(columns)), np.nan)
        grid[row, column] = series.values
        mesh = axes.pcolormesh(_numbered(columns), _numbered(rows), grid, shading="nearest")
        if columns.dtype.kind == "U":
            axes.set_xticks(range(len(columns)), columns)
        if rows.dtype.kind == "U":
            axes.set_yticks(range(len(rows)), rows)
        axes.figure.colorbar(mesh, ax=axes, label=series.name)
        axes.set_ylabel(varying[0])
        axes.set_xlabel(varying[1])
        axes.set_title(f"{job.metadata.name}: {series.name}", fontsize=10)

    return draw


def _numbered(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as they are, and texts as their places."""
    import numpy as np

    return np.arange(len(values)) if values.dtype.kind == "U" else values
