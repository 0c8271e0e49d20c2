"""States of many trajectories side by side, for circuits small enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.gate_sequence import Matrix, Step
from qonverge.circuits.error_response.error_trajectories import Fault, Faults

Floats = NDArray[np.float64]
State = NDArray[np.complex64]

_HALF = np.float32(math.sqrt(0.5))


def distributions(gates: Sequence[Step], faults: Faults, bits: Sequence[int], num_qubits: int) -> Floats:
    """Return the distributions of the measured bits.

    Returns:
        Shape ``(2**len(bits), trajectories + 1)``; the first of ``bits`` is the lowest bit of an outcome. The last
        column is without errors.
    """
    # Trajectories are the last axis, so that steps work on long contiguous runs.
    state: State = np.zeros((1 << num_qubits, len(faults.counts) + 1), dtype=np.complex64)
    state[0] = 1
    for step, errors in zip(gates, faults.after, strict=True):
        if step.matrix is None:
            _apply_cx(state, step.qubits[0], step.qubits[1], num_qubits)
        else:
            _apply(state, step.matrix, step.qubits[0], num_qubits)
        for fault in errors:
            state[:, fault.column] = _after(fault, state[:, fault.column].copy(), num_qubits)
    chances = _marginal(np.abs(state).astype(np.float64) ** 2, bits, num_qubits)
    chances /= chances.sum(axis=0)
    return chances


def flipped(chances: Floats, flip: float, bits: int) -> Floats:
    """Return the distribution, shape ``(2**bits,)``, when each bit is flipped with this probability."""
    for bit in range(bits) if flip else ():
        view = chances.reshape(-1, 2, 1 << bit)
        chances = ((1 - flip) * view + flip * view[:, ::-1]).reshape(-1)
    return chances


def _apply(state: State, matrix: Matrix, qubit: int, n: int) -> None:
    view = state.reshape(1 << (n - 1 - qubit), 2, 1 << qubit, state.shape[1])
    (a, b), (c, d) = matrix.astype(np.complex64)
    zero, one = view[:, 0], view[:, 1]
    kept = zero.copy()
    zero *= a
    if b or c:
        zero += b * one
    one *= d
    if b or c:
        one += c * kept


def _apply_cx(state: State, control: int, target: int, n: int) -> None:
    high, low = max(control, target), min(control, target)
    view = state.reshape(1 << (n - 1 - high), 2, 1 << (high - 1 - low), 2, 1 << low, state.shape[1])
    if control == high:
        first, second = view[:, 1, :, 0], view[:, 1, :, 1]
    else:
        first, second = view[:, 0, :, 1], view[:, 1, :, 1]
    kept = first.copy()
    first[...] = second
    second[...] = kept


def _after(fault: Fault, column: State, n: int) -> State:
    view = column.reshape(1 << (n - 1 - fault.qubit), 2, 1 << fault.qubit)
    if fault.chance is not None:
        if fault.turned:
            _turn(view)
        weights = (np.abs(view) ** 2).sum(axis=(0, 2))
        was = int(fault.chance * weights.sum() >= weights[0])
        view[:, 0] = view[:, was] / np.sqrt(weights[was])
        view[:, 1] = 0
        if fault.turned:
            _turn(view)
        return column
    if fault.pauli & 2:
        view[:, 1] *= -1
    if fault.pauli & 1:
        view[...] = view[:, ::-1].copy()
    return column


def _turn(view: State) -> None:
    """Apply a Hadamard to the middle axis."""
    zero, one = view[:, 0].copy(), view[:, 1].copy()
    view[:, 0], view[:, 1] = (zero + one) * _HALF, (zero - one) * _HALF


def _marginal(chances: Floats, bits: Sequence[int], n: int) -> Floats:
    """Return the distribution of the bits, the first as the lowest; columns stay."""
    columns = chances.shape[1]
    cube = chances.reshape((2,) * n + (columns,))
    rest = tuple(n - 1 - qubit for qubit in range(n) if qubit not in bits)
    kept = [qubit for qubit in range(n - 1, -1, -1) if qubit in bits]
    cube = cube.sum(axis=rest).transpose([*(kept.index(qubit) for qubit in reversed(bits)), len(kept)])
    flat: Floats = cube.reshape(1 << len(bits), columns)
    return flat
