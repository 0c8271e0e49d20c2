"""A child process that answers one request after the other over a socket that is its standard input and output.

Each message is a value behind its length in eight bytes. Used for whatever must not run in the server itself: reading
untrusted programs, simulating.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from qonverge.wire.codec import Buffer, parts, unpack

_HEADER_BYTES = 8
# What fits here is read at once with its header, which halves the calls for small messages.
_AT_ONCE_BYTES = 64 * 1024
_END_SECONDS = 5.0
# Where the system does not tell what a process has: Python, numpy and Qiskit take about so much.
_PROCESS_BYTES = 160 * 1024**2


class ChildEnded(Exception):
    """The child ended before it answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """``status`` is that of its exit, the number of the signal below 0 where one ended it."""
        super().__init__(message)
        self.status = status


def read_frame(stream: BinaryIO) -> Any | None:
    """Return the next value, or None at the end of the stream."""
    header = stream.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    return unpack(stream.read(int.from_bytes(header, "big")))


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Write a value with its length in front."""
    for part in _frame(value):
        stream.write(part)
    stream.flush()


def _frame(value: Any) -> list[Buffer]:
    """Return the buffers of a frame; small ones are joined."""
    body = parts(value)
    size = sum(len(part) for part in body)
    header = size.to_bytes(_HEADER_BYTES, "big")
    return [header + b"".join(body)] if size <= _AT_ONCE_BYTES else [header, *body]


def serve_requests(
    answer: Callable[[dict[str, Any]], dict[str, Any]], failed: Callable[[Exception], dict[str, Any]]
) -> None:
    """Answer one request after the other until standard input ends, in a process whose end is its parent's to decide.

    Args:
        answer: returns the answer to a request.
        failed: returns the answer in the place of one that does not travel.
    """
    # A signal to the whole group must not cut a running circuit short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, answers = serve_pipes()
    end_with_parent()
    while (request := read_frame(requests)) is not None:
        done = answer(request)
        try:
            write_frame(answers, done)
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            # Nothing of it was written: an answer becomes bytes before the first of them leaves.
            write_frame(answers, failed(error))


def serve_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the child's request and answer streams; what libraries print goes to standard error from now on."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, answers


def end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed: one that computes would not notice for itself."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def limit_memory(more: int) -> None:
    """Let this process take so many bytes beyond what it has reserved by now; what goes over it fails here alone."""
    limit = _reserved_bytes() + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _reserved_bytes() -> int:
    """Return the private memory that is reserved before the first task; threads' stacks count and are hardly used."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return _PROCESS_BYTES


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
        frame = _frame(value)
        try:
            for part in frame:
                await loop.sock_sendall(self._socket, part)
            return unpack(await self._read(loop))
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
        first = await loop.sock_recv(self._socket, _AT_ONCE_BYTES)
        while len(first) < _HEADER_BYTES:
            if not first:
                raise EOFError
            more = await loop.sock_recv(self._socket, _AT_ONCE_BYTES)
            if not more:
                raise EOFError
            first += more
        size = int.from_bytes(first[:_HEADER_BYTES], "big")
        if size == len(first) - _HEADER_BYTES:
            return memoryview(first)[_HEADER_BYTES:]
        body = bytearray(size)
        have = len(first) - _HEADER_BYTES
        body[:have] = memoryview(first)[_HEADER_BYTES:]
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
