"""Checking programs in a process of their own, so that no text can harm or block its caller."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import resource
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from qonverge.circuits.analysis import Analysis
from qonverge.circuits.checked import CheckedCircuit
from qonverge.circuits.errors import CheckerLost, InvalidProgram, Unmapped
from qonverge.circuits.load import Load
from qonverge.circuits.profile import CircuitProfile
from qonverge.devices import Calibration, Layout
from qonverge.wire.child import Child, ChildEnded
from qonverge.wire.codec import pack

# Programs beyond this are refused unread; the API server's own limit is below it.
MAX_PROGRAM = 4 * 1024 * 1024
# Of an answer without what varies in size: key, objects, places in the table.
_ENTRY_BYTES = 2048
# The interpreter asks for memory in pieces of this size: with less left, the next small object fails.
_PIECE_BYTES = 1024 * 1024
_LOOK_SECONDS = 0.25


class _NoMemory(ChildEnded):
    """The child has used what it may."""


class Checker:
    """Checks OpenQASM programs one after the other in a child process, and remembers the answers.

    The child is started on demand, limited in memory and time, replaced when it dies, and ended after ``idle`` seconds
    without work, which gives its memory back.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = 1024**3,
        timeout: float = 20.0,
        idle: float = 60.0,
        cache_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        """Set the limits.

        Args:
            memory_bytes: of the child's data: heap, stacks and private writable mappings (RLIMIT_DATA), not the address
                space, of which libraries reserve far more than they use.
            timeout: seconds for one program.
            idle: seconds without work after which the child ends.
            cache_bytes: memory for answers, roughly.
        """
        self._memory = memory_bytes
        self._timeout = timeout
        self._idle = idle
        self._cache: OrderedDict[bytes, tuple[CheckedCircuit | InvalidProgram, int]] = OrderedDict()
        self._cache_left = cache_bytes
        self._child: Child | None = None
        self._turn = asyncio.Lock()
        self._reaper: asyncio.TimerHandle | None = None

    async def check(
        self,
        program: str | bytes,
        parameters: Mapping[str, float],
        observables: Sequence[object],
        layout: Layout | None = None,
    ) -> CheckedCircuit:
        """Return the checked circuit of a program: OpenQASM text, QPY, or either compressed by gzip.

        Raises:
            InvalidProgram: as ``checked.check``; also when reading the program takes too much time or memory.
            CheckerLost: the child does not start, so that nothing is known about the program.
        """
        if len(program) > MAX_PROGRAM:
            unit = "characters" if isinstance(program, str) else "bytes"
            raise InvalidProgram(
                f"the program has {len(program)} {unit}",
                expected=f"at most {MAX_PROGRAM}, or the same compressed by gzip",
            )
        request = {
            "program": program,
            "parameters": dict(parameters),
            "observables": list(observables),
            "layout": None if layout is None else layout.to_dict(),
        }
        try:
            body = pack(request)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidProgram(f"the parameters or observables cannot be read: {error}") from None
        key = hashlib.sha256(body).digest()
        known = self._recall(key)
        if known is None:
            async with self._turn:
                # Somebody may have asked for the same while this call waited for its turn.
                known = self._recall(key)
                if known is None:
                    known = await self._ask(request)
                    self._remember(key, known)
        if isinstance(known, InvalidProgram):
            raise InvalidProgram(known.problem, line=known.line, column=known.column, expected=known.expected)
        return known

    async def load(
        self,
        circuit: CheckedCircuit,
        parameters: Mapping[str, float],
        device: Calibration,
        layout: Layout | None = None,
    ) -> Load:
        """Return what a circuit suffers on a device, transpiled for it as for a noisy simulation of it.

        It takes as long as transpiling does, and programs wait meanwhile: where that counts, have a checker for each.

        Raises:
            Unmapped: the circuit cannot be brought onto the device, or not within the limits of time and memory.
            CheckerLost: the child does not start.
        """
        ones = circuit.profile.ones if circuit.profile else []
        request = {
            "qpy": circuit.qpy,
            "parameters": dict(parameters),
            "device": device.to_dict(),
            "layout": None if layout is None else layout.to_dict(),
            "ones": ones,
            "measures": circuit.analysis.measured_bits > 0,
        }
        async with self._turn:
            reply = await self._reply(request, "bringing the program onto the device")
        if isinstance(reply, InvalidProgram):
            raise Unmapped(str(reply))
        if (problem := reply.get("unmapped")) is not None:
            raise Unmapped(f"the program cannot be brought onto {device.name}: {problem}")
        return Load(**reply)

    async def close(self) -> None:
        """End the child."""
        async with self._turn:
            await self._end()

    def _recall(self, key: bytes) -> CheckedCircuit | InvalidProgram | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        self._cache.move_to_end(key)
        return entry[0]

    def _remember(self, key: bytes, value: CheckedCircuit | InvalidProgram) -> None:
        size = _footprint(value)
        self._cache[key] = (value, size)
        self._cache_left -= size
        while self._cache_left < 0 and self._cache:
            _, (_, freed) = self._cache.popitem(last=False)
            self._cache_left += freed

    async def _ask(self, request: dict[str, Any]) -> CheckedCircuit | InvalidProgram:
        reply = await self._reply(request, "reading the program")
        if isinstance(reply, InvalidProgram):
            return reply
        if (invalid := reply.get("invalid")) is not None:
            problem = invalid.pop("problem")
            return InvalidProgram(problem, **invalid)
        observables = tuple(
            tuple((label, coefficient) for label, coefficient in terms) for terms in reply["observables"]
        )
        profile = None if reply["profile"] is None else CircuitProfile.from_dict(reply["profile"])
        return CheckedCircuit(
            reply["digest"],
            reply["qpy"],
            Analysis.from_dict(reply["analysis"]),
            observables,
            profile,
            None if reply["layout"] is None else Layout.from_dict(reply["layout"]),
            tuple(reply["used"]),
            tuple((a, b) for a, b in reply["pairs"]),
            tuple(reply["warnings"]),
            tuple(reply["fixed"]),
        )

    async def _reply(self, request: dict[str, Any], doing: str) -> dict[str, Any] | InvalidProgram:
        """Return the child's answer, or what the program did to it; ``doing`` says what it was asked for."""
        if self._reaper is not None:
            self._reaper.cancel()
        try:
            child = await self._started()
            reply = await self._exchange(child, request)
        except TimeoutError:
            await self._end()
            return InvalidProgram(
                f"{doing} took longer than {self._timeout:g} s",
                expected="fewer operations, gate definitions that unfold to fewer, or QPY in place of OpenQASM 3",
            )
        except _NoMemory:
            await self._end()
            return InvalidProgram(
                f"{doing} took more memory than the {self._memory // 1024**2} MiB allowed",
                expected="fewer or smaller registers and fewer operations",
            )
        except ChildEnded as error:
            await self._end()
            return InvalidProgram(
                f"{doing} crashed the parser ({error}), as libraries do that get no memory beyond the "
                f"{self._memory // 1024**2} MiB allowed, or that have a fault of their own",
                expected="a smaller program, or to report it where its size is ordinary",
            )
        except BaseException:
            # An abandoned exchange would leave its answer in the pipe for the next one.
            await self._end()
            raise
        self._reaper = asyncio.get_running_loop().call_later(self._idle, self._retire)
        return reply

    async def _exchange(self, child: Child, request: dict[str, Any]) -> dict[str, Any]:
        """Return the child's answer, unless it runs out of time or memory first.

        CPython that gets no memory for the number of the instruction at which it unwinds a frame tries that again for
        ever (``exception_unwind`` in its ceval.c), so a child without memory does not always end by itself.
        """
        answering = asyncio.create_task(child.exchange(request))
        try:
            async with asyncio.timeout(self._timeout):
                while not answering.done():
                    await asyncio.wait({answering}, timeout=_LOOK_SECONDS)
                    if not answering.done() and _data_bytes(child.pid) > self._memory - _PIECE_BYTES:
                        raise _NoMemory("no memory is left")
            return cast(dict[str, Any], answering.result())
        finally:
            answering.cancel()

    async def _started(self) -> Child:
        """Return a child that has loaded what it needs: what ends it from then on is the program that it reads."""
        child = self._child
        if child is None or not child.alive:
            child = self._child = await Child.start(
                "qonverge.circuits.child",
                str(self._memory),
                environment={
                    # One thread is enough to read text, and more would each reserve memory.
                    **{f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "RAYON", "OMP")},
                    # Qiskit's allocator would reserve 1 GiB at once, which would count and could be used unbounded.
                    "MIMALLOC_ARENA_RESERVE": "0",
                },
                # A parser that crashes prints a backtrace, which helps neither operator nor user.
                quiet=True,
            )
            try:
                await child.exchange({})
            except ChildEnded as error:
                raise CheckerLost(f"programs cannot be read at the moment: {error}") from None
        return child

    def _retire(self) -> None:
        if not self._turn.locked() and self._child is not None:
            self._child.retire()
            self._child = None

    async def _end(self) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
        child, self._child = self._child, None
        if child is not None:
            await child.kill()


def _data_bytes(pid: int) -> int:
    """Return what counts for the process's RLIMIT_DATA, and its stack; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[5])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def _footprint(value: CheckedCircuit | InvalidProgram) -> int:
    """Return about how many bytes an answer takes in memory, its entry in the cache included."""
    if isinstance(value, InvalidProgram):
        return _ENTRY_BYTES + _size(value.args)
    analysis = value.analysis
    return (
        _ENTRY_BYTES
        + sys.getsizeof(value.qpy)
        + _size(
            (
                *(analysis.registers, analysis.parameters, analysis.operations, value.observables),
                *(value.used, value.pairs, value.warnings, value.fixed),
            )
        )
        + (_size(dataclasses.astuple(value.profile)) if value.profile else 0)
    )


def _size(value: object) -> int:
    inside = sum(map(_size, value)) if isinstance(value, tuple) else 0
    return sys.getsizeof(value) + inside
