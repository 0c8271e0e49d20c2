"""How late the event loop is: an answer that seems late may be waiting in this process."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_STEP_SECONDS = 0.1


class Lateness:
    """Watches the loop for the time of a block."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.seconds = 0.0
        """For how long in all something that was due could not go on; known after the block."""

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._late()
        self._watching.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + _STEP_SECONDS
            await asyncio.sleep(_STEP_SECONDS)
            self._late()

    def _late(self) -> None:
        self.seconds += max(0.0, asyncio.get_running_loop().time() - self._due)
