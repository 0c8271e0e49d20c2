"""The Braket device against a real server."""

from __future__ import annotations

import pytest
from braket.circuits import Circuit, FreeParameter, Observable
from braket.ir.openqasm import Program

from qonverge.client.braket import Device
from qonverge.client.errors import TaskFailed
from qonverge.client.transport.connect import connect


@pytest.fixture
def device(backend) -> Device:  # type: ignore[no-untyped-def]
    return Device(connect(backend.url, backend.token()), seed=3)


def test_samples_and_exact_values(device: Device) -> None:
    assert set(device.run(Circuit().h(2).cnot(2, 5), shots=100).result().measurement_counts) == {"00", "11"}
    circuit = Circuit().rx(0, FreeParameter("a")).expectation(Observable.Z(0)).probability()
    results = device.run_batch(circuit, inputs=[{"a": 0.0}, {"a": 3.141592653589793}]).results()
    assert [result.values[0] for result in results] == pytest.approx([1, -1])
    assert [result.values[1].round(9).tolist() for result in results] == [[1, 0], [0, 1]]


def test_openqasm(device: Device) -> None:
    source = "OPENQASM 3.0; qubit[2] q; bit[2] c; x q[1]; reset q[1]; iswap q[0], q[1]; x q[0]; c = measure q;"
    assert device.run(Program(source=source), shots=20).result().measurement_counts == {"10": 20}


def test_what_it_says_of_itself(device: Device) -> None:
    assert device.status == "AVAILABLE"
    # A worker's share of 2 GiB.
    assert 20 <= device.properties.paradigm.qubitCount < 30


def test_what_does_not_fit_fails_with_the_servers_words(device: Device) -> None:
    task = device.run(Circuit().h(range(40)).t(range(40)).state_vector())
    with pytest.raises(TaskFailed, match="40 qubits"):
        task.result()
    assert task.state() == "FAILED"
