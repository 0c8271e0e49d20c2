"""Controls and powers of gates whose angles are known only when they run, with the phases of the specification."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.parse import parse_openqasm
from tests.differential.program import Angle, Gate, Modifier
from tests.differential.reference import gate_matrix

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float a;\nqubit[3] q;\n'


@pytest.mark.parametrize("name", ["rx", "u2", "u3", "U", "crz"])
@pytest.mark.parametrize("power", [-2, -1, 0, 1, 3])
@pytest.mark.parametrize("controlled", [False, True])
def test_whole_powers_are_the_gate_repeated(name: str, power: int, controlled: bool) -> None:
    angles, qubits = {"rx": (1, 1), "u2": (2, 1), "u3": (3, 1), "U": (3, 1), "crz": (1, 2)}[name]
    control = "ctrl @ " if controlled else ""
    width = qubits + controlled
    places = ", ".join(f"q[{index}]" for index in range(width))
    text = f"{HEAD}{control}pow({power}) @ {name}({', '.join(['a + 0.3'] * angles)}) {places};"
    circuit = parse_openqasm(text).circuit
    found = Operator(circuit.assign_parameters({"a": 0.7})).data[: 2**width, : 2**width]
    modifiers = ((Modifier("ctrl"),) if controlled else ()) + (Modifier("pow", power),)
    true = gate_matrix(Gate(name, tuple(range(width)), (Angle(0.3, "a"),) * angles, modifiers), 3, {"a": 0.7})
    # The reference's first qubit is the most significant one.
    order = [int(format(index, f"0{width}b")[::-1], 2) for index in range(2**width)]
    assert abs(np.trace(found.conj().T @ true[np.ix_(order, order)])) == pytest.approx(2**width, abs=1e-9)


def test_other_powers_say_what_would_do() -> None:
    with pytest.raises(InvalidProgram, match=r"line 5, column \d+: the power 0.5 of a gate"):
        parse_openqasm(f"{HEAD}pow(0.5) @ rx(a) q[0];")
