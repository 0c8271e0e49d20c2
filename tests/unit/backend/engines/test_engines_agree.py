"""The engines beside each other, and beside Qiskit's own states, on random circuits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import DensityMatrix, Pauli, Statevector

from qonverge.backend.engines.protocol import Provider
from tests.unit.backend.engines.engines import KINDS, circuits, engine, joint, label, run, same

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ALL = {name: engine(name) for name in KINDS}
UNIVERSAL: list[Provider] = [ALL["BraketLocal"], engine("BraketLocal", method="DensityMatrix")]


@FEW
@given(circuits(clifford=True), st.integers(0, 2**32 - 1))
def test_counts_of_clifford_circuits_are_those_of_aer(circuit: QuantumCircuit, seed: int) -> None:
    own = {name: run(made, circuit, shots=3000, seed=seed).counts[0] for name, made in ALL.items()}
    assert same(own["Aer"], own["Stim"])
    assert same(own["Aer"], own["BraketLocal"])


@FEW
@given(circuits(clifford=True, dynamic=True), st.integers(0, 2**32 - 1))
def test_circuits_that_measure_and_branch_give_the_counts_of_aer(circuit: QuantumCircuit, seed: int) -> None:
    own = {name: run(made, circuit, shots=2000, seed=seed).counts[0] for name, made in ALL.items()}
    assert same(own["Aer"], own["Stim"])
    assert same(own["Aer"], own["BraketLocal"])
    assert same(own["Aer"], run(UNIVERSAL[1], circuit, shots=2000, seed=seed).counts[0])


@FEW
@given(circuits(clifford=False, dynamic=True), st.integers(0, 2**32 - 1))
def test_universal_circuits_give_the_counts_of_aer(circuit: QuantumCircuit, seed: int) -> None:
    aer = run(ALL["Aer"], circuit, shots=2000, seed=seed).counts[0]
    for made in UNIVERSAL:
        assert same(aer, run(made, circuit, shots=2000, seed=seed).counts[0])


@FEW
@given(circuits(clifford=True, dynamic=True))
def test_bits_shot_by_shot_are_the_counts(circuit: QuantumCircuit) -> None:
    sizes = [(register.name, register.size) for register in circuit.cregs]
    for made in ALL.values():
        counts = run(made, circuit, shots=500).counts[0]
        assert same(counts, joint(run(made, circuit, shots=500, memory=True), sizes))


@FEW
@given(circuits(clifford=True, measured=False), st.data())
def test_exact_values_are_those_of_the_state(circuit: QuantumCircuit, data: st.DataObject) -> None:
    n = circuit.num_qubits
    labels = data.draw(st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=4))
    if data.draw(st.booleans()):
        circuit.reset(data.draw(st.integers(0, n - 1)))
        circuit.h(0)
    state = DensityMatrix(circuit)
    true = [state.expectation_value(Pauli(text)).real for text in labels]
    for made in (*ALL.values(), UNIVERSAL[1]):
        answer = run(made, circuit, observables=tuple(map(label, labels)))
        assert answer.expectation_values == pytest.approx(np.array([true]), abs=1e-7)
        assert answer.standard_errors is not None
        assert not answer.standard_errors.any()


@FEW
@given(circuits(clifford=False, measured=False), st.data())
def test_states_and_exact_values_of_universal_circuits(circuit: QuantumCircuit, data: st.DataObject) -> None:
    n, state = circuit.num_qubits, Statevector(circuit)
    labels = data.draw(st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=4))
    true = [state.expectation_value(Pauli(text)).real for text in labels]
    for made in UNIVERSAL:
        answer = run(made, circuit, observables=tuple(map(label, labels)))
        assert answer.expectation_values == pytest.approx(np.array([true]), abs=1e-7)
    answers = [run(made, circuit, statevector=True).statevectors for made in (ALL["Aer"], ALL["BraketLocal"])]
    assert answers[0] is not None
    assert answers[1] == pytest.approx(answers[0], abs=1e-7)


@FEW
@given(circuits(clifford=True, measured=False), st.data())
def test_sampled_values_lie_around_the_true_ones(circuit: QuantumCircuit, data: st.DataObject) -> None:
    n, state = circuit.num_qubits, Statevector(circuit)
    labels = data.draw(st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=4))
    true = np.array([[state.expectation_value(Pauli(text)).real for text in labels]])
    for made in ALL.values():
        answer = run(made, circuit, observables=tuple(map(label, labels)), precision=0.05)
        assert answer.expectation_values is not None
        assert answer.standard_errors is not None
        assert (answer.standard_errors <= 0.05).all()
        assert (np.abs(answer.expectation_values - true) <= 6 * answer.standard_errors + 1e-9).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_gives_the_same_bits_and_sets_differ(name: str) -> None:
    angle = Parameter("t")
    circuit = QuantumCircuit(3, 3)
    circuit.rz(angle, range(3))
    circuit.h(range(3))
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure(range(3), range(3))
    sets = {"t": np.full(5, np.pi / 2)}
    made = ALL[name]
    first = run(made, circuit, parameters=sets, shots=900, seed=11)
    assert first.counts == run(made, circuit, parameters=sets, shots=900, seed=11).counts
    assert first.counts != run(made, circuit, parameters=sets, shots=900, seed=12).counts
    assert len({tuple(sorted(counts.items())) for counts in first.counts}) == 5
    one, two = (run(made, circuit, parameters=sets, shots=40, seed=3, memory=True).registers["c"][1] for _ in range(2))
    assert np.array_equal(one, two)
    assert one.shape == (5, 40, 1)


@pytest.mark.parametrize("name", KINDS)
def test_parameter_sets_and_pairs(name: str) -> None:
    angle = Parameter("t")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rz(2 * angle, 0)
    circuit.cx(0, 1)
    sets = {"t": np.array([0.0, np.pi / 4, np.pi / 2])}
    observables = (label("XX"), (("XY", 0.5), ("II", 2.0)))
    every = run(ALL[name], circuit, parameters=sets, observables=observables)
    assert every.expectation_values == pytest.approx(np.array([[1, 2], [0, 2.5], [-1, 2]]), abs=1e-9)
    pairs = np.array([[2, 0], [1, 1]], dtype=np.int32)
    some = run(ALL[name], circuit, parameters=sets, observables=observables, pairs=pairs)
    assert some.expectation_values == pytest.approx(np.array([-1, 2.5]), abs=1e-9)
