"""Runs of steps on the same two qubits, which any good transpiler makes one unitary of three CX at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qonverge.circuits.analysis.gate_sequence import Matrix, Step

_NEAR = 1e-7
_EYE = np.eye(2)
# CX by whether the control is the block's first qubit; the first qubit is the lower bit.
_CX = {
    True: np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=complex),
    False: np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=complex),
}
_YY = np.array([[0, 0, 0, -1], [0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]], dtype=complex)


@dataclass(slots=True)
class Block:
    """Steps on one pair of qubits, or on one qubit outside such a block, that nothing comes between."""

    qubits: tuple[int, ...]
    cx: int = 0
    """CX that it takes."""
    pulses: int = 0
    """Pulses on one qubit, as they are written; of a pair those on the busier one."""


def blocks_of(steps: Sequence[Step]) -> list[Block]:
    """Return the blocks in an order in which they can run; measurements are left out."""
    blocks: list[Block] = []
    matrices: dict[int, Matrix] = {}
    # For each qubit, the place of its block while that is open.
    open_at: dict[int, int] = {}
    for step in steps:
        if len(step.qubits) == 2:
            a, b = step.qubits
            at = open_at.get(a)
            if at is None or open_at.get(b) != at:
                at = open_at[a] = open_at[b] = len(blocks)
                blocks.append(Block((a, b)))
                matrices[at] = np.eye(4, dtype=complex)
            blocks[at].cx += 1
            matrices[at] = _CX[blocks[at].qubits[0] == a] @ matrices[at]
        elif step.matrix is None:
            open_at.pop(step.qubits[0], None)
        elif (at := open_at.get(step.qubits[0])) is None:
            blocks.append(Block(step.qubits, 0, step.pulses))
        else:
            first = blocks[at].qubits[0] == step.qubits[0]
            matrices[at] = (np.kron(_EYE, step.matrix) if first else np.kron(step.matrix, _EYE)) @ matrices[at]
            blocks[at].pulses += step.pulses
    for at, matrix in matrices.items():
        block = blocks[at]
        if block.cx > 1:
            block.cx = min(block.cx, least_cx(matrix))
        block.pulses = (block.pulses + 1) // 2
    return blocks


def least_cx(matrix: Matrix) -> int:
    """Return how many CX a unitary on two qubits takes (Shende, Bullock & Markov, PRA 70, 012310, 2004)."""
    special = matrix / np.linalg.det(matrix) ** 0.25
    gamma = special @ _YY @ special.T @ _YY
    trace = np.trace(gamma)
    if abs(abs(trace.real) - 4) < _NEAR:
        return 0
    if abs(trace) < _NEAR and np.abs(gamma @ gamma + np.eye(4)).max() < _NEAR:
        return 1
    return 2 if abs(trace.imag) < _NEAR else 3
