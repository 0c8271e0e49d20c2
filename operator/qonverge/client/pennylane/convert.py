"""PennyLane's tapes as Qiskit's circuits.

Wire 0 of a matrix is PennyLane's most significant bit and Qiskit's least, so that matrices take their wires reversed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping

# Gates with the same matrix in both, phases included.
_NAMES = {
    "PauliX": "x",
    "PauliY": "y",
    "PauliZ": "z",
    "Hadamard": "h",
    "S": "s",
    "Adjoint(S)": "sdg",
    "T": "t",
    "Adjoint(T)": "tdg",
    "SX": "sx",
    "Adjoint(SX)": "sxdg",
    "CNOT": "cx",
    "CY": "cy",
    "CZ": "cz",
    "CH": "ch",
    "SWAP": "swap",
    "ISWAP": "iswap",
    "Toffoli": "ccx",
    "CCZ": "ccz",
    "CSWAP": "cswap",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "PhaseShift": "p",
    "U1": "p",
    "U3": "u",
    "CRX": "crx",
    "CRY": "cry",
    "CRZ": "crz",
    "ControlledPhaseShift": "cp",
    "IsingXX": "rxx",
    "IsingYY": "ryy",
    "IsingZZ": "rzz",
}
# A projector at the end says which outcomes count.
_NOTHING = frozenset(("Identity", "Barrier", "WireCut", "Snapshot", "Projector"))
# A matrix travels whole, so that wider ones are decomposed.
_MOST_MATRIX_WIRES = 5


def is_native(op: Operator) -> bool:
    """Return whether the operation has a counterpart, so that PennyLane need not decompose it."""
    return op.name in _NAMES or op.name in _NOTHING or op.name == "GlobalPhase" or _is_matrix(op)


def _is_matrix(op: Operator) -> bool:
    """Return whether the operation travels as its matrix: it is one, or there is nothing else to make of it."""
    known = op.name == "QubitUnitary" or (op.has_matrix and not op.has_decomposition)
    return known and 0 < len(op.wires) <= _MOST_MATRIX_WIRES


@dataclass(frozen=True)
class Shape:
    """What tapes share that run as parameter sets of one circuit: all but the angles."""

    operations: tuple[tuple[str, tuple[int, ...], bytes], ...]
    num_wires: int

    def circuit(self) -> QuantumCircuit:
        """Return the circuit, its angles named ``p0``, ``p1``... in order."""
        gates = get_standard_gate_name_mapping()
        circuit, angles = QuantumCircuit(self.num_wires), 0
        for name, wires, matrix in self.operations:
            if matrix:
                side = 2 ** len(wires)
                unitary = np.frombuffer(matrix, dtype=np.complex128).reshape(side, side)
                circuit.append(UnitaryGate(unitary, check_input=False), wires[::-1])
                continue
            kind = gates[_NAMES[name]]
            parameters = [Parameter(f"p{angles + index}") for index in range(len(kind.params))]
            angles += len(parameters)
            circuit.append(kind.base_class(*parameters), wires)
        return circuit


@dataclass(frozen=True)
class Read:
    """A tape, taken apart."""

    shape: Shape
    angles: tuple[float, ...]
    phase: float
    """Global phase, radians: the state is that of the circuit times ``exp(i phase)``."""


def read(tape: QuantumScript, further: Sequence[Operator], wires: qml.wires.Wires) -> Read:
    """Take a tape's operations and further ones behind them apart; wires are numbered in the order given."""
    operations: list[tuple[str, tuple[int, ...], bytes]] = []
    angles: list[float] = []
    phase = 0.0
    for op in (*tape.operations, *further):
        if op.name == "GlobalPhase":
            phase -= float(qml.math.unwrap(op.data)[0])
        elif op.name not in _NOTHING:
            matrix = b""
            if op.name in _NAMES:
                angles.extend(float(np.real(qml.math.toarray(value))) for value in op.data)
            else:
                matrix = np.ascontiguousarray(qml.math.toarray(op.matrix()), dtype=np.complex128).tobytes()
            operations.append((op.name, tuple(wires.indices(op.wires)), matrix))
    return Read(Shape(tuple(operations), len(wires)), tuple(angles), math.remainder(phase, 2 * math.pi))


def as_parameters(angles: Sequence[tuple[float, ...]]) -> dict[str, NDArray[np.float64]]:
    """Return the values of ``p0``, ``p1``... for tapes of one shape."""
    values = np.asarray(angles, dtype=np.float64)
    return {f"p{index}": np.ascontiguousarray(values[:, index]) for index in range(values.shape[1])}
