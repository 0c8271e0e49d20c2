"""Constant expressions against Python's arithmetic under OpenQASM's rules; ranges against their definition; "
"unitaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr
from qiskit.circuit.library import CZGate, RGate, RZZGate
from qiskit.quantum_info import Operator, Statevector

from qonverge.circuits import InvalidProgram
from qonverge.circuits.analysis.canonical import deserialise
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.qasm.parse import parse_openqasm
from qonverge.devices import Layout
from tests.unit.circuits.qasm.qasm3_outcomes import HEADER, counts, outcome

INTEGERS = st.integers(-40, 40)
# Pairs of a text and what Python makes of it.
LEAF = INTEGERS.map(lambda number: (f"({number})" if number < 0 else str(number), number))


def quotient(left: int, right: int) -> int:
    """Divide as C does, without the way of the code under test."""
    return math.trunc(left / right)


def joined(pair: tuple[tuple[str, int], str, tuple[str, int]]) -> tuple[str, int | None]:
    (left, a), operator, (right, b) = pair
    text = f"({left} {operator} {right})"
    match operator:
        case "+":
            return text, a + b
        case "-":
            return text, a - b
        case "*":
            return text, a * b
        case "/":
            return text, quotient(a, b) if b else None
        case "%":
            return text, a - b * quotient(a, b) if b else None
        case "&":
            return text, a & b
        case "|":
            return text, a | b
        case "^":
            return text, a ^ b
    return text, int({"<": a < b, "==": a == b, ">=": a >= b}[operator])


EXPRESSIONS = st.recursive(
    LEAF,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%", "&", "|", "^"]), inner)
        .map(joined)
        .filter(lambda pair: pair[1] is not None and abs(pair[1]) < 2**40)
    ),
    max_leaves=8,
)


def value_of(declaration: str) -> float:
    """Return what the program computes as ``r``, by way of an angle."""
    circuit = parse_openqasm(f"{HEADER}qubit q; {declaration} rx(r) q;").circuit
    return float(circuit.data[0].operation.params[0])


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
@example(("(-7 / 2)", -3))
@example(("(-7 % 2)", -1))
def test_integers_are_computed_as_in_c(pair: tuple[str, int]) -> None:
    text, expected = pair
    assert value_of(f"const int r = {text};") == expected


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, st.integers(2, 16))
def test_integers_of_a_size_wrap(pair: tuple[str, int], width: int) -> None:
    text, number = pair
    unsigned = number % 2**width
    assert value_of(f"uint[{width}] r = {text};") == unsigned
    signed = unsigned - 2**width if unsigned >= 2 ** (width - 1) else unsigned
    assert value_of(f"int[{width}] r = {text};") == signed


@settings(max_examples=100, deadline=None)
@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(-3, 3).filter(bool))
def test_ranges_of_loops_include_both_ends(start: int, end: int, step: int) -> None:
    expected = []
    at = start
    while (at <= end) if step > 0 else (at >= end):
        expected.append(at)
        at += step
    circuit = parse_openqasm(f"{HEADER}qubit q; for int i in [{start}:{step}:{end}] {{ rx(i) q; }}").circuit
    assert [item.operation.params[0] for item in circuit.data] == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.data())
def test_ranges_of_registers(size: int, data: st.DataObject) -> None:
    start, end = (data.draw(st.integers(-size, size - 1)) for _ in range(2))
    step = data.draw(st.integers(-3, 3).filter(bool))
    first, last = start % size, end % size
    expected, at = [], first
    while (at <= last) if step > 0 else (at >= last):
        expected.append(at)
        at += step
    places = f"[{start}:{step}:{end}]"
    circuit = parse_openqasm(f"{HEADER}qubit[{size}] q; x q{places}; let r = q{places}; y r;").circuit
    for name in ("x", "y"):
        own = [circuit.find_bit(item.qubits[0]).index for item in circuit.data if item.operation.name == name]
        assert own == expected


@settings(max_examples=60, deadline=None)
@given(st.floats(-20, 20), st.integers(1, 30))
def test_angles_of_a_size_are_the_nearest_on_the_circle(radians: float, width: int) -> None:
    found = value_of(f"angle[{width}] r = {radians!r};")
    step = math.tau / 2**width
    assert 0 <= found < math.tau
    gap = (found - radians) % math.tau
    assert min(gap, math.tau - gap) <= step / 2 * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 2 * pi", 0.0),
        ("1.0 / 2 * pi", math.pi / 2),
        ("2**-1", 0.5),
        ("2**0.5", math.sqrt(2)),
        ("sqrt(2) + exp(1) + log(3)", math.sqrt(2) + math.e + math.log(3)),
        ("arctan(1) * 4", math.pi),
        ("mod(7.5, 2)", 1.5),
        ("floor(-1.5) + ceiling(1.2)", 0.0),
        ("tau - 2 * π + euler", math.e),
        ("float[32](0.1)", float(np.float32(0.1))),
        ("0x1F + 0b101 + 0o17 + 1_000", 1051),
        ("7 % 3 ** 2", 7),
    ],
)
def test_numbers(text: str, expected: float) -> None:
    assert value_of(f"float r = {text};") == pytest.approx(expected, abs=1e-12)


def test_parameters_stay_in_expressions() -> None:
    text = f"{HEADER}input float a; input float b; qubit q; bit c; U(sin(a) ** 2 / b, -a, 3 - b) q; c = measure q;"
    (gate, _) = parse_openqasm(text).circuit.data
    bound = [
        float(angle.bind({p: {"a": 0.7, "b": 0.3}[p.name] for p in angle.parameters}))
        for angle in gate.operation.params
    ]
    assert bound == pytest.approx([math.sin(0.7) ** 2 / 0.3, -0.7, 2.7])


def matrix(controls: str, base: np.ndarray) -> np.ndarray:
    """Return a controlled matrix; the controls come first in the program, so they are the lower bits."""
    size = 2 ** len(controls)
    whole = np.eye(size * 2, dtype=complex)
    at = int("".join("1" if kind == "c" else "0" for kind in reversed(controls)), 2)
    for row in range(2):
        for column in range(2):
            whole[at + row * size, at + column * size] = base[row, column]
    return whole


@pytest.mark.parametrize(
    ("text", "controls", "base"),
    [
        ("ctrl @ x q[0], q[1];", "c", np.array([[0, 1], [1, 0]])),
        ("negctrl @ x q[0], q[1];", "n", np.array([[0, 1], [1, 0]])),
        ("ctrl @ negctrl @ z q[0], q[1], q[2];", "cn", np.diag([1, -1])),
        ("ctrl @ pow(2) @ rz(0.3) q[0], q[1];", "c", np.diag([np.exp(-0.3j), np.exp(0.3j)])),
        ("ctrl @ inv @ s q[0], q[1];", "c", np.diag([1, -1j])),
        (
            "ctrl @ gphase(0.4) q[0]; ctrl @ gphase(-0.4) q[0]; ctrl @ p(1.1) q[0], q[1];",
            "c",
            np.diag([1, np.exp(1.1j)]),
        ),
        ("def f(float a, qubit[2] r) { cp(a / 2) r[0], r[1]; } f(2.2, q[0:1]);", "c", np.diag([1, np.exp(1.1j)])),
    ],
)
def test_unitaries(text: str, controls: str, base: np.ndarray) -> None:
    width = len(controls) + 1
    found = Operator(parse_openqasm(f"{HEADER}qubit[{width}] q; {text}").circuit).data
    expected = matrix(controls, base)
    phase = np.vdot(expected.ravel(), found.ravel())
    assert abs(phase) == pytest.approx(expected.shape[0])


def _u(theta: float, phi: float, lam: float) -> np.ndarray:
    """U as the specification defines it ("Built-in gates")."""
    turn = np.exp(1j * theta)
    rows = [[1 + turn, -1j * np.exp(1j * lam) * (1 - turn)]]
    rows.append([1j * np.exp(1j * phi) * (1 - turn), np.exp(1j * (phi + lam)) * (1 + turn)])
    return np.array(rows) / 2


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("ctrl @ U(0.7, 0.3, 0.2)", _u(0.7, 0.3, 0.2)),
        ("ctrl @ inv @ U(0.7, 0.3, 0.2)", _u(0.7, 0.3, 0.2).conj().T),
        ("ctrl @ pow(2) @ U(0.7, 0.3, 0.2)", _u(0.7, 0.3, 0.2) @ _u(0.7, 0.3, 0.2)),
        # As stdgates.inc defines them.
        ("ctrl @ u2(0.3, 0.2)", np.exp(-0.5j * (0.5 + np.pi / 2)) * _u(np.pi / 2, 0.3, 0.2)),
        ("ctrl @ u3(0.7, 0.3, 0.2)", np.exp(-0.6j) * _u(0.7, 0.3, 0.2)),
        ("ctrl @ mine(0.4)", np.array([[np.cos(0.2), -1j * np.sin(0.2)], [-1j * np.sin(0.2), np.cos(0.2)]])),
        ("ctrl @ phased", np.exp(-0.35j) * _u(0.7, 0.3, 0.2)),
    ],
)
def test_controls_show_the_phase_of_u(text: str, base: np.ndarray) -> None:
    own = "gate mine(t) a { U(t, -pi/2, pi/2) a; gphase(-t/2); } gate phased a { U(0.7, 0.3, 0.2) a; gphase(-0.35); } "
    found = Operator(parse_openqasm(f"{HEADER}{own} qubit[2] q; {text} q[0], q[1];").circuit).data
    expected = matrix("c", base)
    assert found * expected[0, 0] / found[0, 0] == pytest.approx(expected)


def test_whole_powers_of_gates_by_inputs_are_repetitions() -> None:
    text = "input float a; qubit[2] q; pow(-2) @ u2(a + pi/2, 0.4) q[0]; ctrl @ pow(3) @ rx(a) q[0], q[1];"
    circuit = parse_openqasm(HEADER + text).circuit.assign_parameters({"a": 0.3})
    plain = "qubit[2] q; inv @ u2(0.3 + pi/2, 0.4) q[0]; inv @ u2(0.3 + pi/2, 0.4) q[0]; crx(0.9) q[0], q[1];"
    assert Operator(circuit).equiv(Operator(parse_openqasm(HEADER + plain).circuit))
    with pytest.raises(InvalidProgram, match=r"the power 0.5 of a gate whose angles are inputs; expected"):
        parse_openqasm(HEADER + "input float a; qubit q; pow(0.5) @ u2(a, 0.4) q;")


def test_a_loop_of_rotations_gives_the_fourier_transform() -> None:
    text = (
        f"{HEADER}const int n = 4; qubit[n] q; x q[0]; x q[2]; for int i in [n - 1:-1:0] {{ h q[i]; "
        "for int j in [i - 1:-1:0] { cp(pi / 2 ** (i - j)) q[j], q[i]; } }"
    )
    state = Statevector(parse_openqasm(text).circuit).data
    expected = np.exp(2j * np.pi * 5 * np.arange(16) / 16) / 4
    order = [int(f"{index:04b}"[::-1], 2) for index in range(16)]
    assert np.abs(np.vdot(state[order], expected)) == pytest.approx(1)


WARNED = [
    (
        "rx(1 / 2 * pi) q[0];",
        "line 3, column 26: 1/2 is 0 here: OpenQASM 3 divides integers without a fraction; write 1.0/2 for 0.5",
    ),
    (
        "c = measure q; if (c == 4) x q[0];",
        "line 3, column 42: the condition is never true: bit[2] holds 0 to 3, not 4",
    ),
    ("x q[1:0];", "line 3, column 25: the range is empty: its step leads away from its end"),
    ("pragma vendor hint\n", "line 3, column 23: the pragma 'vendor hint' is ignored"),
    (
        "let a = q[0]; { let a = q[1]; x a; }",
        "line 3, column 39: this 'a' is another one than that outside of the block, and ends with the block",
    ),
]


@pytest.mark.parametrize(("text", "warning"), WARNED)
def test_what_misleads_is_said(text: str, warning: str) -> None:
    checked = check(f"{HEADER}qubit[2] q; bit[2] c; {text} c = measure q;", {}, [])
    assert checked.warnings == (warning,)


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [
        ("result expectation z(q[0]) @ x(q[1])", "program.circuit.observables, a letter for each qubit, qubit 0 last"),
        ("result probability", "a measurement, whose counts tell it"),
        ("result probability all", "a measurement, whose counts tell it"),
        ("result sample z(q[0])", "a measurement, and memory"),
        ("result variance x(q[0])", "the Braket device of the client library"),
        ('result amplitude "01"', "the Braket device of the client library"),
        ("result state_vector", "the Braket device of the client library"),
        ("unitary([[0, 1], [1, 0]]) q[1]", "gates, or the Braket device"),
        ("noise bit_flip(0.2) q[0]", "a backend with noise"),
        ("something", "braket verbatim"),
    ],
)
def test_a_pragma_that_changes_what_is_measured_is_not_passed_over(pragma: str, expected: str) -> None:
    with pytest.raises(InvalidProgram) as refused:
        check(f"{HEADER}qubit[2] q; bit[2] c;\n#pragma braket {pragma}\nc = measure q;", {}, [])
    assert refused.value.line == 4
    assert f"'braket {pragma}'" in str(refused.value)
    assert f"expected {expected}" in str(refused.value)


def test_a_verbatim_box_has_native_gates_and_qubits_of_the_device() -> None:
    box = "#pragma braket verbatim\nbox { prx(0.4, 0.2) $2; gpi(0.3) $2; gpi2(0.1) $4; cz $2, $4; zz(0.5) $2, $4; }"
    done = check(f"OPENQASM 3.0; bit[2] c; {box} c[0] = measure $2; c[1] = measure $4;", {}, [])
    assert (done.warnings, done.layout) == ((), Layout((2, 4), routing=False))
    expected = QuantumCircuit(2)
    for gate, qubits in (
        (RGate(0.4, 0.2), [0]),
        (RGate(np.pi, 0.3), [0]),
        (RGate(np.pi / 2, 0.1), [1]),
        (CZGate(), [0, 1]),
        (RZZGate(0.5), [0, 1]),
    ):
        expected.append(gate, qubits)
    found = deserialise(done.qpy).remove_final_measurements(inplace=False)
    assert abs(np.vdot(Statevector(found), Statevector(expected))) == pytest.approx(1)
    with pytest.raises(InvalidProgram, match="a verbatim box with declared qubits"):
        check("OPENQASM 3.0; qubit q; bit c;\n#pragma braket verbatim\nbox { prx(1, 0) q; } c = measure q;", {}, [])


def test_what_does_not_mislead_is_not() -> None:
    text = (
        "qubit[2] q; bit[2] c; rx(pi / 2) q[0]; rx(4 / 2 * pi) q[0]; c = measure q; if (c == 3) x q[0]; c = measure q;"
    )
    assert check(HEADER + text, {}, []).warnings == ()


def test_a_subroutine_that_doubles_without_end_is_stopped() -> None:
    defs = "".join(f"def f{n + 1}(qubit a) {{ f{n} a; f{n} a; }} " for n in range(30))
    with pytest.raises(InvalidProgram, match="unfold to more than 200000 statements"):
        check(f"{HEADER}def f0(qubit a) {{ x a; }} {defs} qubit q; bit c; f30(q); c = measure q;", {}, [])


def dynamic() -> QuantumCircuit:
    """Return a circuit without chance that uses Qiskit's control flow."""
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], True)) as else_:
        circuit.x(1)
    with else_:
        circuit.x(2)
    circuit.measure(1, 1)
    with circuit.switch(circuit.cregs[0]) as case:
        with case(3):
            circuit.x(2)
        with case(case.DEFAULT):
            circuit.x(0)
    with circuit.while_loop((circuit.cregs[0], 3)):
        circuit.x(0)
        circuit.measure(0, 0)
    with circuit.if_test(expr.logic_and(expr.less(circuit.cregs[0], 3), expr.logic_not(circuit.clbits[0]))):
        circuit.x(0)
    with circuit.for_loop(range(3)):
        circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(2, 2)
    return circuit


def test_what_qiskit_writes_of_control_flow_runs() -> None:
    text = qasm3.dumps(dynamic())
    body = text.removeprefix(HEADER)
    assert body != text
    assert outcome(body) == "110"


def test_what_qiskit_writes_of_parameters_runs() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("theta") * 2, 0)
    circuit.measure(0, 0)
    assert outcome(qasm3.dumps(circuit).removeprefix(HEADER), {"theta": math.pi / 2}) == "1"


@pytest.mark.parametrize("seed", range(8))
def test_what_qiskit_writes_of_random_circuits_is_the_same_unitary(seed: int) -> None:
    from qiskit.circuit.random import random_circuit

    circuit = random_circuit(3, 6, max_operands=3, seed=seed)
    assert Operator(parse_openqasm(qasm3.dumps(circuit)).circuit).equiv(Operator(circuit))


def test_chance_is_kept() -> None:
    found = counts("qubit q; bit[2] c; h q; c[0] = measure q; if (c[0] == 1) { x q; } c[1] = measure q;", shots=400)
    assert set(found) == {"00", "01"}
    assert 120 < found["00"] < 280
