"""Metrics of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qonverge.telemetry import definitions as names
from qonverge.telemetry.exposition import Exposition, Reading


class ProgramMetrics:
    """What a program's process counted, read at each scrape."""

    def __init__(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """``readings`` gives the values of ``PROGRAM``."""
        self._exposition = Exposition()
        self._exposition.read(names.PROGRAM, readings)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return self._exposition.text()
