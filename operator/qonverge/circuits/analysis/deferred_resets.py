"""Resets without loss of purity: a qubit that is reset is left to itself, and a fresh one goes on in its place.

What is measured of the others and of the fresh one is the same, since a reset forgets what the old qubit held (the
principle of deferred measurement; Nielsen & Chuang, section 4.4). So a state of n + r qubits takes the place of a
density matrix of n, whose memory is that of 2n.
"""

from __future__ import annotations

from dataclasses import dataclass

from qiskit import QuantumCircuit
from qiskit.circuit import Qubit

from qonverge.circuits.analysis.analysis import Analysis, analyse


@dataclass(frozen=True, slots=True)
class Deferred:
    """A circuit without resets, on more qubits."""

    circuit: QuantumCircuit
    analysis: Analysis
    homes: tuple[int, ...]
    """Where each qubit of the original circuit is at the end."""


def deferred(circuit: QuantumCircuit) -> Deferred:
    """Return the circuit, which has no control flow, with a fresh qubit for each reset."""
    now = dict(zip(circuit.qubits, circuit.qubits, strict=True))
    wider: QuantumCircuit = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name == "reset":
            fresh = Qubit()
            wider.add_bits([fresh])
            now[item.qubits[0]] = fresh
        else:
            wider.append(item.operation, [now[qubit] for qubit in item.qubits], item.clbits, copy=False)
    return Deferred(wider, analyse(wider), tuple(wider.find_bit(now[qubit]).index for qubit in circuit.qubits))
