"""A work queue of keys, after client-go's: each key once, never by two workers at a time, with backoff per key.

Unlike client-go's it takes namespaces in turns, by the time that workers spent on each.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

from qonverge.queueing import FairQueue

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 30.0
STALLED_SECONDS = 60.0
"""Where keys wait and for so long no worker takes one, all that may take one wait for something that does not come."""
# Of a worker for a look: what a status write takes.
_USUAL_SECONDS = 0.005


class WorkQueue:
    """Keys that need a look: ``Kind namespace/name``."""

    def __init__(self, clock: Callable[[], float], most: int | None = None) -> None:
        """Start empty.

        Args:
            clock: gives seconds, only differences count.
            most: keys of one namespace that are worked on at a time; None: any number.
        """
        self._clock = clock
        self._ready = FairQueue[str](most)
        self._idle: deque[asyncio.Future[None]] = deque()
        self._working: dict[str, float] = {}
        # Whether it is urgent.
        self._again: dict[str, bool] = {}
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._later: list[tuple[float, str]] = []
        self._wake = asyncio.Event()
        # When a key was last taken, or the first of those that wait began to.
        self._moved = clock()

    def __len__(self) -> int:
        """Return how many keys wait for a worker."""
        return len(self._ready)

    @property
    def problem(self) -> str | None:
        """Why what waits is not looked at; None while workers take keys, or none waits."""
        now = self._clock()
        if not self._ready or now - self._moved < STALLED_SECONDS:
            return None
        longest = min(self._working, key=self._working.__getitem__, default=None)
        busy = (
            "none looks at anything"
            if longest is None
            else f"{longest} has been looked at for {now - self._working[longest]:.0f} s"
        )
        return f"for {now - self._moved:.0f} s no worker has taken any of {len(self)} objects that wait: {busy}"

    def add(self, key: str, *, urgent: bool = False) -> None:
        """Ask for a look at the key, now or after the look that is under way.

        An urgent one goes before the others of its namespace: what ends frees something that others wait for.
        """
        if key in self._working:
            self._again[key] = urgent or self._again.get(key, False)
        else:
            if not self._ready:
                self._moved = self._clock()
            self._ready.put(_namespace(key), key, cost=_USUAL_SECONDS, urgent=urgent)
            self._rouse()

    def add_at(self, key: str, when: float) -> None:
        """Ask for a look at a time of the clock; of several the earliest counts."""
        if key in self._due and self._due[key] <= when:
            return
        self._due[key] = when
        heapq.heappush(self._later, (when, key))
        self._wake.set()

    async def get(self) -> str:
        """Return the next key; call ``done`` when it was looked at."""
        while (taken := self._ready.take()) is None:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            try:
                await idle
            except asyncio.CancelledError:
                if idle.done() and not idle.cancelled():
                    self._rouse()
                raise
        self._working[taken[1]] = self._moved = self._clock()
        return taken[1]

    def done(self, key: str, *, failed: bool = False) -> None:
        """End a look; a failed one is repeated after a delay that doubles."""
        now = self._clock()
        spent = max(_USUAL_SECONDS, now - self._working.pop(key))
        self._ready.done(_namespace(key), expected=_USUAL_SECONDS, cost=spent)
        if failed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
            self.add_at(key, now + min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(count, 12)))
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))
        # Its namespace may have as many under way as it may no more.
        self._rouse()

    def _rouse(self) -> None:
        """Let a worker that waits look for a key."""
        while self._idle and (idle := self._idle.popleft()):
            if not idle.done():
                idle.set_result(None)
                return

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


def _namespace(key: str) -> str:
    return key.partition(" ")[2].partition("/")[0]
