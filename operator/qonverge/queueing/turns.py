"""Places that tenants take in turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qonverge.queueing.fair import FairQueue


@dataclass(slots=True)
class Turn:
    """A place that is taken."""

    cost: float
    """What it was expected to cost; the holder sets what it did cost."""


class Turns:
    """So many places; who waits for one gets it in the order of a fair queue."""

    def __init__(self, places: int, most: int | None = None) -> None:
        """Let a tenant have at most ``most`` of the places at a time; None: all of them."""
        self._free = places
        self._queue = FairQueue[asyncio.Future[None]](most)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, tenant: str, expected: float) -> AsyncIterator[Turn]:
        """Wait for a place and hold it during the block; costs are in any unit."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(tenant, place, cost=expected)
        self._give()
        try:
            # Shielded: who is cancelled takes itself out of the queue, which else could give a place to nobody.
            await asyncio.shield(place)
        except asyncio.CancelledError:
            if place.done():
                self._end(tenant, expected, 0.0)
            else:
                self._queue.remove(tenant, place)
            raise
        turn = Turn(expected)
        try:
            yield turn
        finally:
            self._end(tenant, expected, turn.cost)

    def _give(self) -> None:
        while self._free and (taken := self._queue.take()) is not None:
            self._free -= 1
            taken[1].set_result(None)

    def _end(self, tenant: str, expected: float, cost: float) -> None:
        self._free += 1
        self._queue.done(tenant, expected=expected, cost=cost)
        self._give()
