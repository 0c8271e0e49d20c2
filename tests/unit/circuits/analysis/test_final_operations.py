"""Which measurements and resets end a circuit: what is left out changes no value and no count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import QuantumCircuit as Circuit
from qiskit.circuit.classical import expr

from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.deferred_resets import deferred
from qonverge.circuits.analysis.final_operations import without_final_measurements, without_final_resets
from qonverge.circuits.analysis.fresh_resets import without_fresh_resets
from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.qasm.parse import parse_openqasm
from tests.unit.branching import probabilities, value, worlds

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[3] q; bit[3] c;\n'


def count(circuit: QuantumCircuit, name: str) -> int:
    """Return how often an operation is written, inside control flow too."""
    return sum(
        (item.operation.name == name) + sum(count(block, name) for block in getattr(item.operation, "blocks", ()))
        for item in circuit.data
    )


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("h q[0]; c = measure q;", 0),
        ("c[0] = measure q[0]; barrier q; c[1] = measure q[1];", 0),
        ("c[0] = measure q[0]; c[1] = measure q[0];", 0),
        ("c[0] = measure q[0]; h q[0];", 1),
        ("c[0] = measure q[0]; h q[1];", 0),
        # A bit that steers, whatever it is that reads it.
        ("c[0] = measure q[0]; if (c[0]) { x q[1]; }", 1),
        ("c[0] = measure q[0]; if (c == 1) { x q[1]; }", 1),
        ("c = measure q; if (c[2]) { x q[1]; }", 2),
        ("c[0] = measure q[0]; if (c[1]) { x q[1]; }", 0),
        ("c[0] = measure q[0]; if (c[1]) { if (c[0]) { x q[1]; } }", 1),
        ("c[0] = measure q[0]; while (c[0]) { x q[1]; c[0] = measure q[1]; }", 2),
        # A bit that is written again before anything reads it.
        ("c[0] = measure q[0]; c[0] = measure q[1]; if (c[0]) { x q[2]; }", 1),
        ("c[0] = measure q[0]; if (c[1]) { c[0] = measure q[1]; } if (c[0]) { x q[2]; }", 2),
        # In a loop the next turn comes afterwards.
        ("for int i in [0:2] { if (c[0]) { x q[1]; } c[0] = measure q[0]; }", 1),
        ("for int i in [0:2] { c[0] = measure q[0]; }", 0),
        ("for int i in [0:2] { c[0] = measure q[0]; h q[0]; }", 1),
        ("for int i in [0:2] { if (c[1]) { x q[2]; } c[1] = measure q[1]; h q[0]; }", 1),
        # At the end of branches, and in branches that do nothing else.
        ("if (c[0]) { h q[1]; c[1] = measure q[1]; } else { c[1] = measure q[1]; }", 0),
        ("c[0] = measure q[0]; if (c[0]) { c[1] = measure q[1]; }", 0),
        ("c[0] = measure q[0]; if (c[0]) { c[1] = measure q[1]; } h q[1];", 2),
        ("if (c[1]) { c[0] = measure q[0]; } if (c[0]) { x q[2]; }", 1),
    ],
)
def test_measurements_are_final_where_nothing_acts_on_their_qubits_or_reads_their_bits(body: str, left: int) -> None:
    circuit = parse_openqasm(H + body).circuit
    assert count(without_final_measurements(circuit), "measure") == left
    assert count(circuit, "measure") == body.count("measure") + 2 * body.count("c = measure q;")


def test_the_target_of_a_switch_is_read() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(1, "b"))
    circuit.measure(range(3), range(3))
    with circuit.switch(circuit.cregs[0]) as case, case(1):
        circuit.x(2)
    assert count(without_final_measurements(circuit), "measure") == 3
    circuit.measure(2, 2)
    circuit.measure(0, 0)
    assert count(without_final_measurements(circuit), "measure") == 3


def test_leaving_a_loop_early_keeps_what_is_read_after_it() -> None:
    circuit = QuantumCircuit(3, 3)
    with circuit.for_loop(range(2)):
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[1], 1)):
            circuit.break_loop()
        circuit.measure(1, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(2)
    assert count(without_final_measurements(circuit), "measure") == 2


def test_what_a_program_stores_is_read() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.store(circuit.clbits[1], expr.lift(circuit.clbits[0]))
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(1)
    shorter = without_final_measurements(circuit)
    assert count(shorter, "measure") == 1
    assert value(shorter, "ZI") == pytest.approx(-1)
    written = QuantumCircuit(2, 2)
    written.measure(0, 0)
    written.store(written.clbits[0], expr.lift(written.clbits[1]))
    assert count(without_final_measurements(written), "measure") == 0


@st.composite
def dynamic(draw: st.DrawFn) -> QuantumCircuit:
    """Circuits of 3 qubits and 2 registers that measure, reset, branch and loop anywhere."""
    circuit = Circuit(QuantumRegister(3, "q"), ClassicalRegister(2, "a"), ClassicalRegister(1, "b"))
    qubit, bit = st.integers(0, 2), st.integers(0, 2)

    def some(depth: int, loop: bool) -> None:
        kinds = ["gate", "gate", "pair", "measure", "measure", "reset"]
        kinds += ["if", "if", "switch", "for"] if depth < 2 else []
        kinds += ["break", "continue"] if loop else []
        for _ in range(draw(st.integers(1, 4 if depth else 7))):
            kind = draw(st.sampled_from(kinds))
            if kind == "gate":
                getattr(circuit, draw(st.sampled_from(("h", "x", "t", "sx"))))(draw(qubit))
            elif kind == "pair":
                getattr(circuit, draw(st.sampled_from(("cx", "cz"))))(*draw(st.permutations(range(3)))[:2])
            elif kind == "measure":
                circuit.measure(draw(qubit), draw(bit))
            elif kind == "reset":
                circuit.reset(draw(qubit))
            elif kind == "if":
                other = draw(st.booleans())
                conditions = [(circuit.clbits[draw(bit)], 1), (circuit.cregs[0], draw(st.integers(0, 3)))]
                with circuit.if_test(draw(st.sampled_from(conditions))) as otherwise:
                    some(depth + 1, loop)
                if other:
                    with otherwise:
                        some(depth + 1, loop)
            elif kind == "switch":
                with circuit.switch(circuit.cregs[0]) as case:
                    with case(draw(st.integers(0, 3))):
                        some(depth + 1, loop)
                    if draw(st.booleans()):
                        with case(case.DEFAULT):
                            some(depth + 1, loop)
            elif kind == "for":
                with circuit.for_loop(range(draw(st.integers(0, 2)))):
                    some(depth + 1, True)
            elif draw(st.booleans()):
                with circuit.if_test((circuit.clbits[draw(bit)], 1)):
                    circuit.break_loop() if kind == "break" else circuit.continue_loop()

    some(0, False)
    return circuit


LABELS = ("ZII", "IZI", "IIZ", "ZZZ")


@settings(max_examples=150, deadline=None)
@given(dynamic())
def test_what_is_left_out_changes_no_value(circuit: QuantumCircuit) -> None:
    shorter = without_final_measurements(circuit)
    assert (shorter.qubits, shorter.cregs) == (circuit.qubits, circuit.cregs)
    # A measurement itself changes what X and Y show of its qubit, and nothing of Z.
    for label in LABELS:
        assert value(shorter, label) == pytest.approx(value(circuit, label), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(dynamic())
def test_resets_of_fresh_qubits_change_nothing_at_all(circuit: QuantumCircuit) -> None:
    shorter = without_fresh_resets(circuit)
    one, other = worlds(circuit), worlds(shorter)
    assert one.keys() == other.keys()
    assert all(np.allclose(one[bits], other[bits], atol=1e-9) for bits in one)


@settings(max_examples=150, deadline=None)
@given(dynamic(), st.sets(st.integers(0, 2)))
def test_final_resets_change_nothing_that_is_seen(circuit: QuantumCircuit, seen: set[int]) -> None:
    shorter = without_final_resets(circuit, [circuit.qubits[place] for place in seen])
    one, other = probabilities(circuit), probabilities(shorter)
    assert {key: pytest.approx(chance, abs=1e-9) for key, chance in one.items()} == other
    for letters in ("XXX", "YYY", "ZZZ"):
        label = "".join(letter if 2 - k in seen else "I" for k, letter in enumerate(letters))
        assert value(shorter, label) == pytest.approx(value(circuit, label), abs=1e-9)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("reset q; h q; c = measure q;", 0),
        ("reset q; reset q; h q; reset q[0]; reset q[0]; h q[0]; c = measure q;", 1),
        ("barrier q; delay[100dt] q; c[0] = measure q[0]; reset q; h q;", 0),
        ("h q[0]; reset q; c = measure q;", 1),
        ("if (c[0]) { reset q[0]; } h q; c = measure q;", 0),
        ("if (c[0]) { h q[0]; } reset q[0]; reset q[1]; h q; c = measure q;", 1),
        ("for int i in [0:2] { reset q; h q[0]; } c = measure q;", 1),
        ("while (c[0]) { reset q[0]; c[0] = measure q[0]; } c = measure q;", 0),
        ("gate_with_resets", 0),
    ],
)
def test_resets_of_fresh_qubits_are_left_out_of_every_circuit(body: str, left: int) -> None:
    if body == "gate_with_resets":
        inside = QuantumCircuit(2)
        inside.reset([0, 1])
        inside.h(0)
        circuit = QuantumCircuit(3, 3)
        circuit.append(inside.to_instruction(), [1, 2])
        made = canonical(circuit)
    else:
        made = parse_openqasm(H + body).circuit
    assert count(made, "reset") == left


def test_a_program_that_begins_with_resets_is_as_simple_as_without() -> None:
    plain, reset = (check(H + start + "h q; c = measure q;", {}, []) for start in ("", "reset q; "))
    assert reset == plain
    assert not reset.analysis.mid_circuit


def test_resets_at_the_end_stay_where_a_value_sees_them() -> None:
    body = H + "h q[0]; cx q[0], q[1]; c = measure q; reset q[0];"
    assert not check(body, {}, []).analysis.mid_circuit
    assert not check(H + "h q[0]; cx q[0], q[1]; reset q[0];", {}, ["IZI"]).analysis.mid_circuit
    assert check(H + "h q[0]; cx q[0], q[1]; reset q[0];", {}, ["IZZ"]).analysis.mid_circuit


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fresh_qubits_stand_for_resets(data: st.DataObject) -> None:
    circuit = QuantumCircuit(3)
    for _ in range(data.draw(st.integers(1, 9))):
        kind = data.draw(st.sampled_from(("ry", "cx", "h", "reset")))
        places = data.draw(st.permutations(range(3)))
        if kind == "ry":
            circuit.ry(data.draw(st.floats(-3, 3)), places[0])
        elif kind == "cx":
            circuit.cx(*places[:2])
        else:
            getattr(circuit, kind)(places[0])
    wider = deferred(circuit)
    assert wider.circuit.num_qubits == 3 + count(circuit, "reset")
    if wider.circuit.num_qubits > 6:
        return
    for label in ("XII", "IYI", "IIZ", "XYZ", "ZZX"):
        letters = ["I"] * wider.circuit.num_qubits
        for home, letter in zip(wider.homes, reversed(label), strict=True):
            letters[home] = letter
        there = "".join(reversed(letters))
        assert value(wider.circuit, there) == pytest.approx(value(circuit, label), abs=1e-9)
