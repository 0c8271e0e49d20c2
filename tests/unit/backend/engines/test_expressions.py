"""Expressions mean the same as Boolean functions of single bits, whatever their width."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Clbit, Store
from qiskit.circuit.classical import expr, types

from qonverge.backend.engines.conditions import value_of
from qonverge.circuits.analysis.canonical import canonical, serialise
from qonverge.circuits.analysis.conditions import lowered, stores
from qonverge.circuits.errors import InvalidProgram
from tests.unit.backend.engines.engines import engine, run
from tests.unit.backend.engines.expressions import Meaning, comparison

WIDTHS = (1, 2, 31, 32, 33, 63, 64, 65, 100, 200)


def bits_of(register: ClassicalRegister, value: int) -> dict[Clbit, int]:
    return {bit: value >> place & 1 for place, bit in enumerate(register)}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(((1, 3), (2, 3), (3, 2), (8, 1))))
def test_expressions_mean_what_python_says(seed: int, size: tuple[int, int]) -> None:
    width, depth = size
    rng, c, d = random.Random(seed), ClassicalRegister(width, "c"), ClassicalRegister(width, "d")
    condition, meaning = comparison(rng, c, d, depth=depth)
    try:
        made = lowered(condition, {})
    except InvalidProgram as error:
        # Few of them: products of sums of eight bits.
        assert "unfolds to more than" in str(error)
        reject()
    for _ in range(8):
        one, other = rng.getrandbits(width), rng.getrandbits(width)
        assert value_of(made, bits_of(c, one) | bits_of(d, other)) == meaning(one, other)


@pytest.mark.parametrize("width", WIDTHS)
def test_wide_registers_are_compared_in_all_their_bits(width: int) -> None:
    c, kind, most = ClassicalRegister(width, "c"), types.Uint(width), (1 << width) - 1
    numbers = sorted({0, 1, most, most >> 1, 1 << (width - 1), (1 << (width - 1)) | 1})
    compare: dict[Callable[..., Any], Callable[[int, int], bool]] = {
        expr.equal: lambda a, b: a == b,
        expr.not_equal: lambda a, b: a != b,
        expr.less: lambda a, b: a < b,
        expr.less_equal: lambda a, b: a <= b,
        expr.greater: lambda a, b: a > b,
        expr.greater_equal: lambda a, b: a >= b,
    }
    for number in numbers:
        plain = lowered((c, number), {})
        made = {make: lowered(make(expr.lift(c), expr.Value(number, kind)), {}) for make in compare}
        for value in numbers:
            assert value_of(plain, bits_of(c, value)) == (value == number)
            for make, meaning in compare.items():
                assert value_of(made[make], bits_of(c, value)) == meaning(value, number)


@pytest.mark.parametrize("width", WIDTHS)
def test_conditions_of_any_width_travel(width: int) -> None:
    circuit = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(width, "c"))
    with circuit.if_test((circuit.cregs[0], 1 << (width - 1))):
        circuit.x(0)
    with circuit.switch(circuit.cregs[0]) as case:
        with case((1 << width) - 1, 0):
            circuit.y(0)
        with case(case.DEFAULT):
            circuit.z(0)
    made = canonical(circuit)
    (travelled,) = qpy.load(io.BytesIO(serialise(made)))
    assert travelled == made
    assert canonical(travelled) == made


@pytest.mark.parametrize(
    ("make", "meaning"),
    [
        (lambda c, d: expr.bit_not(d), lambda c, d: ~d),
        (lambda c, d: expr.bit_not(c), lambda c, d: ~c),
        (lambda c, d: expr.add(c, expr.Value(1, types.Uint(4))), lambda c, d: c + 1),
        (lambda c, d: expr.shift_left(c, 1), lambda c, d: c << 1),
        (lambda c, d: expr.shift_right(c, 1), lambda c, d: c >> 1),
        (expr.bit_xor, lambda c, d: c ^ d),
        (lambda c, d: expr.lift(c), lambda c, d: c),
    ],
)
def test_an_assignment_reads_what_was_there_before(make: Callable[..., Any], meaning: Meaning) -> None:
    c, d = ClassicalRegister(4, "c"), ClassicalRegister(4, "d")
    made = stores(Store(expr.lift(c), make(c, d)), {})
    for one in range(16):
        bits = bits_of(c, one) | bits_of(d, 6)
        for store in made:
            bits[store.lvalue.var] = value_of(store.rvalue, bits)
        assert sum(bits[bit] << place for place, bit in enumerate(c)) == meaning(one, 6) & 15


def test_a_bit_of_a_register_is_assigned_by_its_index() -> None:
    c, d = ClassicalRegister(4, "c"), ClassicalRegister(2, "d")
    made = stores(Store(expr.index(c, d), expr.lift(True)), {})
    for index in range(4):
        bits = bits_of(c, 0) | bits_of(d, index)
        for store in made:
            bits[store.lvalue.var] = value_of(store.rvalue, bits)
        assert [bits[bit] for bit in c] == [int(place == index) for place in range(4)]


def test_a_rotation_is_refused() -> None:
    c = ClassicalRegister(3, "c")
    turned = expr.bit_or(expr.shift_left(c, 1), expr.shift_right(c, 2))
    with pytest.raises(InvalidProgram, match="an assignment reads bits in a circle, as a rotation does"):
        stores(Store(expr.lift(c), turned), {})


def test_what_no_engine_computes_is_refused_by_name() -> None:
    c = ClassicalRegister(3, "c")
    with pytest.raises(InvalidProgram, match=r"an expression uses the operation div on Uint\(3\)"):
        lowered(expr.equal(expr.div(c, c), 1), {})
    with pytest.raises(InvalidProgram, match=r"the variable a of the kind Bool\(\)"):
        lowered(expr.Var.new("a", types.Bool()), {})
    with pytest.raises(InvalidProgram, match=r"an expression uses a value of the kind Float\(\)"):
        lowered(expr.less(expr.lift(0.5), expr.lift(1.5)), {})
    wide = ClassicalRegister(200, "w")
    with pytest.raises(InvalidProgram, match="unfolds to more than 100000 operations on bits"):
        lowered(expr.equal(expr.mul(wide, wide), expr.Value(7, types.Uint(200))), {})


FLOW = {
    "Aer": engine("Aer"),
    "DensityMatrix": engine("Aer", method="DensityMatrix"),
    "MatrixProductState": engine("Aer", method="MatrixProductState"),
    "Stabilizer": engine("Aer", method="Stabilizer"),
    "BraketLocal": engine("BraketLocal"),
}


def with_bits(width: int, one: int, other: int) -> QuantumCircuit:
    """Return a circuit with two registers that are measured to have these values, and a bit for the answer."""
    registers = (ClassicalRegister(width, "c"), ClassicalRegister(width, "d"), ClassicalRegister(1, "answer"))
    circuit = QuantumCircuit(QuantumRegister(2, "q"), *registers)
    circuit.x(0)
    for register, value in zip(registers, (one, other), strict=False):
        for place in range(width):
            if value >> place & 1:
                circuit.measure(0, register[place])
    return circuit


@pytest.mark.parametrize("name", FLOW)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1, 2, 3)), st.booleans())
def test_every_engine_computes_expressions(name: str, seed: int, width: int, looped: bool) -> None:
    rng = random.Random(seed)
    one, other = rng.getrandbits(width), rng.getrandbits(width)
    circuit = with_bits(width, one, other)
    c, d, answer = circuit.cregs
    condition, meaning = comparison(rng, c, d, depth=1)
    if looped:
        # What is true at first is left when the answer is there.
        with circuit.while_loop(expr.logic_and(condition, expr.logic_not(answer[0]))):
            circuit.x(1)
            circuit.measure(1, answer[0])
    else:
        with circuit.if_test(condition):
            circuit.x(1)
        circuit.measure(1, answer[0])
    (outcome,) = run(FLOW[name], circuit, shots=3).counts[0]
    assert int(outcome.split()[0]) == meaning(one, other)


@pytest.mark.parametrize("name", [*FLOW, "Stim"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_engine_compares_wide_registers(name: str, width: int) -> None:
    made = FLOW.get(name) or engine("Stim")
    # Stim takes conditions that are sums of the bits that were measured, as of a single one.
    value = 1 << (width - 1) if name == "Stim" else (1 << (width - 1)) | 1
    for condition in (
        lambda c: (c, value),
        lambda c: expr.less_equal(c, expr.Value(value, types.Uint(width))),
        lambda c: expr.not_equal(c, expr.Value(value >> 1, types.Uint(width))),
        lambda c: expr.index(expr.lift(c), width - 1),
    ):
        circuit = with_bits(width, value, 0)
        with circuit.if_test(condition(circuit.cregs[0])):
            circuit.x(1)
        circuit.measure(1, circuit.cregs[2][0])
        (outcome,) = run(made, circuit, shots=3).counts[0]
        assert outcome == f"1 {0:0{width}b} {value:0{width}b}"


@pytest.mark.parametrize("name", FLOW)
@pytest.mark.parametrize("value", range(8))
def test_a_switch_takes_the_case_that_matches(name: str, value: int) -> None:
    circuit = with_bits(3, value, 0)
    c, d, _ = circuit.cregs
    with circuit.switch(c) as case:
        with case(0, 6):
            circuit.measure(0, d[0])
        with case(1):
            circuit.measure(0, d[1])
        with case(2, 3, 4):
            circuit.measure(0, d[2])
            circuit.reset(0)
            # What a case measures does not lead into another.
            circuit.measure(0, c)
        with case(case.DEFAULT):
            circuit.measure(0, d[0])
            circuit.measure(0, d[1])
    (outcome,) = run(FLOW[name], circuit, shots=3).counts[0]
    expected = {0: 1, 6: 1, 1: 2, 2: 4, 3: 4, 4: 4}.get(value, 3)
    left = 0 if value in (2, 3, 4) else value
    assert outcome == f"0 {expected:03b} {left:03b}"


@pytest.mark.parametrize("name", ["Aer", "MatrixProductState", "Stabilizer", "BraketLocal"])
def test_assignments_to_bits(name: str) -> None:
    circuit = with_bits(4, 5, 0)
    c, d, answer = circuit.cregs
    circuit.store(d, expr.add(c, expr.Value(9, types.Uint(4))))
    with circuit.if_test(expr.greater(d, 13)):
        circuit.store(answer[0], expr.lift(True))
        circuit.store(c, expr.bit_not(c))
    (outcome,) = run(FLOW[name], circuit, shots=3).counts[0]
    assert outcome == "1 1110 1010"


@pytest.mark.parametrize("name", FLOW)
def test_blocks_may_have_bits_of_their_own(name: str) -> None:
    innermost = QuantumCircuit(1, 1)
    innermost.x(0)
    inner = QuantumCircuit(1, 2)
    inner.if_test((inner.clbits[1], 0), innermost, [0], [1])
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure(0, 2)
    circuit.if_test((circuit.clbits[0], 0), inner, [1], [0, 1])
    circuit.measure(1, 1)
    assert run(FLOW[name], circuit, shots=3).counts[0] == {"110": 3}
    # Through the other bit the innermost block is not reached.
    inner.if_test((inner.clbits[0], 1), innermost, [0], [0])
    circuit.if_test((circuit.clbits[2], 1), inner, [1], [2, 1])
    circuit.measure(1, 1)
    assert run(FLOW[name], circuit, shots=3).counts[0] == {"100": 3}


@pytest.mark.parametrize("name", FLOW)
def test_bits_that_get_a_register_later(name: str) -> None:
    bits = [Clbit() for _ in range(3)]
    circuit = QuantumCircuit(QuantumRegister(2, "q"), bits)
    with circuit.if_test((bits[0], 0)), circuit.if_test((bits[1], 0)):
        circuit.x(0)
    circuit.add_register(ClassicalRegister(bits=bits[1:], name="late"))
    circuit.measure(0, 2)
    (travelled,) = qpy.load(io.BytesIO(serialise(canonical(circuit))))
    for own in (circuit, travelled):
        (outcome,) = run(FLOW[name], own, shots=3).counts[0]
        assert outcome.replace(" ", "") == "100"
