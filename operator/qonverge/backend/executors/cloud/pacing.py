"""How fast a cloud may be called: below its published limit, and slower while it does not want to be."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from qonverge.backend.executors.cloud.patience import Patience

# So much of the rate may come at once and the rest over time: no second has more than the limit.
_AT_ONCE = 0.2


class Bucket:
    """A token bucket. Pure: it is told what time it is."""

    def __init__(self, rate: float) -> None:
        """``rate`` is the limit in calls a second."""
        self._most = max(1.0, _AT_ONCE * rate)
        self._refill = (1 - _AT_ONCE) * rate
        self._tokens, self._at = self._most, float("-inf")

    @property
    def refill(self) -> float:
        """Calls a second, when those that may come at once have come."""
        return self._refill

    def delay(self, now: float) -> float:
        """Return for how many seconds the next call has to wait."""
        return max(0.0, (1.0 - self._left(now)) / self._refill)

    def take(self, now: float) -> None:
        """Count a call."""
        self._tokens, self._at = self._left(now) - 1.0, now

    def _left(self, now: float) -> float:
        # What is a rounding error short of a whole token is one: else the wait for it may be too short to pass.
        return min(self._most, self._tokens + (now - self._at) * self._refill) + 1e-9


class Pacer:
    """Lets calls of one kind go in the order in which they come, and only one at a time while they fail."""

    def __init__(
        self, rate: float, patience: Patience, clock: Callable[[], float], waited: Callable[[float], None]
    ) -> None:
        """Args: calls a second, times, a clock of which differences count, and who is told of seconds waited."""
        self._bucket = Bucket(rate)
        self._patience, self._clock, self._waited = patience, clock, waited
        self._lock = asyncio.Lock()
        self._failures = 0
        self._until = float("-inf")
        self._changed = asyncio.Event()
        self._waiting = 0

    @property
    def backlog(self) -> float:
        """Seconds that the calls which wait take by the limit alone."""
        return self._waiting / self._bucket.refill

    @contextlib.asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait until a call may be made, which is made inside; one that is urgent waits for no other."""
        began = self._clock()
        async with contextlib.AsyncExitStack() as held:
            self._waiting += 1
            try:
                if not urgent:
                    await held.enter_async_context(self._lock)
                await self._turn_comes()
            finally:
                self._waiting -= 1
            self._bucket.take(self._clock())
            self._waited(self._clock() - began)
            if not self._failures:
                await held.aclose()
            yield

    async def _turn_comes(self) -> None:
        while (delay := max(self._until - self._clock(), self._bucket.delay(self._clock()))) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()

    def failed(self, after: float | None = None) -> None:
        """Let the next call wait longer; ``after`` is what the cloud asks for. Calls that fail together count once."""
        now = self._clock()
        if now < self._until:
            return
        self._failures += 1
        jitter = random.random()  # noqa: S311  # spreads calls, and hides nothing
        wait = self._patience.backoff(self._failures, jitter)
        self._until = now + (wait if after is None else max(wait, after))

    def worked(self) -> None:
        """Let calls go at full speed again."""
        if self._failures:
            self._failures, self._until = 0, float("-inf")
            self._changed.set()
