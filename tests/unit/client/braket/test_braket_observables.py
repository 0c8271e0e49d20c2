"""Braket's observables as sums of Pauli terms: the matrices are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from braket.circuits import Observable
from braket.circuits.observables import Hermitian
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from qonverge.client.braket.observables import observable, squared


def matrix_of(terms: Any) -> NDArray[np.complex128]:
    """The matrix with qubit 0 as the most significant bit."""
    labels = [(label[::-1], coefficient) for label, coefficient in terms]
    return np.asarray(SparsePauliOp.from_list(labels).to_matrix())


def hermitian(qubits: int) -> st.SearchStrategy[NDArray[np.complex128]]:
    side = 2**qubits
    entries = arrays(np.float64, (2, side, side), elements=st.floats(-3, 3, allow_subnormal=False))
    return entries.map(lambda parts: parts[0] + parts[0].T + 1j * (parts[1] - parts[1].T))


@given(st.integers(1, 3).flatmap(hermitian))
def test_hermitian_matrices(matrix: NDArray[np.complex128]) -> None:
    qubits = len(matrix).bit_length() - 1
    target = list(range(qubits))
    np.testing.assert_allclose(matrix_of(observable(Hermitian(matrix), [target], target)), matrix, atol=1e-12)
    np.testing.assert_allclose(matrix_of(squared(Hermitian(matrix), target, target)), matrix @ matrix, atol=1e-10)


@pytest.mark.parametrize(
    "given_",
    [
        Observable.X(),
        Observable.Y(),
        Observable.Z(),
        Observable.I(),
        Observable.H(),
        -2.5 * Observable.H(),
        2 * Observable.X() @ Observable.Y(),
        -3 * (Observable.X() @ (2 * Observable.H())),
        Observable.H() @ Observable.I() @ Observable.Y(),
        Observable.Z() @ Hermitian(np.diag([1.0, 2.0, 3.0, 5.0])),
        3 * Hermitian(np.array([[1, 2j], [-2j, 0]])),
        Hermitian(np.zeros((2, 2))),
    ],
    ids=str,
)
def test_every_kind(given_: Any) -> None:
    target = list(range(given_.qubit_count))
    matrix = given_.to_matrix()
    np.testing.assert_allclose(matrix_of(observable(given_, [target], target)), matrix, atol=1e-12)
    np.testing.assert_allclose(matrix_of(squared(given_, target, target)), matrix @ matrix, atol=1e-12)


def test_targets_choose_the_qubits() -> None:
    product = Observable.X() @ Observable.Z()
    assert observable(product, [[7, 2]], (2, 5, 7)) == (("XIZ", 1.0),)


def test_sums_add_up_terms_of_the_same_label() -> None:
    added = 2 * Observable.X(0) + Observable.Z(1) - 0.5 * Observable.X(0)
    assert observable(added, [[0], [1], [0]], (0, 1)) == (("IX", 1.5), ("ZI", 1.0))


def test_matrices_of_too_many_qubits_are_refused() -> None:
    with pytest.raises(ValueError, match="of 7 qubits is up to 16384 Pauli terms"):
        observable(Hermitian(np.eye(128)), [list(range(7))], list(range(7)))
