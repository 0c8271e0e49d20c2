"""The course of a metric in bounded memory."""

from __future__ import annotations

from typing import Any

from qonverge.documents.reports import MOST_POINTS

_DIGITS = 8


class CurveRecorder:
    """Keeps every value of a metric until there are too many, then every second, every fourth and so on."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        """Keep at most so many values, an even number."""
        self._most = most
        self._count = 0
        self._every = 1
        self._values: list[float] = []

    def add(self, value: float) -> None:
        """Take the next value."""
        if self._count % self._every == 0:
            if len(self._values) == self._most:
                # The next one has its place among those that stay, since the number of places is even.
                self._values = self._values[::2]
                self._every *= 2
            self._values.append(value)
        self._count += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the form of a report, with 8 digits of each value."""
        values = [float(f"{value:.{_DIGITS}g}") for value in self._values]
        return {"count": self._count, "every": self._every, "values": values}
