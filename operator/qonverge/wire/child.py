"""A child process that answers one request after the other over its pipes.

Each message is a value behind its length in four bytes. Used for whatever must not run in the server itself: reading
untrusted programs, simulating.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from qonverge.wire.codec import pack, unpack

HEADER_BYTES = 4


class ChildEnded(Exception):
    """The child ended before it answered."""


def read_frame(stream: BinaryIO) -> Any | None:
    """Return the next value, or None at the end of the stream."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    return unpack(stream.read(int.from_bytes(header, "big")))


def frame(value: Any) -> bytes:
    """Return the value with its length in front."""
    body = pack(value)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def serve_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the child's request and answer streams; what libraries print goes to standard error from now on."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, answers


class Child:
    """A running child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Use ``start``."""
        self._process = process

    @classmethod
    async def start(
        cls, module: str, *arguments: str, environment: Mapping[str, str] | None = None, quiet: bool = False
    ) -> Child:
        """Start ``python -m module arguments...``; ``quiet`` drops what it writes to standard error."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL if quiet else None,
            env={**os.environ, **(environment or {})},
            limit=2**20,
            # A Ctrl-C in a terminal is for the parent, which ends its children in order.
            start_new_session=True,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def exchange(self, value: Any) -> Any:
        """Send a value and return the answer.

        A call that is abandoned leaves its answer in the pipe: kill the child then.

        Raises:
            ChildEnded: when the child ended before it answered.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(frame(value))
            await stdin.drain()
            size = int.from_bytes(await stdout.readexactly(HEADER_BYTES), "big")
            return unpack(await stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._process.wait()
            raise ChildEnded(f"the process ended with exit status {self._process.returncode}") from None

    async def ended(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    def retire(self) -> None:
        """Let the child end by itself, at the end of its input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def kill(self) -> None:
        """End the child at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
