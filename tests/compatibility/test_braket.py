"""Programs as people have them for Amazon Braket, unchanged but for the device, beside LocalSimulator("braket_sv")."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from braket.ahs import AnalogHamiltonianSimulation, AtomArrangement, DrivingField
from braket.circuits import Circuit, FreeParameter, Gate, Instruction, Observable, ResultType
from braket.circuits.observables import Hermitian
from braket.circuits.serialization import IRType
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities
from braket.devices import Device as BraketDevice
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from braket.program_sets import ProgramSet
from braket.tasks import GateModelQuantumTaskResult, QuantumTask, QuantumTaskBatch
from scipy.optimize import minimize
from scipy.stats import unitary_group

from qonverge.client.braket import Device
from qonverge.client.transport.embedded import Embedded

SHOTS = 4000


@pytest.fixture
def device(runner: Embedded) -> Device:
    return Device(runner, seed=17)


@pytest.fixture
def local() -> LocalSimulator:
    return LocalSimulator("braket_sv")


def probabilities(circuit: Circuit) -> np.ndarray[Any, Any]:
    """The chances of all outcomes, by the local simulator."""
    task = LocalSimulator("braket_sv").run(circuit.copy().probability(), shots=0)
    return np.asarray(task.result().values[0])


def assert_samples(device: Device, circuit: Circuit) -> None:
    """The device's samples are of the distribution of the local simulator."""
    true, counts = probabilities(circuit), device.run(circuit, shots=SHOTS).result().measurement_counts
    ours = np.array([counts[f"{place:0{len(true).bit_length() - 1}b}"] for place in range(len(true))]) / SHOTS
    # The distance of a sample over K outcomes is sqrt(K / (2 pi n)) on average, at most.
    outcomes = max(int(np.count_nonzero(true > 1e-9)), 2)
    assert 0.5 * np.abs(ours - true).sum() < np.sqrt(outcomes / SHOTS)


def assert_same(device: Device, local: LocalSimulator, circuit: Circuit, **options: Any) -> None:
    """Both devices have the same exact values."""
    ours, theirs = (each.run(circuit, shots=0, **options).result() for each in (device, local))
    for asked, mine, other in zip(circuit.result_types, ours.values, theirs.values, strict=True):
        if isinstance(asked, ResultType.Amplitude):
            assert mine == pytest.approx(other, abs=1e-9)
        else:
            np.testing.assert_allclose(mine, other, atol=1e-9, err_msg=str(asked))


def fourier(qubits: Sequence[int]) -> Circuit:
    circuit = Circuit()
    for place, qubit in enumerate(qubits):
        circuit.h(qubit)
        for distance, other in enumerate(qubits[place + 1 :], 2):
            circuit.cphaseshift(other, qubit, 2 * np.pi / 2**distance)
    for low, high in zip(qubits, reversed(qubits), strict=True):
        if low < high:
            circuit.swap(low, high)
    return circuit


def random_circuit(seed: int) -> Circuit:
    draw = np.random.default_rng(seed)
    kinds: list[tuple[Any, int, int]] = [
        *((Gate.Rx, 1, 1), (Gate.GPi, 1, 1), (Gate.GPi2, 1, 1), (Gate.PRx, 2, 1), (Gate.U, 3, 1), (Gate.V, 0, 1)),
        *((Gate.XY, 1, 2), (Gate.PSwap, 1, 2), (Gate.MS, 3, 2), (Gate.CPhaseShift01, 1, 2), (Gate.ECR, 0, 2)),
        *((Gate.CV, 0, 2), (Gate.ISwap, 0, 2), (Gate.ZZ, 1, 2), (Gate.CSwap, 0, 3), (Gate.CCNot, 0, 3)),
    ]
    circuit = Circuit().h(range(4))
    for choice in draw.integers(len(kinds), size=25):
        kind, angles, width = kinds[choice]
        gate = kind(*draw.uniform(-np.pi, np.pi, angles))
        circuit.add_instruction(Instruction(gate, draw.permutation(4)[:width].tolist()))
    return circuit.unitary([2, 0], unitary_group(4, seed=seed).rvs())


def test_base_classes(device: Device) -> None:
    """The device, its tasks, batches, results and properties are of Braket's own classes"""
    task = device.run(Circuit().h(0), shots=1)
    assert isinstance(device, BraketDevice)
    assert isinstance(task, QuantumTask)
    assert isinstance(task.result(), GateModelQuantumTaskResult)
    assert isinstance(device.run_batch([Circuit().h(0)], shots=1), QuantumTaskBatch)
    assert isinstance(device.properties, GateModelSimulatorDeviceCapabilities)


def test_tasks(device: Device) -> None:
    """Tasks have id, state, result, cancel, metadata, and async_result, which waits in an event loop"""

    async def awaited() -> Any:
        return await device.run(Circuit().x(0), shots=7).async_result()

    assert asyncio.run(awaited()).measurement_counts == {"1": 7}
    task = device.run(Circuit().x(0), shots=7)
    result = task.result()
    assert (task.state(), task.metadata()["status"]) == ("COMPLETED", "COMPLETED")
    assert (result.task_metadata.id, result.task_metadata.shots) == (task.id, 7)


def test_bell(device: Device) -> None:
    """Bell pairs: measurements, counts and probabilities are of the same shots"""
    result = device.run(Circuit().h(0).cnot(0, 1), shots=SHOTS).result()
    assert result.measurements.shape == (SHOTS, 2)
    assert set(result.measurement_counts) == {"00", "11"}
    assert result.measurement_counts["11"] == result.measurements[:, 0].sum()
    assert result.measurement_probabilities["11"] == result.measurement_counts["11"] / SHOTS
    assert abs(result.measurement_probabilities["11"] - 0.5) < 0.05


def test_ghz(device: Device) -> None:
    """GHZ states, of 40 qubits too, which are Clifford circuits"""
    circuit = Circuit().h(0)
    for qubit in range(39):
        circuit.cnot(qubit, qubit + 1)
    assert set(device.run(circuit, shots=50).result().measurement_counts) == {"0" * 40, "1" * 40}


@pytest.mark.parametrize("seed", range(4))
def test_random_circuits(device: Device, local: LocalSimulator, seed: int) -> None:
    """Random circuits of gates of every kind: states, probabilities and samples"""
    circuit = random_circuit(seed)
    assert_samples(device, circuit)
    assert_same(device, local, circuit.state_vector().probability([3, 1]))


def test_modifiers(device: Device, local: LocalSimulator) -> None:
    """Controls on 0 and 1, whole and fractional powers, global phases"""
    circuit = Circuit().h(range(4)).x(0, control=[1, 2], control_state=[0, 1], power=0.3)
    circuit.ry(3, 0.4, control=0, power=3).iswap(0, 2, control=3, power=-0.5).gphase(0.3, control=[1, 0]).gphase(0.2)
    circuit.xy(1, 2, 0.4, control=[0, 3], control_state="00").s(1, power=-1)
    assert_same(device, local, circuit.state_vector())


def test_result_types(device: Device, local: LocalSimulator) -> None:
    """Exact result types, of all qubits and of selected targets, and get_value_by_result_type"""
    circuit = random_circuit(9)
    circuit.expectation(Observable.Z()).variance(Observable.Y()).expectation(Observable.X(), 2)
    circuit.variance(Observable.H() @ Observable.Z(), [3, 0]).probability([2, 0]).density_matrix([1, 3])
    circuit.amplitude(["0000", "1010"]).state_vector().probability().density_matrix()
    assert_same(device, local, circuit)
    asked = ResultType.Probability([2, 0])
    ours, theirs = (each.run(circuit).result().get_value_by_result_type(asked) for each in (device, local))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize(
    "observable",
    [
        *(Observable.X(), Observable.Y(), Observable.H(), Observable.I()),
        Hermitian(np.array([[1, 2 - 1j], [2 + 1j, -0.5]])),
        Observable.X() @ Observable.Y() @ Observable.H(),
        Observable.Z() @ Hermitian(np.array([[0, 1, 0, 2j], [1, 0, 0, 0], [0, 0, 3, 0], [-2j, 0, 0, 1]])),
    ],
    ids=lambda each: each.name,
)
def test_observables(device: Device, local: LocalSimulator, observable: Any) -> None:
    """Observables of other bases, Hermitian matrices, tensor products: exact, and from samples"""
    target = [0, 2, 3][: observable.qubit_count]
    circuit = random_circuit(5).expectation(observable, target).variance(observable, target)
    assert_same(device, local, circuit)
    mean, variance = local.run(circuit, shots=0).result().values
    sampled = device.run(circuit.sample(observable, target), shots=SHOTS).result().values
    assert abs(sampled[0] - mean) <= 5 * np.sqrt(max(variance, 0) / SHOTS) + 1e-9
    assert sampled[2].shape == (SHOTS,)
    assert (np.mean(sampled[2]), np.var(sampled[2])) == pytest.approx((sampled[0], sampled[1]))


def test_observables_together(device: Device) -> None:
    """Several observables are sampled in one basis; those that do not commute only exactly"""
    circuit = Circuit().h(0).cnot(0, 1).expectation(Observable.X() @ Observable.X(), [0, 1]).sample(Observable.X(), 0)
    together, single = device.run(circuit, shots=200).result().values
    assert together == 1
    assert set(single) == {-1, 1}
    apart = Circuit().h(0).expectation(Observable.X(0)).expectation(Observable.Z(0))
    np.testing.assert_allclose(device.run(apart).result().values, [1, 0], atol=1e-9)
    for each in (device, LocalSimulator("braket_sv")):
        with pytest.raises(ValueError, match="Observables cannot be sampled simultaneously"):
            each.run(apart, shots=10)


def test_refusals(device: Device, local: LocalSimulator) -> None:
    """What LocalSimulator refuses with ValueError, such as samples without shots, is refused with the same"""
    refused: list[tuple[Circuit, int]] = [
        (Circuit(), 1),
        (Circuit().h(0), 0),
        (Circuit().h(0).sample(Observable.Z(0)), 0),
        (Circuit().h(0).state_vector(), 1),
        (Circuit().h(0).density_matrix(), 1),
        (Circuit().h(0).amplitude(["00"]), 0),
        (Circuit().gphase(1), 1),
        (Circuit().h(0), -1),
    ]
    for (circuit, shots), each in product(refused, (device, local)):
        with pytest.raises(ValueError, match=r"."):
            each.run(circuit, shots=shots)


@pytest.mark.parametrize(
    "circuit",
    [
        Circuit().x(3).i(7).h(12),
        Circuit().x(0).h(1).i(2).measure([2, 0]),
        Circuit().x(0).i(1).measure(1).measure(0),
        Circuit().add_verbatim_box(Circuit().x(1).i(0)),
        Circuit().h(0).barrier([0]).cnot(0, 1),
    ],
    ids=["gaps", "order", "one by one", "verbatim", "barrier"],
)
def test_measured_qubits(device: Device, local: LocalSimulator, circuit: Circuit) -> None:
    """Qubits with gaps, partial measurement in any order, verbatim boxes and barriers: the same measured qubits"""
    ours, theirs = (each.run(circuit, shots=200).result() for each in (device, local))
    assert ours.measured_qubits == theirs.measured_qubits
    assert set(ours.measurement_counts) == set(theirs.measurement_counts)


def test_inputs(device: Device, local: LocalSimulator) -> None:
    """Free parameters and expressions of them in every gate, bound by inputs or by make_bound_circuit"""
    a, c = FreeParameter("a"), FreeParameter("c")
    circuit = Circuit().h(range(3)).rx(0, a).xy(0, 1, a * c).ms(1, 2, a, 2 * c, a - c).gpi2(0, c**2)
    circuit.pswap(0, 2, a).cphaseshift10(1, 2, c / 3).u(0, a, c, 0.3).ry(2, a, control=1).state_vector()
    values = {"a": 0.7, "c": -1.2}
    assert_same(device, local, circuit, inputs=values)
    bound = Circuit().rx(0, a).zz(0, 1, c).probability()
    assert_same(device, local, bound.make_bound_circuit(values))
    assert_same(device, local, bound(a=0.7, c=-1.2))


def test_batches(device: Device, local: LocalSimulator) -> None:
    """run_batch with one circuit and many inputs, many circuits and one, or as many, in order"""
    circuit = Circuit().rx(0, FreeParameter("a")).expectation(Observable.Z(0))
    other = Circuit().ry(0, FreeParameter("a")).expectation(Observable.X(0))
    inputs = [{"a": 0.1}, {"a": 0.8}]
    forms: list[tuple[Any, Any]] = [
        *((circuit, inputs), ([circuit, other], inputs), ([circuit, other], inputs[0]), (circuit, inputs[1]))
    ]
    for programs, given in forms:
        ours, theirs = (each.run_batch(programs, shots=0, inputs=given).results() for each in (device, local))
        np.testing.assert_allclose([each.values for each in ours], [each.values for each in theirs], atol=1e-9)
    for each in (device, local):
        with pytest.raises(ValueError, match="must be equal in number"):
            each.run_batch([circuit] * 3, inputs=inputs)
        with pytest.raises(ValueError, match="unbound parameters"):
            each.run_batch([circuit])


SOURCES = [
    "qubit[3] q; bit[3] c; gate pair(t) x, y { ry(t) x; cnot x, y; } pair(0.4) q[0], q[1]; pow(2) @ t q[2];"
    " c = measure q;",
    "input float t; qubit[2] q; for int i in [0:2] { rx(t / (i + 1)) q[0]; negctrl @ ctrl @ gphase(t) q[0], q[1]; }",
    "qubit[4] q; h q; ctrl @ xy(0.3) q[3], q[0], q[1]; inv @ v q[2]; U(0.1, 0.2, 0.3) q[1]; bit c; c = measure q[1];",
    "qubit[2] q;\n#pragma braket unitary([[0, 1], [1, 0]]) q[1]\nh q[0]; def flip(qubit a) { x a; } flip(q[0]);",
    "qubit[3] q; bit[2] c; x q[2]; c[1] = measure q[0]; c[0] = measure q[2];",
]


@pytest.mark.parametrize("source", SOURCES)
def test_openqasm(device: Device, local: LocalSimulator, source: str) -> None:
    """OpenQASM 3 programs: inputs, gate definitions, loops, subroutines, modifiers, pragmas, measurement order"""
    program = Program(source="OPENQASM 3.0;\n" + source, inputs={"t": 0.6} if "input" in source else {})
    ours, theirs = (each.run(program, shots=SHOTS).result() for each in (device, local))
    assert len(ours.measured_qubits) == len(theirs.measured_qubits)
    outcomes = sorted(set(ours.measurement_counts) | set(theirs.measurement_counts))
    for outcome in outcomes:
        assert abs(ours.measurement_counts[outcome] - theirs.measurement_counts[outcome]) < 5 * np.sqrt(SHOTS / 2)


def test_openqasm_results(device: Device, local: LocalSimulator) -> None:
    """Result pragmas of OpenQASM programs, and circuits through to_ir and back"""
    circuit = random_circuit(3).expectation(Observable.Y() @ Observable.H(), [2, 0]).probability([1]).state_vector()
    program = circuit.to_ir(ir_type=IRType.OPENQASM)
    ours, theirs = (each.run(program, shots=0).result().values for each in (device, local))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-9)


def test_reset(device: Device) -> None:
    """OpenQASM programs that reset qubits"""
    source = "OPENQASM 3.0; qubit[2] q; bit[2] c; h q[0]; cnot q[0], q[1]; reset q[0]; c = measure q;"
    assert set(device.run(Program(source=source), shots=100).result().measurement_counts) == {"00", "01"}


def test_fourier(device: Device, local: LocalSimulator) -> None:
    """Quantum Fourier transform and its adjoint"""
    circuit = Circuit().x([0, 2]).add_circuit(fourier(range(4)))
    assert_same(device, local, circuit.copy().state_vector())
    back = circuit.add_circuit(fourier(range(4)).adjoint())
    assert device.run(back, shots=20).result().measurement_counts == {"1010": 20}


def test_phase_estimation(device: Device) -> None:
    """Phase estimation with controlled powers of a unitary"""
    circuit = Circuit().h(range(4)).x(4)
    for place in range(4):
        circuit.phaseshift(4, 2 * np.pi * 11 / 16, control=place, power=2 ** (3 - place))
    circuit.add_circuit(fourier(range(4)).adjoint())
    counts = device.run(circuit, shots=50).result().measurement_counts
    assert {outcome[:4] for outcome in counts} == {f"{11:04b}"}


def test_grover(device: Device) -> None:
    """Grover's search with multi-controlled gates"""
    marked = (1, 0, 1, 1)
    circuit = Circuit().h(range(4))
    for _ in range(3):
        circuit.z(3, control=[0, 1, 2], control_state=marked[:3])
        circuit.h(range(4)).x(range(4)).z(3, control=[0, 1, 2]).x(range(4)).h(range(4))
    assert_samples(device, circuit)
    assert device.run(circuit, shots=100).result().measurement_counts.most_common(1)[0][0] == "1011"


def test_oracles(device: Device) -> None:
    """Deutsch-Jozsa, Bernstein-Vazirani and Simon"""
    balanced = Circuit().x(3).h(range(4)).cnot(0, 3).cnot(2, 3).h(range(3))
    assert {outcome[:3] for outcome in device.run(balanced, shots=50).result().measurement_counts} == {"101"}
    constant = Circuit().x(3).h(range(4)).x(3).h(range(3))
    assert {outcome[:3] for outcome in device.run(constant, shots=50).result().measurement_counts} == {"000"}
    secret = (1, 1, 0)
    simon = Circuit().h(range(3))
    for place in range(3):
        simon.cnot(place, 3 + place)
    for place in (0, 1):
        simon.cnot(0, 3 + place)
    simon.h(range(3))
    for outcome in device.run(simon, shots=100).result().measurement_counts:
        assert sum(int(bit) * part for bit, part in zip(outcome, secret, strict=False)) % 2 == 0


def test_walk(device: Device) -> None:
    """A quantum walk on a cycle, coin and shifts"""
    circuit = Circuit().h(0)
    for _ in range(3):
        circuit.h(0)
        circuit.x(1, control=[0, 2, 3]).x(2, control=[0, 3]).x(3, control=0)
        circuit.x(0).x(3, control=0).x(2, control=[0, 3]).x(1, control=[0, 2, 3]).x(0)
    assert_samples(device, circuit)


def edges() -> Iterator[tuple[int, int]]:
    for one in range(5):
        yield one, (one + 1) % 5


def test_qaoa(device: Device, local: LocalSimulator) -> None:
    """QAOA for MaxCut: a grid of angles as one batch, sampled and exact"""
    gamma, beta = FreeParameter("gamma"), FreeParameter("beta")
    circuit = Circuit().h(range(5))
    for one, other in edges():
        circuit.zz(one, other, 2 * gamma)
    circuit.rx(range(5), 2 * beta)
    exact = circuit.copy()
    for one, other in edges():
        exact.expectation(Observable.Z() @ Observable.Z(), [one, other])
    grid = [{"gamma": g, "beta": b} for g, b in product((0.2, 0.6, 1.0), (0.3, 0.8))]
    ours, theirs = (each.run_batch(exact, shots=0, inputs=grid).results() for each in (device, local))
    np.testing.assert_allclose([each.values for each in ours], [each.values for each in theirs], atol=1e-9)
    for result, expected in zip(device.run_batch(circuit, shots=SHOTS, inputs=grid).results(), ours, strict=True):
        signs = 1 - 2 * result.measurements
        means = [np.mean(signs[:, one] * signs[:, other]) for one, other in edges()]
        np.testing.assert_allclose(means, expected.values, atol=5 / np.sqrt(SHOTS))


def test_vqe(device: Device) -> None:
    """A variational loop with scipy finds the ground state of H2, whose terms are one Sum"""
    terms = -1.0523732 * Observable.I(0) + 0.39793742 * Observable.Z(0) - 0.39793742 * Observable.Z(1)
    terms = terms - 0.01128010 * Observable.Z(0) @ Observable.Z(1) + 0.18093119 * Observable.X(0) @ Observable.X(1)
    names = [f"t{place}" for place in range(4)]
    circuit = Circuit()
    for place, name in enumerate(names[:2]):
        circuit.ry(place, FreeParameter(name))
    circuit.cnot(0, 1)
    for place, name in enumerate(names[2:]):
        circuit.ry(place, FreeParameter(name))
    circuit.expectation(terms)

    def energy(values: np.ndarray[Any, Any]) -> float:
        return float(device.run(circuit, inputs=dict(zip(names, values.tolist(), strict=True))).result().values[0])

    found = minimize(energy, [0.1, 0.2, 0.3, 0.4], method="COBYLA", options={"maxiter": 150})
    assert found.fun == pytest.approx(-1.8572750, abs=1e-3)


@pytest.mark.xfail(raises=ValueError, strict=True, reason="circuits are sent without noise: give the backend a model")
def test_noise(device: Device) -> None:
    """Noise instructions in circuits"""
    device.run(Circuit().x(0).depolarizing(0, 0.1), shots=10)


@pytest.mark.xfail(raises=ValueError, strict=True, reason="Braket's circuits do not hold them: use Qiskit's SamplerV2")
def test_feed_forward(device: Device) -> None:
    """OpenQASM programs with operations that depend on measured bits"""
    source = "OPENQASM 3.0; qubit[2] q; bit[2] c; h q[0]; c[0] = measure q[0]; if (c[0]) { x q[1]; }"
    device.run(Program(source=source), shots=10)


@pytest.mark.xfail(raises=ValueError, strict=True, reason="LocalSimulator has no gradients either: shift by run_batch")
def test_gradient(device: Device) -> None:
    """AdjointGradient"""
    circuit = Circuit().rx(0, FreeParameter("a")).adjoint_gradient(Observable.Z(0))
    device.run(circuit, inputs={"a": 0.3})


@pytest.mark.xfail(raises=NotImplementedError, strict=True, reason="run_batch runs many circuits as one task")
def test_program_sets(device: Device) -> None:
    """Program sets"""
    device.run(ProgramSet([Circuit().h(0)], shots_per_executable=10))


@pytest.mark.xfail(raises=NotImplementedError, strict=True, reason="circuits of gates only")
def test_analog(device: Device) -> None:
    """Analog Hamiltonian simulation"""
    nothing = DrivingField.from_lists([0, 1e-6], [0, 0], [0, 0], [0, 0])
    device.run(AnalogHamiltonianSimulation(AtomArrangement().add([0, 0]), nothing))
