"""Circuits in the gates of IonQ's hardware. Pure.

Each gate on one qubit is a frame change, which takes no pulse, and one or two pulses. Angles and phases of programs are
turns: ``gpi(p)`` is a half turn about the axis X turned by p about Z, ``gpi2(p)`` a quarter turn, ``ms(p0, p1, a)`` is
exp(-i pi a A(x)B) with A and B those axes, ``zz(a)`` is exp(-i pi a Z(x)Z).

Source: IonQ's "Getting started with native gates".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

PAIR_GATES = {"ms": "rxx", "zz": "rzz"}
"""Qiskit's names of the native gates on two qubits."""
SINGLE_GATES = ("u", "r", "rz")
"""Qiskit's names of the gates on one qubit that circuits are brought to before."""
_TURN = 2 * math.pi
# Angles closer than this to a multiple of a quarter turn are taken for it: rounding errors.
_CLOSE = 1e-10


class _Program:
    """Gates, and how far the frame of each qubit is turned about Z: what is done equals the pulses, then that turn."""

    def __init__(self, qubits: int) -> None:
        self.gates: list[dict[str, Any]] = []
        self._frames = [0.0] * qubits

    def turn(self, qubit: int, angle: float) -> None:
        self._frames[qubit] += angle

    def pulse(self, gate: Literal["gpi", "gpi2"], qubit: int, axis: float) -> None:
        self.gates.append({"gate": gate, "target": qubit, "phase": _turns(axis - self._frames[qubit])})

    def rotate(self, qubit: int, angle: float, axis: float) -> None:
        """Turn by an angle about an axis in the plane of X and Y."""
        quarters = angle / (_TURN / 4)
        whole = round(quarters)
        if abs(quarters - whole) > _CLOSE:
            # Two quarter turns, between changes of the frame.
            self.turn(qubit, math.pi / 2 - axis)
            self.pulse("gpi2", qubit, 0.0)
            self.turn(qubit, angle + math.pi)
            self.pulse("gpi2", qubit, 0.0)
            self.turn(qubit, axis + math.pi / 2)
        elif whole % 4 == 2:
            self.pulse("gpi", qubit, axis)
        elif whole % 2:
            self.pulse("gpi2", qubit, axis + (0.0 if whole % 4 == 1 else math.pi))

    def ms(self, first: int, second: int, angle: float) -> None:
        """Turn by an angle about X(x)X: the gate takes angles from 0 to a quarter of a turn."""
        halves = round(angle / math.pi)
        if halves % 2:
            for qubit in (first, second):
                self.pulse("gpi", qubit, 0.0)
        rest = angle - halves * math.pi
        if abs(rest) > _CLOSE:
            phases = [_turns((math.pi if rest < 0 else 0.0) - self._frames[first]), _turns(-self._frames[second])]
            self.gates.append({"gate": "ms", "targets": [first, second], "phases": phases, "angle": abs(rest) / _TURN})

    def zz(self, first: int, second: int, angle: float) -> None:
        """Turn by an angle about Z(x)Z: half a turn is a change of both frames."""
        halves = round(angle / math.pi)
        if halves % 2:
            for qubit in (first, second):
                self.turn(qubit, math.pi)
        rest = angle - halves * math.pi
        if abs(rest) > _CLOSE:
            self.gates.append({"gate": "zz", "targets": [first, second], "angle": rest / _TURN})


def native_gates(gates: Iterable[tuple[str, Sequence[float], Sequence[int]]], qubits: int) -> list[dict[str, Any]]:
    """Return a circuit's gates as IonQ's JSON has them, equal up to a phase and to turns about Z before a measurement.

    Args:
        gates: each one's name, of ``SINGLE_GATES`` or of the values of ``PAIR_GATES``, its parameters in radians, and
            its qubits.
        qubits: how many there are.
    """
    program = _Program(qubits)
    for name, parameters, places in gates:
        match name, parameters:
            case "rz", (angle,):
                program.turn(places[0], angle)
            case "r", (angle, axis):
                program.rotate(places[0], angle, axis)
            case "u", (theta, phi, lam):
                program.turn(places[0], lam + phi)
                # The turn above comes first; the axis is as if it did not.
                program.rotate(places[0], theta, phi + math.pi / 2)
            case "rxx", (angle,):
                program.ms(places[0], places[1], angle)
            case "rzz", (angle,):
                program.zz(places[0], places[1], angle)
            case _:
                raise ValueError(f"{name} is no gate that native ones are made of")
    return program.gates


def _turns(angle: float) -> float:
    return (angle / _TURN) % 1.0
