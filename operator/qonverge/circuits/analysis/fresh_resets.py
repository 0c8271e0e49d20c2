"""Resets that change nothing, since their qubits are in |0> already: every circuit begins there.

One reset makes each shot a simulation of its own, and exact values those of a mixed state, so programs that begin with
``reset q;`` as a matter of habit would pay a hundredfold. Qiskit's pass RemoveResetInZeroState does the same for the
resets at the very beginning only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qonverge.circuits.analysis.final_operations import has_operation

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Qubit

# What leaves |0> as it is: a measurement finds 0, and relaxation leads there.
_KEEPS_ZERO = frozenset(("barrier", "delay", "measure", "reset", "id"))


def without_fresh_resets(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit, all of whose qubits begin in |0>, without the resets of qubits that are certainly there."""
    if not has_operation(circuit, "reset"):
        return circuit
    return _block(circuit, {qubit: qubit for qubit in circuit.qubits}, set(circuit.qubits))


def _block(circuit: QuantumCircuit, outer: Mapping[Qubit, Qubit], zero: set[Qubit]) -> QuantumCircuit:
    """Return a block without such resets.

    Args:
        circuit: the block.
        outer: the whole circuit's qubits by the block's.
        zero: qubits that are in |0> when the block begins; afterwards, when it ends.
    """
    shorter: QuantumCircuit = circuit.copy_empty_like()
    for item in circuit.data:
        operation, name = item.operation, item.operation.name
        qubits = [outer[qubit] for qubit in item.qubits]
        if blocks := getattr(operation, "blocks", ()):
            # The end of a loop's turn is the start of the next, and a break leaves it anywhere.
            start = zero - _changed(operation, qubits) if name in ("for_loop", "while_loop") else zero
            ends, made = [set(start)], []
            for block in blocks:
                ends.append(set(start))
                made.append(_block(block, dict(zip(block.qubits, qubits, strict=True)), ends[-1]))
            operation = operation.replace_blocks(made)
            zero.intersection_update(*ends)
        elif name == "reset":
            if zero.issuperset(qubits):
                continue
            zero.update(qubits)
        elif name not in _KEEPS_ZERO:
            zero.difference_update(qubits)
        shorter.append(item.replace(operation=operation))
    return shorter


def _changed(operation: Any, qubits: list[Qubit]) -> set[Qubit]:
    """Return the qubits that may not stay in |0> somewhere inside control flow."""
    changed: set[Qubit] = set()
    for block in operation.blocks:
        outer = dict(zip(block.qubits, qubits, strict=True))
        for item in block.data:
            inner = [outer[qubit] for qubit in item.qubits]
            if getattr(item.operation, "blocks", ()):
                changed |= _changed(item.operation, inner)
            elif item.operation.name not in _KEEPS_ZERO and item.operation.name not in ("break_loop", "continue_loop"):
                changed.update(inner)
    return changed
