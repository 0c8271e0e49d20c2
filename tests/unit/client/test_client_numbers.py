"""Numbers that people give to the clients: numpy's are numbers, and what is none is refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cirq
import numpy as np
import pennylane as qml
import pytest
from braket.circuits import Circuit
from qiskit import QuantumCircuit

from qonverge.client import EstimatorV2, QonvergeBackend, SamplerV2
from qonverge.client.braket import Device
from qonverge.client.cirq import Sampler
from qonverge.client.transport.embedded import Embedded


@pytest.fixture(scope="module")
def runner() -> Embedded:
    return Embedded()


def coin() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    return circuit


Asked = Callable[[Embedded, Any], int]
QUBIT = cirq.LineQubit(0)
WITH_SHOTS: dict[str, Asked] = {
    "sampler": lambda runner, n: SamplerV2(runner).run([coin()], shots=n).result()[0].data.meas.num_shots,
    "pub": lambda runner, n: SamplerV2(runner).run([(coin(), None, n)]).result()[0].data.meas.num_shots,
    "default": lambda runner, n: SamplerV2(runner, default_shots=n).run([coin()]).result()[0].data.meas.num_shots,
    "option": lambda runner, n: SamplerV2(runner, {"default_shots": n}).run([coin()]).result()[0].data.meas.num_shots,
    "backend": lambda runner, n: sum(QonvergeBackend(runner).run(coin(), shots=n).result().get_counts().values()),
    "estimator": lambda runner, n: (
        EstimatorV2(runner, {"default_shots": n}).run([(QuantumCircuit(1), "X")]).result()[0].metadata["shots"]
    ),
    "braket": lambda runner, n: sum(Device(runner).run(Circuit().h(0), shots=n).result().measurement_counts.values()),
    "cirq": lambda runner, n: Sampler(runner).run(cirq.Circuit(cirq.measure(QUBIT)), repetitions=n).repetitions,
}
EXACT = {"braket", "cirq"}
MAY_BE_LEFT_OUT = ("sampler", "pub", "default", "option", "backend")


@pytest.mark.parametrize("asked", WITH_SHOTS.values(), ids=WITH_SHOTS)
@pytest.mark.parametrize("number", [7, np.int64(7), np.uint8(7), np.int32(7)])
def test_whole_numbers_are_shots_whoever_makes_them(runner: Embedded, asked: Asked, number: Any) -> None:
    assert asked(runner, number) == 7


@pytest.mark.parametrize(("name", "asked"), WITH_SHOTS.items(), ids=WITH_SHOTS)
@pytest.mark.parametrize("number", [0, -5, np.int64(-1), True, np.True_, 1.5, 10.0, "10", float("nan"), 10**9])
def test_what_is_no_number_of_shots_is_refused(runner: Embedded, name: str, asked: Asked, number: Any) -> None:
    if number == 0 and name in EXACT and not isinstance(number, bool):
        pytest.skip("0 asks for exact values in Braket, and for no records in Cirq")
    with pytest.raises((TypeError, ValueError), match=r"shots|repetitions"):
        asked(runner, number)


@pytest.mark.parametrize("name", MAY_BE_LEFT_OUT)
def test_none_stands_for_the_default(runner: Embedded, name: str) -> None:
    assert WITH_SHOTS[name](runner, None) == 1024


def test_a_backends_own_options_are_checked_too(runner: Embedded) -> None:
    backend = QonvergeBackend(runner)
    backend.set_options(shots=np.int64(9), seed_simulator=np.int64(3))
    assert sum(backend.run(coin(), shots=None).result().get_counts().values()) == 9
    with pytest.raises(ValueError, match="shots"):
        backend.set_options(shots=0)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), True, "0.1", 1j])
def test_what_is_no_precision_is_refused(runner: Embedded, value: Any) -> None:
    pub = (QuantumCircuit(1), "X")
    with pytest.raises((TypeError, ValueError), match="precision"):
        EstimatorV2(runner).run([pub], precision=value)
    with pytest.raises((TypeError, ValueError), match="precision"):
        EstimatorV2(runner).run([(*pub, None, value)])
    with pytest.raises((TypeError, ValueError), match="precision"):
        EstimatorV2(runner, default_precision=value)


@pytest.mark.parametrize("value", [0.1, np.float64(0.1), np.float32(0.1), np.array(0.1)])
def test_real_numbers_are_precisions_whoever_makes_them(runner: Embedded, value: Any) -> None:
    found = EstimatorV2(runner, seed=1).run([(QuantumCircuit(1), "X")], precision=value).result()[0]
    assert found.metadata["target_precision"] == pytest.approx(0.1)
    assert found.data.stds <= 0.11


def circle(seed: Any, device: str, runner: Embedded) -> Any:
    if device == "sampler":
        return SamplerV2(runner, seed=seed).run([coin()], shots=64).result()[0].data.meas.get_bitstrings()
    if device == "backend":
        return QonvergeBackend(runner).run(coin(), shots=99, seed_simulator=seed).result().get_counts()
    if device == "estimator":
        return EstimatorV2(runner, seed=seed).run([(QuantumCircuit(1), "X")], precision=0.1).result()[0].data.evs
    if device == "braket":
        return Device(runner, seed=seed).run(Circuit().h(0), shots=99).result().measurement_counts
    if device == "cirq":
        circuit = cirq.Circuit(cirq.H(QUBIT), cirq.measure(QUBIT, key="m"))
        return Sampler(runner, seed=seed).run(circuit, repetitions=64).measurements["m"].tolist()
    remote = qml.device("qonverge.remote", 1, runner=runner, seed=seed)
    node = qml.set_shots(qml.QNode(lambda: [qml.Hadamard(0), qml.sample(wires=0)][1], remote), 64)
    return np.asarray(node()).tolist()


DEVICES = ["sampler", "backend", "estimator", "braket", "cirq", "pennylane"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.int8])
def test_numpy_integers_are_seeds(runner: Embedded, device: str, kind: Any) -> None:
    assert circle(kind(5), device, runner) == circle(5, device, runner)


@pytest.mark.parametrize("device", [*DEVICES])
@pytest.mark.parametrize("seed", [-1, True, 1.5, "5", 2**40])
def test_what_is_no_seed_is_refused(runner: Embedded, device: str, seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seed"):
        circle(seed, device, runner)


def test_what_a_server_refuses_is_refused_without_one(runner: Embedded) -> None:
    from qiskit.circuit import Parameter

    from qonverge.client import TaskFailed

    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    with pytest.raises(TaskFailed, match=r"the parameter t has values that are NaN or infinite \[InvalidTask\]"):
        EstimatorV2(runner).run([(circuit, "Z", [float("nan")])]).result()
