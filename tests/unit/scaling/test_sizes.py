"""Which larger sizes of pods there are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qonverge.scaling.sizes import larger_sizes

GIB = 2**30


def test_sizes_double_up_to_the_most() -> None:
    assert larger_sizes(GIB, 15 * GIB) == (2 * GIB, 4 * GIB, 8 * GIB, 15 * GIB)
    assert larger_sizes(GIB, 2 * GIB) == (2 * GIB,)
    assert larger_sizes(2 * GIB, GIB) == ()


@given(st.integers(1, 2**40), st.integers(1, 2**50))
def test_each_size_is_larger_by_a_factor_of_two_at_most_and_the_last_is_the_most(usual: int, most: int) -> None:
    chain = (usual, *larger_sizes(usual, most))
    assert all(smaller < larger <= 2 * smaller for smaller, larger in pairwise(chain))
    assert chain[-1] == max(usual, most)
