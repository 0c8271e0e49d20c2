"""Child processes that read programs, and who gets one when: short checks never wait for long ones."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from qonverge.circuits.errors import CheckerLost
from qonverge.queueing import Turns
from qonverge.queueing.turns import Turn
from qonverge.wire.child import Child, ChildEnded

_MIB = 1024**2
# The interpreter asks for memory in pieces of this size: with less left, the next small object fails.
_PIECE_BYTES = _MIB
_LOOK_SECONDS = 0.25
# More tries than this mend nothing: where children are killed or hang so often, something is wrong with the machine.
_MOST_LOSSES = 3
# What an operator takes beside its children at most.
_OWN_BYTES = 300 * _MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take of a child."""

    cpu_seconds: float = 60.0
    """CPU time, of the process and not of the clock: how busy the machine is makes no difference."""
    memory_bytes: int = 1024 * _MIB
    """The child's data: heap, stacks and private writable mappings (RLIMIT_DATA), not the address space, of which
    libraries reserve far more than they use."""
    wall_seconds: float = 1200.0
    """By the clock, against a child that hangs; a request that reaches it is tried again in another child."""


DEFAULT = Limits()


class OverLimit(Exception):
    """A request took more than it may, in a child that had served nothing else; the message says what."""


class OutOfTime(OverLimit):
    """It took more CPU time."""


class OutOfMemory(OverLimit):
    """It took more memory."""


class Crashed(OverLimit):
    """It ended the child, as libraries do that get no memory, or that have a fault of their own."""


class _Lost(Exception):
    """The child was killed from outside or hangs, which tells nothing about the request."""


class Lane:
    """Children of one kind, and a fair queue of namespaces in front of them."""

    def __init__(
        self, limits: Limits, *, processes: int, most: int | None = None, niceness: int = 0, idle: float = 60.0
    ) -> None:
        """Start nothing yet: children are started on demand.

        Args:
            limits: of each request.
            processes: children at a time.
            most: of them that one namespace may have; None: all.
            niceness: by which requests come after others that want the CPU.
            idle: seconds without work after which a child ends, which gives its memory back.
        """
        self.limits = limits
        self._niceness = niceness
        self._idle_seconds = idle
        self._turns = Turns(processes, most)
        # Those that wait, each with the timer that ends it; the last one is next.
        self._idle: list[tuple[Child, asyncio.TimerHandle]] = []

    @contextlib.asynccontextmanager
    async def turn(self, namespace: str, expected: float) -> AsyncIterator[Turn]:
        """Wait until it is the namespace's turn, and hold a child's place during the block.

        ``expected`` is the CPU time that the request should take, seconds.
        """
        async with self._turns.turn(namespace, expected) as turn:
            yield turn

    async def ask(self, turn: Turn, request: dict[str, Any]) -> dict[str, Any]:
        """Return a child's answer.

        A child that was killed or hangs is replaced, and so is one that failed and has served others before: what they
        left may be to blame.

        Raises:
            OverLimit: the request itself takes too much.
            CheckerLost: no child starts, or each is killed, so that nothing is known about the request.
        """
        turn.cost, losses, anew = 0.0, 0, False
        while True:
            if anew and self._idle:
                # None of those that wait will do, and there must not be one more.
                await self._resume().kill()
            fresh = anew or not self._idle
            child = await self._start() if fresh else self._resume()
            began, took = time.monotonic(), None
            try:
                answer = await self._exchange(child, request)
                took = answer.pop("cpu_seconds")
                self._keep(child)
                return answer
            except _Lost as lost:
                losses += 1
                if losses == _MOST_LOSSES:
                    raise CheckerLost(f"the process that reads programs was lost {losses} times: {lost}") from None
            except (OutOfMemory, Crashed):
                if fresh:
                    raise
                anew = True
            finally:
                # A child that did not live to tell took no more CPU time than this.
                turn.cost += min(time.monotonic() - began, self.limits.cpu_seconds) if took is None else took

    async def close(self) -> None:
        """End all children that wait."""
        await self._end_idle()

    def _resume(self) -> Child:
        child, timer = self._idle.pop()
        timer.cancel()
        return child

    def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        entry: tuple[Child, asyncio.TimerHandle]

        def retire() -> None:
            self._idle.remove(entry)
            child.retire()

        entry = (child, loop.call_later(self._idle_seconds, retire))
        self._idle.append(entry)

    async def _end_idle(self) -> None:
        while self._idle:
            await self._resume().kill()

    async def _exchange(self, child: Child, request: dict[str, Any]) -> dict[str, Any]:
        """Return the child's answer; a child that gives none is ended."""
        try:
            answer = await self._watched(child, request)
            if "exhausted" in answer:
                raise OutOfMemory
            return answer
        except ChildEnded as ended:
            if ended.status == -signal.SIGPROF:
                raise OutOfTime from None
            if ended.status == -signal.SIGKILL:
                raise _Lost("it was killed, as where its pod or node has no memory left") from None
            raise Crashed(str(ended)) from None
        except TimeoutError:
            await child.kill()
            raise _Lost(f"it did not answer within {self.limits.wall_seconds:g} s") from None
        except BaseException:
            # An abandoned exchange would leave its answer in the pipe for the next one.
            await child.kill()
            raise

    async def _watched(self, child: Child, request: dict[str, Any]) -> dict[str, Any]:
        """Return the child's answer, unless it runs out of memory first or hangs.

        CPython that gets no memory for the number of the instruction at which it unwinds a frame tries that again for
        ever (``exception_unwind`` in its ceval.c), so a child without memory does not always end by itself.
        """
        answering = asyncio.create_task(child.exchange(request))
        try:
            async with asyncio.timeout(self.limits.wall_seconds):
                while not answering.done():
                    await asyncio.wait({answering}, timeout=_LOOK_SECONDS)
                    if not answering.done() and _data_bytes(child.pid) > self.limits.memory_bytes - _PIECE_BYTES:
                        raise OutOfMemory
            return cast(dict[str, Any], answering.result())
        finally:
            answering.cancel()

    async def _start(self) -> Child:
        """Return a child that has loaded what it needs: what ends it from then on is the program that it reads."""
        limits = self.limits
        try:
            child = await Child.start(
                "qonverge.circuits.checker.child",
                *(str(limits.memory_bytes), str(limits.cpu_seconds), str(self._niceness)),
                environment={
                    # One thread is enough to read text, and more would each reserve memory.
                    **{f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "RAYON", "OMP")},
                    # Qiskit's allocator would reserve 1 GiB at once, which would count and could be used unbounded.
                    "MIMALLOC_ARENA_RESERVE": "0",
                },
                # A parser that crashes prints a backtrace, which helps neither operator nor user.
                quiet=True,
            )
            await child.exchange({})
        except (ChildEnded, OSError) as error:
            raise CheckerLost(f"programs cannot be read at the moment: {error}") from None
        return child


def fitting(cpus: int, memory_bytes: int, short: Limits, long: Limits) -> tuple[int, int]:
    """Return how many children for short and for long requests an operator has with so many CPUs and so much memory.

    One for each CPU, where memory lets them and the operator take all that they may, and two for long requests also on
    one CPU, so that those of one namespace do not keep another waiting; at least one of each.
    """
    counts, left = [1, 1], memory_bytes - _OWN_BYTES - short.memory_bytes - long.memory_bytes
    wanted, needs = (cpus, max(2, cpus)), (short.memory_bytes, long.memory_bytes)
    while fits := [kind for kind in (0, 1) if counts[kind] < wanted[kind] and needs[kind] <= left]:
        kind = min(fits, key=lambda kind: counts[kind])
        counts[kind] += 1
        left -= needs[kind]
    return counts[0], counts[1]


def _data_bytes(pid: int) -> int:
    """Return what counts for the process's RLIMIT_DATA, and its stack; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[5])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()
