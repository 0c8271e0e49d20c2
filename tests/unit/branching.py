"""What a circuit leads to, computed apart from all engines: a density matrix for each value of the classical bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CASE_DEFAULT, ClassicalRegister, Clbit
from qiskit.circuit.classical import expr
from qiskit.quantum_info import Operator

Matrix = NDArray[np.complex128]
Bits = tuple[int, ...]
Worlds = dict[Bits, Matrix]
"""By the bits' values, the first bit first: a density matrix whose trace is their probability."""

_KETS = (np.diag([1.0, 0.0]).astype(complex), np.diag([0.0, 1.0]).astype(complex))
_LOWER = np.array([[0, 1], [0, 0]], dtype=complex)
_PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
_MOST_TURNS = 60


def worlds(circuit: QuantumCircuit) -> Worlds:
    """Return all ends of a circuit without free parameters, from |0...0> and bits that are 0."""
    n = circuit.num_qubits
    first = np.zeros((2**n, 2**n), dtype=complex)
    first[0, 0] = 1
    places = {bit: k for bits in (circuit.qubits, circuit.clbits) for k, bit in enumerate(bits)}
    found, _, _ = _run(circuit, places, {(0,) * circuit.num_clbits: first})
    return found


def probabilities(circuit: QuantumCircuit) -> dict[str, float]:
    """Return how likely each outcome is, bit 0 last, without spaces."""
    found: dict[str, float] = {}
    for bits, state in worlds(circuit).items():
        key = "".join(map(str, reversed(bits)))
        found[key] = found.get(key, 0.0) + float(np.trace(state).real)
    return found


def value(circuit: QuantumCircuit, label: str) -> float:
    """Return the expectation value of a Pauli operator after the circuit, qubit 0 last."""
    pauli = np.eye(1)
    for letter in label:
        pauli = np.kron(pauli, _PAULIS[letter])
    return float(sum(np.trace(pauli @ state).real for state in worlds(circuit).values()))


def _on(matrix: Matrix, qubits: list[int], n: int) -> Matrix:
    """Return a matrix on some qubits, the first as the lowest, as one on all."""
    whole = np.zeros((2**n, 2**n), dtype=complex)
    mask = sum(1 << qubit for qubit in qubits)
    for column in range(2**n):
        inside = sum((column >> qubit & 1) << k for k, qubit in enumerate(qubits))
        for row in range(2 ** len(qubits)):
            target = (column & ~mask) | sum((row >> k & 1) << qubit for k, qubit in enumerate(qubits))
            whole[target, column] += matrix[row, inside]
    return whole


def _add(there: Worlds, bits: Bits, state: Matrix) -> None:
    if np.trace(state).real > 1e-14:
        there[bits] = there.get(bits, 0) + state


def _merge(there: Worlds, more: Worlds) -> None:
    for bits, state in more.items():
        _add(there, bits, state)


def _run(circuit: QuantumCircuit, places: Mapping[Any, int], now: Worlds) -> tuple[Worlds, Worlds, Worlds]:
    """Return the ends, and those that left by break and by continue."""
    broken: Worlds = {}
    continued: Worlds = {}
    for item in circuit.data:
        operation, name = item.operation, item.operation.name
        qubits, clbits = [places[q] for q in item.qubits], [places[c] for c in item.clbits]
        n = next((state.shape[0].bit_length() - 1 for state in now.values()), 0)
        after: Worlds = {}
        if name in ("barrier", "delay") or not now:
            continue
        if name == "break_loop":
            _merge(broken, now)
        elif name == "continue_loop":
            _merge(continued, now)
        elif name == "measure":
            for bits, state in now.items():
                for outcome, ket in enumerate(_KETS):
                    projector = _on(ket, qubits, n)
                    _add(
                        after,
                        (*bits[: clbits[0]], outcome, *bits[clbits[0] + 1 :]),
                        projector @ state @ projector,
                    )
        elif name == "reset":
            for bits, state in now.items():
                for ways in (_KETS[0], _LOWER):
                    kraus = _on(ways, qubits, n)
                    _add(after, bits, kraus @ state @ kraus.conj().T)
        elif name == "store":
            target, source = operation.params
            assert isinstance(target.var, Clbit)
            place = places[target.var]
            for bits, state in now.items():
                _add(after, (*bits[:place], int(_read(source, places, bits)), *bits[place + 1 :]), state)
        elif getattr(operation, "blocks", ()):
            inner = [dict(zip((*b.qubits, *b.clbits), (*qubits, *clbits), strict=True)) for b in operation.blocks]
            after, out, back = _flow(operation, {**places}, inner, now)
            _merge(broken, out)
            _merge(continued, back)
        else:
            unitary = _on(Operator(operation).data, qubits, n)
            for bits, state in now.items():
                _add(after, bits, unitary @ state @ unitary.conj().T)
        now = after
    return now, broken, continued


def _flow(
    operation: Any, places: Mapping[Any, int], inner: list[dict[Any, int]], now: Worlds
) -> tuple[Worlds, Worlds, Worlds]:
    after: Worlds = {}
    broken: Worlds = {}
    continued: Worlds = {}
    if operation.name == "for_loop":
        values, variable, body = operation.params
        for turn in values:
            bound = body if variable is None else body.assign_parameters({variable: turn})
            own = dict(zip((*bound.qubits, *bound.clbits), inner[0].values(), strict=True))
            now, out, back = _run(bound, own, now)
            _merge(after, out)
            _merge(now, back)
        _merge(after, now)
        return after, broken, continued
    if operation.name == "while_loop":
        for _ in range(_MOST_TURNS):
            turning = {bits: s for bits, s in now.items() if _holds(operation.condition, places, bits)}
            _merge(after, {bits: s for bits, s in now.items() if bits not in turning})
            now, out, back = _run(operation.blocks[0], inner[0], turning)
            _merge(after, out)
            _merge(now, back)
        return after, broken, continued
    for bits, state in now.items():
        taken = _taken(operation, places, bits)
        if taken is None:
            _add(after, bits, state)
            continue
        end, out, back = _run(operation.blocks[taken], inner[taken], {bits: state})
        _merge(after, end)
        _merge(broken, out)
        _merge(continued, back)
    return after, broken, continued


def _taken(operation: Any, places: Mapping[Any, int], bits: Bits) -> int | None:
    if operation.name == "if_else":
        index = 0 if _holds(operation.condition, places, bits) else 1
        return index if index < len(operation.blocks) else None
    found = _read(operation.target, places, bits)
    for index, (labels, _) in enumerate(operation.cases_specifier()):
        if CASE_DEFAULT in labels or found in labels:
            return index
    return None


def _holds(condition: Any, places: Mapping[Any, int], bits: Bits) -> bool:
    if isinstance(condition, tuple):
        return _read(condition[0], places, bits) == int(condition[1])
    return bool(_read(condition, places, bits))


def _read(node: Any, places: Mapping[Any, int], bits: Bits) -> int:
    if isinstance(node, Clbit):
        return bits[places[node]]
    if isinstance(node, ClassicalRegister):
        return sum(bits[places[bit]] << k for k, bit in enumerate(node))
    if isinstance(node, expr.Var):
        return _read(node.var, places, bits)
    if isinstance(node, expr.Value):
        return int(node.value)
    if isinstance(node, expr.Unary):
        return int(not _read(node.operand, places, bits))
    assert isinstance(node, expr.Binary)
    left, right = _read(node.left, places, bits), _read(node.right, places, bits)
    if node.op in (expr.Binary.Op.LOGIC_AND, expr.Binary.Op.BIT_AND):
        return left & right
    if node.op in (expr.Binary.Op.LOGIC_OR, expr.Binary.Op.BIT_OR):
        return left | right
    assert node.op is expr.Binary.Op.EQUAL
    return int(left == right)
