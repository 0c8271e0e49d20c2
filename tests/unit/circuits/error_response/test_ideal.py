"""Ideal distributions are kept small, and counts are read as they are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.circuits.checker.checked_circuit import CheckedCircuit, check
from qonverge.circuits.checker.checker import Checker, _footprint
from qonverge.circuits.error_response.ideal import MOST_OUTCOMES, Ideal

HEADER = 'OPENQASM 3.0; include "stdgates.inc"; '
# The first register is not measured whole, and its bits are out of order: outcomes are 00 and 11 of a[2] and a[0].
CROSSED = HEADER + "qubit[2] q; bit[3] a; bit[1] b; h q[0]; cx q[0], q[1]; a[2] = measure q[0]; a[0] = measure q[1];"


def checked(text: str) -> CheckedCircuit:
    return check(text, {}, [])


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda those: sum(those) > 0.1))
def test_a_distribution_comes_back_as_it_was(weights: list[float]) -> None:
    whole = np.array(weights) / sum(weights)
    kept = Ideal.of(whole, 3)
    assert kept is not None
    assert kept.distribution() == pytest.approx(whole, abs=1e-5)
    assert Ideal.from_dict(kept.to_dict()) == kept


def test_what_is_too_wide_is_not_kept() -> None:
    wide = 2 * MOST_OUTCOMES
    assert Ideal.of(np.full(wide, 1 / wide), 11) is None
    few = np.zeros(wide)
    few[[3, wide - 1]] = 0.5
    found = Ideal.of(few, 11)
    assert found is not None
    assert found.indices.tolist() == [3, wide - 1]


@given(st.dictionaries(st.integers(0, 7), st.integers(1, 1000)))
def test_counts_are_summed_over_the_bits_that_are_not_measured(counts: dict[int, int]) -> None:
    uniform = Ideal.of(np.full(4, 0.25), 2)
    assert uniform is not None
    keys = {f"{value >> 2:01b} {value & 3:02b}": count for value, count in counts.items()}
    expected = [0, 0, 0, 0]
    for value, count in counts.items():
        # The first measured bit is the classical bit 2, the second 0.
        expected[(value >> 2 & 1) | (value & 1) << 1] += count
    if counts:
        assert uniform.tally(keys, [2, 0]).tolist() == expected


@pytest.mark.parametrize("counts", [{"00": 1, "1": 2}, {"0": 3}, {"0x": 4}, {"0": 1, "00": 1}])
def test_counts_of_another_circuit_are_no_counts_of_this_one(counts: dict[str, int]) -> None:
    uniform = Ideal.of(np.full(4, 0.25), 2)
    assert uniform is not None
    with pytest.raises(ValueError, match="counts"):
        uniform.tally(counts, [0, 1])


def test_a_profile_reads_the_classical_bits_that_its_circuit_writes() -> None:
    profile = checked(CROSSED).profile
    assert profile is not None
    read = profile.tally({"0 101": 40, "0 000": 55, "0 100": 5})
    assert read is not None
    ideal, seen = read
    assert ideal.probabilities == pytest.approx([0.5, 0.5])
    assert dict(zip(ideal.indices.tolist(), seen.tolist(), strict=True)) == {0: 55, 3: 40}
    assert profile.tally({}) is None
    assert profile.tally({"00": 7}) is None


def test_nothing_is_compared_where_measurements_come_before_the_end() -> None:
    text = HEADER + "qubit[1] q; bit[2] c; h q[0]; c[0] = measure q[0]; x q[0]; c[1] = measure q[0];"
    profile = checked(text).profile
    assert profile is not None
    assert profile.tally({"01": 7}) is None


async def test_the_child_tells_it_and_the_cache_counts_it() -> None:
    text = HEADER + "qubit[9] q; bit[9] c; h q; c = measure q;"
    async_checker = Checker()
    try:
        found = await async_checker.check(text, {}, [])
    finally:
        await async_checker.close()
    assert found == checked(text)
    assert found.profile is not None
    ideal = found.profile.response.ideal
    assert ideal is not None
    small = checked(HEADER + "qubit[9] q; bit[9] c; c = measure q;")
    assert _footprint(found) - _footprint(small) > len(ideal.outcomes) + len(ideal.chances) - 1000
