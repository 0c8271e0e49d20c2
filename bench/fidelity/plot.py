"""The study's plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.fidelity.study import Row

_DOTS = 250


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write an SVG with forecast and outcome of a part of the rows, evenly taken."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "fidelity"
    from matplotlib import pyplot

    shown = rows[:: 1 + len(rows) // _DOTS]
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 4), sharey=True)
    for axis, name, title in zip(axes, ("fast", "exact"), ("fast estimate", "after transpiling"), strict=True):
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        mids = [row.forecasts[name].mid for row in shown]
        axis.scatter(mids, [row.outcome for row in shown], s=6, alpha=0.6, linewidths=0)
        axis.set(xlabel=f"forecast ({title})", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set_ylabel("simulated Hellinger fidelity")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
