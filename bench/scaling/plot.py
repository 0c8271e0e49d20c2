"""The study's plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(studies: Sequence[dict[str, Any]], target: float, path: Path) -> None:
    """Write an SVG with the wait over the pod-hours for every trace: a curve for each rival, a point for ours."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "scaling"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(studies), figsize=(3.2 * len(studies), 3.6), squeeze=False)
    for axis, study in zip(axes[0], studies, strict=True):
        by_name = {row["scaler"]: row for row in study["rows"]}
        ours, fixed = by_name["Qonverge"], by_name["Fixed pool"]
        for name, points in study["fronts"].items():
            shown = [(x, max(y, 0.5)) for x, y in points if x < 3 * ours["pod_hours"]]
            axis.plot(*zip(*shown, strict=True), marker=".", linewidth=1, label=name)
        axis.plot(ours["pod_hours"], max(ours["p95"], 0.5), "k*", markersize=11, label="Qonverge")
        axis.axhline(target, color="0.5", linewidth=0.8, linestyle="--", label="target")
        axis.set(title=study["name"], xlabel="pod-hours", yscale="log", xlim=(0, 3 * ours["pod_hours"]))
        if fixed["pod_hours"] < 3 * ours["pod_hours"]:
            axis.plot(fixed["pod_hours"], fixed["p95"], "rs", markersize=5, label="smallest fixed pool")
    axes[0][0].set_ylabel("95th percentile of waits, s")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
