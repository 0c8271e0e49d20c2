"""A registry of one process part, and metrics in it by their definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from qonverge.telemetry.definitions import Metric

# When each series began is a series of its own otherwise.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library lacks them here


@dataclass(frozen=True, slots=True)
class Reading:
    """The value that a gauge has now, or a counter that is kept elsewhere."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Exposition:
    """Metrics of one part, such as an engine: several of them can live in one process."""

    def __init__(self) -> None:
        """Have those of the process only: CPU time, memory, files and its start."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def counter(self, metric: Metric) -> Counter:
        """Make a counter."""
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def gauge(self, metric: Metric) -> Gauge:
        """Make a gauge."""
        return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)

    def histogram(self, metric: Metric) -> Histogram:
        """Make a histogram."""
        return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self._registry)

    def read(self, metrics: Sequence[Metric], readings: Callable[[], Iterable[Reading]]) -> None:
        """Have metrics whose values are asked for at each scrape; one that has no value then has no series."""
        self._registry.register(_AtScrape(metrics, readings))

    def text(self) -> bytes:
        """Return all in Prometheus' text format.

        The library's ``generate_latest`` gives the same, and looks anew at each of tens of thousands of series whether
        its names are allowed: that takes as long as all the rest.
        """
        lines = list[str]()
        for family in self._registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            lines.append(f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n")
            lines += [f"{each.name}{_braced(each.labels)} {_number(each.value)}\n" for each in family.samples]
        return "".join(lines).encode()


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library lacks them here
    return text


def _braced(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]) + "}"


def _escaped(value: str) -> str:
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


class _AtScrape(Collector):
    def __init__(self, metrics: Sequence[Metric], readings: Callable[[], Iterable[Reading]]) -> None:
        self._metrics = metrics
        self._readings = readings

    def collect(self) -> Iterator[_Family]:
        families = {each.name: _family(each) for each in self._metrics}
        for reading in self._readings():
            families[reading.metric.name].add_metric(reading.labels, reading.value)
        yield from families.values()


_Family = CounterMetricFamily | GaugeMetricFamily


def _family(metric: Metric) -> _Family:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)


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
