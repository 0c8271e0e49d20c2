"""Equal programs are equal bytes everywhere, and gates are what the program says they are."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import Operator

from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.qasm.parse import parse_openqasm

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
H2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
NAMES = [f"v{index}" for index in range(9)]
INPUTS = "".join(f"input float {name};" for name in NAMES)
PROGRAMS = {
    "one parameter": "input float v0; qubit q; bit c; rx(v0) q; c = measure q;",
    "unused parameters": INPUTS + "qubit q; bit c; c = measure q;",
    "angles of a size": "input angle[4] v0; input angle[32] v1; qubit q; bit c; rx(v0 - v1) q; c = measure q;",
    "expressions": INPUTS + "qubit q; bit c; U(v0 + v1 * v2 / 3, v3 - v4 - v5, -v6 + 2 * v7) q; c = measure q;",
    "gates of its own": "gate foo(a, b, unused) x { rx(a) x; rz(2 * a + b) x; gphase(b); }"
    + INPUTS
    + "qubit q; bit c; foo(v0, v1 + v2, 1) q; foo(1, 2, v3) q; c = measure q;",
    "modifiers": "gate foo(a) x { rx(a) x; } qubit[3] q; bit[3] c; ctrl(2) @ foo(0.3) q[0], q[1], q[2]; inv @ s q[0];"
    "pow(0.5) @ x q[1]; negctrl @ x q[0], q[1]; ctrl @ gphase(0.2) q[0]; inv @ foo(1) q[1]; c = measure q;",
    "loops": INPUTS
    + "qubit q; bit c; for int i in [0:3] { rx(i * v0 + v1) q; for int j in {1, 2} { ry(j * v0 + i) q; } }"
    "for int k in [0:1] { x q; } c = measure q;",
    "branches": "qubit[2] q; bit[2] c; c[0] = measure q[0]; if (c == 1) { x q[1]; } else { h q[1]; }"
    "while (c[0]) { h q[0]; c[0] = measure q[0]; } c = measure q;",
    "boxes": "qubit[2] q; bit[2] c; box { h q; } let r = q[0:1]; delay[100dt] r; c = measure r;",
    "the device's qubits": "bit[2] c; h $0; cx $0, $1; c[0] = measure $0;",
}
VERSION_2 = (
    H2 + "gate foo(a) x, y { rx(a) x; cx x, y; rzz(a) x, y; } qreg q[2]; creg c[2]; foo(0.1) q[0], q[1];"
    "rxx(0.2) q[0], q[1]; u0(2) q[0]; if (c == 1) x q[0]; measure q -> c;"
)
_DIGESTS = """
import json, sys
from qonverge.circuits.checker.checked_circuit import check
print(json.dumps([check(text, values, []).digest for text, values in json.load(sys.stdin)]))
"""


def values(text: str) -> dict[str, float]:
    return {name: 1.0 for name in NAMES if f"{name};" in text}


def test_digests_are_the_same_in_every_process_and_on_every_reading() -> None:
    texts = [H + body for body in PROGRAMS.values()] + [VERSION_2]
    work = [(text, values(text)) for text in texts]
    here = [check(text, given, []).digest for text, given in work]
    assert [check(text, given, []).digest for text, given in work] == here
    assert len(set(here)) == len(here)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _DIGESTS],
            input=json.dumps(work),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == here


@pytest.mark.parametrize("text", [H + body for body in PROGRAMS.values()] + [VERSION_2])
def test_what_travels_is_what_was_read(text: str) -> None:
    travelled = qpy.load(io.BytesIO(check(text, values(text), []).qpy))[0]
    assert travelled == parse_openqasm(text).circuit
    assert sorted(parameter.name for parameter in travelled.parameters) == sorted(values(text))


def unitary(text: str) -> Operator:
    return Operator(parse_openqasm(text).circuit)


def rotation(angle: float) -> Operator:
    circuit = QuantumCircuit(1)
    circuit.rx(angle, 0)
    return Operator(circuit)


@pytest.mark.parametrize("name", ["h", "pauli", "sx", "id", "mcx", "u0", "unitary", "foo"])
def test_a_gate_is_its_definition_whatever_its_name(name: str) -> None:
    body = f"{name} a {{ U(0.4, -pi/2, pi/2) a; }}"
    for text in (
        f"OPENQASM 3.0; gate {body} qubit q; {name} q;",
        f"OPENQASM 3.0; gate {body} gate outer a {{ {name} a; }} qubit q; outer q;",
        f"OPENQASM 2.0; gate {body} qreg q[1]; {name} q[0];",
    ):
        assert unitary(text).equiv(rotation(0.4))
    assert unitary(f"OPENQASM 3.0; gate {body} qubit q; inv @ {name} q;").equiv(rotation(-0.4))
    assert unitary(f"OPENQASM 3.0; gate {body} qubit q; pow(2) @ {name} q;").equiv(rotation(0.8))
    controlled = QuantumCircuit(2)
    # OpenQASM 3's U is a rotation with the phase of half its angle, which a control shows.
    controlled.p(0.2, 0)
    controlled.crx(0.4, 0, 1)
    text = f"OPENQASM 3.0; gate {body} gate outer a {{ {name} a; }} qubit[2] q; ctrl @ outer q[0], q[1];"
    assert unitary(text).equiv(Operator(controlled))


def test_a_definition_of_the_second_version_replaces_qiskits_own() -> None:
    text = H2 + "gate rxx(t) a, b { rx(t) a; } qreg q[2]; rxx(0.4) q[0], q[1];"
    expected = QuantumCircuit(2)
    expected.rx(0.4, 0)
    assert unitary(text).equiv(Operator(expected))


BODIES = ["h a", "cx a, b", "rz(w) b", "ry(2 * w) a", "ctrl @ s b, a", "negctrl @ x a, b", "inv @ t b", "gphase(w)"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(BODIES), min_size=1, max_size=6), st.floats(-3, 3), st.booleans())
def test_definitions_unfold_to_the_same_unitary(body: list[str], angle: float, swapped: bool) -> None:
    a, b = ("q[1]", "q[0]") if swapped else ("q[0]", "q[1]")
    inside = "; ".join(body) + ";"
    defined = f"{H}gate foo(w) a, b {{ {inside} }} qubit[2] q; foo({angle!r}) {a}, {b};"
    written = re.sub(r"\b[abw]\b", lambda found: {"a": a, "b": b, "w": f"({angle!r})"}[found[0]], inside)
    assert unitary(defined).equiv(unitary(f"{H}qubit[2] q; {written}"))
