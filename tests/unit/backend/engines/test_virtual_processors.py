"""Processors of Google on our engine, beside cirq-google's own virtual ones, of which the published figures are."""

from __future__ import annotations

import dataclasses
import math

import cirq
import numpy as np
import pytest
from cirq_google.devices.google_noise_properties import NoiseModelFromGoogleNoiseProperties
from cirq_google.engine import virtual_engine_factory
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.protocol import load
from qonverge.devices import snapshots
from qonverge.wire.messages import Pub
from tests.unit.backend.clouds.test_google_translator import read, translator

SHOTS = 40_000


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    circuit.h(0)
    for qubit in range(1, qubits):
        circuit.cx(qubit - 1, qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def ising(qubits: int, steps: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(steps):
        circuit.rx(0.4, range(qubits))
        for qubit in range(1, qubits):
            circuit.rzz(0.6, qubit - 1, qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def ours(processor: str, circuit: QuantumCircuit) -> NDArray[np.float64]:
    engine = load(EngineConfig(provider="Aer", noise=snapshots.load(processor), memory_bytes=1 << 32))
    result = engine.run(engine.prepare(circuit), Pub("c", shots=SHOTS), seed=3, memory=False)
    found = np.zeros(1 << circuit.num_qubits)
    for outcome, times in result.counts[0].items():
        found[int(outcome, 2)] = times / SHOTS
    return found


def theirs(processor: str, circuit: QuantumCircuit, *, angles: bool) -> NDArray[np.float64]:
    """Return frequencies of the same program, on the same qubits.

    Args:
        processor: which.
        circuit: with one qubit for each bit.
        angles: whether gates on two qubits are off by the angles that were measured, as part of their errors; else
            all of these are random.
    """
    properties = virtual_engine_factory.load_device_noise_properties(processor)
    if not angles:
        properties = dataclasses.replace(properties, fsim_errors={})
    made = translator(processor)
    submission = made.encode(made.prepare(circuit), SHOTS)
    program = read(submission.program)
    simulator = cirq.DensityMatrixSimulator(noise=NoiseModelFromGoogleNoiseProperties(properties), seed=1)
    (shots,) = simulator.run(program, repetitions=SHOTS).measurements.values()
    wanted = submission.reading["bits"]
    values = sum((shots[:, place].astype(int) << bit for bit, place in wanted), np.zeros(SHOTS, int))
    return np.bincount(values, minlength=1 << circuit.num_qubits) / SHOTS


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Total variation distance."""
    return float(np.abs(one - other).sum() / 2)


def sampling(frequencies: NDArray[np.float64]) -> float:
    """Return the distance that two samples of the same have on average."""
    deviations = np.sqrt(2 * frequencies * (1 - frequencies) / SHOTS)
    return float(deviations.sum()) * math.sqrt(2 / math.pi) / 2


def ideal(circuit: QuantumCircuit) -> NDArray[np.float64]:
    return np.asarray(Statevector(circuit.remove_final_measurements(inplace=False)).probabilities())


@pytest.mark.parametrize(
    ("circuit", "angles"),
    [(ghz(2), True), (ghz(4), True), (ghz(4), False), (ising(3, 5), False), (ising(4, 3), False)],
    ids=["bell", "ghz", "ghz-random", "ising-3", "ising-4"],
)
def test_willow_gives_what_google_s_virtual_engine_gives(circuit: QuantumCircuit, angles: bool) -> None:
    found = ours("willow_pink", circuit)
    usual = sampling(found)
    assert distance(found, theirs("willow_pink", circuit, angles=angles)) < 1.6 * usual
    # So many shots tell its errors from none.
    assert distance(found, ideal(circuit)) > 2 * usual


def test_angles_are_taken_as_random_errors_which_deep_circuits_tell_apart() -> None:
    """What docs/google.md says of them: errors of the same size that add up otherwise."""
    circuit = ising(3, 5)
    found, true = ours("willow_pink", circuit), theirs("willow_pink", circuit, angles=True)
    assert 3 * sampling(found) < distance(found, true) < 0.06


@pytest.mark.parametrize("circuit", [ghz(2), ghz(4), ising(3, 5)], ids=["bell", "ghz", "ising"])
def test_weber_has_errors_of_the_same_size(circuit: QuantumCircuit) -> None:
    """Its CZ is made of two gates and pulses between, whose errors our engine has as one."""
    found, wanted = ours("weber", circuit), ideal(circuit)
    other = theirs("weber", circuit, angles=False)
    assert distance(found, other) < 0.3 * distance(found, wanted)
    assert distance(found, wanted) == pytest.approx(distance(other, wanted), rel=0.15)
