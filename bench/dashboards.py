"""Draw the chart's Grafana dashboards without Grafana: the same panels, titles, units and queries, by Matplotlib.

``python -m bench.dashboards URL SECONDS FOLDER`` asks the Prometheus server at URL for the last SECONDS, and writes a
picture of each dashboard.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DASHBOARDS = Path(__file__).parents[1] / "charts" / "qonverge" / "dashboards"
_VARIABLES = {"$__rate_interval": "1m", "$backend": ".*", "$namespace": ".*"}
_POINTS = 120
# Grid units to inches.
_WIDE, _HIGH = 0.62, 0.34
_PERCENT = "percentunit"

Series = tuple[str, list[float], list[float]]


def main(url: str, seconds: float, folder: Path) -> None:
    """Draw every dashboard."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        draw(dashboard, url, seconds).savefig(folder / f"dashboard-{path.stem}.png", dpi=80)


def draw(dashboard: dict[str, Any], url: str, seconds: float) -> Figure:
    """Return the picture of a dashboard: each panel at its place on the grid."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(24 * _WIDE, rows * _HIGH + 0.5))
    top = rows * _HIGH / (rows * _HIGH + 0.5)
    figure.suptitle(dashboard["title"], x=0.01, ha="left", y=0.99, fontsize=13)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        low, height = top * (1 - (place["y"] + place["h"]) / rows), top * place["h"] / rows
        axes = figure.add_axes((left + 0.035, low + 0.3 * height / 2, width - 0.045, 0.68 * height))
        axes.set_title(panel["title"], fontsize=8, loc="left")
        _panel(axes, panel, _series(panel, url, seconds))
    return figure


def _panel(axes: Axes, panel: dict[str, Any], found: list[Series]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "timeseries":
        for name, times, values in found:
            axes.plot(times, values, label=name, linewidth=1, marker="." if len(values) < 3 else "")
        if unit == _PERCENT:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        axes.set_ylabel({"s": "s", "ops": "1/s", "bytes": "bytes", "joule": "J"}.get(unit, ""), fontsize=7)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
        if found:
            axes.legend(fontsize=5.5, loc="upper left", framealpha=0.6)
        return
    axes.axis("off")
    last = [(name, values[-1]) for name, _, values in found]
    if panel["type"] == "stat":
        axes.text(0.5, 0.4, _value(last[0][1], unit) if last else "no data", fontsize=16, ha="center", va="center")
        return
    lines = [f"{name}  {value:.6g}" for name, value in last]
    axes.text(0, 1, "\n".join(lines) or "no data", fontsize=7, va="top", family="monospace")


def _value(value: float, unit: str) -> str:
    if unit == "dateTimeFromNow":
        return f"{(time.time() - value / 1000) / 86_400:.0f} days ago"
    return f"{100 * value:.3g} %" if unit == _PERCENT else f"{value:.4g}{' s' if unit == 's' else ''}"


def _series(panel: dict[str, Any], url: str, seconds: float) -> list[Series]:
    """Return what the panel's queries give over the time: name, seconds from its start, values."""
    end, found = time.time(), list[Series]()
    for target in panel["targets"]:
        query = target["expr"]
        for name, value in _VARIABLES.items():
            query = query.replace(name, value)
        asked = {"query": query, "start": end - seconds, "end": end, "step": seconds / _POINTS}
        with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(asked)}", timeout=60) as answer:
            result = json.load(answer)["data"]["result"]
        for each in result:
            points = [(float(at) - end + seconds, float(value)) for at, value in each["values"]]
            known = [(at, value) for at, value in points if math.isfinite(value)]
            if known:
                name = _name(target["legendFormat"], each["metric"])
                found.append((name, [at for at, _ in known], [value for _, value in known]))
    return found


def _name(legend: str, labels: dict[str, str]) -> str:
    if not legend:
        return " ".join(value for name, value in labels.items() if name not in ("__name__", "instance", "job"))
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
