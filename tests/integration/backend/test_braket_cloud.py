"""A backend server that stands for a device of Amazon Braket: all but the cloud is real, and that is dev-cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit
from braket.device_schema import DeviceActionType
from braket.ir.openqasm import Program
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from qonverge.backend.clouds.braket.cloud import BraketCloud
from qonverge.backend.clouds.braket.translator import BraketTranslator
from qonverge.backend.clouds.protocol import CloudConfig
from qonverge.backend.config import EngineConfig
from qonverge.client.braket import Device
from qonverge.client.errors import TaskFailed
from qonverge.client.transport.connect import connect
from qonverge.wire.messages import TaskResult
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIATHATNOBODYSEES", "AWS_SECRET_ACCESS_KEY": "secret/that+nobody+sees"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[DevCloud]:
    waiting = {"devices": {"Garnet": {"queue": {"seconds": 5}}}}
    with DevCloud(Scenario.model_validate({"braket": waiting})) as running:
        yield running


def options_of(cloud: DevCloud, folder: Path, device: str) -> dict[str, str]:
    """Return a backend's options, and put its credentials into a folder."""
    for name, value in SECRETS.items():
        (folder / name).write_text(value)
    there = cloud.environment
    return {
        "device": device,
        "bucket": there["AMZN_BRAKET_OUT_S3_BUCKET"],
        "endpoint": there["AWS_ENDPOINT_URL_BRAKET"],
        "s3Endpoint": there["AWS_ENDPOINT_URL_S3"],
        **({"region": "us-east-1"} if device in (SV1, DM1) else {}),
    }


@contextmanager
def proxy(kit: Any, cloud: DevCloud, folder: Path, device: str, **more: str) -> Iterator[Any]:
    options = json.dumps({**options_of(cloud, folder, device), **more})
    with kit.serving(
        "--engine", "Braket", "--options", options, "--credentials", str(folder), "--concurrency", "10"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def backend(kit: Any, cloud: DevCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with proxy(kit, cloud, tmp_path_factory.mktemp("secret"), SV1) as running:
        yield running


def result_of(answer: Any) -> TaskResult:
    assert answer.status == 200, answer.body
    return TaskResult.from_dict(answer.body)


def test_a_bell_pair_over_registers_of_which_a_part_is_measured(kit: Any, backend: Any, cloud: DevCloud) -> None:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(2, "low"), ClassicalRegister(3, "high"))
    circuit.x(0)
    circuit.h(3)
    circuit.cx(3, 1)
    circuit.measure([3, 1, 0], [4, 1, 2])
    found = result_of(backend.send(kit.task(circuit, "bell", shots=400)))
    counts = found.results[0].counts[0]
    # Bit 2 is that of the qubit that is in 1, bits 1 and 4 are the pair's.
    assert set(counts) == {"001 00", "101 10"}
    assert sum(counts.values()) == 400
    assert abs(counts["001 00"] - 200) < 5 * 10
    (sent,) = found.vendor_tasks
    assert sent.state == "Completed"
    (known,) = [task for task in cloud.tasks() if task["arn"] == sent.id]
    assert known["shots"] == 400


def test_expectation_values_of_a_sweep(kit: Any, backend: Any) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    angles = np.array([0.3, 2.0])
    observables = ((("IZ", 1.0),), (("XX", 1.0), ("ZZ", 0.5)), (("YY", 1.0),))
    task = kit.task(circuit, "values", parameters={"theta": angles}, observables=observables, shots=2000)
    found = result_of(backend.send(task)).results[0]
    true = np.stack([np.cos(angles), np.sin(angles) + 0.5, -np.sin(angles)], axis=1)
    assert found.expectation_values is not None
    assert found.standard_errors is not None
    assert (abs(found.expectation_values - true) < 5 * found.standard_errors + 1e-3).all()
    assert (found.standard_errors < 0.06).all()


def test_exact_values_of_a_simulator(kit: Any, backend: Any, cloud: DevCloud) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(3)
    circuit.ry(theta, 2)
    circuit.cx(2, 0)
    angles = np.array([0.3, 2.0])
    observables = ((("IIZ", 2.0), ("III", 1.0)), (("XIX", 1.0), ("ZIZ", 0.5)), (("YIY", 1.0), ("IZI", 4.0)))
    before = len(cloud.tasks())
    task = kit.task(circuit, "exact", parameters={"theta": angles}, observables=observables, shots=None)
    found = result_of(backend.send(task)).results[0]
    true = np.stack([2 * np.cos(angles) + 1, np.sin(angles) + 0.5, 4 - np.sin(angles)], axis=1)
    assert found.expectation_values == pytest.approx(true, abs=1e-9)
    assert found.standard_errors is not None
    assert not found.standard_errors.any()
    assert [each["shots"] for each in cloud.tasks()[before:]] == [0, 0]


def test_exact_values_of_dm1(kit: Any, cloud: DevCloud, tmp_path: Path) -> None:
    options = options_of(cloud, tmp_path, DM1)
    there = BraketCloud(CloudConfig(options, str(tmp_path)))
    device = there.device()
    assert (device.num_qubits, device.exact, device.states, device.ideal) == (17, True, False, True)
    translator = BraketTranslator(EngineConfig(provider="Braket", options=options))
    circuit = QuantumCircuit(3)
    circuit.ry(0.3, 2)
    circuit.cx(2, 0)
    observables = ((("IIZ", 2.0), ("III", 1.0)), (("XIX", 1.0), ("ZIZ", 0.5)), (("IZI", 4.0),))
    submission = translator.encode_exact(translator.prepare(circuit), observables)
    task = there.submit("k" * 64, submission)
    kit.until(lambda: there.tasks([task])[task].state == "Completed", "it is done")
    found = translator.decode_exact(submission, there.result(task))
    assert found.values == pytest.approx([2 * np.cos(0.3) + 1, np.sin(0.3) + 0.5, 4.0], abs=1e-9)


TURNED = "OPENQASM 3.0; qubit[2] q; ry(0.7) q[0]; rx(1.1) q[1]; cnot q[0], q[1];"
OF_SHOTS = ("probability q[1], q[0]", "expectation y(q[1]) @ z(q[0])", "variance x(q[0])")


def turned() -> np.ndarray:
    """Return the state of that program, the first qubit in the most significant bit."""
    ry = np.array([np.cos(0.35), np.sin(0.35)])
    rx = np.array([np.cos(0.55), -1j * np.sin(0.55)])
    one, other = np.kron(ry, rx).reshape(2, 2)
    return np.concatenate([one, other[::-1]])


def true_values() -> list[Any]:
    """Return those of ``OF_SHOTS``."""
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    state = turned()
    swapped = np.abs(state.reshape(2, 2).T.ravel()) ** 2
    mean = (state.conj() @ np.kron(x, np.eye(2)) @ state).real
    return [swapped, (state.conj() @ np.kron(z, y) @ state).real, 1 - mean**2]


def asking(*types: str) -> Program:
    return Program(source="\n".join([TURNED, *(f"#pragma braket result {each}" for each in types)]))


def test_result_types_of_a_simulator(backend: Any) -> None:
    device, state = Device(connect(backend.url, backend.token())), turned()
    known = {each.name for each in device.properties.action[DeviceActionType.OPENQASM].supportedResultTypes}
    assert known >= {"StateVector", "DensityMatrix", "Amplitude", "Sample"}
    of_state = ("state_vector", 'amplitude "01", "10"', "density_matrix q[1]")
    vector, amplitude, matrix, *values = device.run(asking(*of_state, *OF_SHOTS), shots=0).result().values
    assert vector == pytest.approx(state, abs=1e-9)
    assert [amplitude["01"], amplitude["10"]] == pytest.approx([state[1], state[2]], abs=1e-9)
    halves = state.reshape(2, 2)
    assert matrix == pytest.approx(halves.T @ halves.conj(), abs=1e-9)
    for found, true in zip(values, true_values(), strict=True):
        assert found == pytest.approx(true, abs=1e-9)


def runs_as_written(device: Device, cloud: DevCloud) -> None:
    """Check that a verbatim box reaches the device as it is, and what does not fit is refused before."""
    # Half a turn about an axis between X and Y flips; two quarter turns about the same axis do too.
    box = Circuit().gpi(4, 0.3).gpi2(9, 1.1).gpi2(9, 1.1).zz(4, 9, 0.8)
    result = device.run(Circuit().add_verbatim_box(box).measure([9, 4]), shots=500).result()
    assert result.measured_qubits == [9, 4]
    assert result.measurement_counts["11"] > 450
    *_, sent = [each for each in cloud.journal.entries() if each.operation == "CreateQuantumTask"]
    source = json.loads(sent.request["action"])["source"]
    written = ["gpi(0.3) $4;", "gpi2(1.1) $9;", "gpi2(1.1) $9;", "zz(0.8) $4, $9;"]
    assert source.split("#pragma braket verbatim\nbox {\n")[1].split("\n}")[0].split("\n") == written
    for wrong, words in ((Circuit().h(4), "no native gate h"), (Circuit().gpi(40, 0.1), "no qubit 40")):
        with pytest.raises(TaskFailed, match=words):
            device.run(Circuit().add_verbatim_box(wrong), shots=10).result()


def of_a_qpu(device: Device) -> None:
    """Check what a QPU that errs has: values of shots, and no exact ones."""
    action = device.properties.action[DeviceActionType.OPENQASM]
    least = {each.name: each.minShots for each in action.supportedResultTypes}
    assert least == {"Sample": 1, "Expectation": 1, "Variance": 1, "Probability": 1}
    assert device.properties.service.shotsRange[0] == 1
    # Observables of one circuit share their bases, as Braket has it.
    true = true_values()
    probability, *_ = device.run(asking(OF_SHOTS[0]), shots=5000).result().values
    assert probability == pytest.approx(true[0], abs=0.06)
    mean, sample = device.run(asking(OF_SHOTS[1], "sample y(q[1]) @ z(q[0])"), shots=5000).result().values
    assert (mean, np.mean(sample), len(sample)) == (pytest.approx(true[1], abs=0.08), pytest.approx(mean), 5000)
    assert device.run(asking(OF_SHOTS[2]), shots=5000).result().values == [pytest.approx(true[2], abs=0.08)]
    for exact, words in ((OF_SHOTS[1], "no exact values"), ("state_vector", "no amplitudes")):
        with pytest.raises(TaskFailed, match=words):
            device.run(asking(exact), shots=0).result()


def test_what_the_server_says_of_the_device(backend: Any) -> None:
    info = backend.info()
    assert info["engine"].startswith("Braket sv1, Qiskit ")
    assert "ccx" in info["basis_gates"]
    assert info["device"]["online"]
    assert info["device"]["prices"] == ["0.00375", "0", "0.00125", "USD"]


def test_a_circuit_that_the_device_cannot_run_is_refused_before_anything_is_sent(
    kit: Any, backend: Any, cloud: DevCloud
) -> None:
    before = len(cloud.tasks())
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.measure(0, 0)
    answer = backend.send(kit.task(circuit, "reset", shots=1))
    assert answer.error["code"] == "InvalidCircuit", answer.body
    assert len(cloud.tasks()) == before


def test_a_qpu_that_counts_and_nothing_that_tells_a_secret(kit: Any, cloud: DevCloud, tmp_path: Path) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [1, 0])
    with proxy(kit, cloud, tmp_path, FORTE) as backend:
        found = result_of(backend.send(kit.task(circuit, "bell", shots=500)))
        counts = found.results[0].counts[0]
        assert counts["00"] + counts["11"] > 450
        assert found.calibration
        device = Device(connect(backend.url, backend.token()))
        of_a_qpu(device)
        runs_as_written(device, cloud)
        (tmp_path / "AWS_SECRET_ACCESS_KEY").unlink()
        waiting = backend.send(kit.task(circuit, "later", shots=500), wait=1)
        assert waiting.status == 202
        told = [found.to_dict(), waiting.body, backend.info(), backend.ask("GET", "/metrics").body]
    told += [cloud.tasks(), [each.plain() for each in cloud.journal.entries()]]
    text = repr([*told, backend.lines])
    assert "AWS_SECRET_ACCESS_KEY" in text
    assert not [secret for secret in SECRETS.values() if secret in text]


def test_a_task_that_is_sent_again_after_the_proxy_was_killed_is_the_one_that_waits(
    kit: Any, cloud: DevCloud, tmp_path: Path
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    task = kit.task(circuit, "once", shots=200)

    def sent() -> list[Any]:
        return [each for each in cloud.tasks() if ":eu-north-1:" in each["arn"]]

    with proxy(kit, cloud, tmp_path, GARNET) as backend:
        assert backend.send(task, wait=0).status == 202
        kit.until(sent, "the cloud has the task")
        backend.process.kill()
        backend.process.wait()
    # Braket refuses the token of a request that is another one, as after an edit of the backend.
    with proxy(kit, cloud, tmp_path, GARNET, prefix="edited") as backend:
        found = result_of(backend.send(replace(task, again=True)))
    assert found.results[0].counts[0]["1"] > 150
    assert [each["arn"] for each in sent()] == [each.id for each in found.vendor_tasks]
