"""What callers together may take of the server: memory, connections, time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qonverge.wire.errors import QueueFull

MOST_CONNECTIONS = 8192
HEADER_SECONDS = 20.0
"""From a connection's or a request's first moment to the end of its headers."""
STALL_SECONDS = 30.0
"""For which a caller may take nothing of an answer; answers are handed over in pieces of ``PIECE_BYTES``."""
PIECE_BYTES = 1024 * 1024


class Budget:
    """Bytes that all callers share; who finds too few left waits."""

    def __init__(self, limit: int, what: str) -> None:
        """``what`` is counted, as in a sentence."""
        self._limit = limit
        self._what = what
        self._left = limit
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def hold(self, size: int, seconds: float) -> AsyncIterator[None]:
        """Hold so many bytes during the block; more than there are in all count as all.

        Raises:
            QueueFull: too few have become free within so many seconds.
        """
        size = min(size, self._limit)
        try:
            async with asyncio.timeout(seconds):
                while self._left < size:
                    await self._changed.wait()
        except TimeoutError:
            raise QueueFull(
                f"{self._what} of others take the {self._limit >> 20} MiB that there are for them: try again later"
            ) from None
        self._left -= size
        try:
            yield
        finally:
            # Nothing is awaited here: a caller that is cancelled at this moment gives back and wakes others as well.
            self._left += size
            self._changed.set()
            self._changed = asyncio.Event()


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself waits for a caller without end."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*arguments, **more)
        self._headers: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself
        """Begin a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all that waits for the connection."""
        self._headers_came()
        self._moves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; where no request is under way they begin the next one, which must go on."""
        super().data_received(data)
        if self._headers is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._headers_came()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Note that the caller does not take what is sent."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._moves()
        super().resume_writing()

    def _await_headers(self) -> None:
        self._headers = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _headers_came(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _moves(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
