"""What is counted, and its lines in Prometheus' text format, which are written again only once it changed.

The library makes an object of each sample at each scrape, and most of tens of thousands of series have not changed.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, Protocol, TypeVar

from prometheus_client.utils import floatToGoString

from qonverge.telemetry.definitions import Metric


def head(metric: Metric) -> str:
    """Return the lines before a metric's series."""
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n"


def line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    """Return the line of one series."""
    braced = ",".join([f'{label}="{_escaped(text)}"' for label, text in sorted(labels)])
    return f"{name}{{{braced}}} {number(value)}\n" if braced else f"{name} {number(value)}\n"


def number(value: float) -> str:
    """Return a value, or the bound of a bucket, as Go writes it."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library lacks them here
    return text


def _escaped(value: str) -> str:
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


class Child(Protocol):
    """The series of one set of labels."""

    def text(self) -> str:
        """Return their lines."""


ChildT = TypeVar("ChildT", bound=Child)


class Family(Generic[ChildT]):
    """A metric, with a child for each set of labels that was asked for."""

    def __init__(self, metric: Metric, make: Callable[[Metric, tuple[str, ...]], ChildT]) -> None:
        """Have no series."""
        self._metric = metric
        self._make = make
        self._children: dict[tuple[str, ...], ChildT] = {}
        self._lock = Lock()

    def labels(self, *values: str, **named: str) -> ChildT:
        """Return the child with these values of all labels, in their order or by their names.

        Raises:
            KeyError: a name is missing.
            ValueError: values are missing or too many.
        """
        if named:
            values = (*values, *(named[label] for label in self._metric.labels[len(values) :]))
        if len(values) != len(self._metric.labels):
            raise ValueError(f"{self._metric.name} has the labels {self._metric.labels}, and {values} are not theirs")
        if (child := self._children.get(values)) is not None:
            return child
        with self._lock:
            return self._children.setdefault(values, self._make(self._metric, values))

    def forget(self, label: str, value: str) -> None:
        """Drop the series with this value of a label."""
        place = self._metric.labels.index(label)
        with self._lock:
            self._children = {key: child for key, child in self._children.items() if key[place] != value}

    def text(self) -> str:
        """Return the lines of all series, and those before them."""
        return head(self._metric) + "".join([child.text() for child in list(self._children.values())])


class Counter:
    """One series of a counter."""

    __slots__ = ("_labels", "_lock", "_name", "_text", "_value")

    def __init__(self, metric: Metric, values: tuple[str, ...]) -> None:
        """Count from 0."""
        self._name = metric.name
        self._labels = tuple(zip(metric.labels, values, strict=True))
        self._value = 0.0
        self._text: str | None = None
        self._lock = Lock()

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount.

        Raises:
            ValueError: it is below 0.
        """
        if amount < 0:
            raise ValueError(f"{self._name} counts up, not by {amount:g}")
        with self._lock:
            self._value += amount
            self._text = None

    def text(self) -> str:
        """Return its line."""
        with self._lock:
            if self._text is None:
                self._text = line(self._name, self._labels, self._value)
            return self._text


class Gauge:
    """One series of a gauge."""

    __slots__ = ("_labels", "_name", "_read")

    def __init__(self, metric: Metric, values: tuple[str, ...]) -> None:
        """Be 0."""
        self._name = metric.name
        self._labels = tuple(zip(metric.labels, values, strict=True))
        self.set(0.0)

    def set(self, value: float) -> None:
        """Take a value."""
        self._read: Callable[[], float] = lambda: value

    def set_function(self, read: Callable[[], float]) -> None:
        """Ask for the value at each scrape."""
        self._read = read

    def text(self) -> str:
        """Return its line."""
        return line(self._name, self._labels, self._read())


class Histogram:
    """The series of one histogram: buckets, count and sum."""

    __slots__ = ("_bounds", "_counts", "_labels", "_lock", "_name", "_sum", "_text")

    def __init__(self, metric: Metric, values: tuple[str, ...]) -> None:
        """Have observed nothing."""
        self._name = metric.name
        self._labels = tuple(zip(metric.labels, values, strict=True))
        self._bounds = (*metric.buckets, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._text: str | None = None
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count a value in its bucket."""
        with self._lock:
            # What is no number is in none.
            if not math.isnan(value):
                self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value
            self._text = None

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe how long a block takes, seconds; one that fails too."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(max(0.0, time.perf_counter() - began))

    def text(self) -> str:
        """Return their lines."""
        with self._lock:
            if self._text is None:
                self._text = "".join(self._lines())
            return self._text

    def _lines(self) -> Iterator[str]:
        total = 0
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            yield line(f"{self._name}_bucket", (*self._labels, ("le", number(bound))), total)
        yield line(f"{self._name}_count", self._labels, total)
        yield line(f"{self._name}_sum", self._labels, self._sum)
