"""Counts are Qiskit's own, in its order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from qiskit.primitives import BitArray

from qonverge.client.qiskit.bits import Bits


@given(
    st.integers(1, 80).flatmap(
        lambda bits: st.tuples(
            st.just(bits),
            arrays.arrays(
                np.uint8,
                st.tuples(st.integers(1, 3), st.integers(0, 20), st.just(-(-bits // 8))),
                elements=st.sampled_from([0, 1, 3, 255]),
            ),
        )
    )
)
def test_counts_are_qiskit_s(given: tuple[int, np.ndarray]) -> None:
    bits, array = given
    ours, theirs = Bits(array, bits), BitArray(array, bits)
    for loc in (None, 0, (0,)):
        assert list(ours.get_counts(loc).items()) == list(theirs.get_counts(loc).items())
        assert ours.get_int_counts(loc) == theirs.get_int_counts(loc)
    assert ours.get_bitstrings() == theirs.get_bitstrings()


def test_an_outcome_is_converted_once() -> None:
    array = np.zeros((1000, 1), np.uint8)
    converted: list[bytes] = []
    Bits(array, 2)._get_counts(loc=None, converter=converted.append)
    assert converted == [b"\0"]


@pytest.mark.parametrize("shape", [(5, 1), (2, 5, 3)])
def test_it_is_a_bit_array_elsewhere(shape: tuple[int, ...]) -> None:
    bits = Bits(np.ones(shape, np.uint8), 8 * shape[-1])
    again = pickle.loads(pickle.dumps(bits))
    assert type(again) is BitArray
    assert again == bits
    assert isinstance(bits.slice_bits([0]), BitArray)
