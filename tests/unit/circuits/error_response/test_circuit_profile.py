"""Profiles: steps, blocks, responses, and the way through the checker's child."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import CXGate, ECRGate, QFTGate
from qiskit.circuit.random import random_circuit, random_clifford_circuit
from qiskit.quantum_info import DensityMatrix, Operator, hellinger_fidelity
from qiskit.synthesis import TwoQubitBasisDecomposer
from qiskit_aer.noise import depolarizing_error

from qonverge.circuits import InvalidProgram, Unmapped
from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.blocks import blocks_of, least_cx
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.gate_sequence import Step, TooLong, steps_of
from qonverge.circuits.checker.checked_circuit import CheckedCircuit, check
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.checker.lanes import Limits
from qonverge.circuits.error_response.accumulated_errors import Load
from qonverge.circuits.error_response.builder import respond, unknown
from qonverge.circuits.error_response.error_response import ERRORS, FLIPS, Response
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.error_response.profile_builder import profile
from qonverge.circuits.mapping.mapped import load_of, map_to, schedule
from qonverge.devices import Calibration, Layout, Qubit, snapshots
from qonverge.devices.rates import uniform
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.exact import ExactForecasts

HEADER = 'OPENQASM 3.0; include "stdgates.inc"; '
BELL = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"
seeds = st.integers(0, 2**16)


def of(circuit: QuantumCircuit, **values: float) -> CircuitProfile:
    plain = canonical(circuit)
    found = profile(plain, analyse(plain), values)
    assert found is not None
    return found


def gates(circuit: QuantumCircuit) -> list[Step]:
    return [step for step in steps_of(circuit, 10_000) if step.bit is None]


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 4))
def test_steps_are_the_circuit(seed: int, width: int) -> None:
    circuit = canonical(random_circuit(width, 5, max_operands=min(width, 3), seed=seed))
    if width > 1:
        circuit.append(ECRGate(), [0, 1])
    steps = steps_of(circuit, 10_000)
    again = QuantumCircuit(width)
    for step in steps:
        if step.matrix is not None:
            again.unitary(step.matrix, step.qubits)
        elif step.bit is None:
            again.cx(*step.qubits)
    # SWAPs became names: undo them at the end.
    wires = [step.qubits[0] for step in sorted((s for s in steps if s.bit is not None), key=lambda s: s.bit or 0)]
    ordered = QuantumCircuit(width)
    ordered.compose(again, inplace=True)
    ordered.append(_permutation(wires), range(width))
    assert Operator(ordered).equiv(Operator(circuit))


def _permutation(wires: list[int]) -> QuantumCircuit:
    """The circuit that brings what is on ``wires[k]`` to k."""
    circuit, now = QuantumCircuit(len(wires)), list(range(len(wires)))
    for place, wire in enumerate(wires):
        at = now.index(wire)
        if at != place:
            circuit.swap(place, at)
            now[place], now[at] = now[at], now[place]
    return circuit.to_gate()


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(0, 5))
def test_blocks_take_as_few_cx_as_the_best_decomposition(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    circuit = QuantumCircuit(2)
    for _ in range(count):
        for qubit in (0, 1):
            (circuit.h if random.random() < 0.5 else lambda q: circuit.u(*random.normal(size=3), q))(qubit)
        circuit.cx(*random.permutation(2).tolist())
    matrix = Operator(circuit).data
    wanted = TwoQubitBasisDecomposer(CXGate()).num_basis_gates(matrix)
    assert least_cx(matrix) == wanted
    assert sum(block.cx for block in blocks_of(gates(circuit))) == wanted


def test_counts() -> None:
    circuit = QuantumCircuit(4, 4)
    circuit.h(0)
    circuit.rz(0.3, 0)
    circuit.cx(0, 1)
    circuit.rxx(0.1, 1, 2)
    circuit.ryy(0.2, 1, 2)
    circuit.swap(2, 3)
    circuit.measure([0, 1, 3], [2, 1, 0])
    found = of(circuit)
    assert found.pairs == ((0, 1, 1), (1, 2, 2))
    assert found.depth[0] == 3
    # Qubit 3 begins only when it is measured, as qubit 2 was swapped into its place.
    assert found.alive == (3, 3, 2, 0)
    assert found.measured == ((2, 0), (1, 1), (0, 2))
    assert found.pulses[0] == 1
    assert not found.dynamic


def test_a_program_without_measurements_counts_every_qubit() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.swap(0, 1)
    assert of(circuit).measured == ((1, 0), (0, 1))


def test_loops_are_unrolled_and_dynamic_programs_promise_nothing() -> None:
    text = HEADER + (
        "qubit[3] q; bit[2] c; gphase(0.2); for int i in [1:3] { cx q[0], q[1]; cx q[1], q[2]; } c[0] = measure q[0];"
        " if (c[0]) { x q[1]; } c[1] = measure q[1];"
    )
    found = check(text, {}, []).profile
    assert found is not None
    assert found.dynamic
    assert found.response == unknown(2)
    assert found.pairs == ((0, 1, 3), (1, 2, 3))


def test_parameters_are_bound() -> None:
    text = HEADER + "input float a; qubit[1] q; bit c; rx(a) q[0]; c = measure q[0];"
    peak, spread = (check(text, {"a": a}, []).profile for a in (0.0, math.pi / 2))
    assert peak is not None
    assert spread is not None
    assert peak.response.at(0, 0, 0, 0.1) == pytest.approx(0.9, abs=0.01)
    assert spread.response.at(0, 0, 0, 0.1) == pytest.approx(1)


def test_what_is_too_long_has_no_profile() -> None:
    circuit = QuantumCircuit(1)
    for _ in range(20):
        circuit.h(0)
    with pytest.raises(TooLong):
        steps_of(circuit, 10)


@settings(deadline=None, max_examples=12)
@given(seeds)
def test_frames_and_states_agree_on_clifford_circuits(seed: int) -> None:
    circuit = random_clifford_circuit(4, 25, gates=["h", "s", "cx", "x"], seed=seed)
    steps = gates(circuit)
    states = respond(steps, [0, 2, 3], 4)
    frames = respond(steps, [0, 2, 3], 4, most_work=0)
    assert (states.basis, frames.basis) == ("Simulated", "Stabilizer")
    for errors in (0.15, 0.6):
        for flips in (0.0, 0.03):
            assert states.at(errors, 0, 0, flips) == pytest.approx(frames.at(errors, 0, 0, flips), abs=0.12)
        assert states.at(0, 0, errors, 0) == pytest.approx(frames.at(0, 0, errors, 0), abs=0.15)


@pytest.mark.parametrize("name", ["ghz", "qft", "rotations"])
def test_a_response_is_what_depolarising_gates_give(name: str) -> None:
    circuit = QuantumCircuit(4)
    if name == "ghz":
        circuit.h(0)
        for qubit in range(3):
            circuit.cx(qubit, qubit + 1)
    elif name == "qft":
        circuit.h([2, 3])
        circuit.compose(QFTGate(4).definition, inplace=True)
    else:
        random = np.random.default_rng(1)
        for _ in range(4):
            for qubit in range(4):
                circuit.ry(random.normal(), qubit)
            for qubit in range(3):
                circuit.cx(qubit, qubit + 1)
    steps = gates(circuit)
    cx = sum(len(step.qubits) == 2 for step in steps)
    response = respond(steps, range(4), 4)
    # Three gates that each fail often are no Poisson process any more, so few errors are compared.
    for errors in (0.05, 0.15, 0.3):
        # A depolarising channel of strength p is a random Pauli with probability 15 p / 16.
        channel = depolarizing_error(errors / cx * 16 / 15, 2)
        noisy = ideal = DensityMatrix.from_label("0000")
        for step in steps:
            operation = Operator(step.matrix) if step.matrix is not None else Operator(CXGate())
            ideal = ideal.evolve(operation, step.qubits)
            noisy = noisy.evolve(operation, step.qubits)
            if step.matrix is None:
                noisy = noisy.evolve(channel.to_quantumchannel(), step.qubits)
        wires = [step.qubits[0] for step in steps_of(circuit, 10_000) if step.bit is not None]
        outcomes = [dict(enumerate(state.probabilities(wires))) for state in (ideal, noisy)]
        assert response.at(errors, 0, 0, 0) == pytest.approx(hellinger_fidelity(*outcomes), abs=0.03)


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0, 20), st.floats(0, 0.5))
def test_responses_are_fidelities(gate: float, resets: float, phases: float, flips: float) -> None:
    found = unknown(3).at(gate, resets, phases, flips)
    assert 0 <= found <= 1
    assert found <= unknown(3).at(0, resets, phases, flips)


def test_tables_have_their_shape_and_travel() -> None:
    found = respond(gates(QuantumCircuit(1)), [0], 1)
    assert len(found.gates) == len(found.resets) == len(found.phases) == len(ERRORS)
    assert {len(row) for row in found.gates} == {len(FLIPS)}
    assert Response.from_dict(found.to_dict()) == found


def test_a_wide_ghz_state_is_two_peaks() -> None:
    circuit = QuantumCircuit(60)
    circuit.h(0)
    for qubit in range(59):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    found = of(circuit).response
    assert found.basis == "Stabilizer"
    assert found.at(0, 0, 0, 0.001) == pytest.approx(0.999**60, abs=0.01)
    # Z on any qubit is never seen.
    assert found.at(0, 0, 0.0, 0) == pytest.approx(1)
    assert 0.6 < found.at(0.5, 0, 0, 0) < 0.72


def test_schedules_are_late_and_wait_only_between() -> None:
    device = uniform(3, two_qubit_seconds=2.0, one_qubit_seconds=1.0, readout_seconds=5.0)
    circuit = QuantumCircuit(3, 3)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure(range(3), range(3))
    slots, seconds = schedule(circuit, device)
    assert seconds == 10
    assert [slot.waits for slot in slots if len(slot.qubits) == 2] == [(2, 0), (0, 0)]
    assert slots[0].waits == (0,)


def test_loads_add_up() -> None:
    rates = {"one_qubit_seconds": 1e-8, "two_qubit_seconds": 1e-7, "t1": 1e-4, "t2": 5e-5}
    device = uniform(2, two_qubit=0.01, readout=0.02, **rates)
    circuit = QuantumCircuit(2, 2)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    load = load_of(circuit, device, {})
    assert load.resets == pytest.approx((1e-8 + 2e-7) / 1e-4)
    assert load.phases == pytest.approx((1e-8 + 2e-7) * (1 / 5e-5 - 1 / 1e-4) / 2)
    assert load.flips == pytest.approx(0.02)
    assert 0 < load.gates < 1.25 * 0.01


async def test_the_child_carries_profiles_and_maps() -> None:
    checker = Checker()
    try:
        circuit = await checker.check(BELL, {}, [])
        assert circuit == check(BELL, {}, [])
        assert circuit.profile is not None
        device = snapshots.load("lima")
        load = await checker.load(circuit, {}, device)
        mapped = map_to(canonical(QuantumCircuit.from_qasm_str(_BELL_2)), device)
        assert load == load_of(mapped, device, dict(circuit.profile.ones))
        wide = await checker.check(HEADER + "qubit[9] q; bit[9] c; h q; c = measure q;", {}, [])
        with pytest.raises(Unmapped, match="the program cannot be brought onto lima: "):
            await checker.load(wide, {}, device)
        assert (await checker.check(BELL, {}, [])) is circuit
    finally:
        await checker.close()


async def test_observables_are_measured_where_they_are_mapped() -> None:
    checker = Checker()
    try:
        # Nothing errs but the reading of 1, and the state is 01.
        device = Calibration("biased", (Qubit(read_1_as_0=0.1, read_0_as_1=0.0),) * 2, uniform(2).gates)
        circuit = await checker.check(HEADER + "qubit[2] q; bit[3] c; x q[0];", {}, ["ZZ"])
        assert (await checker.load(circuit, {}, device)).flips == pytest.approx(0.05)
    finally:
        await checker.close()


async def test_mapping_that_takes_too_long_is_given_up() -> None:
    checker = Checker(Limits(cpu_seconds=0.01))
    try:
        with pytest.raises(
            Unmapped, match=r"bringing .* onto the device took more than the 0\.01 s of CPU time allowed"
        ):
            await checker.load(check(BELL, {}, []), {}, snapshots.load("fez"))
    finally:
        await checker.close()


async def test_exact_forecasts_are_kept() -> None:
    asked: list[str] = []

    class Counting(Checker):
        async def load(
            self,
            circuit: CheckedCircuit,
            parameters: object,
            device: Calibration,
            layout: Layout | None = None,
            *,
            namespace: str = "",
        ) -> Load:
            asked.append(device.name)
            return await super().load(circuit, {}, device, layout)

    checker = Counting()
    try:
        circuit, small = await checker.check(BELL, {}, []), snapshots.load("armonk")
        forecasts = ExactForecasts(checker, most=2)
        first = await forecasts.of(circuit, {}, snapshots.load("lima"))
        assert first.low < first.mid < first.high
        assert await forecasts.of(circuit, {}, snapshots.load("lima")) == first
        assert forecasts.known(circuit, {}, snapshots.load("lima")) == first
        for _ in range(2):
            with pytest.raises(DoesNotFit, match="cannot be brought onto armonk"):
                await forecasts.of(circuit, {}, small)
        assert asked == ["lima", "armonk"]
        await forecasts.of(circuit, {}, snapshots.load("quito"))
        assert forecasts.known(circuit, {}, snapshots.load("lima")) is None
    finally:
        await checker.close()


def test_observables_do_not_hinder_a_profile() -> None:
    found = check(HEADER + "qubit[2] q; h q[0]; cx q[0], q[1];", {}, ["ZZ"]).profile
    assert found is not None
    assert found.measured == ((0, 0), (1, 1))
    with pytest.raises(InvalidProgram):
        check(HEADER + "qubit[2] q; h q[0];", {}, [])


_BELL_2 = """OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0], q[1]; measure q -> c;"""
