"""One exchange with a pod at a time: of grants that overtake each other nobody would know which is in force."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable


class Exchanges:
    """The exchanges with all pods. Callers that come before the next one has begun take part in it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next: dict[str, asyncio.Task[None]] = {}

    async def join(self, pod: str, exchange: Callable[[], Awaitable[None]]) -> None:
        """Wait for the end of the next exchange with a pod, which is this one if none waits to begin.

        It goes on where its callers are cancelled. What it raises, each of them gets.
        """
        waiting = self._next.get(pod)
        if waiting is None:
            waiting = self._next[pod] = asyncio.create_task(self._in_turn(pod, exchange))
        await asyncio.shield(waiting)

    def forget(self, pod: str) -> None:
        """Forget a pod that is gone."""
        self._turns.pop(pod, None)

    async def _in_turn(self, pod: str, exchange: Callable[[], Awaitable[None]]) -> None:
        async with self._turns[pod]:
            self._next.pop(pod, None)
            await exchange()
