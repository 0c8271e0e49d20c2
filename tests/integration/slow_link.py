"""A TCP proxy that takes its time: a link to another site, in user space."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class SlowLink:
    """Passes bytes on to a port of this machine, each piece ``seconds`` later in both directions.

    With ``only``, connections that begin otherwise are passed on at once: they come from another place.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.only = b""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __call__(self, port: int) -> int:
        """Return the port at which the other one is reached from now on."""
        return asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result(30)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    async def _end(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _listen(self, port: int) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.close()
                return
            first = await reader.read(64 * 1024)

            def seconds() -> float:
                return self.seconds if first.startswith(self.only) else 0.0

            await asyncio.sleep(seconds())
            there[1].write(first)
            await asyncio.gather(self._pass(reader, there[1], seconds), self._pass(there[0], writer, seconds))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: Callable[[], float]
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(64 * 1024):
                await asyncio.sleep(seconds())
                writer.write(piece)
                await writer.drain()
        writer.close()
