"""When a device runs tasks: its execution windows, which Braket publishes in UTC. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

_DAYS: Mapping[str, tuple[int, ...]] = {
    "Everyday": (0, 1, 2, 3, 4, 5, 6),
    "Weekdays": (0, 1, 2, 3, 4),
    "Weekend": (5, 6),
    "Monday": (0,),
    "Tuesday": (1,),
    "Wednesday": (2,),
    "Thursday": (3,),
    "Friday": (4,),
    "Saturday": (5,),
    "Sunday": (6,),
}


def next_opening(windows: Iterable[Mapping[str, Any]], now: float) -> float | None:
    """Return when the next window begins, Unix seconds; ``now`` where one is open, None where there is none.

    Args:
        windows: ``executionWindows`` of the device's service properties: a day, and from when to when. One that ends
            before it begins ends on the next day.
        now: Unix seconds.

    Raises:
        ValueError, KeyError, TypeError: a window is of another form.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    starts = []
    for window in windows:
        days = _DAYS[str(window["executionDay"])]
        first, last = time.fromisoformat(window["windowStartHour"]), time.fromisoformat(window["windowEndHour"])
        for offset in range(-1, 8):
            day = today + timedelta(days=offset)
            if day.weekday() not in days:
                continue
            start = datetime.combine(day, first, UTC)
            # 23:59:59 is meant as the end of the day: the last second belongs to the window.
            end = datetime.combine(day + timedelta(days=last <= first), last, UTC) + timedelta(seconds=1)
            if start.timestamp() <= now < end.timestamp():
                return now
            if start.timestamp() > now:
                starts.append(start.timestamp())
    return min(starts, default=None)
