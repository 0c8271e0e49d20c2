"""A circuit as steps of one alphabet, any unitary on one qubit and CX: what a forecast counts and follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.analysis import is_library

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Operation

Matrix = NDArray[np.complex128]

_IGNORED = frozenset(("barrier", "delay", "id", "reset", "break_loop", "continue_loop", "store"))
_NEAR = 1e-9
_SX: Matrix = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]], dtype=complex)
_S: Matrix = np.array([[1, 0], [0, 1j]], dtype=complex)
_X: Matrix = np.array([[0, 1], [1, 0]], dtype=complex)


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    qubits: tuple[int, ...]
    """The qubit, or control and target of a CX."""
    matrix: Matrix | None = None
    """2x2 of a step on one qubit; None for a CX or a measurement."""
    bit: int | None = None
    """Of a measurement: the classical bit."""

    @property
    def pulses(self) -> int:
        """How many pulses of pi/2 or pi a device needs for it.

        Changes of frame are free (McKay et al., PRA 96, 022330, 2017): none for a diagonal matrix, one for a rotation
        by pi/2 or pi between two of them, else two.
        """
        if self.matrix is None:
            return 0
        stay = abs(self.matrix[0, 0])
        if stay > 1 - _NEAR:
            return 0
        return 1 if stay < _NEAR or abs(stay - math.sqrt(0.5)) < _NEAR else 2


class TooLong(Exception):
    """The circuit has more steps than were allowed."""


@dataclass(frozen=True, slots=True)
class _Raw:
    """A gate as it is unfolded: a unitary on one qubit, ``cx``, ``swap`` or ``measure``."""

    name: str
    qubits: tuple[int, ...]
    matrix: Matrix | None = None
    bit: int | None = None


def steps_of(circuit: QuantumCircuit, most: int, *, elide_swaps: bool = True) -> list[Step]:
    """Return the steps of a bound circuit, unitaries on one qubit merged where they meet.

    A measurement is a step on one qubit without a matrix; a program without any has one of each qubit at its end.
    Resets are left out. A SWAP is a change of names, as it is to a transpiler: qubits are called as they begin; or
    three CX, where it is not to be elided. Of control flow, one way through is taken: the longest branch, every turn
    of a for loop, one turn of a while loop.

    Raises:
        TooLong: there are more than ``most``.
    """
    steps: list[Step] = []
    pending: dict[int, Matrix] = {}
    wires = list(range(circuit.num_qubits))

    def flush(qubit: int) -> None:
        matrix = pending.pop(qubit, None)
        if matrix is not None and (abs(matrix[0, 1]) > _NEAR or abs(matrix[0, 0] - matrix[1, 1]) > _NEAR):
            steps.append(Step((qubit,), matrix))

    qubits = {bit: place for place, bit in enumerate(circuit.qubits)}
    clbits = {bit: place for place, bit in enumerate(circuit.clbits)}
    for count, raw in enumerate(_unfolded(circuit, qubits, clbits, {})):
        if count >= most:
            raise TooLong
        on = tuple(wires[qubit] for qubit in raw.qubits)
        if raw.matrix is not None:
            before = pending.get(on[0])
            pending[on[0]] = raw.matrix if before is None else raw.matrix @ before
        elif raw.name == "swap" and elide_swaps:
            a, b = raw.qubits
            wires[a], wires[b] = wires[b], wires[a]
        else:
            for qubit in on:
                flush(qubit)
            if raw.name == "swap":
                steps += [Step(on), Step(on[::-1]), Step(on)]
            else:
                steps.append(Step(on, None, raw.bit))
    for qubit in sorted(pending):
        flush(qubit)
    if not any(step.bit is not None for step in steps):
        steps += [Step((wire,), None, place) for place, wire in enumerate(wires)]
    return steps


def _unfolded(
    circuit: QuantumCircuit, qubits: dict[Any, int], clbits: dict[Any, int], known: dict[Any, list[_Raw]]
) -> Iterator[_Raw]:
    for item in circuit.data:
        operation = item.operation
        places = tuple(qubits[bit] for bit in item.qubits)
        if operation.name in _IGNORED:
            continue
        if operation.name == "measure":
            yield _Raw("measure", places, bit=clbits[item.clbits[0]])
        elif blocks := getattr(operation, "blocks", ()):
            bits = [clbits[bit] for bit in item.clbits]
            for block in _turns(operation, blocks):
                inner = dict(zip(block.qubits, places, strict=True))
                yield from _unfolded(block, inner, dict(zip(block.clbits, bits, strict=True)), known)
        else:
            for raw in _gate(operation, len(places), known):
                yield _Raw(raw.name, tuple(places[place] for place in raw.qubits), raw.matrix)


def _turns(operation: Operation, blocks: Sequence[QuantumCircuit]) -> Iterator[QuantumCircuit]:
    if operation.name != "for_loop":
        yield max((block for block in blocks if block is not None), key=lambda block: block.size())
        return
    values, variable, body = operation.params
    for value in values:
        yield body if variable is None else body.assign_parameters({variable: value})


def _gate(operation: Operation, width: int, known: dict[Any, list[_Raw]]) -> list[_Raw]:
    """Return a gate unfolded on its own qubits; equal library gates are unfolded once."""
    if not is_library(operation) or not all(isinstance(value, int | float) for value in operation.params):
        return _unfold_gate(operation, width, known)
    key = (operation.name, width, tuple(map(float, operation.params)))
    if key not in known:
        known[key] = _unfold_gate(operation, width, known)
    return known[key]


def _unfold_gate(operation: Operation, width: int, known: dict[Any, list[_Raw]]) -> list[_Raw]:
    if width == 1:
        return [_Raw("u", (0,), np.asarray(operation.to_matrix(), dtype=complex))]
    if operation.name in ("cx", "swap") and is_library(operation):
        return [_Raw(operation.name, (0, 1))]
    if operation.name == "ecr" and is_library(operation):
        # Its definition in Qiskit has four CX; one is enough.
        return [_Raw("u", (0,), _S), _Raw("u", (1,), _SX), _Raw("cx", (0, 1)), _Raw("u", (0,), _X)]
    inside = operation.definition
    return list(_unfolded(inside, {bit: place for place, bit in enumerate(inside.qubits)}, {}, known))
