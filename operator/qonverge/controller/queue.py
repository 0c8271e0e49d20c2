"""A work queue of keys, after client-go's: each key once, never by two workers at a time, with backoff per key."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 30.0


class WorkQueue:
    """Keys that need a look."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds, only differences count."""
        self._clock = clock
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._later: list[tuple[float, str]] = []
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait for a worker."""
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Ask for a look at the key, now or after the look that is under way."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_at(self, key: str, when: float) -> None:
        """Ask for a look at a time of the clock; of several the earliest counts."""
        if key in self._due and self._due[key] <= when:
            return
        self._due[key] = when
        heapq.heappush(self._later, (when, key))
        self._wake.set()

    async def get(self) -> str:
        """Return the next key; call ``done`` when it was looked at."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: str, *, failed: bool = False) -> None:
        """End a look; a failed one is repeated after a delay that doubles."""
        self._working.discard(key)
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            self.add_at(key, self._clock() + min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(count, 12)))
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def run_timers(self) -> None:
        """Move keys to the queue when they are due; runs until cancelled."""
        while True:
            self._wake.clear()
            while self._later and self._later[0][0] <= self._clock():
                when, key = heapq.heappop(self._later)
                if self._due.get(key) == when:
                    del self._due[key]
                    self.add(key)
            delay = self._later[0][0] - self._clock() if self._later else 3600.0
            try:
                async with asyncio.timeout(max(0.0, delay)):
                    await self._wake.wait()
            except TimeoutError:
                continue
