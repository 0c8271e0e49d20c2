"""Qiskit's gates as operations of Braket's simulator.

Braket counts qubits from the left of an index, and Qiskit from the right. With ``last - k`` for qubit k, states have
Qiskit's order without being turned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from braket.default_simulator import gate_operations as gates
from braket.default_simulator.noise_operations import Kraus
from braket.default_simulator.operation import GateOperation
from numpy.typing import NDArray
from qiskit.circuit import Operation

from qonverge.backend.engines.braket_names import BRAKET_NAMES
from qonverge.backend.engines.channels import kraus
from qonverge.backend.engines.matrices import matrix_of
from qonverge.wire.errors import InvalidCircuit

# Gates that Braket has the same, in the order of Qiskit's qubits; its code for them is faster than a matrix.
_SAME = {name: gates.BRAKET_GATES[braket] for name, braket in BRAKET_NAMES.items()}
# Wider gates are taken by their definitions: a matrix has four times the numbers for each qubit more.
_MATRIX_QUBITS = 4


class Outcome(GateOperation):  # type: ignore[misc]  # the base class has no types
    """What a measurement that found 0 or 1 does to a state, and a reset where it also turns 1 into 0."""

    def __init__(self, target: int, outcome: int, probability: float, *, to: int) -> None:
        """Args: the qubit, what was found and how likely that was, and the state that the qubit is left in."""
        super().__init__((target,))
        self._matrix = np.zeros((2, 2), dtype=np.complex128)
        self._matrix[to, outcome] = 1 / math.sqrt(probability)

    @property
    def _base_matrix(self) -> NDArray[np.complex128]:
        return self._matrix

    @property
    def gate_type(self) -> str:
        """Which of Braket's loops runs it."""
        return "unitary"


def operations_of(operation: Operation, qubits: Sequence[int], last: int) -> list[Any]:
    """Return a gate or error on these qubits, as many as its own, of a circuit whose last qubit is ``last``.

    Raises:
        InvalidCircuit: it has neither a matrix nor a definition.
    """
    name, targets = operation.name, [last - qubit for qubit in qubits]
    if name in _SAME:
        return [_SAME[name](targets, *map(float, operation.params))]
    if name == "id" or not targets:
        return []
    if name == "superop":
        return [Kraus(targets[::-1], kraus(operation.params[0]))]
    if operation.num_qubits <= _MATRIX_QUBITS and (matrix := matrix_of(operation)) is not None:
        return [gates.Unitary(targets[::-1], matrix)]
    definition = getattr(operation, "definition", None)
    if definition is None or definition.clbits:
        raise InvalidCircuit(
            f"BraketLocal has no gate {name} on {operation.num_qubits} qubits and Qiskit no definition of it: build it "
            "from the gates of its library"
        )
    place = {qubit: qubits[index] for index, qubit in enumerate(definition.qubits)}
    return [
        own
        for item in definition.data
        if item.operation.name != "barrier"
        for own in operations_of(item.operation, [place[qubit] for qubit in item.qubits], last)
    ]


_TURNS = {"X": (gates.Hadamard,), "Y": (gates.Si, gates.Hadamard)}


def turned(basis: str) -> list[Any]:
    """Return the gates before a measurement in a basis, a letter for each qubit."""
    return [gate([place]) for place, letter in enumerate(basis) for gate in _TURNS.get(letter, ())]
