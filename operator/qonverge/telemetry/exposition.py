"""A registry of one process part, and metrics in it by their definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client.process_collector import ProcessCollector

from qonverge.telemetry.definitions import Metric
from qonverge.telemetry.series import Counter, Family, Gauge, Histogram, head, line


@dataclass(frozen=True, slots=True)
class Reading:
    """The value that a gauge has now, or a counter that is kept elsewhere."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


_FamilyT = TypeVar("_FamilyT", Family[Counter], Family[Gauge], Family[Histogram])


class Exposition:
    """Metrics of one part, such as an engine: several of them can live in one process."""

    def __init__(self) -> None:
        """Have those of the process only: CPU time, memory, files and its start."""
        self._parts: list[Callable[[], str]] = [_process]

    def counter(self, metric: Metric) -> Family[Counter]:
        """Make a counter."""
        return self._has(Family(metric, Counter))

    def gauge(self, metric: Metric) -> Family[Gauge]:
        """Make a gauge."""
        return self._has(Family(metric, Gauge))

    def histogram(self, metric: Metric) -> Family[Histogram]:
        """Make a histogram."""
        return self._has(Family(metric, Histogram))

    def read(self, metrics: Sequence[Metric], readings: Callable[[], Iterable[Reading]]) -> None:
        """Have metrics whose values are asked for at each scrape; one that has no value then has no series."""
        self._parts.append(_AtScrape(metrics, readings).text)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return "".join([part() for part in self._parts]).encode()

    def _has(self, family: _FamilyT) -> _FamilyT:
        self._parts.append(family.text)
        return family


_PROCESS = ProcessCollector(registry=None)


def _process() -> str:
    lines = list[str]()
    for family in _PROCESS.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines.append(f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n")
        lines += [line(each.name, each.labels.items(), each.value) for each in family.samples]
    return "".join(lines)


class _AtScrape:
    def __init__(self, metrics: Sequence[Metric], readings: Callable[[], Iterable[Reading]]) -> None:
        self._metrics = metrics
        self._readings = readings
        # Of the last scrape, with their values: most are the same at the next.
        self._lines: dict[tuple[str, tuple[str, ...]], tuple[float, str]] = {}

    def text(self) -> str:
        before, self._lines = self._lines, {}
        families = {each.name: [head(each)] for each in self._metrics}
        for reading in self._readings():
            metric, value = reading.metric, reading.value
            key = metric.name, reading.labels
            known = before.get(key)
            if known is None or known[0] != value:
                known = value, line(metric.name, zip(metric.labels, reading.labels, strict=True), value)
            self._lines[key] = known
            families[metric.name].append(known[1])
        return "".join(["".join(family) for family in families.values()])


class Bounded:
    """The first so many values that come; all others are one."""

    def __init__(self, most: int) -> None:
        """Know none."""
        self._most = most
        self._known: set[tuple[str, ...]] = set()

    def of(self, value: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
        """Return the value where it is one of the first, and else ``others``."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return others
        self._known.add(value)
        return value

    def forget(self, belongs: Callable[[tuple[str, ...]], bool]) -> list[tuple[str, ...]]:
        """Make room for others, and return the values that went."""
        gone = [value for value in self._known if belongs(value)]
        self._known.difference_update(gone)
        return gone
