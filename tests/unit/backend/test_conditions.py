"""Conditions on classical bits, and those that are parities."""

from __future__ import annotations

import itertools
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qonverge.backend.providers.conditions import bits_in, parity_of, value_of
from qonverge.wire.errors import InvalidCircuit

REGISTER = ClassicalRegister(3, "c")
BITS = tuple(REGISTER)


def given_bits(value: int) -> dict[Clbit, int]:
    return {bit: value >> place & 1 for place, bit in enumerate(BITS)}


@pytest.mark.parametrize("value", range(8))
def test_expressions_mean_what_qiskit_says(value: int) -> None:
    bits = given_bits(value)
    whole = expr.lift(REGISTER)
    assert value_of(REGISTER, bits) == value
    assert value_of((REGISTER, 5), bits) == (value == 5)
    assert value_of((BITS[1], 0), bits) == (not value & 2)
    assert value_of(expr.less(whole, 4), bits) == (value < 4)
    assert value_of(expr.bit_not(whole), bits) == 7 - value
    assert value_of(expr.bit_and(whole, 6), bits) == value & 6
    assert value_of(expr.shift_left(whole, 1), bits) == value << 1 & 7
    assert value_of(expr.index(whole, 2), bits) == value >> 2
    assert value_of(expr.cast(whole, types.Bool()), bits) == bool(value)
    assert value_of(expr.logic_or(BITS[0], expr.logic_not(BITS[2])), bits) == (value & 1 or not value & 4)


@given(st.sets(st.integers(0, 2)), st.booleans())
def test_a_parity_is_found(members: set[int], turned: bool) -> None:
    condition = reduce(expr.bit_xor, (expr.lift(BITS[place]) for place in sorted(members)), expr.lift(turned))
    found = parity_of(condition, dict.fromkeys(BITS))
    assert found is not None
    bits, constant = found
    assert (set(bits), constant) == ({BITS[place] for place in members}, int(turned))
    for value in range(8):
        assert value_of(condition, given_bits(value)) == reduce(xor, (given_bits(value)[bit] for bit in bits), constant)


def test_a_product_is_none_but_of_bits_that_were_written() -> None:
    condition = (REGISTER, 0b011)
    assert parity_of(condition, dict.fromkeys(BITS)) is None
    assert parity_of(condition, {BITS[0]: 0}) == ((), 0)
    assert parity_of((REGISTER, 0b001), {BITS[0]: 0}) == ((BITS[0],), 0)
    wide = ClassicalRegister(20, "w")
    assert parity_of((wide, 1), dict.fromkeys(wide)) is None


def test_bits_are_told_once() -> None:
    assert bits_in(expr.bit_and(REGISTER, REGISTER)) == BITS
    assert set(bits_in(expr.logic_and(BITS[0], BITS[2]))) == {BITS[0], BITS[2]}
    assert [bits_in(bit) for bit in BITS] == [(bit,) for bit in BITS]
    assert list(itertools.chain(bits_in((BITS[1], 1)))) == [BITS[1]]


def test_a_variable_is_refused() -> None:
    with pytest.raises(InvalidCircuit, match="var expressions that this engine lacks"):
        value_of(expr.Var.new("a", types.Bool()), {})
