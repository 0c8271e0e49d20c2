"""A backend server that stands for a processor of Google: all but the engine is real, and that is dev-cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from qonverge.backend.clouds.google.cloud import GoogleCloud
from qonverge.backend.clouds.google.program import written
from qonverge.backend.clouds.protocol import JOB_TAG, NAMESPACE_TAG, RUN_TAG, CloudConfig, Submission
from qonverge.devices import Calibration
from qonverge.wire.messages import Task, TaskResult
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario

KEY = "GOOGLE_APPLICATION_CREDENTIALS"


@pytest.fixture(scope="module")
def cloud() -> Iterator[DevCloud]:
    processors = {"weber": {"noise": False}, "rainbow": {"queue": {"seconds": 600}}}
    with DevCloud(Scenario.model_validate({"google": {"processors": processors}})) as running:
        yield running


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory, cloud: DevCloud) -> Path:
    folder = tmp_path_factory.mktemp("secret")
    (folder / KEY).write_text(Path(cloud.environment[KEY]).read_text())
    return folder


@pytest.fixture(scope="module")
def backend(kit: Any, cloud: DevCloud, secret: Path) -> Iterator[Any]:
    """A proxy in the place of one that was killed when it had sent a task."""
    options = {
        "project": "lab",
        "processor": "weber",
        "endpoint": cloud.environment["QONVERGE_GOOGLE_ENDPOINT"],
    }
    given = ("--engine", "Google", "--options", json.dumps(options), "--credentials", str(secret), "--concurrency", "9")
    with kit.serving(*given) as first:
        assert first.send(once(kit), wait=0).status == 202
        kit.until(cloud.tasks, "the engine has the job")
        first.process.kill()
        first.process.wait()
    with kit.serving(*given) as running:
        yield running


def once(kit: Any) -> Task:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    task: Task = kit.task(circuit, "once", shots=200)
    return task


def test_a_task_that_is_sent_again_after_the_proxy_was_killed_is_the_one_that_is_there(
    kit: Any, backend: Any, cloud: DevCloud
) -> None:
    found = result_of(backend.send(once(kit)))
    assert found.results[0].counts[0] == {"1": 200}
    assert found.calibration
    assert [each["id"] for each in cloud.tasks()] == [each.id for each in found.vendor_tasks]


def test_what_an_attempt_has_there_is_found_and_ended(cloud: DevCloud, secret: Path) -> None:
    endpoint = cloud.environment["QONVERGE_GOOGLE_ENDPOINT"]
    given = {"project": "busy", "processor": "rainbow", "endpoint": endpoint}
    there = GoogleCloud(CloudConfig(given, str(secret)))
    device = there.device().calibration
    assert isinstance(device, Calibration)
    circuit = QuantumCircuit(1, 1)
    circuit.rx(np.pi, 0)
    circuit.measure(0, 0)
    program, _ = written(circuit, device.labels, "cz")
    own, other = (
        there.submit(64 * run[-1], Submission(program, 100, tags={NAMESPACE_TAG: "chem", JOB_TAG: "vqe", RUN_TAG: run}))
        for run in ("uid-0.1", "uid-0.12")
    )
    assert there.of_run("uid-0.1") == [own]
    there.cancel(own)
    assert (there.of_run("uid-0.1"), there.of_run("uid-0.12")) == ([], [other])


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
    assert sent.run_seconds is not None
    (known,) = [task for task in cloud.tasks() if task["id"] == sent.id]
    assert (known["shots"], known["device"]) == (400, "weber")


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


def test_what_the_server_says_of_the_device(backend: Any) -> None:
    info = backend.info()
    assert info["engine"].startswith("Google weber, Qiskit ")
    assert info["basis_gates"] == ["cz", "rx", "rz"]
    assert info["device"]["online"]


def test_nothing_tells_a_secret(kit: Any, backend: Any, secret: Path) -> None:
    """The last one: afterwards the proxy has no credentials."""
    key = json.loads((secret / KEY).read_text())["private_key"]
    (secret / KEY).unlink()
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    waiting = backend.send(kit.task(circuit, "later", shots=200), wait=1)
    assert waiting.status == 202
    told = [waiting.body, backend.info(), backend.ask("GET", "/metrics").body]
    text = repr([*told, backend.lines])
    assert KEY in text
    assert key.splitlines()[5] not in text
    assert "Bearer" not in text
