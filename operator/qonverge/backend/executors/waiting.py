"""Where work waits for workers, or workers for work."""

from __future__ import annotations

import asyncio
from collections import deque

from qonverge.backend.executors.records import Part, Slot


class Waiting:
    """Hands each part to one worker: parts go in the order in which they came.

    Of several free workers the one that knows the circuits and ran last gets the part: what it needs is still in the
    processor's caches. In turns, a loop's small tasks take a third longer (measured: 1.85 and 2.4 ms).
    """

    def __init__(self) -> None:
        """Start empty."""
        self._parts: deque[Part] = deque()
        self._free: list[tuple[Slot, asyncio.Future[Part | None]]] = []

    @property
    def free(self) -> int:
        """Workers that wait."""
        return len(self._free)

    def put(self, part: Part) -> None:
        """Take work, and give it to a worker that waits if there is one."""
        if not self._free:
            self._parts.append(part)
            return
        needed = part.run.execution.request.task.circuits.keys()
        warm = (place for place in reversed(self._free) if needed <= place[0].known)
        place = next(warm, self._free[-1])
        self._free.remove(place)
        place[1].set_result(part)

    async def take(self, slot: Slot) -> Part | None:
        """Return the next part for the slot's worker, or None when that ends before there is one."""
        if self._parts:
            return self._parts.popleft()
        assert slot.ended is not None
        coming: asyncio.Future[Part | None] = asyncio.get_running_loop().create_future()
        place = (slot, coming)

        def leave(_: object = None) -> None:
            if place in self._free:
                self._free.remove(place)
                coming.set_result(None)

        slot.ended.add_done_callback(leave)
        self._free.append(place)
        try:
            return await coming
        finally:
            slot.ended.remove_done_callback(leave)
            if place in self._free:
                self._free.remove(place)
