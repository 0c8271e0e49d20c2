"""What does not change about the qubits of a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A device's qubits and gates."""

    name: str
    kind: Literal["QPU", "SIMULATOR"]
    width: int
    """Most qubits of a circuit, as published."""
    qubits: tuple[int, ...] = ()
    """Their labels. Empty for simulators."""
    edges: tuple[Edge, ...] = ()
    """Pairs that a two-qubit gate acts on."""
    fully_connected: bool = False
    mixed: bool = False
    """Whether it computes density matrices: programs may have noise of their own, and there is no state vector."""
    native: tuple[str, ...] = ()
    """Gates in verbatim boxes, by the names of Braket's OpenQASM; the last acts on two qubits."""
    fidelities: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Medians: of a gate on one qubit, of one on two, of a readout."""
    coherence: tuple[float, float] = (0.0, 0.0)
    """T1 and T2, seconds."""
    durations: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of a gate on one qubit, of one on two, of a readout; seconds."""
