"""Averages and maxima over the time that has just passed."""

from __future__ import annotations

from collections import deque


class TimeAverage:
    """The average over time of a value that holds from one record to the next."""

    def __init__(self, seconds: float) -> None:
        """Look back over so many seconds, or as far as there are records."""
        self._seconds = seconds
        # (until, value, area before it), the oldest first: the area between two moments is a difference.
        self._pieces: deque[tuple[float, float, float]] = deque()
        self._area = 0.0
        self._start: float | None = None
        self._now = 0.0

    def record(self, now: float, value: float) -> None:
        """Record a value that held from the last record until now; the first holds for no time yet."""
        if self._start is None:
            self._start = self._now = now
        self._pieces.append((now, value, self._area))
        self._area += value * (now - self._now)
        self._now = now
        while len(self._pieces) > 1 and self._pieces[0][0] < now - self._seconds:
            self._start = self._pieces.popleft()[0]

    def average(self) -> float:
        """Return the average over the window; over the time since the first record where that is shorter.

        Raises:
            LookupError: nothing was recorded.
        """
        if self._start is None:
            raise LookupError("nothing was recorded")
        since = max(self._start, self._now - self._seconds)
        if since >= self._now:
            return self._pieces[-1][1]
        until, value, before = self._pieces[0]
        start = self._start
        # The oldest piece may have begun before the window.
        area = self._area - before - value * (min(since, until) - start)
        return area / (self._now - since)


class Total:
    """The sum of what came in the last seconds."""

    def __init__(self, seconds: float) -> None:
        """Look back over so many seconds."""
        self._seconds = seconds
        self._came: deque[tuple[float, float]] = deque()
        self._total = 0.0

    def record(self, now: float, value: float) -> float:
        """Record what came since the last record, and return the sum of the window."""
        if value:
            self._came.append((now, value))
            self._total += value
        while self._came and self._came[0][0] <= now - self._seconds:
            self._total -= self._came.popleft()[1]
        if not self._came:
            # What floating point left of sums and differences goes with the last.
            self._total = 0.0
        return self._total


class Maximum:
    """The largest value of the last seconds."""

    def __init__(self, seconds: float) -> None:
        """Look back over so many seconds."""
        self._seconds = seconds
        # Values that are the largest from their time on, falling.
        self._values: deque[tuple[float, int]] = deque()

    def record(self, now: float, value: int) -> int:
        """Record a value and return the largest one of the window."""
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((now, value))
        while self._values[0][0] < now - self._seconds:
            self._values.popleft()
        return self._values[0][1]
