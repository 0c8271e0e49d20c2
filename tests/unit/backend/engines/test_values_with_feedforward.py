"""Expectation values of circuits that measure and go on, on every engine, beside density matrices of the tests' own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from qonverge.backend.engines.protocol import Provider
from qonverge.circuits.analysis.final_operations import without_final_measurements
from qonverge.client import EstimatorV2
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.errors import InvalidTask
from tests.unit.backend.engines.engines import engine, label, run
from tests.unit.branching import value

UNIVERSAL = {
    "Aer, automatic": engine("Aer"),
    "Aer, statevector": engine("Aer", method="Statevector"),
    "Aer, density matrix": engine("Aer", method="DensityMatrix"),
    "Aer, matrix product state": engine("Aer", method="MatrixProductState"),
    "BraketLocal": engine("BraketLocal"),
    "BraketLocal, density matrix": engine("BraketLocal", method="DensityMatrix"),
}
CLIFFORD = {**UNIVERSAL, "Aer, stabilizer": engine("Aer", method="Stabilizer"), "Stim": engine("Stim")}


def steered() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    return circuit


def teleported(clifford: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "a"), ClassicalRegister(1, "b"))
    if clifford:
        circuit.sx(0)
        circuit.s(0)
    else:
        circuit.ry(0.9, 0)
        circuit.rz(0.4, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.z(2)
    return circuit


def looped() -> QuantumCircuit:
    """A bit that is written late in a turn steers the next one."""
    circuit = QuantumCircuit(3, 2)
    circuit.ry(1.1, 0)
    circuit.h(1)
    with circuit.for_loop(range(3)):
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.ry(0.4, 2)
        circuit.ry(0.8, 0)
        circuit.measure(0, 0)
    circuit.measure(1, 1)
    return circuit


def switched() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(1, "b"))
    circuit.ry(1.2, 0)
    circuit.ry(0.7, 1)
    circuit.measure([0, 1], [0, 1])
    with circuit.switch(circuit.cregs[0]) as case:
        with case(1):
            circuit.ry(0.9, 2)
        with case(2):
            circuit.h(2)
            circuit.measure(2, 2)
            with circuit.if_test((circuit.clbits[2], 1)):
                circuit.x(0)
        with case(case.DEFAULT):
            circuit.x(2)
    return circuit


def repeated() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.ry(0.6, 1)
        circuit.h(0)
        circuit.measure(0, 0)
    return circuit


def check(made: Provider, circuit: QuantumCircuit, labels: tuple[str, ...]) -> None:
    shorter = without_final_measurements(circuit)
    true = [value(shorter, text) for text in labels]
    answer = run(made, shorter, observables=tuple(map(label, labels)), shots=4000)
    assert answer.expectation_values is not None
    assert answer.standard_errors is not None
    assert (np.abs(answer.expectation_values - true) <= 6 * answer.standard_errors).all()
    assert (answer.standard_errors < 0.05).all()


@pytest.mark.parametrize("name", CLIFFORD)
def test_a_bit_that_steers_is_measured(name: str) -> None:
    answer = run(CLIFFORD[name], without_final_measurements(steered()), observables=(label("ZI"),), shots=100)
    assert answer.expectation_values == pytest.approx(-1)
    check(CLIFFORD[name], teleported(clifford=True), ("ZII", "XII", "YII"))


@pytest.mark.parametrize("name", UNIVERSAL)
@pytest.mark.parametrize(
    "circuit", [teleported(), looped(), switched(), repeated()], ids=lambda each: str(each.depth())
)
def test_values_are_averages_over_what_was_measured(name: str, circuit: QuantumCircuit) -> None:
    n = circuit.num_qubits
    labels = (*(letter + "I" * (n - 1) for letter in "XYZ"), "Z" * n, "I" * (n - 1) + "Z")
    check(UNIVERSAL[name], circuit, labels)


def test_teleportation_gives_the_state_that_was_sent() -> None:
    assert [value(teleported(), text) for text in ("ZII", "XII", "YII")] == pytest.approx(
        [math.cos(0.9), math.sin(0.9) * math.cos(0.4), math.sin(0.9) * math.sin(0.4)]
    )


def test_qiskits_estimator_means_the_same() -> None:
    estimator = EstimatorV2(Embedded(), seed=7)
    (found,) = estimator.run([(teleported(), ["ZII", "XII", "YII"])], precision=0.01).result()
    expected = [math.cos(0.9), math.sin(0.9) * math.cos(0.4), math.sin(0.9) * math.sin(0.4)]
    assert (np.abs(found.data.evs - expected) <= 6 * found.data.stds).all()
    # Measurements that end a circuit are left out, in a gate of its own too, so that the value is exact.
    plain = QuantumCircuit(2)
    plain.h(0)
    plain.cx(0, 1)
    measured = plain.copy()
    measured.measure_all()
    outer = QuantumCircuit(2, 2)
    outer.append(measured.to_instruction(), [0, 1], [0, 1])
    results = estimator.run([(circuit, ["XX", "ZZ", "ZI"]) for circuit in (plain, measured, outer)]).result()
    for result in results:
        assert result.data.evs == pytest.approx(np.array([1, 1, 0]), abs=1e-9)
        assert not result.data.stds.any()


@pytest.mark.parametrize("name", CLIFFORD)
def test_exact_values_after_feedforward_are_refused_in_words(name: str) -> None:
    with pytest.raises(InvalidTask, match="measures before its end or branches has no exact values here: give shots"):
        run(CLIFFORD[name], steered(), observables=(label("ZZ"),))
