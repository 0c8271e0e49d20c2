"""What will come: arrivals that recur each hour or day, with how well that was foretold before."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

BUCKET = 60.0
"""Arrivals are summed over this time, seconds."""
PERIODS = {"hour": 60, "day": 1440}
"""Periods that are tried, in buckets."""
_REPEATS = 2
_HISTORY = _REPEATS * max(PERIODS.values())
_RECENT = 5
# Errors of half a day ago count half.
_DECAY = 0.999
# What recurs is believed where its errors were at most this much of those of the recent mean.
_SKILL = 0.8


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected to come."""

    workers: float
    """How many are kept busy by what comes in the minute."""
    period: str
    """After what time it recurs."""
    error: float
    """Root mean square error of such forecasts until now, relative to that of the mean of the last five minutes."""


class ArrivalForecaster:
    """Forecasts arrivals from those of the same minute one and two periods ago.

    The smaller of the two counts, so that only what recurred is expected. A period is used where its past forecasts had
    a clearly smaller error than the mean of the last five minutes, which is what scaling without a forecast follows.
    Errors count by their squares, so that peaks that are missed count most. It takes about 100 kB for each backend.
    """

    def __init__(self) -> None:
        """Begin without any history."""
        self._closed: deque[float] = deque(maxlen=_HISTORY)
        self._number: int | None = None
        self._sum = 0.0
        self._errors = dict.fromkeys(PERIODS, 0.0)
        self._recent_errors = dict.fromkeys(PERIODS, 0.0)
        self._compared = dict.fromkeys(PERIODS, 0)

    def record(self, now: float, arrived: Iterable[float]) -> None:
        """Record tasks that came, by the seconds that each will run; ``now`` is Unix seconds and never goes back."""
        number = math.floor(now / BUCKET)
        if self._number is None:
            self._number = number
        # A gap of a whole history leaves nothing but zeros of it.
        for _ in range(min(number - self._number, _HISTORY)):
            self._close()
        self._number = max(number, self._number)
        # A task occupies one worker and no more, however long it is.
        self._sum += sum(min(seconds, BUCKET) for seconds in arrived)

    def expect(self, at: float) -> Expected | None:
        """Return what is expected in the minute of that moment, which must be less than an hour ahead.

        None: nothing recurs as far as is known.
        """
        if self._number is None:
            return None
        ahead = math.floor(at / BUCKET) - self._number
        best: Expected | None = None
        for name, period in PERIODS.items():
            recent, workers = self._recent_errors[name], self._recurring(period, ahead)
            # A quiet part of a period says nothing of the others.
            if workers is None or not recent or self._compared[name] < period:
                continue
            error = math.sqrt(self._errors[name] / recent)
            if error <= _SKILL and (best is None or error < best.error):
                best = Expected(workers, name, error)
        return best

    def _recurring(self, period: int, ahead: int) -> float | None:
        """Return what came one and two periods before the bucket that is so many after the open one."""
        last = len(self._closed) + ahead
        places = [last - repeat * period for repeat in range(1, _REPEATS + 1)]
        if places[-1] < 0 or places[0] >= len(self._closed):
            return None
        return min(self._closed[place] for place in places)

    def _close(self) -> None:
        """End the open bucket: compare it with what would have been foretold of it."""
        value, self._sum = self._sum / BUCKET, 0.0
        recent = [self._closed[-1 - index] for index in range(min(_RECENT, len(self._closed)))]
        mean = sum(recent) / len(recent) if recent else 0.0
        for name, period in PERIODS.items():
            foretold = self._recurring(period, 0)
            if foretold is not None:
                self._compared[name] += 1
                self._errors[name] = _DECAY * self._errors[name] + (foretold - value) ** 2
                self._recent_errors[name] = _DECAY * self._recent_errors[name] + (mean - value) ** 2
        self._closed.append(value)
        assert self._number is not None
        self._number += 1
