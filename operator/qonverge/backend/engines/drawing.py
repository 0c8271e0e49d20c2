"""Counts drawn from the probabilities of a circuit that measures at its end.

Aer's own sampling makes an object of every shot, which takes longer than the simulation of a narrow circuit (measured:
10 qubits and 4,096 shots 8 ms, and so 2 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.backend.engines.descriptors import AER_FIGURES
from qonverge.circuits.analysis.analysis import Analysis

MOST_BITS = AER_FIGURES.drawn_bits


@dataclass(frozen=True, slots=True)
class Drawable:
    """A circuit without its measurements, which saves its probabilities as ``p``."""

    circuit: QuantumCircuit
    clbits: tuple[int, ...]
    """Where each bit of an outcome's index belongs, the lowest first."""
    qubits: tuple[int, ...]
    """Where each of these bits is measured."""
    confusions: tuple[NDArray[np.float64], ...] = ()
    """How each bit is misread: rows for what is there, columns for what is read; empty where none is."""

    @classmethod
    def of(cls, circuit: QuantumCircuit, analysis: Analysis) -> Drawable | None:
        """Return what to run; None where outcomes are more than probabilities at the end, or too many."""
        if analysis.mid_circuit or analysis.control_flow or not 0 < analysis.measured_bits <= MOST_BITS:
            return None
        unmeasured = circuit.copy_empty_like()
        source = {}
        for item in circuit.data:
            if item.operation.name == "measure":
                source[circuit.find_bit(item.clbits[0]).index] = item.qubits[0]
            else:
                unmeasured.append(item)
        clbits = tuple(sorted(source))
        unmeasured.save_probabilities([source[bit] for bit in clbits], label="p")
        return cls(unmeasured, clbits, tuple(circuit.find_bit(source[bit]).index for bit in clbits))

    def draw(self, probabilities: NDArray[np.float64], shots: int, seed: int) -> dict[int, int]:
        """Return how often each outcome of the whole classical memory came, as an independent run each would."""
        exact = np.clip(np.asarray(probabilities, dtype=np.float64), 0, None)
        exact = confused(exact, self.confusions)
        drawn = np.random.default_rng(seed).multinomial(shots, exact / exact.sum())
        (outcomes,) = np.nonzero(drawn)
        if self.clbits == tuple(range(len(self.clbits))):
            return dict(zip(outcomes.tolist(), drawn[outcomes].tolist(), strict=True))
        return {
            sum((outcome >> place & 1) << bit for place, bit in enumerate(self.clbits)): int(drawn[outcome])
            for outcome in outcomes.tolist()
        }


def confused(probabilities: NDArray[np.float64], confusions: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the probabilities of what is read, from those of what is there; one matrix a bit, the lowest first."""
    for place, confusion in enumerate(confusions):
        # A bit is the middle one of three axes: higher bits, its own, lower ones.
        probabilities = np.einsum("hbl,bc->hcl", probabilities.reshape(-1, 2, 1 << place), confusion).ravel()
    return probabilities
