"""Programs as people have them for Qiskit, unchanged but for the backend or primitive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2, grover_operator, real_amplitudes, zz_feature_map
from qiskit.primitives import (
    BackendEstimatorV2,
    BackendSamplerV2,
    BaseEstimatorV2,
    BaseSamplerV2,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.primitives.containers import BindingsArray, SamplerPub
from qiskit.providers import BackendV2, JobStatus
from qiskit.quantum_info import SparsePauliOp, Statevector, hellinger_fidelity
from qiskit.transpiler import generate_preset_pass_manager

from qonverge.client import EstimatorV2, QonvergeBackend, SamplerV2
from qonverge.client.transport.embedded import Embedded


@pytest.fixture
def sampler(runner: Embedded) -> Any:
    return SamplerV2(runner, seed=11)


@pytest.fixture
def estimator(runner: Embedded) -> Any:
    return EstimatorV2(runner, seed=11)


@pytest.fixture
def backend(runner: Embedded) -> Any:
    return QonvergeBackend(runner)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def same_counts(ours: dict[str, int], theirs: dict[str, int]) -> bool:
    return bool(hellinger_fidelity(ours, theirs) > 0.995)


def test_base_classes(sampler: Any, estimator: Any, backend: Any) -> None:
    """The primitives and the backend are Qiskit's own base classes"""
    assert isinstance(sampler, BaseSamplerV2)
    assert isinstance(estimator, BaseEstimatorV2)
    assert isinstance(backend, BackendV2)


def test_sampler_forms_of_a_pub(sampler: Any) -> None:
    """SamplerV2 takes a circuit, (circuit, values), (circuit, values, shots) and SamplerPub"""
    circuit = real_amplitudes(2, reps=1)
    circuit.measure_all()
    values = [0.1, 0.2, 0.3, 0.4]
    pub = SamplerPub(circuit, BindingsArray({tuple(circuit.parameters): values}), shots=70)
    result = sampler.run([bell(), (circuit, values), (circuit, values, 50), pub], shots=60).result()
    assert [item.data.meas.num_shots for item in result] == [60, 60, 50, 70]


def test_sampler_forms_of_values(sampler: Any) -> None:
    """Parameter values as lists, arrays and mappings by name or parameter broadcast as in BindingsArray"""
    circuit = QuantumCircuit(1)
    a, b = Parameter("a"), Parameter("b")
    circuit.rx(a, 0)
    circuit.rx(b, 0)
    circuit.measure_all()
    given: list[Any] = [
        [np.pi, 0],
        np.array([[np.pi, 0], [0, 0], [0, np.pi]]),
        {"a": [0, np.pi], "b": [0, 0]},
        {(a, b): np.zeros((2, 3, 2))},
    ]
    result = sampler.run([(circuit, values) for values in given], shots=10).result()
    assert [item.data.shape for item in result] == [(), (3,), (2,), (2, 3)]
    assert [result[1].data.meas[i].get_counts() for i in range(3)] == [{"1": 10}, {"0": 10}, {"1": 10}]


def test_sampler_registers(sampler: Any) -> None:
    """Each classical register is a BitArray of its own, wide, aliased and unmeasured ones too"""
    q = QuantumRegister(10, "q")
    wide, narrow = ClassicalRegister(9, "wide"), ClassicalRegister(1, "narrow")
    circuit = QuantumCircuit(q, wide, narrow, ClassicalRegister(bits=[wide[0], narrow[0]], name="both"))
    circuit.x([0, 8, 9])
    circuit.measure(q[:9], wide)
    circuit.measure(q[9], narrow[0])
    data = sampler.run([circuit], shots=5).result()[0].data
    assert data.wide.get_counts() == {"100000001": 5}
    assert data.narrow.get_counts() == {"1": 5}
    assert data.both.get_counts() == {"11": 5}
    empty = QuantumCircuit(1, 2)
    assert sampler.run([empty], shots=3).result()[0].data.c.get_counts() == {"00": 3}
    with pytest.warns(UserWarning, match="no classical register"):
        nothing = sampler.run([QuantumCircuit(1)]).result()[0]
    assert len(nothing.data) == 0


def test_sampler_mid_circuit(sampler: Any) -> None:
    """Mid-circuit measurement, reset and control flow, which Qiskit's StatevectorSampler refuses"""
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.reset(0)
    circuit.measure([0, 1], [0, 1])
    assert sampler.run([circuit], shots=20).result()[0].data.c.get_counts() == {"10": 20}


def test_sampler_against_statevector_sampler(sampler: Any) -> None:
    """SamplerV2 draws from the distribution of StatevectorSampler"""
    circuit = efficient_su2(4, reps=2)
    circuit.measure_all()
    values = np.random.default_rng(3).uniform(-np.pi, np.pi, circuit.num_parameters)
    ours = sampler.run([(circuit, values)], shots=20_000).result()[0].data.meas.get_counts()
    theirs = StatevectorSampler(seed=3).run([(circuit, values)], shots=20_000).result()[0].data.meas.get_counts()
    assert same_counts(ours, theirs)


@pytest.mark.parametrize("seed", [5, np.random.default_rng(5)])
def test_seeds(runner: Embedded, seed: Any) -> None:
    """A seed, or a numpy Generator, makes results repeatable"""

    def twice(seed: Any) -> list[Any]:
        sampler = SamplerV2(runner, seed=seed)
        assert sampler.seed is seed
        return [sampler.run([bell()], shots=50).result()[0].data.meas.array.tolist() for _ in range(2)]

    again = np.random.default_rng(5) if isinstance(seed, np.random.Generator) else seed
    first = twice(seed)
    assert first == twice(again)
    assert (first[0] == first[1]) == isinstance(seed, int)


def test_defaults(runner: Embedded) -> None:
    """Defaults are set, shown and overridden as in Qiskit: default_shots, default_precision"""
    sampler, estimator = SamplerV2(runner, default_shots=77), EstimatorV2(runner, default_precision=0.1)
    assert sampler.default_shots == 77
    assert estimator.default_precision == 0.1
    assert sampler.run([bell()]).result()[0].data.meas.num_shots == 77
    assert estimator.run([(QuantumCircuit(1), "Z")], precision=0.5).result()[0].metadata["target_precision"] == 0.5


@pytest.mark.parametrize("pubs", [[()], ["circuit"], [(bell(), [1.0])], [(bell(), [], 0)], [(bell(), [], -1)]])
def test_invalid_pubs(sampler: Any, pubs: Any) -> None:
    """What StatevectorSampler refuses with ValueError or TypeError is refused with the same"""
    with pytest.raises((ValueError, TypeError)):
        StatevectorSampler().run(pubs)
    with pytest.raises((ValueError, TypeError)):
        sampler.run(pubs)


def test_estimator_broadcasts(estimator: Any) -> None:
    """EstimatorV2 broadcasts parameter values against observables as StatevectorEstimator does"""
    circuit = efficient_su2(3, reps=1)
    random = np.random.default_rng(4)
    values = random.uniform(-np.pi, np.pi, (4, 1, circuit.num_parameters))
    observables: list[Any] = ["ZZI", {"XXI": 0.5, "IYY": -1.0}, SparsePauliOp(["ZIZ", "III"], [2.0, 1.0])]
    ours = estimator.run([(circuit, observables, values)]).result()[0]
    theirs = StatevectorEstimator().run([(circuit, observables, values)]).result()[0]
    assert ours.data.evs.shape == (4, 3)
    np.testing.assert_allclose(ours.data.evs, theirs.data.evs, atol=1e-9)
    np.testing.assert_array_equal(ours.data.stds, 0)


def test_estimator_projectors(estimator: Any) -> None:
    """EstimatorV2 takes the projectors 0, 1, +, -, r and l as well, which StatevectorEstimator refuses"""
    kets: dict[str, Any] = {"0": [1, 0], "1": [0, 1], "+": [1, 1], "-": [1, -1], "r": [1, 1j], "l": [1, -1j]}
    matrices = {name: np.outer(ket, np.conj(ket)) / np.vdot(ket, ket) for name, ket in kets.items()}
    matrices |= {"Z": np.diag([1, -1]), "I": np.eye(2)}
    circuit = efficient_su2(2, reps=1).assign_parameters(np.linspace(0.1, 2, 8))
    state = Statevector(circuit).data
    labels = ["0Z", "1I", "+-", "rl", "ZZ"]
    expected = [np.vdot(state, np.kron(matrices[one[0]], matrices[one[1]]) @ state).real for one in labels]
    np.testing.assert_allclose(estimator.run([(circuit, labels)]).result()[0].data.evs, expected, atol=1e-9)


def test_estimator_precision(estimator: Any) -> None:
    """With a precision the values scatter by the standard errors that are told, which are within it"""
    circuit = real_amplitudes(2, reps=1)
    values = np.tile([0.3, 0.8, 1.2, 0.1], (60, 1))
    exact = StatevectorEstimator().run([(circuit, "ZX", values[0])]).result()[0].data.evs
    data = estimator.run([(circuit, "ZX", values)], precision=0.05).result()[0].data
    assert (data.stds <= 0.05).all()
    pulls = (data.evs - exact) / data.stds
    assert 0.6 < pulls.std() < 1.4


def test_estimator_reset(estimator: Any) -> None:
    """Expectation values of circuits with resets: exact, where StatevectorEstimator draws one trajectory"""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.reset(0)
    data = estimator.run([(circuit, ["ZI", "IZ"])]).result()[0].data
    np.testing.assert_allclose(data.evs, [0, 1], atol=1e-9)


def test_jobs(sampler: Any) -> None:
    """Jobs have job_id, status, done, running, cancelled, in_final_state, cancel and result"""
    job = sampler.run([bell()])
    assert job.result()[0].metadata["shots"] == 1024
    assert job.status() is JobStatus.DONE
    assert (job.done(), job.running(), job.cancelled(), job.in_final_state()) == (True, False, False, True)
    assert job.job_id() != sampler.run([bell()]).job_id()


def test_metadata(sampler: Any) -> None:
    """Results carry the circuit's metadata, shots and version 2; engine, method and seed besides"""
    circuit = bell()
    circuit.metadata = {"mine": 1}
    result = sampler.run([circuit]).result()
    assert result.metadata["version"] == 2
    assert "Aer" in result.metadata["engine"]
    assert result[0].metadata["circuit_metadata"] == {"mine": 1}


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_transpile(backend: Any, level: int) -> None:
    """transpile and generate_preset_pass_manager take the backend at every level, and what they give runs"""
    circuit = QuantumCircuit(4)
    circuit.append(grover_operator(bell().remove_final_measurements(inplace=False)), range(2))
    circuit.mcx([0, 1, 2], 3)
    circuit.barrier()
    circuit.measure_all()
    first = transpile(circuit, backend, optimization_level=level, seed_transpiler=1)
    second = generate_preset_pass_manager(level, backend=backend, seed_transpiler=1).run(circuit)
    results = backend.run([first, second], shots=4000, seed_simulator=1).result().get_counts()
    assert same_counts(*results)


def test_backend_run(backend: Any) -> None:
    """backend.run gives qiskit.result.Result with counts, memory and registers, for one circuit or a list"""
    circuit = QuantumCircuit(2)
    circuit.add_register(ClassicalRegister(1, "a"), ClassicalRegister(1, "b"))
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    job = backend.run(circuit, shots=7, memory=True)
    assert job.result().get_counts() == {"1 0": 7}
    assert job.result().get_memory() == ["1 0"] * 7
    assert job.result().success
    assert job.status() is JobStatus.DONE
    assert len(backend.run([circuit, bell()]).result().get_counts()) == 2


def test_backend_primitives(backend: Any) -> None:
    """Qiskit's BackendSamplerV2 and BackendEstimatorV2 work on top of the backend"""
    sampled = BackendSamplerV2(backend=backend).run([bell()], shots=200).result()[0].data.meas.get_counts()
    assert sampled.keys() == {"00", "11"}
    plain = bell().remove_final_measurements(inplace=False)
    assert BackendEstimatorV2(backend=backend).run([(plain, "XX")]).result()[0].data.evs == 1


def test_algorithms_vqe(estimator: Any) -> None:
    """qiskit-algorithms: VQE finds the ground state of H2"""
    from qiskit_algorithms import VQE, NumPyMinimumEigensolver
    from qiskit_algorithms.optimizers import SLSQP

    hamiltonian = SparsePauliOp(
        ["II", "IZ", "ZI", "ZZ", "XX"], [-1.052373245, 0.397937424, -0.397937424, -0.011280104, 0.180931199]
    )
    exact = NumPyMinimumEigensolver().compute_minimum_eigenvalue(hamiltonian).eigenvalue.real
    ansatz = real_amplitudes(2, reps=2)
    found = VQE(estimator, ansatz, SLSQP(), initial_point=np.full(ansatz.num_parameters, 0.2))
    assert found.compute_minimum_eigenvalue(hamiltonian).eigenvalue.real == pytest.approx(exact, abs=1.6e-3)


def test_algorithms_grover(sampler: Any) -> None:
    """qiskit-algorithms: Grover finds the marked state"""
    from qiskit_algorithms import AmplificationProblem, Grover

    oracle = QuantumCircuit(3)
    oracle.ccz(0, 1, 2)
    problem = AmplificationProblem(oracle, is_good_state=["111"])
    assert Grover(iterations=2, sampler=sampler).amplify(problem).top_measurement == "111"


def test_algorithms_gradients(estimator: Any) -> None:
    """qiskit-algorithms: parameter-shift gradients run as one job"""
    from qiskit_algorithms.gradients import ParamShiftEstimatorGradient

    circuit = efficient_su2(2, reps=1)
    values = np.linspace(0.1, 0.9, circuit.num_parameters)
    operator = SparsePauliOp("ZX")
    ours = ParamShiftEstimatorGradient(estimator).run([circuit], [operator], [values]).result().gradients[0]
    theirs = ParamShiftEstimatorGradient(StatevectorEstimator()).run([circuit], [operator], [values]).result()
    np.testing.assert_allclose(ours, theirs.gradients[0], atol=1e-9)


def test_optimization_qaoa(sampler: Any) -> None:
    """qiskit-optimization: MinimumEigenOptimizer solves MaxCut by QAOA"""
    from qiskit_algorithms import QAOA
    from qiskit_algorithms.optimizers import COBYLA
    from qiskit_optimization import QuadraticProgram
    from qiskit_optimization.algorithms import MinimumEigenOptimizer

    problem = QuadraticProgram()
    for name in "abcd":
        problem.binary_var(name)
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    problem.maximize(linear=dict.fromkeys("abcd", 2), quadratic=dict.fromkeys(edges, -2))
    result = MinimumEigenOptimizer(QAOA(sampler, COBYLA(maxiter=30), reps=1)).solve(problem)
    assert result.fval == 4


def test_machine_learning_qnn(estimator: Any, sampler: Any) -> None:
    """qiskit-machine-learning: EstimatorQNN and SamplerQNN, forward and backward"""
    from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient, ParamShiftSamplerGradient
    from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

    features, ansatz = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
    circuit = features.compose(ansatz)
    parts = {"circuit": circuit, "input_params": features.parameters, "weight_params": ansatz.parameters}
    inputs, weights = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.5, 0.6, 0.7, 0.8])
    qnn = EstimatorQNN(**parts, estimator=estimator, gradient=ParamShiftEstimatorGradient(estimator))
    reference = EstimatorQNN(**parts, estimator=StatevectorEstimator())
    np.testing.assert_allclose(qnn.forward(inputs, weights), reference.forward(inputs, weights), atol=0.05)
    gradient: Any = qnn.backward(inputs, weights)[1]
    assert gradient.shape == (2, 1, 4)
    sampled = SamplerQNN(**parts, sampler=sampler, gradient=ParamShiftSamplerGradient(sampler))
    assert np.shape(sampled.forward(inputs, weights)) == (2, 4)
    gradient = sampled.backward(inputs, weights)[1]
    assert gradient.shape == (2, 4, 4)


def test_machine_learning_kernel(sampler: Any) -> None:
    """qiskit-machine-learning: FidelityQuantumKernel"""
    from qiskit_machine_learning.kernels import FidelityQuantumKernel
    from qiskit_machine_learning.state_fidelities import ComputeUncompute

    kernel = FidelityQuantumKernel(feature_map=zz_feature_map(2), fidelity=ComputeUncompute(sampler=sampler))
    matrix = kernel.evaluate(np.array([[0.1, 0.2], [0.9, 0.4], [0.1, 0.2]]))
    assert matrix[0, 2] == pytest.approx(1, abs=1e-3)
    assert matrix[0, 1] < 0.99


def test_cutting(sampler: Any) -> None:
    """qiskit-addon-cutting: a circuit that is cut in two gives the expectation values of the whole"""
    from qiskit_addon_cutting import generate_cutting_experiments, partition_problem, reconstruct_expectation_values

    circuit = efficient_su2(4, entanglement="linear", reps=2).decompose()
    circuit.assign_parameters([0.4 + 0.1 * index for index in range(circuit.num_parameters)], inplace=True)
    observables = SparsePauliOp(["ZZII", "IZZI", "IIZZ", "XIXI", "ZIZZ"])
    parts = partition_problem(circuit=circuit, partition_labels="AABB", observables=observables.paulis)
    experiments, coefficients = generate_cutting_experiments(
        circuits=parts.subcircuits, observables=parts.subobservables, num_samples=np.inf
    )
    results = {label: sampler.run(own, shots=2**13).result() for label, own in experiments.items()}
    found = reconstruct_expectation_values(results, coefficients, parts.subobservables)
    exact = Statevector(circuit)
    expected = [exact.expectation_value(pauli).real for pauli in observables.paulis]
    assert np.allclose(found, expected, atol=0.1)
