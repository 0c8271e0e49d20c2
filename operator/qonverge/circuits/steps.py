"""A circuit as steps of one alphabet, any unitary on one qubit and CX: what a forecast counts and follows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis import is_library

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Operation

Matrix = NDArray[np.complex128]

_IGNORED = frozenset(("barrier", "delay", "id", "break_loop", "continue_loop", "store"))
_NEAR = 1e-9
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
_S = np.diag([1, 1j])
_X = np.array([[0, 1], [1, 0]], dtype=complex)


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    qubits: tuple[int, ...]
    """The qubit, or control and target of a CX."""
    matrix: Matrix | None = None
    """2x2 of a step on one qubit; None for a CX or a measurement."""

    @property
    def pulses(self) -> int:
        """How many pulses of pi/2 or pi a device needs besides changes of frame, which are free (McKay et al., PRA 96,
        022330, 2017): 0 if diagonal, 1 if a rotation by pi/2 or pi between them, else 2."""
        if self.matrix is None:
            return 0
        stay = abs(self.matrix[0, 0])
        if stay > 1 - _NEAR:
            return 0
        return 1 if stay < _NEAR or abs(stay - math.sqrt(0.5)) < _NEAR else 2


class TooLong(Exception):  # noqa: N818
    """The circuit has more steps than were allowed."""


def steps_of(circuit: QuantumCircuit, most: int) -> list[Step]:
    """Return the steps of a bound circuit, unitaries on one qubit merged where they meet.

    A measurement is a step on one qubit without a matrix. Resets are left out. Of control flow, one way through is
    taken: the longest branch, every turn of a for loop, one turn of a while loop.

    Raises:
        TooLong: there are more than ``most``.
    """
    merged: list[Step] = []
    pending: dict[int, Matrix] = {}
    bits = {bit: place for place, bit in enumerate(circuit.qubits)}

    def flush(qubit: int) -> None:
        matrix = pending.pop(qubit, None)
        if matrix is not None and (abs(matrix[0, 1]) > _NEAR or abs(matrix[0, 0] - matrix[1, 1]) > _NEAR):
            merged.append(Step((qubit,), matrix))

    for count, (qubits, matrix) in enumerate(_unfolded(circuit, bits, {})):
        if count >= most:
            raise TooLong
        if matrix is not None:
            before = pending.get(qubits[0])
            pending[qubits[0]] = matrix if before is None else matrix @ before
        else:
            for qubit in qubits:
                flush(qubit)
            merged.append(Step(qubits))
    for qubit in sorted(pending):
        flush(qubit)
    return merged


_Raw = tuple[tuple[int, ...], Matrix | None]


def _unfolded(circuit: QuantumCircuit, places: dict[Any, int], known: dict[Any, list[_Raw]]) -> Iterator[_Raw]:
    for item in circuit.data:
        operation = item.operation
        qubits = tuple(places[bit] for bit in item.qubits)
        if operation.name in _IGNORED or operation.name == "reset":
            continue
        if operation.name == "measure":
            yield qubits, None
        elif blocks := getattr(operation, "blocks", ()):
            for block in _turns(operation, blocks):
                yield from _unfolded(block, dict(zip(block.qubits, qubits, strict=True)), known)
        else:
            for inner, matrix in _gate(operation, len(qubits), known):
                yield tuple(qubits[place] for place in inner), matrix


def _turns(operation: Operation, blocks: Sequence[QuantumCircuit]) -> Iterator[QuantumCircuit]:
    if operation.name != "for_loop":
        yield max((block for block in blocks if block is not None), key=lambda block: block.size())
        return
    values, variable, body = operation.params
    for value in values:
        yield body if variable is None else body.assign_parameters({variable: value})


def _gate(operation: Operation, width: int, known: dict[Any, list[_Raw]]) -> list[_Raw]:
    """Return a gate's steps on its own qubits; equal library gates are unfolded once."""
    key = (operation.name, tuple(map(float, operation.params))) if _is_plain(operation) else None
    if key is not None and key in known:
        return known[key]
    found = _unfold_gate(operation, width, known)
    if key is not None:
        known[key] = found
    return found


def _is_plain(operation: Operation) -> bool:
    return is_library(operation) and all(isinstance(value, int | float) for value in operation.params)


def _unfold_gate(operation: Operation, width: int, known: dict[Any, list[_Raw]]) -> list[_Raw]:
    if width == 1:
        return [((0,), np.asarray(operation.to_matrix(), dtype=complex))]
    if operation.name == "cx" and is_library(operation):
        return [((0, 1), None)]
    if operation.name == "ecr" and is_library(operation):
        # Its definition in Qiskit has four CX; one is enough.
        return [((0,), _S), ((1,), _SX), ((0, 1), None), ((0,), _X)]
    inside = operation.definition
    places = {bit: place for place, bit in enumerate(inside.qubits)}
    return list(_unfolded(inside, places, known))
