"""Devices that Stim and BraketLocal imitate, beside Aer's imitation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Pauli, SuperOp, average_gate_fidelity, random_quantum_channel

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.auto import Automatic
from qonverge.backend.engines.channels import eigenvalue, kraus, twirled
from qonverge.backend.engines.protocol import Provider
from qonverge.devices import snapshots
from qonverge.devices.calibration import Calibration, Gate, Qubit
from qonverge.devices.noise import Noise
from qonverge.devices.rates import Rates
from qonverge.wire.errors import InvalidCircuit
from tests.unit.backend.engines.engines import engine, label, run, same

PAULI = Rates(one_qubit=0.01, two_qubit=0.05, readout=0.03)
TIMES = {"one_qubit_seconds": 3e-8, "two_qubit_seconds": 3e-7, "readout_seconds": 1e-6}
RELAXING = Rates(one_qubit=0.002, two_qubit=0.02, readout=0.01, t1=2e-5, t2=1.5e-5, **TIMES)
TORINO = snapshots.load("torino")


def misreading() -> Calibration:
    """Two qubits that are perfect but for their readout, which errs one way more than the other."""
    qubits = (Qubit(read_1_as_0=0.3, read_0_as_1=0.1), Qubit(read_1_as_0=0.05, read_0_as_1=0.2))
    gates = [Gate(name, (place,), 0.0) for name in ("rz", "sx", "x") for place in (0, 1)]
    return Calibration("blurred", qubits, (*gates, Gate("cx", (0, 1), 0.0), Gate("cx", (1, 0), 0.0)))


def chain(*, middle: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(3, 4)
    circuit.h(0)
    circuit.cx(0, 1)
    if middle:
        circuit.measure(1, 3)
        circuit.x(1)
    circuit.cx(1, 2)
    circuit.sx(2)
    circuit.measure([0, 1, 2], [2, 0, 1])
    return circuit


@pytest.mark.parametrize("noise", [PAULI, misreading(), TORINO], ids=["pauli", "readout", "torino"])
@pytest.mark.parametrize("middle", [False, True])
@pytest.mark.parametrize("name", ["Stim", "BraketLocal"])
def test_counts_are_those_of_aer(noise: Noise, middle: bool, name: str) -> None:
    circuit = chain(middle=middle)
    if noise.num_qubits == 2:
        circuit = QuantumCircuit(2, 3)
        circuit.sx(0)
        circuit.cx(0, 1)
        circuit.measure([0, 1], [1, 0])
        if middle:
            circuit.x(0)
            circuit.measure(0, 2)
    own = run(engine(name, noise=noise), circuit, shots=20_000).counts[0]
    assert same(own, run(engine("Aer", noise=noise), circuit, shots=20_000).counts[0])


def test_relaxation_is_exact_in_braket_and_twirled_in_stim() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.delay(1e-5, 0, unit="s")
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    aer, stim, braket = (engine(name, noise=RELAXING) for name in ("Aer", "Stim", "BraketLocal"))
    exact = run(aer, circuit, shots=20_000).counts[0]
    assert same(exact, run(braket, circuit, shots=20_000).counts[0])
    approximate = run(stim, circuit, shots=20_000)
    assert approximate.reason.endswith("relaxation is twirled to Pauli errors")
    # A twirled decay after a time t flips with probability (1 - exp(-t / T1)) / 2 and not 1 - exp(-t / T1).
    flipped = sum(count for outcome, count in approximate.counts[0].items() if outcome[-1] == "0") / 20_000
    decayed = sum(count for outcome, count in exact.items() if outcome[-1] == "0") / 20_000
    assert decayed > 1.7 * flipped > 0.3


@pytest.mark.parametrize("noise", [PAULI, RELAXING, TORINO], ids=["pauli", "relaxing", "torino"])
def test_values_are_those_of_aer(noise: Noise) -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.reset(2)
    circuit.cx(1, 2)
    observables = (label("XXX"), label("ZZI"), (("IIZ", 0.5), ("YYX", -2.0), ("III", 1.0)))
    aer, stim, braket = (engine(name, noise=noise) for name in ("Aer", "Stim", "BraketLocal"))
    true = run(aer, circuit, observables=observables).expectation_values
    assert true is not None
    assert run(braket, circuit, observables=observables).expectation_values == pytest.approx(true, abs=1e-6)
    own = run(stim, circuit, observables=observables).expectation_values
    if noise.pauli:
        assert own == pytest.approx(true, abs=1e-9)
    elif noise is TORINO:
        # Decay towards |0> is the part that twirling loses, and it is small here.
        assert own == pytest.approx(true, abs=0.01)
    sampled = [run(made, circuit, observables=observables, shots=4000) for made in (aer, stim, braket)]
    for answer in sampled[1:]:
        assert answer.expectation_values is not None
        assert answer.standard_errors is not None
        assert sampled[0].expectation_values is not None
        assert sampled[0].standard_errors is not None
        away = np.abs(answer.expectation_values - sampled[0].expectation_values)
        if noise.pauli or answer is sampled[2]:
            assert (away <= 6 * np.hypot(answer.standard_errors, sampled[0].standard_errors) + 1e-9).all()


def test_wide_noise_takes_seconds() -> None:
    n = 300
    circuit = QuantumCircuit(n, n)
    circuit.sx(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure(range(n), range(n))
    noisy = Rates(two_qubit=0.001, readout=0.001)
    answer = run(engine("Stim", noise=noisy), circuit, shots=2000)
    # No flip in n reads: 0.999^n; none in the gates: at least 0.99875^n.
    right = sum(answer.counts[0].get(outcome, 0) for outcome in ("0" * n, "1" * n)) / 2000
    assert 0.999**n * 0.99875**n * 0.7 < right < 0.999**n


@pytest.mark.parametrize("name", ["Stim", "BraketLocal"])
def test_parameters_are_bound_on_the_device(name: str) -> None:
    angle = Parameter("t")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(angle, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    sets = {"t": np.array([0, math.pi])}
    own = run(engine(name, noise=PAULI), circuit, parameters=sets, shots=20_000).counts
    aer = run(engine("Aer", noise=PAULI), circuit, parameters=sets, shots=20_000).counts
    assert own[0].get("00", 0) > 0.8 * 20_000
    assert own[1].get("11", 0) > 0.8 * 20_000
    assert abs(own[1]["11"] - aer[1]["11"]) < 600


def looping() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("name", ["Stim", "BraketLocal"])
def test_control_flow_on_a_device_is_refused(name: str) -> None:
    with pytest.raises(InvalidCircuit, match=f"{name} imitates devices without control flow"):
        run(engine(name, noise=PAULI), looping())


def test_a_statevector_holds_no_errors() -> None:
    with pytest.raises(LookupError, match="the method Statevector of BraketLocal holds no errors: choose Automatic or"):
        engine("BraketLocal", method="Statevector", noise=PAULI)


@pytest.mark.parametrize(
    ("noise", "qubits", "expected"),
    [(PAULI, 3, "Stim"), (RELAXING, 3, "Aer"), (RELAXING, 30, "Stim")],
)
def test_automatic_approximates_only_what_has_no_room(noise: Noise, qubits: int, expected: str) -> None:
    auto: Provider = Automatic(EngineConfig(noise=noise, memory_bytes=2 * 1024**3))
    circuit = QuantumCircuit(qubits, qubits)
    circuit.sx(range(qubits))
    circuit.measure(range(qubits), range(qubits))
    assert run(auto, circuit, shots=20).engine.split()[0] == expected
    flow = run(auto, looping(), shots=20)
    assert flow.engine.startswith("Aer ")


@given(st.integers(1, 2), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_twirl_keeps_the_average_fidelity_and_the_diagonal(width: int, seed: int) -> None:
    d = 2**width
    channel = SuperOp(random_quantum_channel(d, d, seed=seed))
    probabilities = twirled(channel.data)
    assert len(probabilities) == d * d - 1
    assert all(probability >= 0 for probability in probabilities)
    fidelity = (d * (1 - sum(probabilities)) + 1) / (d + 1)
    assert fidelity == pytest.approx(average_gate_fidelity(channel), abs=1e-9)
    operators = kraus(channel.data)
    assert sum(np.kron(operator.conj(), operator) for operator in operators) == pytest.approx(channel.data, abs=1e-7)
    for letters in np.ndindex(*(4,) * width):
        pauli = Pauli("".join("IXYZ"[letter] for letter in reversed(letters))).to_matrix()
        image = (channel.data @ pauli.ravel(order="F")).reshape(d, d, order="F")
        assert eigenvalue(probabilities, letters) == pytest.approx(np.trace(pauli @ image).real / d, abs=1e-9)
