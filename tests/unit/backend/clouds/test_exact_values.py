"""Exact expectation values from a cloud's simulator, by Braket's own interpreter, against Qiskit's states."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from qonverge.api.clouds import Braket
from qonverge.backend.clouds.braket.translator import BraketTranslator
from qonverge.backend.clouds.measurement import reduced
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.config import EngineConfig
from qonverge.execution.placement import abilities
from qonverge.wire.errors import InvalidTask
from qonverge.wire.messages import PubResult, Task
from tests.unit.backend.clouds.circuits import random_circuit
from tests.unit.backend.clouds.test_braket_translator import DEVICES, translator
from tests.unit.backend.clouds.test_plan import task_of


def translation(family: str = "amazon", device: str = "") -> Translation:
    options = {"device": device or DEVICES[family], "bucket": "results"}
    return Translation(EngineConfig(provider="Braket", memory_bytes=2 * 1024**3, options=options))


def answer(submission: Submission) -> str:
    """Return what a simulator says of a program with 0 shots."""
    program = Program(source=submission.program, inputs=dict(submission.inputs))
    said: str = StateVectorSimulator().run(program, shots=0).json()
    return said


def run(task: Task) -> tuple[PubResult, int]:
    """Return the result of a task of one pub, and how many tasks of the cloud it took."""
    made = translation()
    found = made.plan(task, 100)
    sent = [made.encode(*reduced(task, [each])) for each in found]
    assert {each.shots for each in sent} <= {0}
    answers = [zlib.compress(answer(each).encode()) for each in sent]
    # Another process, as after a restart.
    (result,) = translation().assemble(task, found, [each.reading for each in sent], answers, 0)
    return result, len(found)


def test_random_circuits_have_the_values_of_their_states() -> None:
    rng, own = np.random.default_rng(5), translator()
    for _ in range(15):
        circuit = random_circuit(rng, 4, 8)
        circuit.data = [item for item in circuit.data if item.name != "measure"]
        labels = ["".join(rng.choice(list("IXYZ"), 4)) for _ in range(5)] + ["XIII", "IIIY", "ZZZZ", "IIII"]
        submission = own.encode_exact(own.prepare(circuit), [((label, 0.5),) for label in labels])
        state = Statevector(circuit.remove_final_measurements(inplace=False) or circuit)
        true = [state.expectation_value(SparsePauliOp(label)).real / 2 for label in labels]
        found = own.decode_exact(submission, answer(submission))
        assert found.values == pytest.approx(true, abs=1e-9)
        assert found.errors == [0.0] * len(labels)


def swept() -> QuantumCircuit:
    theta, phi = Parameter("theta"), Parameter("phi")
    circuit = QuantumCircuit(4, 1)
    circuit.ry(theta, 3)
    circuit.cx(3, 1)
    circuit.rz(phi, 1)
    circuit.rx(0.3, 0)
    return circuit


# Qubit 2 is touched by nothing.
OBSERVABLES = (
    (("XIXI", 0.5), ("IIII", 2.0), ("YIYI", -1.5)),
    (("IZII", 3.0), ("IIIY", 1.0)),
    (("IIII", -0.25),),
)
VALUES = {"theta": np.array([0.4, 1.9, -2.2]), "phi": np.array([0.1, 0.7, 3.0])}


def true_values() -> Any:
    circuit = swept()
    states = [
        Statevector(circuit.remove_final_measurements(inplace=False).assign_parameters({"theta": t, "phi": p}))
        for t, p in zip(VALUES["theta"], VALUES["phi"], strict=True)
    ]
    operators = [SparsePauliOp.from_list(list(each)) for each in OBSERVABLES]
    return np.array([[state.expectation_value(each).real for each in operators] for state in states])


def test_a_sweep_is_one_task_of_the_cloud_for_each_set() -> None:
    result, sent = run(task_of(swept(), parameters=VALUES, observables=OBSERVABLES, shots=None))
    assert sent == 3
    assert result.expectation_values == pytest.approx(true_values(), abs=1e-9)
    assert result.standard_errors is not None
    assert not result.standard_errors.any()
    assert result.shots is None


def test_pairs_are_given_in_their_order_and_only_their_sets_are_sent() -> None:
    pairs = np.array([[2, 1], [0, 0], [0, 2], [2, 0]])
    task = task_of(swept(), parameters=VALUES, observables=OBSERVABLES, pairs=pairs, shots=None)
    result, sent = run(task)
    assert sent == 2
    assert result.expectation_values == pytest.approx(true_values()[pairs[:, 0], pairs[:, 1]], abs=1e-9)


def test_a_constant_is_one_of_a_circuit_without_gates_too() -> None:
    result, _ = run(task_of(QuantumCircuit(2), observables=((("II", 0.75),), (("ZI", 2.0),)), shots=None))
    assert result.expectation_values == pytest.approx(np.array([[0.75, 2.0]]))


def test_a_qpu_has_none_and_is_not_offered_for_them() -> None:
    task = task_of(QuantumCircuit(1), observables=((("Z", 1.0),),), shots=None)
    with pytest.raises(InvalidTask, match="no exact values"):
        translation("iqm").plan(task, None)
    for family, device in DEVICES.items():
        source = Braket.model_validate({"device": device, "bucket": "results"}).source
        assert ("Exact" in abilities(source).features) == (family == "amazon")


@pytest.mark.parametrize(
    ("kind", "observable", "target", "value", "words"),
    [
        ("expectation", "x", 0, "0.5", "resultTypes are"),
        ("expectation", "z", 1, "0.5", "resultTypes are"),
        ("variance", "z", 0, "0.5", "resultTypes are"),
        ("expectation", "z", 0, "1.1", "the value 1.1"),
        ("expectation", "z", 0, "NaN", "the value nan"),
    ],
)
def test_a_value_of_something_else_is_not_taken(
    kind: str, observable: str, target: int, value: str, words: str
) -> None:
    own: BraketTranslator = translator()
    sent = own.encode_exact(QuantumCircuit(1), [(("Z", 2.0),)])
    said = f'{{"type": {{"type": "{kind}", "observable": ["{observable}"], "targets": [{target}]}}, "value": {value}}}'
    with pytest.raises(ValueError, match=words):
        own.decode_exact(sent, f'{{"resultTypes": [{said}]}}')
    with pytest.raises(ValueError, match="resultTypes are"):
        own.decode_exact(sent, "{}")
