"""Final states from a cloud's simulator, by Braket's own interpreter, against Qiskit's states, phase included."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import GlobalPhaseGate
from qiskit.quantum_info import Statevector

from qonverge.backend.clouds.measurement import reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.wire.errors import EngineFailed, InvalidTask
from qonverge.wire.messages import Task
from tests.unit.backend.clouds.circuits import random_circuit
from tests.unit.backend.clouds.test_braket_translator import DEVICES
from tests.unit.backend.clouds.test_exact_values import translation
from tests.unit.backend.clouds.test_plan import task_of


def answer(submission: Submission) -> str:
    """Return what a simulator says of a program, complex numbers as pairs, as results have them."""
    program = Program(source=submission.program, inputs=dict(submission.inputs))
    (found,) = StateVectorSimulator().run(program, shots=0).resultTypes
    value = [[number.real, number.imag] for number in found.value]
    return json.dumps({"resultTypes": [{"type": found.type.dict(), "value": value}]})


def states(task: Task) -> np.ndarray:
    made = translation()
    found = made.plan(task, 100)
    sent = [made.encode(*reduced(task, [each])) for each in found]
    assert {each.shots for each in sent} == {0}
    answers = [zlib.compress(answer(each).encode()) for each in sent]
    (result,) = translation().assemble(task, found, [each.reading for each in sent], answers, 0)
    assert result.statevectors is not None
    return result.statevectors


def test_random_circuits_have_their_states() -> None:
    rng = np.random.default_rng(3)
    for _ in range(15):
        circuit = random_circuit(rng, 4, 8)
        circuit.remove_final_measurements()
        circuit.data = [item for item in circuit.data if item.name != "measure"]
        (found,) = states(task_of(circuit, shots=None, statevector=True))
        assert found == pytest.approx(Statevector(circuit).data, abs=1e-9)


def test_each_parameter_set_has_its_state_and_its_phase() -> None:
    a, b, unused = Parameter("a"), Parameter("b"), Parameter("unused")
    circuit = QuantumCircuit(3, global_phase=unused)
    circuit.u(a, b, a + b, 2)
    circuit.crx(2 * a, 2, 0)
    circuit.append(GlobalPhaseGate(0.7), [])
    values = {"a": np.array([0.4, -2.2]), "b": np.array([1.1, 3.0]), "unused": np.array([9.0, 8.0])}
    found = states(task_of(circuit, parameters=values, shots=None, statevector=True))
    for row, one, other in zip(found, values["a"], values["b"], strict=True):
        bound = circuit.assign_parameters({a: one, b: other, unused: 0.0})
        assert row == pytest.approx(Statevector(bound).data, abs=1e-9)


def test_a_state_of_something_else_is_not_taken() -> None:
    made, task = translation(), task_of(QuantumCircuit(2), shots=None, statevector=True)
    found = made.plan(task, 100)
    reading = made.encode(*reduced(task, found[:1])).reading
    kind = {"type": "statevector"}
    for given, value, words in (
        ({"type": "amplitude"}, [[1, 0], [0, 0], [0, 0], [0, 0]], "the state was asked for"),
        (kind, [[1, 0], [0, 0]], "4 were asked for"),
        (kind, [[1, 0], [0, 0], [0, 0]], "a state has"),
        (kind, [[1, 0], [0.1, 0], [0, 0], [0, 0]], "the probabilities sum to"),
    ):
        said = zlib.compress(json.dumps({"resultTypes": [{"type": given, "value": value}]}).encode())
        with pytest.raises(EngineFailed, match=words):
            made.assemble(task, found, [reading], [said], 0)


@pytest.mark.parametrize("device", [DEVICES["iqm"], "arn:aws:braket:::device/quantum-simulator/amazon/dm1"])
def test_devices_without_states_are_sent_none(device: str) -> None:
    task = task_of(QuantumCircuit(1), shots=None, statevector=True)
    with pytest.raises(InvalidTask, match="no amplitudes to give"):
        translation(device=device).plan(task, 100)
