"""Programs are run by an interpreter of IonQ's JSON that is written here, and outcomes compared with the exact ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend.clouds.ionq.translator import IonqTranslator
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from tests.unit.backend.clouds.circuits import random_circuit, true_probabilities

QPU = {"backend": "qpu.forte-1"}
SETS: dict[str, dict[str, Any]] = {
    "qis": QPU,
    "zz": {**QPU, "gateset": "Native"},
    "ms": {"backend": "qpu.aria-1", "gateset": "Native"},
}
Matrix = NDArray[Any]
X, Y, Z = (np.array(rows, dtype=complex) for rows in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))


def translator(**options: Any) -> IonqTranslator:
    return IonqTranslator(EngineConfig(provider="IonQ", options=options))


def turned(axis: Matrix, angle: float) -> Matrix:
    """Return exp(-i angle/2 axis) of an axis whose square is 1."""
    return np.asarray(np.cos(angle / 2) * np.eye(len(axis)) - 1j * np.sin(angle / 2) * axis)


def in_plane(turns: float) -> Matrix:
    return np.asarray(np.cos(2 * np.pi * turns) * X + np.sin(2 * np.pi * turns) * Y)


def matrix(gate: dict[str, Any]) -> tuple[Matrix, list[int]]:
    """Return what a gate does, by IonQ's documents; of two qubits the first is the matrix's higher bit."""
    name, places = gate["gate"], gate.get("targets") or [gate["target"]]
    plain = {"x": X, "y": Y, "z": Z, "h": np.asarray((X + Z) / np.sqrt(2)), "swap": np.eye(4)[[0, 2, 1, 3]]}
    phases = {"s": 0.5, "si": -0.5, "t": 0.25, "ti": -0.25}
    halves = {"v": 0.5, "vi": -0.5}
    axes = {"rx": X, "ry": Y, "rz": Z, "xx": np.kron(X, X), "yy": np.kron(Y, Y), "zz": np.kron(Z, Z)}
    if name == "cnot":
        return np.asarray(np.eye(4)[[0, 1, 3, 2]], dtype=complex), [gate["control"], gate["target"]]
    if name in plain:
        return np.asarray(plain[name], dtype=complex), places
    if name in phases or name in halves:
        return turned(Z if name in phases else X, np.pi * {**phases, **halves}[name]), places
    if "rotation" in gate:
        return turned(axes[name], gate["rotation"]), places
    if name == "gpi":
        return in_plane(gate["phase"]), places
    if name == "gpi2":
        return turned(in_plane(gate["phase"]), np.pi / 2), places
    assert 0 < abs(gate["angle"]) <= 0.25
    if name == "zz":
        return turned(axes["zz"], 2 * np.pi * gate["angle"]), places
    assert name == "ms" and gate["angle"] > 0
    first, second = map(in_plane, gate["phases"])
    return turned(np.kron(first, second), 2 * np.pi * gate["angle"]), places


def answer(program: str, identity: str = "job") -> str:
    """Return what IonQ would, with exact probabilities: bit k of a key is qubit k."""
    given = json.loads(program)
    width = given["qubits"]
    state = np.zeros((2,) * width, dtype=complex)
    state[(0,) * width] = 1
    for gate in given["circuit"]:
        does, places = matrix(gate)
        count = len(places)
        state = np.tensordot(does.reshape((2,) * (2 * count)), state, (range(count, 2 * count), places))
        state = np.moveaxis(state, range(count), places)
    # Axis k is qubit k.
    chances = np.abs(state.transpose(range(width - 1, -1, -1)).ravel()) ** 2
    return json.dumps(
        {"id": identity, "probabilities": {str(key): value for key, value in enumerate(chances) if value}}
    )


def outcomes(found: Outcomes, shots: int) -> dict[int, float]:
    assert found.times is not None
    assert sum(found.times) == shots
    merged: dict[int, float] = {}
    for value, count in zip(found.values, found.times, strict=True):
        merged[value] = merged.get(value, 0.0) + count / shots
    return merged


@pytest.mark.parametrize("gateset", SETS)
def test_outcomes_of_random_circuits(gateset: str) -> None:
    """Of all gates, over several registers, with any bits measured in any order."""
    rng = np.random.default_rng(5)
    one, shots = translator(**SETS[gateset]), 1_000_000
    for _ in range(12):
        circuit = random_circuit(rng, int(rng.integers(3, 5)), 12)
        submission = replace(one.encode(one.prepare(circuit), 1000), shots=shots)
        program = json.loads(submission.program)
        assert program["gateset"] == ("qis" if gateset == "qis" else "native")
        assert gateset == "qis" or {gate["gate"] for gate in program["circuit"]} <= {"gpi", "gpi2", gateset}
        found = outcomes(one.decode(submission, answer(submission.program)), shots)
        true = true_probabilities(circuit)
        assert max(abs(found.get(key, 0.0) - true.get(key, 0.0)) for key in {*found, *true}) < 1e-5


def test_a_program_as_ionq_s_documents_have_it() -> None:
    circuit = QuantumCircuit(4, 2)
    circuit.h(3)
    circuit.cx(3, 1)
    circuit.sdg(1)
    circuit.rzz(0.25, 1, 3)
    circuit.barrier()
    circuit.measure([1, 3], [1, 0])
    one = translator(**QPU)
    submission = one.encode(one.prepare(circuit), 100)
    assert json.loads(submission.program) == {
        "qubits": 2,
        "gateset": "qis",
        "circuit": [
            {"gate": "h", "target": 1},
            {"gate": "cnot", "control": 1, "target": 0},
            {"gate": "si", "target": 0},
            {"gate": "zz", "targets": [0, 1], "rotation": 0.25},
        ],
    }
    # Qubit 3 is the second that is used, and writes bit 0.
    found = one.decode(submission, '{"id": "a", "probabilities": {"2": 0.75, "3": 0.25}}')
    assert dict(zip(found.values, found.times or (), strict=True)) == {0b01: 75, 0b11: 25}


def test_gates_that_are_native_already_stay_one_pulse_each() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.r(np.pi, 0.4 * 2 * np.pi, 0)  # gpi(0.4)
    circuit.r(np.pi / 2, 0.1 * 2 * np.pi, 1)  # gpi2(0.1)
    circuit.rz(0.2 * 2 * np.pi, 1)
    circuit.rxx(-0.2 * np.pi, 0, 1)
    circuit.r(-np.pi / 2, 0, 1)
    circuit.measure([0, 1], [0, 1])
    one = translator(**SETS["ms"])
    gates = json.loads(one.encode(one.prepare(circuit), 100).program)["circuit"]
    expected = [("gpi", [0.4]), ("gpi2", [0.1]), ("ms", [0.5, 0.8]), ("gpi2", [0.3])]
    assert [gate["gate"] for gate in gates] == [name for name, _ in expected]
    for gate, (_, phases) in zip(gates, expected, strict=True):
        assert gate.get("phases", [gate.get("phase")]) == pytest.approx(phases)
    assert gates[2]["angle"] == pytest.approx(0.1)


@pytest.mark.parametrize("options", SETS.values())
def test_nothing_but_a_measurement(options: dict[str, Any]) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    one = translator(**options)
    submission = one.encode(one.prepare(circuit), 100)
    assert json.loads(submission.program)["circuit"]
    assert outcomes(one.decode(submission, answer(submission.program)), 100) == {0: 1.0}


def test_parameters_are_bound_after_a_circuit_was_prepared() -> None:
    circuit, angle = QuantumCircuit(2, 2), Parameter("angle")
    circuit.rx(angle, 0)
    circuit.crx(2 * angle, 0, 1)
    circuit.measure([0, 1], [0, 1])
    for options in SETS.values():
        one = translator(**options)
        prepared = one.prepare(circuit)
        for value in (0.0, 0.7, np.pi / 2, np.pi, -3 * np.pi / 2):
            submission = one.encode(prepared.assign_parameters({"angle": value}), 1000)
            submission = replace(submission, shots=1_000_000)
            found = outcomes(one.decode(submission, answer(submission.program)), 1_000_000)
            true = true_probabilities(circuit.assign_parameters({"angle": value}))
            assert max(abs(found.get(key, 0.0) - true.get(key, 0.0)) for key in {*found, *true}) < 1e-5


def test_the_simulator_without_errors_gives_shots_and_not_probabilities() -> None:
    one = translator(backend="simulator")
    reading = {"qubits": 1, "bits": [[0, 0]]}

    def ones(identity: str) -> int:
        found = one.decode(
            Submission("", 1000, reading), f'{{"id": "{identity}", "probabilities": {{"0": 0.5, "1": 0.5}}}}'
        )
        counts = dict(zip(found.values, found.times or (), strict=True))
        assert counts[0] + counts[1] == 1000
        return counts[1]

    drawn = [ones(f"job-{index}") for index in range(200)]
    assert drawn == [ones(f"job-{index}") for index in range(200)]
    # Five standard deviations of the mean, and of the standard deviation.
    assert abs(np.mean(drawn) - 500) < 5 * np.sqrt(250 / 200)
    assert abs(np.std(drawn) - np.sqrt(250)) < 5 * np.sqrt(250 / 400)


def test_frequencies_of_shots_are_counts() -> None:
    for options in (QPU, {"backend": "simulator", "noiseModel": "aria-1"}):
        given = {str(key): round(count / 777, 9) for key, count in enumerate((700, 70, 6, 1))}
        submission = Submission("", 777, {"qubits": 2, "bits": [[0, 1], [1, 0]]})
        found = translator(**options).decode(submission, json.dumps({"id": "a", "probabilities": given}))
        assert dict(zip(found.values, found.times or (), strict=True)) == {0: 700, 2: 70, 1: 6, 3: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "list indices"),
        ("<html>", "Expecting value"),
        ('{"id": "a"}', "probabilities"),
        ('{"id": "a", "probabilities": {"0": 0.4}}', "sum to 0.4"),
        ('{"id": "a", "probabilities": {"0": 1.5, "1": -0.5}}', "the least is -"),
        ('{"id": "a", "probabilities": {"4": 1}}', "the outcome 4 is none of 2 qubits"),
        ('{"id": "a", "probabilities": {"0": NaN}}', "sum to nan"),
    ],
)
def test_an_answer_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError), match=words):
        translator(**QPU).decode(Submission("", 10, {"qubits": 2, "bits": [[0, 0]]}), text)


def test_what_the_device_cannot_run_is_refused() -> None:
    one = translator(**QPU, debiasing=True)
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(InvalidCircuit, match="has a layout, and IonQ's compiler places"):
        one.prepare(circuit, Layout((0,)))
    with pytest.raises(InvalidTask, match="debiasing takes 500 shots or more, and this is 499"):
        one.encode(one.prepare(circuit), 499)
    with pytest.raises(InvalidTask, match="takes 10000 shots at a time, and this is 10001"):
        one.encode(one.prepare(circuit), 10_001)
    circuit.x(0)
    with pytest.raises(InvalidCircuit, match="x follows the measurement of qubit 0"):
        one.prepare(circuit)
    with pytest.raises(InvalidCircuit, match="the circuit measures nothing"):
        one.encode(QuantumCircuit(1, 1), 500)
    with pytest.raises(InvalidCircuit, match="takes no delay"):
        delayed = QuantumCircuit(1, 1)
        delayed.delay(100, 0)
        one.prepare(delayed)
    with pytest.raises(InvalidTask, match="give finite parameters"):
        endless = QuantumCircuit(1, 1)
        endless.rx(float("inf"), 0)
        endless.measure(0, 0)
        one.encode(endless, 500)
