"""A child process that answers one request after the other over a socket that is its standard input and output.

Used for whatever must not run in the server itself: reading untrusted programs, simulating. What the child does is in
``child_side``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qonverge.wire.frames import AT_ONCE_BYTES, HEADER_BYTES, frame, value_in

if TYPE_CHECKING:
    from qonverge.wire.codec import Buffer

_END_SECONDS = 5.0


class ChildEnded(Exception):
    """The child ended before it answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status`` is that of its exit, the number of the signal below 0 where one ended it."""
        super().__init__(message)
        self.status = status


class Child:
    """A running child."""

    def __init__(self, process: asyncio.subprocess.Process, own: socket.socket) -> None:
        """Use ``start``."""
        self._process = process
        self._socket = own
        self._given_up = False

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        inherits: Callable[[str], bool] = lambda _: True,
        quiet: bool = False,
    ) -> Child:
        """Start ``python -m module arguments...``.

        Args:
            module: what to run.
            arguments: of its command line.
            environment: further variables.
            inherits: says of each variable of this process, by its name, whether the child gets it.
            quiet: drop what it writes to standard error.
        """
        # Of a socket, unlike of a pipe, asyncio reads into memory that is there already.
        own, its = socket.socketpair()
        own.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", module, *arguments),
                stdin=its.fileno(),
                stdout=its.fileno(),
                stderr=asyncio.subprocess.DEVNULL if quiet else None,
                env={**{name: own for name, own in os.environ.items() if inherits(name)}, **(environment or {})},
                # A Ctrl-C in a terminal is for the parent, which ends its children in order.
                start_new_session=True,
            )
        except BaseException:
            own.close()
            raise
        finally:
            its.close()
        return cls(process, own)

    @property
    def alive(self) -> bool:
        """Whether the process still runs, and is to."""
        return self._process.returncode is None and not self._given_up

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def exchange(self, value: Any) -> Any:
        """Send a value and return the answer, whose arrays are views of the one buffer that it was read into.

        A call that breaks off after its first byte ends the child, whose next answer would be another request's.

        Raises:
            ChildEnded: when the child ended before it answered.
        """
        if self._given_up:
            # It may have answered before it ended, and that answer is still to be read.
            raise ChildEnded("the process was ended")
        loop = asyncio.get_running_loop()
        sent = frame(value)
        try:
            for part in sent:
                await loop.sock_sendall(self._socket, part)
            return value_in(await self._read(loop))
        except (EOFError, OSError):
            # Whoever closes its end is about to end, and its exit status says why: no signal is to get in between.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self.ended()
            if self._process.returncode is None:
                await self.kill()
            status = self._process.returncode
            raise ChildEnded(f"the process ended with exit status {status}", status) from None
        except BaseException:
            self.end()
            raise

    async def _read(self, loop: asyncio.AbstractEventLoop) -> Buffer:
        first = await loop.sock_recv(self._socket, AT_ONCE_BYTES)
        while len(first) < HEADER_BYTES:
            if not first:
                raise EOFError
            more = await loop.sock_recv(self._socket, AT_ONCE_BYTES)
            if not more:
                raise EOFError
            first += more
        size = int.from_bytes(first[:HEADER_BYTES], "big")
        if size == len(first) - HEADER_BYTES:
            return memoryview(first)[HEADER_BYTES:]
        body = bytearray(size)
        have = len(first) - HEADER_BYTES
        body[:have] = memoryview(first)[HEADER_BYTES:]
        with memoryview(body) as view:
            while have < size:
                # Released at once: a loop's own objects may keep what they were given until they are collected.
                with view[have:] as rest:
                    count = await loop.sock_recv_into(self._socket, rest)
                if not count:
                    raise EOFError
                have += count
        return body

    async def ended(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    def retire(self) -> None:
        """Let the child end by itself, at the end of its input."""
        self._socket.close()

    def end(self) -> None:
        """End the child at once, without waiting until it has ended."""
        self._given_up = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def kill(self) -> None:
        """End the child at once, and return when it has ended."""
        self.end()
        await self._process.wait()
        self._socket.close()
