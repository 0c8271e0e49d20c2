"""What the Cirq sampler refuses: before anything is sent, and saying what to do."""

from __future__ import annotations

import threading
from typing import Any

import cirq
import numpy as np
import pytest
import sympy

from qonverge.client.cirq import Sampler
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import Task, TaskResult

A, B = cirq.LineQubit.range(2)
T, U = sympy.symbols("t u")


class Nowhere:
    """Takes no task."""

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        raise AssertionError("a task was sent")

    def cancel(self, identity: str) -> bool:
        raise AssertionError("nothing was sent")

    def info(self) -> BackendInfo:
        raise AssertionError("nothing is asked")


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(Nowhere())


K = cirq.measure(A, key="k")
REFUSED: list[tuple[Any, str]] = [
    (cirq.Circuit(cirq.depolarize(0.1)(A), K), r"depolarize\(p=0.1\).* is a noise channel.*leave it out"),
    (cirq.Circuit(cirq.X(A).with_probability(0.5), K), "is a noise channel"),
    (cirq.Circuit(cirq.measure(cirq.LineQid(0, 3))), "has 3 levels"),
    (cirq.Circuit(cirq.X(A)), "no measurements to sample"),
    (cirq.Circuit(), "no measurements to sample"),
    (cirq.Circuit(K, cirq.measure(A, B, key="k")), "repeated with 1 and with 2 qubits"),
    (cirq.Circuit(cirq.X(A).with_classical_controls("z"), K), "key z, which is not measured before"),
    (
        cirq.Circuit(K, cirq.X(A).with_classical_controls(cirq.KeyCondition(cirq.MeasurementKey("k"), 1))),
        r"key k \[1\]",
    ),
    (
        cirq.Circuit(cirq.measure(A, key="k", confusion_map={(0,): np.eye(2)}), cirq.X(B).with_classical_controls("k")),
        "confusion_map and controls an operation",
    ),
    (
        cirq.Circuit(
            cirq.measure(*cirq.LineQubit.range(12), key="k"), cirq.X(A).with_classical_controls(sympy.Symbol("k") > 3)
        ),
        "depends on 12 measured bits",
    ),
    (
        cirq.Circuit(
            cirq.CircuitOperation(
                cirq.FrozenCircuit(cirq.H(A), K),
                use_repetition_ids=False,
                repeat_until=cirq.KeyCondition(cirq.MeasurementKey("k")),
            )
        ),
        "repeats until a condition holds",
    ),
    (cirq.Circuit(cirq.X(A) ** T, K), "symbol t has no value"),
]


@pytest.mark.parametrize(("circuit", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_refusals(sampler: Sampler, circuit: cirq.Circuit, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sampler.run(circuit)


@pytest.mark.parametrize("value", [1j, np.nan, np.inf, U])
def test_refused_values(sampler: Sampler, value: Any) -> None:
    with pytest.raises(ValueError, match="symbol t has"):
        sampler.run(cirq.Circuit(cirq.X(A) ** T, K), {"t": value})


def test_expressions_without_a_value(sampler: Sampler) -> None:
    with pytest.raises(ValueError, match=r"log\(t\) is not a real"):
        sampler.run(cirq.Circuit(cirq.X(A) ** sympy.log(T), K), {"t": -1})


def test_unknown_operations(sampler: Sampler) -> None:
    class Opaque(cirq.Gate):
        def _num_qubits_(self) -> int:
            return 1

    class Wide(cirq.Gate):
        def _num_qubits_(self) -> int:
            return 9

        def _unitary_(self) -> Any:
            return np.eye(2**9)

    with pytest.raises(ValueError, match="neither a unitary nor a decomposition"):
        sampler.run(cirq.Circuit(Opaque()(A), K))
    with pytest.raises(ValueError, match="needs a _decompose_ method"):
        sampler.run(cirq.Circuit(Wide()(*cirq.LineQubit.range(9)), K))


def test_refused_repetitions(sampler: Sampler) -> None:
    with pytest.raises(ValueError, match="repetitions is -1"):
        sampler.run(cirq.Circuit(K), repetitions=-1)
    fraction: Any = 1.5
    with pytest.raises(TypeError, match=r"repetitions is 1\.5"):
        sampler.run(cirq.Circuit(K), repetitions=fraction)


def test_refused_observables(sampler: Sampler) -> None:
    circuit = cirq.Circuit(cirq.H(A))
    with pytest.raises(ValueError, match="complex coefficient 1j"):
        sampler.simulate_expectation_values(circuit, 1j * cirq.Z(A))
    with pytest.raises(ValueError, match="name it in qubit_order"):
        sampler.simulate_expectation_values(circuit, cirq.Z(B))
    with pytest.raises(ValueError, match="goes on after a measurement"):
        sampler.simulate_expectation_values(cirq.Circuit(K, cirq.H(A)), cirq.Z(A))
    with pytest.raises(ValueError, match="goes on after a measurement"):
        sampler.simulate_expectation_values(
            cirq.Circuit(K, cirq.X(B).with_classical_controls("k")), cirq.Z(A), permit_terminal_measurements=True
        )
