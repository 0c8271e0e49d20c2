"""Errors of a noisy circuit, given as superoperators, in the forms of engines that take no superoperators."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Kraus, SuperOp

_PAULIS = (
    np.eye(2),
    np.array([[0, 1], [1, 0]]),
    np.array([[0, -1j], [1j, 0]]),
    np.diag([1, -1]),
)


def twirled(superoperator: NDArray[np.complex128]) -> tuple[float, ...]:
    """Return the probabilities of the Pauli operators that a channel becomes by twirling it.

    They are the diagonal of its process matrix: averaged over conjugations by random Pauli operators, a channel
    becomes the random choice of one (Dankert et al., PRA 80, 012304, 2009). For one qubit: X, Y, Z; for two, the first
    qubit's letter first: IX, IY, IZ, XI, ..., ZZ.

    Args:
        superoperator: on the columns of a density matrix one below the other, qubit 0 the least significant.
    """
    width = (superoperator.shape[0].bit_length() - 1) // 2
    found = []
    for letters in itertools.product(_PAULIS, repeat=width):
        pauli = np.eye(1)
        for letter in letters:
            pauli = np.kron(letter, pauli)
        found.append(np.vdot(np.kron(pauli.conj(), pauli), superoperator).real / superoperator.shape[0])
    probabilities = np.clip(found, 0, None)
    return tuple((probabilities / probabilities.sum()).tolist()[1:])


def kraus(superoperator: NDArray[np.complex128]) -> list[NDArray[np.complex128]]:
    """Return Kraus operators of a channel."""
    operators = Kraus(SuperOp(superoperator)).data
    # A pair of lists where rounding has left it not quite positive.
    return list(operators[0] if isinstance(operators, tuple) else operators)


def eigenvalue(probabilities: tuple[float, ...], letters: tuple[int, ...]) -> float:
    """Return the factor by which a random choice of Pauli operators shrinks a Pauli operator's expectation value.

    Args:
        probabilities: as ``twirled`` gives them.
        letters: of the operator at the channel's qubits: 0 to 3 for I, X, Y, Z.
    """
    others = itertools.islice(itertools.product(range(4), repeat=len(letters)), 1, None)
    against = 0.0
    for probability, other in zip(probabilities, others, strict=True):
        clashes = sum(1 for a, b in zip(letters, other, strict=True) if a and b and a != b)
        against += probability * (clashes % 2)
    return 1 - 2 * against
