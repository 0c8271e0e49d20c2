"""Delays: the same whatever their unit and their way, and the physics of the calibration on a device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Duration, Parameter
from qiskit.circuit.classical import expr

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.auto import Automatic
from qonverge.backend.engines.protocol import Provider
from qonverge.circuits.analysis.canonical import canonical, deserialise, serialise
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.parse import parse_openqasm
from qonverge.devices import snapshots
from qonverge.devices.calibration import Calibration, Gate, Qubit
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from tests.unit.backend.engines.engines import engine, label, run

T1, T2, DT = 50e-6, 30e-6, 2e-9
# A device of two qubits on which nothing but time errs.
QUIET = Calibration(
    "quiet",
    (Qubit(T1, T2, 0.0, 0.0, 0.0), Qubit(2 * T1, T2, 0.0, 0.0, 0.0)),
    (
        *(Gate(name, (place,), 0.0, 0.0) for name in ("rz", "sx", "x", "h") for place in (0, 1)),
        Gate("cx", (0, 1), 0.0, 0.0),
        Gate("cx", (1, 0), 0.0, 0.0),
    ),
    dt=DT,
)
LENGTHS: list[tuple[Any, str]] = [
    (40e-6, "s"),
    (0.04, "ms"),
    (40, "us"),
    (40_000, "ns"),
    (40_000_000.0, "ps"),
    (20_000, "dt"),
]
NOISY: dict[str, Provider] = {
    "Aer": engine("Aer", noise=QUIET),
    "Automatic": Automatic(EngineConfig(noise=QUIET)),
    "Statevector": engine("Aer", noise=QUIET, method="Statevector"),
    "MatrixProductState": engine("Aer", noise=QUIET, method="MatrixProductState"),
    "BraketLocal": engine("BraketLocal", noise=QUIET),
}
QUIET_ENGINES: dict[str, Provider] = {name: engine(name) for name in ("Aer", "Stim", "BraketLocal")}


def relaxing(duration: Any, unit: str | None) -> QuantumCircuit:
    """Return a circuit as wide as the device and in its gates, which stays at its place: qubit 0 waits in 1."""
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.delay(duration, 0, unit=unit) if unit else circuit.append(Delay(duration), [0])
    circuit.measure(0, 0)
    return circuit


def ones(made: Provider, circuit: QuantumCircuit, shots: int = 20_000, **pub: Any) -> list[float]:
    answer = run(made, circuit, shots=shots, **pub)
    return [counts.get("1", 0) / shots for counts in answer.counts]


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize(("duration", "unit"), LENGTHS)
def test_a_qubit_in_1_decays_with_t1_in_every_unit(name: str, duration: Any, unit: str) -> None:
    expected = math.exp(-40e-6 / T1)
    circuit = relaxing(duration, unit)
    # As it came, and as it comes out of QPY.
    for own in (circuit, deserialise(serialise(canonical(circuit)))):
        # Six standard deviations.
        assert ones(NOISY[name], own, 2000) == pytest.approx([expected], abs=0.07)


def test_durations_that_are_expressions() -> None:
    circuit = relaxing(expr.lift(Duration.us(40)), None)
    assert ones(NOISY["Aer"], circuit) == pytest.approx([math.exp(-40e-6 / T1)], abs=0.022)
    stretched = QuantumCircuit(1)
    stretched.delay(stretched.add_stretch("a"), 0)
    with pytest.raises(InvalidProgram, match="the time of a delay is an expression that is not known"):
        canonical(stretched)


@pytest.mark.parametrize("name", [*NOISY, "Stim"])
@pytest.mark.parametrize("unit", ["s", "us", "ns", "dt"])
def test_times_that_are_parameters(name: str, unit: str) -> None:
    t, offset = Parameter("t"), Parameter("offset")
    one = {"s": 1e-6, "us": 1.0, "ns": 1e3, "dt": 500}[unit]
    circuit = relaxing(2 * t * one + offset, unit)
    circuit = deserialise(serialise(canonical(circuit)))
    times = np.array([0.0, 10.0, 40.0, 5.0])
    made = NOISY.get(name) or engine("Stim", noise=QUIET)
    found = ones(made, circuit, 2000, parameters={"t": times, "offset": np.zeros(4)})
    decayed = np.exp(-2e-6 * times / T1)
    # Twirled, relaxation leads to the mixture of both states.
    expected = (1 + decayed) / 2 if name == "Stim" else decayed
    assert found == pytest.approx(list(expected), abs=0.07)


@pytest.mark.parametrize("name", ["Aer", "BraketLocal"])
def test_values_of_pairs_of_sets_and_observables(name: str) -> None:
    t = Parameter("t")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.delay(t, 0, unit="us")
    pairs = np.array([[2, 0], [0, 1], [2, 1]], dtype=np.int32)
    times = np.array([10.0, 99.0, 30.0])
    answer = run(NOISY[name], circuit, parameters={"t": times}, observables=(label("IX"), label("IZ")), pairs=pairs)
    # Coherence goes with T2, and the mean of Z comes back to that of 0 with T1.
    expected = [math.exp(-30e-6 / T2), 1 - math.exp(-10e-6 / T1), 1 - math.exp(-30e-6 / T1)]
    assert answer.expectation_values == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("name", ["Aer", "BraketLocal"])
def test_a_superposition_dephases_with_t2_and_no_echo_brings_it_back(name: str) -> None:
    ramsey, echo = QuantumCircuit(2), QuantumCircuit(2)
    ramsey.h(0)
    ramsey.delay(20, 0, unit="us")
    echo.h(0)
    for _ in range(2):
        echo.delay(10, 0, unit="us")
        echo.x(0)
    for circuit in (ramsey, echo):
        answer = run(NOISY[name], circuit, observables=(label("IX"),))
        # The noise has no memory, so what an echo would bring back is not there.
        assert answer.expectation_values == pytest.approx(np.array([[math.exp(-20e-6 / T2)]]), abs=1e-6)


def test_others_wait_where_a_barrier_says_so() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(1)
    circuit.barrier()
    circuit.delay(40, 0, unit="us")
    circuit.barrier()
    circuit.measure(1, 0)
    assert ones(NOISY["Aer"], circuit) == pytest.approx([math.exp(-40e-6 / (2 * T1))], abs=0.022)
    both = QuantumCircuit(2, 1)
    both.x([0, 1])
    both.delay(40, [0, 1], unit="us")
    both.measure(1, 0)
    assert ones(NOISY["Aer"], both) == pytest.approx([math.exp(-40e-6 / (2 * T1))], abs=0.022)


@pytest.mark.parametrize("name", ["Aer", "Statevector", "MatrixProductState", "Automatic"])
def test_delays_inside_control_flow(name: str) -> None:
    t = Parameter("t")
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 1)
    with circuit.for_loop(range(4)), circuit.if_test((1, 1)):
        circuit.delay(t, 0, unit="us")
    with circuit.if_test((1, 0)):
        circuit.delay(1, 0, unit="s")
    circuit.measure(0, 0)
    answer = run(NOISY[name], circuit, shots=2000, parameters={"t": np.array([10.0, 2.0])})
    found = [counts.get("11", 0) / 2000 for counts in answer.counts]
    assert found == pytest.approx([math.exp(-40e-6 / T1), math.exp(-8e-6 / T1)], abs=0.07)


@pytest.mark.parametrize("name", QUIET_ENGINES)
@pytest.mark.parametrize(("duration", "unit"), [*LENGTHS, (1e-4, "s"), (0.5, "us"), (Parameter("t"), "us")])
def test_without_noise_a_delay_has_no_effect(name: str, duration: Any, unit: str) -> None:
    circuit = relaxing(duration, unit)
    given = {"t": np.array([2.5, 3.0])} if isinstance(duration, Parameter) else {}
    for own in (circuit, deserialise(serialise(canonical(circuit)))):
        assert set(ones(QUIET_ENGINES[name], own, shots=50, parameters=given)) == {1.0}


def test_without_noise_a_loop_may_wait_for_its_variable() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    with circuit.for_loop(range(1, 4)) as step:
        circuit.delay(step, 0, unit="us")
    circuit.measure(0, 0)
    for made in QUIET_ENGINES.values():
        assert ones(made, circuit, shots=50) == [1.0]


@pytest.mark.parametrize("name", ["Aer", "BraketLocal", "Stim"])
def test_times_that_are_none(name: str) -> None:
    made = engine(name, noise=QUIET)
    with pytest.raises(InvalidTask, match=r"a delay gets no time of at least 0 s with t = -1"):
        run(made, relaxing(Parameter("t"), "us"), parameters={"t": np.array([-1.0])})
    bare = engine(name, noise=Calibration("bare", QUIET.qubits, QUIET.gates))
    with pytest.raises(InvalidCircuit, match="a delay of 100 dt has no known length: the device's calibration has no"):
        run(bare, relaxing(100, "dt"))


def test_a_real_device_by_its_own_clock() -> None:
    lima = snapshots.load("lima")
    assert lima.dt == pytest.approx(1e-9 / 4.5)
    made, qubit = engine("Aer", noise=lima), lima.qubit(0)
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.delay(450_000, 0, unit="dt")
    circuit.measure(0, 0)
    assert qubit.t1 is not None
    left = math.exp(-100e-6 / qubit.t1)
    assert qubit.read_1_as_0 is not None
    assert qubit.read_0_as_1 is not None
    read = left * (1 - qubit.read_1_as_0) + (1 - left) * qubit.read_0_as_1
    assert ones(made, circuit) == pytest.approx([read], abs=0.022)


@pytest.mark.parametrize("length", ["100us", "0.1ms", "100000ns", "100000.0 ns", "450000dt"])
def test_delays_of_openqasm_reach_the_device(length: str) -> None:
    header = 'OPENQASM 3.0; include "stdgates.inc"; qubit[5] q; bit c; x q[0];'
    circuit = parse_openqasm(f"{header} delay[{length}] q[0]; c = measure q[0];").circuit
    lima = snapshots.load("lima")
    own = deserialise(serialise(circuit))
    assert own == circuit
    assert lima.qubit(0).t1 is not None
    expected = math.exp(-100e-6 / (lima.qubit(0).t1 or 0))
    assert ones(engine("Aer", noise=lima), own) == pytest.approx([expected], abs=0.06)


def test_every_delay_travels_as_it_is() -> None:
    t = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    for duration, unit in (*LENGTHS, (t, "s"), (2 * t + 1, "ns"), (t, "dt"), (0, "dt"), (0.5, "ns")):
        circuit.delay(duration, 0, unit=unit)
    with circuit.if_test((0, 1)):
        circuit.delay(3.5, 0, unit="us")
    made = canonical(circuit)
    assert deserialise(serialise(made)) == made
    assert canonical(made) == made
    units = [item.operation.unit for item in made.data if item.operation.name == "delay"]
    assert units == ["s"] * 5 + ["dt", "s", "s", "dt", "dt", "s"]


def test_decoupling_pulses_that_qiskit_pads() -> None:
    from qiskit.circuit.library import XGate
    from qiskit.transpiler import InstructionDurations, PassManager
    from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDynamicalDecoupling

    durations = InstructionDurations([("x", None, 0), ("h", None, 0), ("cx", None, 0), ("measure", None, 0)], dt=DT)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.barrier()
    circuit.delay(10_000, 1, unit="dt")
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    padded = PassManager([ALAPScheduleAnalysis(durations), PadDynamicalDecoupling(durations, [XGate(), XGate()])]).run(
        circuit
    )
    assert padded.count_ops()["x"] >= 2
    answer = run(NOISY["Aer"], deserialise(serialise(canonical(padded))), observables=(label("IX"),))
    assert answer.expectation_values == pytest.approx(np.array([[math.exp(-20e-6 / T2)]]), abs=1e-6)
