"""Programs are run by Braket's own interpreter of OpenQASM, and outcomes compared with the circuit's exact ones."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from qonverge.backend.clouds.braket.gates import gates_of
from qonverge.backend.clouds.braket.translator import BraketTranslator
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from tests.unit.backend.clouds.circuits import random_circuit, true_probabilities
from tests.unit.backend.clouds.test_plan import task_of

DEVICES = {
    "ionq": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    "iqm": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
    "rigetti": "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
    "unknown": "arn:aws:braket:us-west-1::device/qpu/newcomer/One",
    "amazon": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
}


def translator(family: str = "amazon") -> BraketTranslator:
    return BraketTranslator(EngineConfig(provider="Braket", options={"device": DEVICES[family], "bucket": "results"}))


def exact_answer(program: str, order: list[int]) -> str:
    """Return a result with the exact probabilities of all qubits, in an order of columns."""
    lines = [line for line in program.splitlines() if "measure" not in line]
    # The simulator turns targets that are not in order the wrong way: they are put in order here.
    source = "\n".join([*lines, "#pragma braket result probability all"])
    result = StateVectorSimulator().run(Program(source=source), shots=0)
    probabilities = {}
    for index, value in enumerate(result.resultTypes[0].value):
        natural = format(index, f"0{len(order)}b")
        probabilities["".join(natural[place] for place in order)] = float(value)
    return json.dumps({"measuredQubits": order, "measurementProbabilities": probabilities})


def counts(outcomes: Outcomes) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    times = outcomes.times if outcomes.times is not None else [1] * len(outcomes.values)
    for value, count in zip(outcomes.values, times, strict=True):
        found[value] += count
    return dict(found)


@pytest.mark.parametrize("family", DEVICES)
def test_random_circuits_have_their_exact_probabilities(family: str) -> None:
    rng, own, shots = np.random.default_rng(sorted(DEVICES).index(family)), translator(family), 10**9
    for _ in range(20):
        circuit = random_circuit(rng, 4, 8)
        submission = own.encode(own.prepare(circuit), shots)
        width = int(submission.program.split("qubit[")[1].split("]")[0])
        found = counts(own.decode(submission, exact_answer(submission.program, rng.permutation(width).tolist())))
        true = true_probabilities(circuit)
        assert sum(found.values()) == shots
        for outcome in found.keys() | true.keys():
            assert found.get(outcome, 0) / shots == pytest.approx(true.get(outcome, 0), abs=1e-7)


def test_measurements_as_the_simulator_reports_them() -> None:
    """Circuits of basis states have one outcome, which the whole way back must give for every shot."""
    rng, own = np.random.default_rng(1), translator()
    for _ in range(10):
        circuit = QuantumCircuit(
            QuantumRegister(3, "a"), QuantumRegister(3, "z"), ClassicalRegister(9, "c"), ClassicalRegister(3, "d")
        )
        for _ in range(6):
            first, second = rng.permutation(6)[:2].tolist()
            circuit.x(first) if rng.random() < 0.5 else circuit.cx(first, second)
        for bit in rng.permutation(12)[:4].tolist():
            circuit.measure(int(rng.integers(6)), bit)
        submission = own.encode(own.prepare(circuit), 3)
        result = StateVectorSimulator().run(Program(source=submission.program), shots=3)
        (outcome,) = [value for value, probability in true_probabilities(circuit).items() if probability > 0.5]
        found = own.decode(submission, result.json())
        assert found.values == [outcome] * 3
        assert found.times is None


def test_programs_have_only_the_gates_of_the_device() -> None:
    rng = np.random.default_rng(3)
    for family in ("ionq", "rigetti"):
        own = translator(family)
        for _ in range(5):
            prepared = own.prepare(random_circuit(rng, 4, 12))
            assert {item.name for item in prepared.data} <= gates_of(family) | {"measure", "barrier"}


def test_a_program_reads_as_people_expect() -> None:
    circuit = QuantumCircuit(4, 3)
    circuit.h(1)
    circuit.cx(1, 3)
    circuit.rz(0.5, 3)
    circuit.measure([3, 2], [0, 2])
    submission = translator().encode(translator().prepare(circuit), 100)
    assert submission.program.splitlines() == [
        "OPENQASM 3.0;",
        "bit[3] b;",
        "qubit[3] q;",
        "h q[0];",
        "cnot q[0], q[2];",
        "rz(0.5) q[2];",
        "i q[1];",
        "b[0] = measure q[0];",
        "b[1] = measure q[1];",
        "b[2] = measure q[2];",
    ]
    assert submission.reading == {"bits": [[0, 2], [2, 1]]}
    assert submission.shots == 100


def test_a_gate_that_the_program_defines_stands_for_its_definition_and_not_for_its_name() -> None:
    inside = QuantumCircuit(1, name="h")
    inside.x(0)
    circuit = QuantumCircuit(1, 1)
    circuit.append(inside.to_gate(), [0])
    circuit.measure(0, 0)
    for family, device in DEVICES.items():
        options = {"device": device, "bucket": "results"}
        made, task = Translation(EngineConfig(provider="Braket", options=options)), task_of(circuit)
        (measurement,) = made.plan(task, None)
        sent = made.encode(task, [measurement])
        assert counts(translator(family).decode(sent, exact_answer(sent.program, [0]))) == {1: sent.shots}


def test_parameters_stay_open_until_they_are_bound() -> None:
    theta, circuit = Parameter("theta"), QuantumCircuit(2, 2)
    circuit.global_phase = 1.5
    circuit.crx(theta, 0, 1)
    circuit.measure([0, 1], [0, 1])
    own = translator("ionq")
    prepared = own.prepare(circuit)
    assert {parameter.name for parameter in prepared.parameters} == {"theta"}
    bound = prepared.assign_parameters({prepared.parameters[0]: 0.25})
    assert own.encode(bound, 1).program == own.encode(own.prepare(circuit).assign_parameters([0.25]), 1).program
    endless = QuantumCircuit(1, 1)
    endless.rz(float("inf"), 0)
    endless.measure(0, 0)
    with pytest.raises(InvalidTask, match="inf"):
        own.encode(endless, 1)


def refused(circuit: QuantumCircuit) -> str:
    own = translator("ionq")
    with pytest.raises(InvalidCircuit) as info:
        own.encode(own.prepare(circuit), 1)
    return str(info.value)


def test_what_a_device_cannot_do_is_refused_by_name() -> None:
    circuit = QuantumCircuit(2, 2)
    assert "measures nothing" in refused(circuit)
    circuit.measure(0, 0)
    late = circuit.copy()
    late.cx(0, 1)
    assert "cx follows the measurement of qubit 0" in refused(late)
    late = circuit.copy()
    late.x(1)
    late.reset(1)
    assert "takes no reset" in refused(late)
    late = circuit.copy()
    late.delay(100, 1, "ns")
    assert "takes no delay" in refused(late)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    assert "no control flow, such as if_else" in refused(circuit)
    with pytest.raises(InvalidCircuit, match="no control flow, such as if_else"):
        translator("ionq").prepare(circuit, Layout.trivial(2))


SUBMISSION = Submission("", 100, {"bits": [[0, 1], [1, 0]]})
GOOD: dict[str, Any] = {"measuredQubits": [0, 1], "measurements": [[0, 1], [1, 0]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measuredQubits": [0]}, "measuredQubits"),
        ({"measuredQubits": [0, 0]}, "measuredQubits"),
        ({"measuredQubits": None}, "measuredQubits"),
        ({"measurements": [[0, 1, 1]]}, "2 columns"),
        ({"measurements": [[0, 2]]}, "2 columns"),
        ({"measurements": None}, "neither"),
        ({"measurements": None, "measurementProbabilities": {"01": 0.5}}, "sum to 0.5"),
        ({"measurements": None, "measurementProbabilities": {"011": 1.0}}, "2 columns"),
    ],
)
def test_results_of_another_form_are_no_outcomes(change: dict[str, Any], message: str) -> None:
    assert translator().decode(SUBMISSION, json.dumps(GOOD)).values == [1, 2]
    with pytest.raises(ValueError, match=message):
        translator().decode(SUBMISSION, json.dumps({**GOOD, **change}))


def test_probabilities_become_as_many_shots_as_were_taken() -> None:
    answer = {"measuredQubits": [0, 1], "measurementProbabilities": {"00": 1 / 3, "01": 1 / 3, "10": 1 / 3}}
    found = counts(translator().decode(SUBMISSION, json.dumps(answer)))
    assert sum(found.values()) == 100
    assert sorted(found.values()) == [33, 33, 34]
