"""What is told of a circuit: gates by what they do, and what happens inside control flow."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate

from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.checker.checked_circuit import check

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[3] q; bit[3] c;\n'


def of(body: str, definitions: str = "") -> Analysis:
    head = H.replace("qubit", definitions + "\nqubit", 1)
    return check(head + body, {}, []).analysis


@pytest.mark.parametrize(
    ("definitions", "body", "clifford"),
    [
        ("", "h q; cx q[0], q[1]; id q[0]; negctrl @ x q[0], q[1];", True),
        ("", "t q[0];", False),
        ("gate pauli a { t a; }", "pauli q[0];", False),
        ("gate ecr a, b { t a; }", "ecr q[0], q[1];", False),
        ("gate pair a, b { h a; cx a, b; }", "pair q[0], q[1];", True),
        ("gate odd(x) a { rz(x) a; }", "odd(pi / 2) q[0];", True),
        ("gate odd(x) a { rz(x) a; }", "odd(0.1) q[0];", False),
        ("", "if (c[0]) { s q[0]; }", True),
        ("", "if (c[0]) { s q[0]; } else { if (c[1]) { t q[0]; } }", False),
        ("", "while (c[0]) { h q[0]; c[0] = measure q[0]; break; }", True),
    ],
)
def test_clifford_is_judged_by_what_gates_do(definitions: str, body: str, clifford: bool) -> None:
    assert of(body + "c = measure q;", definitions).clifford is clifford


def test_a_gate_of_a_client_is_judged_by_its_definition_too() -> None:
    definition = QuantumCircuit(1)
    definition.t(0)
    gate = Gate("h", 1, [])
    gate.definition = definition
    circuit = QuantumCircuit(1)
    circuit.append(gate, [0])
    assert not analyse(circuit).clifford
    circuit = QuantumCircuit(1)
    circuit.append(Gate("x", 1, []), [0])
    assert not analyse(circuit).clifford


@pytest.mark.parametrize(
    ("body", "mid_circuit", "measured"),
    [
        ("h q[0]; c[0] = measure q[0]; h q[1]; c[1] = measure q[1];", False, 2),
        ("c[0] = measure q[0]; barrier q; c[1] = measure q[1];", False, 2),
        ("c[0] = measure q[0]; h q[0];", True, 1),
        ("reset q[0]; c[0] = measure q[0];", False, 1),
        ("h q[0]; reset q[0]; c[0] = measure q[0];", True, 1),
        ("h q; if (c[0]) { reset q[0]; } c[1] = measure q[0];", True, 1),
        ("h q; if (c[0]) { if (c[1]) { reset q[0]; } } c[1] = measure q[0];", True, 1),
        ("for int i in [0:2] { h q[2]; reset q[2]; } c[1] = measure q[2];", True, 1),
        ("h q; c[1] = measure q[1]; reset q;", False, 1),
        ("if (c[0]) { c[1] = measure q[1]; }", False, 1),
        ("if (c[0]) { c[1] = measure q[1]; } else { c[2] = measure q[1]; }", False, 2),
        ("if (c[0]) { c[1] = measure q[1]; } h q[1];", True, 1),
        ("c[0] = measure q[0]; if (c[0]) { x q[0]; }", True, 1),
        ("c[0] = measure q[0]; if (c[0]) { x q[1]; }", False, 1),
        ("while (c[0]) { c[1] = measure q[1]; }", True, 1),
        ("for int i in [0:1] { if (c[0]) { c[2] = measure q[2]; } }", True, 1),
        ("if (c[0]) { if (c[1]) { c[2] = measure q[2]; c[1] = measure q[1]; } }", False, 2),
        ("box { c[2] = measure q[2]; }", False, 1),
    ],
)
def test_measurements_and_resets_count_wherever_they_are(body: str, mid_circuit: bool, measured: int) -> None:
    analysis = of(body)
    assert (analysis.mid_circuit, analysis.measured_bits) == (mid_circuit, measured)
    assert analysis.control_flow is any(word in body for word in ("if", "while", "for"))


def test_gates_inside_control_flow_and_definitions_are_counted() -> None:
    analysis = of(
        "if (c[0]) { cx q[0], q[1]; } else { cz q[0], q[1]; h q[0]; } pair q[0], q[1]; c = measure q;",
        "gate pair a, b { cx a, b; swap a, b; }",
    )
    assert analysis.two_qubit_gates == 4
    assert dict(analysis.operations) == {"cx": 2, "cz": 1, "h": 1, "swap": 1, "if_else": 1, "measure": 3}
