"""Matrices of gates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation


def matrix_of(operation: Operation) -> NDArray[np.complex128] | None:
    """Return a gate's matrix in Qiskit's order of qubits; None where it has none."""
    try:
        return np.asarray(operation.to_matrix(), dtype=np.complex128)
    except Exception:  # gates without a matrix say so by errors of several kinds
        return None
