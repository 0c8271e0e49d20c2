"""Delays: in seconds or in steps of a device's clock (dt), with or without parameters, on their way and on a device.

QPY 18 keeps a delay's number and not its unit, and reads no delay with a parameter. So a delay that it would lose
travels as an instruction of a name that no gate of a program can have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Instruction, Operation, ParameterExpression
from qiskit.circuit.classical import expr

from qonverge.circuits.errors import InvalidProgram

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}
_TRAVELS_AS = {"qonverge.delay.s": "s", "qonverge.delay.dt": "dt"}
_NAMES = {unit: name for name, unit in _TRAVELS_AS.items()}


def is_travelling(operation: Operation) -> bool:
    """Whether an operation stands for a delay."""
    return operation.name in _TRAVELS_AS


def canonical_delay(operation: Operation) -> Delay:
    """Return a delay, or what stands for it, with its time in s or in dt.

    Raises:
        InvalidProgram: its time is no number, as that of a stretch.
    """
    if operation.name in _TRAVELS_AS:
        return _delay(operation.params[0], _TRAVELS_AS[operation.name])
    duration, unit = operation.duration, operation.unit
    if unit == "expr":
        if not isinstance(duration, expr.Value):
            raise InvalidProgram(
                "the time of a delay is an expression that is not known before the circuit is scheduled",
                expected='a number with a unit, as in "100ns", or of the unit dt',
            )
        unit, duration = duration.value.unit(), float(duration.value.value())
    return _delay(duration if unit == "dt" else _times(duration, _SECONDS[unit]), "dt" if unit == "dt" else "s")


def travelling(operation: Operation) -> Operation:
    """Return what stands for a canonical delay in QPY; any other operation as it is."""
    if operation.name != "delay" or type(operation.duration) is int:
        return operation
    return Instruction(_NAMES[operation.unit], 1, 0, [operation.duration])


def in_seconds(circuit: QuantumCircuit, dt: float | None) -> QuantumCircuit:
    """Return the circuit with all delays in seconds.

    Args:
        circuit: in canonical form.
        dt: the seconds that a step of the device's clock takes; None where it is not known.

    Raises:
        InvalidProgram: a delay is given in steps of a clock, and that of this device is not known.
    """

    def seconds(operation: Operation) -> Operation:
        if operation.name != "delay" or operation.unit == "s":
            return operation
        if dt is None:
            raise InvalidProgram(
                f"a delay of {operation.duration} dt has no known length: the device's calibration has no dt",
                expected="a time in s, ms, us, ns or ps",
            )
        return _delay(_times(operation.duration, dt), "s")

    return mapped(circuit, seconds)


def mapped(circuit: QuantumCircuit, change: Callable[[Operation], Operation]) -> QuantumCircuit:
    """Return the circuit with its delays, those inside control flow included, changed; itself where it has none."""
    if not has_delays(circuit):
        return circuit
    made = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if blocks := getattr(operation, "blocks", ()):
            operation = operation.replace_blocks([mapped(block, change) for block in blocks])
        made.append(item.replace(operation=change(operation)), copy=False)
    return made


def has_delays(circuit: QuantumCircuit) -> bool:
    """Whether there are delays, those inside control flow included."""
    return any(
        item.operation.name == "delay" or any(map(has_delays, getattr(item.operation, "blocks", ())))
        for item in circuit.data
    )


def has_free_delays(circuit: QuantumCircuit) -> bool:
    """Whether the time of a delay depends on a parameter that has no value."""
    return any(
        (item.operation.name == "delay" and isinstance(item.operation.duration, ParameterExpression))
        or any(map(has_free_delays, getattr(item.operation, "blocks", ())))
        for item in circuit.data
    )


def _times(duration: Any, factor: float) -> Any:
    return duration * factor if isinstance(duration, ParameterExpression) else float(duration) * factor


def _delay(duration: Any, unit: str) -> Delay:
    if isinstance(duration, ParameterExpression) and not duration.parameters:
        duration = float(duration)
    if isinstance(duration, ParameterExpression):
        return Delay(duration, unit)
    if not 0 <= duration < math.inf:
        raise InvalidProgram(f"a delay takes {duration:g} {unit}", expected="a time of at least 0")
    if unit == "dt" and duration != int(duration):
        raise InvalidProgram(f"a delay takes {duration:g} dt", expected="a whole number of dt")
    return Delay(int(duration) if unit == "dt" else float(duration), unit)
