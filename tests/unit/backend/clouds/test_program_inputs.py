"""Sweeps as programs with inputs, run by Braket's own interpreter, against the states of bound circuits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend.clouds.measurement import reduced
from qonverge.wire.errors import InvalidTask
from tests.unit.backend.clouds.circuits import GATES, true_probabilities
from tests.unit.backend.clouds.test_braket_translator import DEVICES, counts, translator
from tests.unit.backend.clouds.test_exact_values import translation
from tests.unit.backend.clouds.test_plan import task_of

A, B, UNUSED = Parameter("a"), Parameter("b"), Parameter("unused")
SHOTS = 10**9


def random_sweep(rng: np.random.Generator) -> QuantumCircuit:
    """Return a circuit whose gates have angles of all forms: numbers, parameters and functions of them."""
    circuit = QuantumCircuit(3, 3, global_phase=UNUSED)
    angles = [A, B, 2 * A - B / 3, A.sin() * B, A * A, 0.3, -A]
    names = sorted(name for name, gate in GATES.items() if gate.num_qubits <= 3)
    for name in rng.choice(names, 10):
        own = [angles[rng.integers(len(angles))] for _ in GATES[name].params]
        circuit.append(GATES[name].base_class(*own), rng.permutation(3)[: GATES[name].num_qubits].tolist())
    # Both are there in any case.
    circuit.rx(A, 0)
    circuit.rx(A + B, 1)
    circuit.measure([0, 1, 2], rng.permutation(3).tolist())
    return circuit


@pytest.mark.parametrize("family", DEVICES)
def test_a_sweep_is_written_once_and_means_the_same(family: str) -> None:
    rng, made = np.random.default_rng(sorted(DEVICES).index(family)), translation(family)
    values = {"a": np.array([0.4, -2.2, 0.0]), "b": np.array([1.1, 3.0, 0.0]), "unused": np.array([5.0, 6.0, 7.0])}
    for _ in range(4):
        circuit = random_sweep(rng)
        task = task_of(circuit, parameters=values, shots=10)
        sent = [made.encode(*reduced(task, [each])) for each in made.plan(task, None)]
        assert all(each.program is sent[0].program for each in sent)
        assert sent[0].inputs != sent[1].inputs
        for row, each in enumerate(sent):
            lines = [line for line in each.program.splitlines() if "measure" not in line]
            source = "\n".join([*lines, "#pragma braket result probability all"])
            said = StateVectorSimulator().run(Program(source=source, inputs=dict(each.inputs)), shots=0)
            chances = {format(index, "03b"): float(p) for index, p in enumerate(said.resultTypes[0].value)}
            answer = json.dumps({"measuredQubits": [0, 1, 2], "measurementProbabilities": chances})
            found = counts(translator(family).decode(replace(each, shots=SHOTS), answer))
            true = true_probabilities(circuit.assign_parameters({name: own[row] for name, own in values.items()}))
            for outcome in found.keys() | true.keys():
                assert found.get(outcome, 0) / SHOTS == pytest.approx(true.get(outcome, 0), abs=1e-7)


def test_an_angle_without_a_value_is_refused_with_what_was_given() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(1 / A, 0)
    circuit.measure(0, 0)
    task, made = task_of(circuit, parameters={"a": np.array([1.0, 0.0])}), translation()
    first, second = made.plan(task, None)
    assert made.encode(*reduced(task, [first])).inputs == {"p0": 1.0}
    with pytest.raises(InvalidTask, match=r"the angle 1/a of a gate has no real, finite value with a = 0\.0"):
        made.encode(*reduced(task, [second]))
