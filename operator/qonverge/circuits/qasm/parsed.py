"""What a text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class Parsed:
    """A circuit as it was read, and what else is to be known of it."""

    circuit: QuantumCircuit
    warnings: tuple[str, ...] = ()
    """Of what is valid and may mislead, with line and column."""
    fixed: tuple[str, ...] = ()
    """Parameters whose given values the circuit depends on: with others it would be another circuit."""
