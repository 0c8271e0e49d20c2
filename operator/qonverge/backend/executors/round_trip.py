"""How far it is to where a backend sends its tasks, by how long requests there and their answers take."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_WINDOW_SECONDS = 300.0
# Each new figure is news to the operator, which plans anew: a round trip within this factor is none.
_ALIKE = 1.5


def settled(before: float | None, seen: float) -> float:
    """Return the round trip that is told, seconds: the one before, where what was seen is about the same."""
    return seen if before is None or not before / _ALIKE < seen < before * _ALIKE else before


class RoundTrip:
    """The quickest request of the last five minutes. Safe for threads.

    What a request takes beyond its way, such as a new connection or a long answer, is in most and not in the quickest.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of no request. ``clock`` gives seconds, of which only differences count."""
        self._clock = clock
        self._lock = threading.Lock()
        # When requests were answered, and how long they took: of those that any later one was as quick as, none.
        self._quickest: deque[tuple[float, float]] = deque()
        self._told: float | None = None

    def add(self, seconds: float) -> None:
        """Take how long a request and its answer took."""
        with self._lock:
            while self._quickest and self._quickest[-1][1] >= seconds:
                self._quickest.pop()
            self._quickest.append((self._clock(), seconds))
            self._forget()

    @property
    def seconds(self) -> float | None:
        """The round trip, seconds, steady where it hardly changes; None where nothing was answered of late."""
        with self._lock:
            self._forget()
            self._told = settled(self._told, self._quickest[0][1]) if self._quickest else None
            return self._told

    def _forget(self) -> None:
        while self._quickest and self._clock() - self._quickest[0][0] > _WINDOW_SECONDS:
            self._quickest.popleft()
