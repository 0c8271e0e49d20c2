"""Noisy devices: errors against what is known of them, places, methods and counts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import XGate
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import DensityMatrix, Pauli, SuperOp, average_gate_fidelity
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.backend.engines.idling import with_idles
from qonverge.backend.engines.noise import Errors
from qonverge.backend.engines.protocol import load
from qonverge.circuits.mapping.target import device_target
from qonverge.devices import Calibration, Gate, Qubit, Rates, snapshots
from qonverge.devices.noise import Noise
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Pub, PubResult

GIB = 1024**3
TIMES = {"x": 1e-6, "cx": 5e-6, "measure": 10e-6}


def engine(noise: Noise, method: str = "Automatic", **more: Any) -> Aer:
    made = load(EngineConfig(provider="Aer", noise=noise, method=method, **{"memory_bytes": 4 * GIB, **more}))
    assert isinstance(made, Aer)
    return made


def run(aer: Aer, circuit: QuantumCircuit, seed: int = 1, *, memory: bool = False, **pub: Any) -> PubResult:
    return aer.run(aer.prepare(circuit), Pub("c", **pub), seed=seed, memory=memory)


def values(aer: Aer, circuit: QuantumCircuit, *labels: str, **pub: Any) -> list[float]:
    observables = tuple(((label, 1.0),) for label in labels)
    found = run(aer, circuit, observables=observables, **pub).expectation_values
    assert found is not None
    return [float(value) for value in found.ravel()]


def frequency(result: PubResult, outcome: str) -> float:
    (counts,) = result.counts
    return counts.get(outcome, 0) / sum(counts.values())


class Device(BackendV2):  # type: ignore[misc]
    """A calibration as a backend of Qiskit's, for Aer's own model of it."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__(name=calibration.name)
        self._target = device_target(calibration)

    @property
    def target(self) -> Any:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("name", ["belem", "yorktown", "vigo"])
def test_gates_have_the_errors_that_aer_gives_a_device(name: str) -> None:
    calibration = snapshots.load(name)
    theirs, ours = NoiseModel.from_backend(Device(calibration)), Errors(calibration)
    compared = 0
    for gate in calibration.gates:
        if gate.name == "reset" or gate.error == 1:
            continue
        expected = theirs._local_quantum_errors.get(gate.name, {}).get(gate.qubits)
        error, channel = ours.gate(gate.name, gate.qubits), ours.channel(gate.name, gate.qubits)
        assert (expected is None) == (error is None) == (channel is None), gate
        if expected is None or error is None or channel is None:
            continue
        wanted = SuperOp(expected).data
        assert np.allclose(SuperOp(error).data, wanted, atol=1e-9), gate
        assert np.allclose(channel.params[0], wanted, atol=1e-9), gate
        compared += 1
    assert compared > 10


def test_a_whole_circuit_ends_as_qiskit_schedules_it_and_aer_simulates_it() -> None:
    """Errors of gates, waits and all: Qiskit's scheduler puts delays where a qubit waits, and Aer relaxes them."""
    ns = 1e-9
    gates = [Gate("rz", (q,), 0.0, 0.0) for q in range(3)]
    gates += [Gate(name, (q,), 1e-3, 30 * ns) for name in ("sx", "x") for q in range(3)]
    gates += [Gate("cx", (a, b), 0.02, (300 + 100 * a) * ns) for a, b in ((0, 1), (1, 0), (1, 2), (2, 1))]
    qubits = tuple(Qubit(t1, t2, 0.0, 0.0, 1000 * ns) for t1, t2 in ((2e-5, 1.5e-5), (2.5e-5, 2.4e-5), (3e-5, 5e-5)))
    calibration = Calibration("three", qubits, tuple(gates))
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.x(2)
    circuit.sx(2)
    circuit.cx(1, 2)
    circuit.rz(0.3, 1)
    circuit.sx(1)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.sx(2)
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.rz(1.1, 0)
    circuit.sx(0)

    device = Device(calibration)
    device.target.dt = ns
    scheduled = transpile(circuit, device, initial_layout=[0, 1, 2], optimization_level=0, scheduling_method="alap")
    assert scheduled.count_ops()["delay"] > 3
    scheduled.save_density_matrix(label="state")
    simulator = AerSimulator(method="density_matrix", noise_model=NoiseModel.from_backend(device))
    state = DensityMatrix(simulator.run(scheduled).result().data(0)["state"])
    labels = ["".join(letters) for letters in itertools.product("IXYZ", repeat=3)]
    expected = [state.expectation_value(Pauli(label)).real for label in labels]

    noisy = engine(calibration)
    assert values(noisy, circuit, *labels) == pytest.approx(expected, abs=1e-6)
    counted = values(noisy, circuit, "IIZ", "ZZI", shots=40_000)
    # Measurements in Z add nothing, not even time: that is part of their own error.
    assert counted == pytest.approx([expected[labels.index("IIZ")], expected[labels.index("ZZI")]], abs=0.02)


@settings(deadline=None, max_examples=60)
@given(
    error=st.floats(0, 0.5),
    t1=st.none() | st.floats(1e-5, 1e-3),
    t2=st.none() | st.floats(1e-5, 1e-3),
    seconds=st.floats(0, 1e-5),
    width=st.sampled_from([1, 2]),
)
def test_a_gate_is_as_bad_as_it_was_calibrated(
    error: float, t1: float | None, t2: float | None, seconds: float, width: int
) -> None:
    place = tuple(range(width))
    noise = Calibration(
        "d", (Qubit(t1, t2),) * 2, (Gate("g", place, error, seconds), Gate("idle", place, 0.0, seconds))
    )
    errors = Errors(noise)

    def infidelity(name: str) -> float:
        channel = errors.channel(name, place)
        return 0.0 if channel is None else 1 - float(average_gate_fidelity(SuperOp(channel.params[0])))

    # Relaxation alone may be worse than the whole was measured to be.
    assert infidelity("g") == pytest.approx(max(error, infidelity("idle")), abs=1e-9)
    mixture, channel = errors.gate("g", place), errors.channel("g", place)
    if mixture is not None and channel is not None:
        assert np.allclose(SuperOp(mixture).data, channel.params[0], atol=1e-7)


@pytest.mark.parametrize("method", ["DensityMatrix", "Statevector"])
def test_an_excited_qubit_decays_with_t1(method: str) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.delay(50, 0, "us")
    circuit.measure(0, 0)
    result = run(engine(Rates(t1=1e-4, readout_seconds=0.0), method), circuit, shots=20_000)
    assert frequency(result, "1") == pytest.approx(math.exp(-0.5), abs=0.015)


def test_a_superposition_dephases_with_t2() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.delay(50, 0, "us")
    (value,) = values(engine(Rates(t2=1e-4, readout_seconds=0.0)), circuit, "X")
    assert value == pytest.approx(math.exp(-0.5), abs=1e-6)


def test_gates_depolarise() -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    zz, xx, zi = values(engine(Rates(two_qubit=0.03)), bell, "ZZ", "XX", "ZI")
    # An average infidelity e of two qubits is a depolarising probability of 4 e / 3.
    assert (zz, xx, zi) == pytest.approx((0.96, 0.96, 0.0), abs=1e-9)


@pytest.mark.parametrize("method", ["Automatic", "DensityMatrix", "Statevector", "Stabilizer", "MatrixProductState"])
def test_bits_are_misread(method: str) -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.x(1)
    circuit.measure([0, 1], [2, 0])
    result = run(engine(Rates(readout=0.1), method), circuit, shots=20_000)
    assert frequency(result, "001") == pytest.approx(0.81, abs=0.015)
    assert frequency(result, "101") == pytest.approx(0.09, abs=0.01)
    assert frequency(result, "000") == pytest.approx(0.09, abs=0.01)


def test_each_direction_of_misreading_has_its_own_probability() -> None:
    noise = Calibration(
        "d", (Qubit(read_1_as_0=0.3, read_0_as_1=0.05),), (Gate("x", (0,)), Gate("rz", (0,)), Gate("sx", (0,)))
    )
    for prepared, expected in ((False, 0.05), (True, 0.7)):
        circuit = QuantumCircuit(1, 1)
        if prepared:
            circuit.x(0)
        circuit.measure(0, 0)
        assert frequency(run(engine(noise), circuit, shots=20_000), "1") == pytest.approx(expected, abs=0.015)


def test_values_by_sampling_have_errors_of_readout_and_exact_ones_have_none() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    noisy = engine(Rates(readout=0.1))
    assert values(noisy, circuit, "IZ", "ZI", "ZZ") == pytest.approx([-1, 1, -1])
    assert values(noisy, circuit, "IZ", "ZI", "ZZ", shots=40_000) == pytest.approx([-0.8, 0.8, -0.64], abs=0.02)


def test_all_methods_give_the_same_counts() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure_all()
    noise, shots = Rates(one_qubit=0.02, two_qubit=0.06, readout=0.03), 20_000
    found = {m: run(engine(noise, m), circuit, shots=shots) for m in ("DensityMatrix", "Statevector", "Stabilizer")}
    assert {name: result.method for name, result in found.items()} == {
        "DensityMatrix": "density_matrix",
        "Statevector": "statevector",
        "Stabilizer": "stabilizer",
    }
    for outcome in ("000", "111", "010", "011"):
        rates = [frequency(result, outcome) for result in found.values()]
        assert max(rates) - min(rates) < 0.02, (outcome, rates)


def test_a_small_circuit_on_a_large_device_runs_on_its_own_qubits() -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    for target in range(1, 5):
        circuit.cx(target - 1, target)
    circuit.measure_all()
    noisy = engine(snapshots.load("torino"))
    prepared = noisy.prepare(circuit)
    assert prepared.circuit.num_qubits == 5
    assert {item.operation.name for item in prepared.circuit.data} <= {
        "rz",
        "sx",
        "x",
        "cz",
        "id",
        "barrier",
        "measure",
    }
    result = noisy.run(prepared, Pub("c", shots=4000), seed=3, memory=False)
    assert result.method == "density_matrix"
    both = frequency(result, "00000") + frequency(result, "11111")
    assert 0.7 < both < 0.995
    again = noisy.run(noisy.prepare(circuit), Pub("c", shots=4000), seed=3, memory=False)
    assert again.counts == result.counts


def test_values_follow_the_places_of_qubits() -> None:
    """Qubits that are routed end elsewhere: what is known of each is known all the same."""
    circuit = QuantumCircuit(5)
    circuit.x(1)
    circuit.x(4)
    # All to all, which no line of qubits has.
    for first in range(5):
        for second in range(first):
            circuit.rzz(0.7, first, second)
    labels = ["IIIIZ", "IIIZI", "IIZII", "IZIII", "ZIIII", "ZIIZI"]
    noisy = engine(snapshots.load("manila"))
    found = values(noisy, circuit, *labels)
    assert np.sign(found).tolist() == [1, -1, 1, 1, -1, 1]
    assert min(np.abs(found)) > 0.5
    assert values(noisy, circuit, *labels, shots=4000) == pytest.approx(found, abs=0.25)


def test_a_circuit_that_was_transpiled_for_the_device_stays_where_it_is() -> None:
    calibration = snapshots.load("nairobi")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    there = transpile(circuit, target=device_target(calibration), initial_layout=[5, 6], optimization_level=1)
    noisy = engine(calibration)
    placed = noisy.prepare(there).placed
    assert placed is not None
    assert placed.places == (5, 6)
    assert run(noisy, there, shots=2000).counts[0].keys() == {"00", "01", "10", "11"}
    # Of a qubit that nothing acts on, Z is 1 and X is 0.
    bare = there.remove_final_measurements(inplace=False)
    observables = ["I" * 6 + "Z", "I" * 6 + "X", "ZZIIIII"]
    z, x, zz = values(noisy, bare, *observables)
    assert (z, x) == pytest.approx((1, 0))
    assert 0.9 < zz < 1
    error = calibration.qubits[0].readout_error or 0
    (read,) = values(noisy, bare, observables[0], shots=40_000)
    assert read == pytest.approx(1 - 2 * (calibration.qubits[0].read_0_as_1 or error), abs=0.02)


def test_gates_that_are_out_of_order_are_gone_around() -> None:
    names = [Gate(name, (q,), 1e-4) for name in ("sx", "x", "rz") for q in range(3)]
    couplings = [Gate("cx", (0, 1), 1.0), Gate("cx", (1, 0), 1.0), Gate("cx", (1, 2), 0.01), Gate("cx", (2, 1), 0.01)]
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.measure_all()
    placed = engine(Calibration("d", (Qubit(),) * 3, (*names, *couplings))).prepare(circuit).placed
    assert placed is not None
    assert set(placed.places) == {1, 2}


def test_parameters_that_have_no_effect_are_taken() -> None:
    phase = Parameter("phase")
    circuit = QuantumCircuit(1)
    circuit.rz(phase, 0)
    circuit.measure_all()
    for method in ("DensityMatrix", "Statevector"):
        noisy = engine(Rates(readout=0.3), method)
        counts = run(noisy, circuit, parameters={"phase": np.array([0.1, 0.2, 0.3])}, shots=500).counts
        assert len(counts) == 3
        assert len({tuple(sorted(own.items())) for own in counts}) > 1, "each set draws its own shots"


def test_parameters_sweep() -> None:
    angle = Parameter("angle")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    noisy = engine(Rates(one_qubit=0.01))
    angles = np.array([0.0, 1.0, math.pi])
    found = run(noisy, circuit, parameters={"angle": angles}, observables=((("Z", 1.0),),)).expectation_values
    assert found is not None
    shrunk = found.ravel() / np.cos(angles)
    # One circuit for all values: the errors are the same.
    assert shrunk == pytest.approx([shrunk[0]] * 3)
    assert 0.94 < shrunk[0] < 0.99


def test_memory_has_the_outcomes_of_counts() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.measure_all()
    noisy = engine(Rates(readout=0.2))
    counts = run(noisy, circuit, shots=1000).counts[0]
    _, shots = run(noisy, circuit, shots=1000, memory=True).registers["meas"]
    assert {
        format(int(key), "02b"): int(times) for key, times in zip(*np.unique(shots, return_counts=True), strict=True)
    } == counts


@pytest.mark.parametrize("method", ["DensityMatrix", "Statevector"])
def test_a_program_s_own_labels_mean_nothing(method: str) -> None:
    """Aer looks for errors under a gate's label first, and waits are told by theirs."""
    circuit = QuantumCircuit(1, 1)
    circuit.append(XGate(label="idle0"), [0])
    circuit.append(XGate(label="mine"), [0])
    with circuit.if_test((circuit.clbits[0], 0)):
        circuit.append(XGate(label="inside"), [0])
    circuit.measure(0, 0)
    # An average infidelity e of one qubit is a depolarising probability of 2 e, which flips in half of its cases.
    expected = 0.5 * (1 + 0.8**3)
    result = run(engine(Rates(one_qubit=0.1), method), circuit, shots=20_000)
    assert frequency(result, "1") == pytest.approx(expected, abs=0.015)
    straight = QuantumCircuit(1, 1)
    for label in ("idle0", "mine", "inside"):
        straight.append(XGate(label=label), [0])
        straight.delay(1, 0, "ns")
    straight.measure(0, 0)
    slow = Rates(one_qubit=0.1, t1=1e3, t2=1e3, one_qubit_seconds=1e-9)
    assert frequency(run(engine(slow, method), straight, shots=20_000), "1") == pytest.approx(expected, abs=0.015)


def test_control_flow_runs_with_errors() -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 1)
    result = run(engine(Rates(readout=0.1)), circuit, shots=4000)
    assert frequency(result, "01") == pytest.approx(0.81, abs=0.03)
    assert result.method == "stabilizer"


class TestMethods:
    def test_many_qubits_with_pauli_noise_run_as_stabilizers(self) -> None:
        circuit = QuantumCircuit(60)
        circuit.h(0)
        for target in range(1, 60):
            circuit.cx(target - 1, target)
        circuit.measure_all()
        result = run(engine(Rates(two_qubit=0.001)), circuit, shots=500)
        assert result.method == "stabilizer"
        assert "Pauli" in result.reason
        both = frequency(result, "0" * 60) + frequency(result, "1" * 60)
        assert both == pytest.approx((1 - 0.001 * 5 / 4) ** 59, abs=0.08)

    def test_few_shots_of_a_wider_circuit_run_one_by_one(self) -> None:
        circuit = QuantumCircuit(11)
        circuit.rx(0.3, range(11))
        circuit.measure_all()
        noise = Rates(one_qubit=0.01, t1=1e-4, one_qubit_seconds=1e-8)
        assert run(engine(noise), circuit, shots=20).method == "statevector"
        assert run(engine(noise), circuit, shots=1000).method == "density_matrix"

    def test_exact_values_need_a_density_matrix_that_fits(self) -> None:
        circuit = QuantumCircuit(14)
        circuit.h(range(14))
        with pytest.raises(CircuitTooLarge, match=r"density matrix of 14 qubits .*: give shots or precision"):
            values(engine(Rates(one_qubit=0.01), memory_bytes=GIB), circuit, "Z" * 14)

    def test_stabilizers_are_refused_what_they_cannot_hold(self) -> None:
        with pytest.raises(LookupError, match="the method Stabilizer of Aer takes Pauli noise only"):
            engine(snapshots.load("lima"), "Stabilizer")
        circuit = QuantumCircuit(1)
        circuit.rx(0.3, 0)
        circuit.measure_all()
        with pytest.raises(InvalidCircuit, match="cannot run the circuit's gates"):
            run(engine(Rates(one_qubit=0.1), "Stabilizer"), circuit)

    def test_a_noisy_device_has_no_final_state_and_an_end(self) -> None:
        noisy = engine(snapshots.load("lima"))
        with pytest.raises(InvalidTask, match="no single final state"):
            run(noisy, QuantumCircuit(1), statevector=True)
        with pytest.raises(CircuitTooLarge, match="6 qubits and the device lima has 5"):
            noisy.prepare(QuantumCircuit(6))


class TestWaiting:
    def idles(self, circuit: QuantumCircuit) -> list[tuple[int, Any]]:
        waiting, idles = with_idles(circuit, lambda name, _: TIMES.get(name, 0.0))
        seconds = {label: time for label, _, time in idles}
        return [
            (waiting.find_bit(item.qubits[0]).index, pytest.approx(seconds[item.operation.label]))
            for item in waiting.data
            if item.operation.label in seconds
        ]

    def test_operations_are_as_late_as_can_be(self) -> None:
        circuit = QuantumCircuit(2, 2)
        circuit.x(0)
        for _ in range(3):
            circuit.x(1)
        circuit.cx(0, 1)
        circuit.measure([0, 1], [0, 1])
        assert self.idles(circuit) == []

    def test_a_qubit_waits_for_its_partner(self) -> None:
        circuit = QuantumCircuit(2)
        circuit.cx(0, 1)
        for _ in range(3):
            circuit.x(1)
        circuit.cx(0, 1)
        assert self.idles(circuit) == [(0, 3e-6)]

    def test_a_barrier_holds_back(self) -> None:
        circuit = QuantumCircuit(2)
        circuit.x(0)
        circuit.barrier()
        circuit.x(1)
        assert self.idles(circuit) == [(0, 1e-6)]

    def test_nothing_happens_to_a_ground_state_nor_after_the_last_measurement(self) -> None:
        circuit = QuantumCircuit(2, 1)
        circuit.measure(0, 0)
        circuit.barrier()
        circuit.delay(5, 1, "us")
        circuit.x(1)
        assert self.idles(circuit) == []

    def test_delays_wait(self) -> None:
        circuit = QuantumCircuit(1, 1)
        circuit.x(0)
        circuit.delay(5e-6, 0, "s")
        circuit.measure(0, 0)
        assert self.idles(circuit) == [(0, 5e-6)]
