"""Checking programs in processes of their own, so that no text can harm or block its caller."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from qonverge.circuits.analysis.analysis import Analysis
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.lanes import DEFAULT, Lane, Limits, OutOfMemory, OutOfTime, OverLimit
from qonverge.circuits.error_response.accumulated_errors import Load
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.errors import InvalidProgram, Unmapped
from qonverge.devices import Calibration, Layout
from qonverge.wire.codec import pack

# Programs beyond this are refused unread; the API server's own limit is below it.
MAX_PROGRAM = 4 * 1024 * 1024
# Of an answer without what varies in size: key, objects, places in the table.
_ENTRY_BYTES = 2048
# Reading a byte of OpenQASM 3 takes 20 to 30 microseconds (measured), of QPY less.
_SECONDS_PER_BYTE = 25e-6
# Mapping to a device takes longer: some milliseconds for each gate, of which QPY has about 50 bytes.
_MAPPING_SECONDS_PER_BYTE = 50e-6
_LEAST_SECONDS = 0.005
SHORT = Limits(cpu_seconds=1.5, memory_bytes=256 * 1024**2)
"""What is read with more than this waits for others of its kind; nearly all programs take less."""
# What should take more than this is not tried as a short one.
_FORESEEN_LONG_SECONDS = 1.0
# A long request has what CPU time short ones and the process that waits for them leave.
_LONG_NICENESS = 10


class Checker:
    """Checks programs in child processes, for each namespace its fair part of them, and remembers the answers.

    Short requests have children of their own, and everything that is not foreseen to be long is tried as a short one
    first: so what one namespace has keeps others waiting for no more than one short request on each child. What a
    request takes is counted in CPU time.
    """

    def __init__(
        self,
        limits: Limits = DEFAULT,
        *,
        short_processes: int = 1,
        long_processes: int = 1,
        idle: float = 60.0,
        cache_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        """Set the limits.

        Args:
            limits: of one program.
            short_processes: children for short requests.
            long_processes: children for all others; of several, one namespace leaves one to the others.
            idle: seconds without work after which a child ends.
            cache_bytes: memory for answers, roughly.
        """
        self._limits = limits
        short = replace(
            limits,
            cpu_seconds=min(SHORT.cpu_seconds, limits.cpu_seconds),
            memory_bytes=min(SHORT.memory_bytes, limits.memory_bytes),
        )
        self._short = Lane(short, processes=short_processes, idle=idle)
        most = max(1, long_processes - 1)
        self._long = Lane(limits, processes=long_processes, most=most, niceness=_LONG_NICENESS, idle=idle)
        self._cache: LRUCache[bytes, CheckedCircuit | InvalidProgram] = LRUCache(cache_bytes, _footprint)

    async def check(
        self,
        program: str | bytes,
        parameters: Mapping[str, float],
        observables: Sequence[object],
        layout: Layout | None = None,
        *,
        namespace: str = "",
    ) -> CheckedCircuit:
        """Return the checked circuit of a program: OpenQASM text, QPY, or either compressed by gzip.

        Args:
            program: the program.
            parameters: values of its parameters.
            observables: what it is run for, if not for counts.
            layout: where it lies on a device.
            namespace: whose it is: namespaces take turns.

        Raises:
            InvalidProgram: as ``checked.check``; also when reading the program takes too much time or memory.
            CheckerLost: no child starts or lives, so that nothing is known about the program.
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
        known = self._cache.get(key)
        if known is None:
            try:
                reply = await self._reply(
                    request, namespace, len(body) * _SECONDS_PER_BYTE, lambda: self._cache.get(key)
                )
                known = reply if isinstance(reply, CheckedCircuit | InvalidProgram) else _read(reply)
            except OverLimit as over:
                known = self._refusal(over, "reading the program")
            # One that is larger than all that may be kept is not.
            with contextlib.suppress(ValueError):
                self._cache[key] = known
        if isinstance(known, InvalidProgram):
            raise InvalidProgram(known.problem, line=known.line, column=known.column, expected=known.expected)
        return known

    async def load(
        self,
        circuit: CheckedCircuit,
        parameters: Mapping[str, float],
        device: Calibration,
        layout: Layout | None = None,
        *,
        namespace: str = "",
    ) -> Load:
        """Return what a circuit suffers on a device, transpiled for it as for a noisy simulation of it.

        Raises:
            Unmapped: the circuit cannot be brought onto the device, or not within the limits of time and memory.
            CheckerLost: no child starts or lives.
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
        try:
            reply = await self._reply(request, namespace, len(circuit.qpy) * _MAPPING_SECONDS_PER_BYTE)
        except OverLimit as over:
            raise Unmapped(str(self._refusal(over, "bringing the program onto the device"))) from None
        if (problem := reply.get("unmapped") or reply.get("fault")) is not None:
            raise Unmapped(f"the program cannot be brought onto {device.name}: {problem}")
        return Load(**reply)

    async def check_parameters(
        self, parameters: Mapping[str, Any], schema: Mapping[str, Any], *, namespace: str = ""
    ) -> None:
        """Hold a program's parameters against their JSON Schema, which may be as hostile as a circuit.

        Raises:
            InvalidProgram: they do not meet it, or it is none, or takes too much.
            CheckerLost: no child starts or lives.
        """
        request = {"parameters": dict(parameters), "schema": dict(schema)}
        try:
            reply = await self._reply(request, namespace, 0.0)
        except OverLimit as over:
            refusal = self._refusal(over, "holding the parameters against their schema")
            raise InvalidProgram(refusal.problem, expected="a simpler spec.program.parameterSchema") from None
        if problems := reply["problems"]:
            raise InvalidProgram("; ".join(f"spec.program.{each}" for each in problems))

    async def close(self) -> None:
        """End the children."""
        await self._short.close()
        await self._long.close()

    async def _reply(
        self, request: dict[str, Any], namespace: str, expected: float, recall: Callable[[], Any] = lambda: None
    ) -> Any:
        """Return a child's answer, or what ``recall`` gives once it is the namespace's turn.

        Raises:
            OverLimit: the request takes more than it may.
            CheckerLost: no child starts or lives.
        """
        expected += _LEAST_SECONDS
        if expected <= _FORESEEN_LONG_SECONDS:
            async with self._short.turn(namespace, expected) as turn:
                if (known := recall()) is not None:
                    turn.cost = 0.0
                    return known
                with contextlib.suppress(OverLimit):
                    reply = await self._short.ask(turn, request)
                    if "fault" not in reply:
                        return reply
        # A fault may have been for want of what a short request does not get.
        async with self._long.turn(namespace, max(expected, SHORT.cpu_seconds)) as turn:
            if (known := recall()) is not None:
                turn.cost = 0.0
                return known
            return await self._long.ask(turn, request)

    def _refusal(self, over: OverLimit, doing: str) -> InvalidProgram:
        """Return what is said of a program that takes too much; ``doing`` says what was done with it."""
        memory = f"{self._limits.memory_bytes // 1024**2} MiB"
        match over:
            case OutOfTime():
                return InvalidProgram(
                    f"{doing} took more than the {self._limits.cpu_seconds:g} s of CPU time allowed",
                    expected="fewer operations, gate definitions that unfold to fewer, or QPY in place of OpenQASM 3",
                )
            case OutOfMemory():
                return InvalidProgram(
                    f"{doing} took more memory than the {memory} allowed",
                    expected="fewer or smaller registers and fewer operations",
                )
        return InvalidProgram(
            f"{doing} crashed the parser ({over}), as libraries do that get no memory beyond the {memory} allowed, or "
            "that have a fault of their own",
            expected="a smaller program, or to report it where its size is ordinary",
        )


def _read(reply: dict[str, Any]) -> CheckedCircuit | InvalidProgram:
    if (fault := reply.get("fault")) is not None:
        return InvalidProgram(fault)
    if (invalid := reply.get("invalid")) is not None:
        problem = invalid.pop("problem")
        return InvalidProgram(problem, **invalid)
    observables = tuple(tuple((label, coefficient) for label, coefficient in terms) for terms in reply["observables"])
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
