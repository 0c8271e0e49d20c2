"""Braket's observables as sums of Pauli terms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from braket.circuits import Observable as BraketObservable
from braket.circuits.observables import Hermitian, Sum, TensorProduct
from numpy.typing import NDArray

from qonverge.wire.messages import Observable

# So many qubits may be 4,096 terms.
_MOST_MATRIX_QUBITS = 6
_NAMED: dict[str, dict[str, float]] = {
    "X": {"X": 1.0},
    "Y": {"Y": 1.0},
    "Z": {"Z": 1.0},
    "I": {"I": 1.0},
    "H": {"X": math.sqrt(0.5), "Z": math.sqrt(0.5)},
}
_MATRICES: dict[str, NDArray[np.complex128]] = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}
_NEGLIGIBLE = 1e-15

Terms: TypeAlias = Mapping[str, float]
"""Coefficients of Pauli words, whose first letter is of the observable's first qubit."""


def observable(given: BraketObservable, target: Sequence[Sequence[int]], qubits: Sequence[int]) -> Observable:
    """Return the observable as it travels.

    Args:
        given: the observable.
        target: the qubits of each of its summands.
        qubits: all of the circuit, the first being the last letter of a label.

    Raises:
        ValueError: it has a matrix of too many qubits.
    """
    summands = given.summands if isinstance(given, Sum) else (given,)
    return _placed([(_terms(each), on) for each, on in zip(summands, target, strict=True)], qubits)


def squared(given: BraketObservable, target: Sequence[int], qubits: Sequence[int]) -> Observable:
    """Return the square of an observable that is no sum; arguments as in ``observable``."""
    return _placed([(_terms(given, power=2), target)], qubits)


def _placed(summands: Sequence[tuple[Terms, Sequence[int]]], qubits: Sequence[int]) -> Observable:
    places = {qubit: len(qubits) - 1 - index for index, qubit in enumerate(qubits)}
    found: dict[str, float] = {}
    for terms, on in summands:
        for word, coefficient in terms.items():
            letters = ["I"] * len(qubits)
            for qubit, letter in zip(on, word, strict=True):
                letters[places[qubit]] = letter
            label = "".join(letters)
            found[label] = found.get(label, 0.0) + coefficient
    return tuple(found.items())


def _terms(given: BraketObservable, power: int = 1) -> Terms:
    factor = float(given.coefficient) ** power
    if isinstance(given, TensorProduct):
        parts = [_terms(each, power) for each in given.factors]
        return {
            "".join(words): factor * math.prod(part[word] for part, word in zip(parts, words, strict=True))
            for words in itertools.product(*parts)
        }
    if isinstance(given, Hermitian):
        # Its matrix holds the coefficient already.
        return _of_matrix(np.linalg.matrix_power(given.to_matrix(), power))
    named = _NAMED[given.name] if power == 1 else {"I": 1.0}
    return {word: factor * coefficient for word, coefficient in named.items()}


def _of_matrix(matrix: NDArray[np.complex128]) -> Terms:
    """Return the coefficients trace(P matrix) / 2^n of a Hermitian matrix."""
    qubits = len(matrix).bit_length() - 1
    if qubits > _MOST_MATRIX_QUBITS:
        raise ValueError(
            f"a Hermitian observable of {qubits} qubits is up to {4**qubits} Pauli terms, too many to be sent: give "
            f"one of at most {_MOST_MATRIX_QUBITS} qubits, or a sum"
        )
    # Axes are row bits, then column bits; each turn takes one qubit's and puts its letter last.
    left = matrix.reshape((2,) * (2 * qubits))
    basis = np.stack(list(_MATRICES.values())) / 2
    for remaining in range(qubits, 0, -1):
        left = np.tensordot(left, basis, axes=((0, remaining), (2, 1)))
    coefficients = left.real.ravel()
    words = map("".join, itertools.product(_MATRICES, repeat=qubits))
    return {
        word: float(value)
        for word, value in zip(words, coefficients, strict=True)
        if abs(value) > _NEGLIGIBLE * np.abs(coefficients).max()
    } or {"I" * qubits: 0.0}
