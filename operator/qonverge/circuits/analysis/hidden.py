"""Bits that a program needs while it runs and that are no result: what its subroutines and blocks measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

REGISTER = "qonverge.hidden"
"""The register of those bits, which is the last one. No program can declare a name with a dot."""


def hidden_bits(circuit: QuantumCircuit) -> int:
    """Return how many of the circuit's last classical bits are no result."""
    last = circuit.cregs[-1] if circuit.cregs else None
    return last.size if last is not None and last.name == REGISTER else 0
