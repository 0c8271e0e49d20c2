"""The time of the clouds: that of this machine, or one that moves only when it is told to."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

VIRTUAL_START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class Clock:
    """Seconds since 1970, and those since the clouds started."""

    def __init__(self, *, virtual: bool) -> None:
        self.virtual = virtual
        self._lock = threading.Lock()
        self._ahead = 0.0
        self.start = VIRTUAL_START if virtual else time.time()

    def now(self) -> float:
        """Return the time."""
        with self._lock:
            return (self.start if self.virtual else time.time()) + self._ahead

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.now() - self.start

    def advance(self, seconds: float) -> None:
        """Move the time forward; a clock that runs goes on from there."""
        with self._lock:
            self._ahead += seconds
