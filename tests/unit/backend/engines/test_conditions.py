"""Conditions on classical bits, and those that are parities."""

from __future__ import annotations

from functools import reduce
from operator import xor

from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr

from qonverge.backend.engines.conditions import bits_in, parity_of, value_of
from qonverge.circuits.analysis.conditions import lowered

REGISTER = ClassicalRegister(3, "c")
BITS = tuple(REGISTER)


def given_bits(value: int) -> dict[Clbit, int]:
    return {bit: value >> place & 1 for place, bit in enumerate(BITS)}


@given(st.sets(st.integers(0, 2)), st.booleans())
def test_a_parity_is_found(members: set[int], turned: bool) -> None:
    condition = reduce(expr.bit_xor, (expr.lift(BITS[place]) for place in sorted(members)), expr.lift(turned))
    found = parity_of(lowered(condition, {}), dict.fromkeys(BITS))
    assert found is not None
    bits, constant = found
    assert (set(bits), constant) == ({BITS[place] for place in members}, int(turned))
    for value in range(8):
        assert value_of(lowered(condition, {}), given_bits(value)) == reduce(
            xor, (given_bits(value)[bit] for bit in bits), constant
        )


def test_a_product_is_none_but_of_bits_that_were_written() -> None:
    condition = lowered((REGISTER, 0b011), {})
    assert parity_of(condition, dict.fromkeys(BITS)) is None
    assert parity_of(condition, {BITS[0]: 0}) == ((), 0)
    assert parity_of(lowered((REGISTER, 0b001), {}), {BITS[0]: 0}) == ((BITS[0],), 0)
    wide = ClassicalRegister(20, "w")
    assert parity_of(lowered((wide, 1), {}), dict.fromkeys(wide)) is None


def test_bits_are_told_once() -> None:
    assert bits_in(lowered(expr.equal(REGISTER, REGISTER), {})) == BITS
    assert [bits_in((bit, True)) for bit in BITS] == [(bit,) for bit in BITS]
