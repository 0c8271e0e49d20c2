"""Every gate of the library means in a backend what it means in Qiskit, with values given late or at once."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.wire.messages import Pub

_GATES = {
    name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate) and gate.num_qubits
}


@pytest.fixture(scope="module")
def engine() -> Aer:
    return Aer(EngineConfig())


def around(gate: Gate) -> QuantumCircuit:
    """Return the gate between rotations that leave no basis state, so that every entry of its matrix counts."""
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in range(gate.num_qubits):
        circuit.ry(0.3 + qubit, qubit)
    circuit.append(gate, range(gate.num_qubits))
    for qubit in range(gate.num_qubits):
        circuit.rx(0.5 + qubit, qubit)
    return circuit


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", sorted(_GATES))
def test_a_gate_is_qiskits_own(engine: Aer, name: str, late: bool) -> None:
    kind = _GATES[name]
    values = [0.7 + 0.2 * index for index in range(len(kind.params))]
    written = around(kind.base_class(*values) if kind.params else kind)
    expected = Statevector(written)
    if late and not kind.params:
        pytest.skip("the gate has no parameters")
    circuit, given = written, {}
    if late:
        parameters = [Parameter(f"t{index}") for index in range(len(values))]
        circuit = around(kind.base_class(*parameters))
        given = {f"t{index}": np.array([value]) for index, value in enumerate(values)}
    result = engine.run(engine.prepare(circuit), Pub("d", given, statevector=True), seed=1, memory=False)
    assert result.statevectors is not None
    overlap = abs(np.vdot(result.statevectors[0], expected.data))
    assert overlap == pytest.approx(1, abs=1e-9)
