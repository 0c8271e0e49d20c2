"""Pauli frames: what errors do to the outcomes of Clifford circuits of any width."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.gate_sequence import Matrix, Step
from qonverge.circuits.error_response.error_trajectories import Faults

_PATTERNS = 64
_PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


@dataclass(frozen=True, slots=True)
class Frames:
    """What is not seen of errors."""

    unseen: NDArray[np.bool_]
    """For each trajectory, whether its outcomes are those without errors."""
    unread: tuple[float, ...]
    """For each of the asked numbers of flipped bits, how often flips change no outcome's probability."""
    rank: int
    """Outcomes are uniform over ``2**rank`` of all."""


def follow(
    gates: Sequence[Step],
    faults: Faults,
    bits: Sequence[int],
    n: int,
    flips: Sequence[int],
    random: np.random.Generator,
) -> Frames:
    """Return what is not seen of errors in the Clifford circuit nearest to this one, and of so many flipped bits.

    A stabilizer state's outcomes are uniform on an affine space over GF(2); a Pauli error shifts it by the error's X
    part at the end (frames as in Gidney, Quantum 5, 497, 2021), which is not seen if it is one of the space's own
    directions: those are the X parts of the state's stabilizers.
    """
    # Row q holds qubit q's X, or Z, of every frame: bit j is frame j. The first n frames are the stabilizers Z_q.
    x = [0] * n
    z = [1 << qubit for qubit in range(n)]
    known: dict[bytes, tuple[bool, bool, bool, bool]] = {}
    for step, errors in zip(gates, faults.after, strict=True):
        first = step.qubits[0]
        if step.matrix is None:
            second = step.qubits[1]
            x[second] ^= x[first]
            z[first] ^= z[second]
        else:
            key = step.matrix.tobytes()
            if key not in known:
                known[key] = turn(step.matrix)
            xx, xz, zx, zz = known[key]
            x[first], z[first] = (xx * x[first]) ^ (zx * z[first]), (xz * x[first]) ^ (zz * z[first])
        for fault in errors:
            x[fault.qubit] ^= (fault.pauli & 1) << (n + fault.column)
            z[fault.qubit] ^= (fault.pauli >> 1) << (n + fault.column)
    shifts = _columns([x[qubit] for qubit in bits], n + len(faults.counts))
    space = _Space(shifts[:n])
    unseen = np.array([space.has(shift) for shift in shifts[n:]])
    return Frames(unseen, tuple(_unread(space, len(bits), count, random) for count in flips), space.rank)


def turn(matrix: Matrix) -> tuple[bool, bool, bool, bool]:
    """Return what the Clifford nearest to a unitary makes of X and of Z: X's x and z, Z's x and z; signs left out.

    A unitary turns the Bloch sphere; of the six ways to permute its axes, the one with most overlap is taken.
    """
    turned = matrix @ _PAULIS @ matrix.conj().T
    overlap = (np.einsum("iab,jba->ij", _PAULIS, turned).real / 2) ** 2
    best = max(itertools.permutations(range(3)), key=lambda p: round(sum(overlap[p[i], i] for i in range(3)), 6))
    bits = ((True, False), (True, True), (False, True))  # X, Y, Z as (x, z)
    return (*bits[best[0]], *bits[best[2]])


def _unread(space: _Space, bits: int, flips: int, random: np.random.Generator) -> float:
    if flips == 1:
        return sum(space.has(1 << bit) for bit in range(bits)) / bits
    patterns = random.permuted(np.tile(np.arange(bits), (_PATTERNS, 1)), axis=1)[:, :flips].tolist()
    return sum(space.has(sum(1 << bit for bit in row)) for row in patterns) / _PATTERNS


def _columns(rows: Sequence[int], width: int) -> list[int]:
    """Return the transpose of a bit matrix: for each column, bit i is from row i."""
    size = (width + 7) // 8
    packed = np.frombuffer(b"".join(row.to_bytes(size, "little") for row in rows), np.uint8).reshape(len(rows), size)
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, :width]
    return [int.from_bytes(column.tobytes(), "little") for column in np.packbits(bits.T, axis=1, bitorder="little")]


class _Space:
    """The span over GF(2) of some vectors, each an integer."""

    def __init__(self, vectors: Sequence[int]) -> None:
        self._basis: dict[int, int] = {}
        for vector in vectors:
            if rest := self._reduced(vector):
                self._basis[rest.bit_length()] = rest

    @property
    def rank(self) -> int:
        return len(self._basis)

    def has(self, vector: int) -> bool:
        return self._reduced(vector) == 0

    def _reduced(self, vector: int) -> int:
        while vector and (base := self._basis.get(vector.bit_length())) is not None:
            vector ^= base
        return vector
