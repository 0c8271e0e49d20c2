"""Measured bits as Cirq's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ClassicalRegister


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One measurement of a key."""

    register: ClassicalRegister
    """Its bits, in the order of its qubits."""
    inverted: tuple[bool, ...]
    """For each bit whether the record has its opposite."""
    confusion: Mapping[tuple[int, ...], NDArray[np.float64]]
    """For groups of its qubits the chances of each outcome (column) given the true one (row), big-endian."""

    def record(self, true: NDArray[np.int8], generator: np.random.Generator) -> NDArray[np.int8]:
        """Return the record of the register's bits, shape (repetitions, qubits)."""
        recorded = true.copy()
        for qubits, chances in self.confusion.items():
            weights = 1 << np.arange(len(qubits))[::-1]
            rows = true[:, qubits] @ weights
            below = np.cumsum(np.asarray(chances), axis=1)[rows]
            # Sums may end a rounding error below 1.
            below[:, -1] = 1.0
            drawn = (generator.random((len(true), 1)) >= below).sum(axis=1)
            recorded[:, qubits] = (drawn[:, np.newaxis] & weights) > 0
        return recorded ^ np.array(self.inverted, dtype=np.int8)


def unpacked(bits: int, raw: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the bits, shape (..., bits), of big-endian bytes, shape (..., bytes): bit 0 is the last byte's last.

    Signed, as cirq.Simulator's are: users compute 1 - 2 * bit.
    """
    return np.unpackbits(raw[..., ::-1], axis=-1, count=bits, bitorder="little").view(np.int8)


def records(
    measured: Mapping[str, Sequence[Measurement]],
    registers: Mapping[str, NDArray[np.int8]],
    generator: np.random.Generator,
) -> dict[str, NDArray[np.int8]]:
    """Return for each key its records, shape (repetitions, measurements of the key, qubits).

    Args:
        measured: the measurements of each key.
        registers: bits of each register, shape (repetitions, qubits).
        generator: draws what confusion maps leave to chance.
    """
    return {
        key: np.stack([one.record(registers[one.register.name], generator) for one in instances], axis=1)
        for key, instances in measured.items()
    }
