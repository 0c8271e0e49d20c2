"""A backend server that stands for a device of IonQ: all but the cloud is real, and that is dev-cloud."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from qonverge.backend.clouds.ionq.cloud import KEY_FIELD, IonqCloud
from qonverge.backend.clouds.protocol import JOB_TAG, NAMESPACE_TAG, RUN_TAG, CloudConfig, Submission
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.messages import TaskResult
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from qonverge_dev_cloud.scenario import Scenario
from tests.clouds.running import provider
from tests.clouds.sweep import check, sweep

SECRET = "key-that-nobody-sees"
FORTE, ARIA = "qpu.forte-1", "qpu.aria-1"
QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.2, poll_first=0.01, poll_near=0.05, cancel=5)


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("near")):
        yield


@pytest.fixture(scope="module")
def cloud() -> Iterator[DevCloud]:
    quiet = {"noise": False}
    backends = {FORTE: quiet, ARIA: {**quiet, "queue": {"seconds": 600}}}
    with DevCloud(Scenario.model_validate({"ionq": {"backends": backends}})) as running:
        yield running


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "IONQ_API_KEY").write_text(SECRET)
    return tmp_path


def options(cloud: DevCloud, backend: str, **more: Any) -> dict[str, Any]:
    return {"backend": backend, "endpoint": cloud.environment["IONQ_API_URL"], **more}


@contextmanager
def proxy(kit: Any, cloud: DevCloud, secret: Path, backend: str, **more: Any) -> Iterator[Any]:
    given = ("--engine", "IonqNear", "--options", json.dumps(options(cloud, backend, **more)), "--concurrency", "10")
    with kit.serving(*given, "--credentials", str(secret)) as running:
        yield running


def result_of(answer: Any) -> TaskResult:
    assert answer.status == 200, answer.body
    return TaskResult.from_dict(answer.body)


def sent(cloud: DevCloud, backend: str) -> list[dict[str, Any]]:
    return [task for task in cloud.tasks() if task["cloud"] == "ionq" and task["device"] == backend]


def test_values_and_what_is_told(kit: Any, cloud: DevCloud, secret: Path) -> None:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(2, "low"), ClassicalRegister(3, "high"))
    circuit.x(0)
    circuit.h(3)
    circuit.cx(3, 1)
    circuit.measure([3, 1, 0], [4, 1, 2])
    theta, turned = Parameter("theta"), QuantumCircuit(2)
    turned.ry(theta, 0)
    turned.cx(0, 1)
    angles = np.array([0.3, 2.0])
    observables = ((("IZ", 1.0),), (("XX", 1.0), ("ZZ", 0.5)), (("YY", 1.0),))
    before = len(sent(cloud, FORTE))
    with proxy(kit, cloud, secret, FORTE, costLimit="200") as backend:
        found = result_of(backend.send(kit.task(circuit, "bell", shots=400)))
        task = kit.task(turned, "values", parameters={"theta": angles}, observables=observables, shots=2000)
        values = result_of(backend.send(task)).results[0]
        told = [found.to_dict(), backend.info(), backend.ask("GET", "/metrics").body, backend.lines]
    counts = found.results[0].counts[0]
    # Bit 2 is that of the qubit that is in 1, bits 1 and 4 are the pair's.
    assert set(counts) == {"001 00", "101 10"}
    assert sum(counts.values()) == 400
    assert abs(counts["001 00"] - 200) < 5 * 10
    (job,) = found.vendor_tasks
    assert (job.state, str(job.billed)) == ("Completed", "25.79 USD")
    assert found.calibration
    true = np.stack([np.cos(angles), np.sin(angles) + 0.5, -np.sin(angles)], axis=1)
    assert values.expectation_values is not None
    assert values.standard_errors is not None
    assert (abs(values.expectation_values - true) < 5 * values.standard_errors + 1e-3).all()
    device = told[1]["device"]
    assert (device["online"], device["prices"], device["wait_seconds"]) == (True, ["200", "0", "0", "USD"], 0.0)
    assert told[1]["engine"].startswith(f"IonQ {FORTE}, Qiskit ")
    assert len(sent(cloud, FORTE)) - before == 7
    assert SECRET not in repr(told)


def test_what_an_attempt_has_there_is_found_and_ended(secret: Path) -> None:
    program = json.dumps({"qubits": 1, "gateset": "qis", "circuit": [{"gate": "x", "target": 0}]})
    with DevCloud(Scenario.model_validate({"ionq": {"backends": {ARIA: {"queue": {"seconds": 600}}}}})) as busy:
        there = IonqCloud(CloudConfig(options(busy, ARIA), str(secret)))
        own, other = (
            there.submit(
                64 * run[-1], Submission(program, 100, tags={NAMESPACE_TAG: "chem", JOB_TAG: "vqe", RUN_TAG: run})
            )
            for run in ("uid-0.1", "uid-0.12")
        )
        assert there.of_run("uid-0.1") == [own]
        there.cancel(own)
        assert (there.of_run("uid-0.1"), there.of_run("uid-0.12")) == ([], [other])


def test_a_proxy_that_is_killed_sends_nothing_twice(kit: Any, cloud: DevCloud, secret: Path) -> None:
    """While the reply to one job is lost; then all are cancelled."""
    task = sweep(kit, "killed")
    cloud.set_faults(Fault(operation="CreateJob", kind="lostReply", when="after", calls=(2,)))
    with proxy(kit, cloud, secret, ARIA) as backend:
        backend.send(task, wait=0)
        kit.until(lambda: len(sent(cloud, ARIA)) >= 2, "jobs are at the cloud")
        backend.process.kill()
        backend.process.wait()
    with proxy(kit, cloud, secret, ARIA) as backend:
        backend.send(task, wait=0)

        def known() -> list[str]:
            return sorted(each["id"] for each in backend.send(task, wait=0).body["vendor_tasks"])

        kit.until(lambda: len(known()) == 3, "the proxy knows all jobs")
        assert known() == sorted(each["id"] for each in sent(cloud, ARIA))
        backend.ask("DELETE", "/v1/tasks/killed")
        kit.until(lambda: {each["status"] for each in sent(cloud, ARIA)} == {"canceled"}, "the jobs end")
    assert len({each["tags"][KEY_FIELD] for each in sent(cloud, ARIA)}) == len(sent(cloud, ARIA)) == 3


@pytest.mark.asyncio
async def test_each_exists_once_whatever_fails(kit: Any, cloud: DevCloud, secret: Path) -> None:
    kinds: list[dict[str, Any]] = [
        {"kind": "lostReply", "when": "before", "probability": 0.08},
        {"kind": "lostReply", "when": "after", "probability": 0.08},
        {"kind": "status", "status": 429, "probability": 0.08},
        {"kind": "status", "status": 500, "when": "after", "probability": 0.08},
        {"kind": "status", "status": 503, "probability": 0.08},
    ]
    cloud.set_faults(*(Fault(cloud="ionq", **kind) for kind in kinds))
    before = len(cloud.journal.entries("ionq", "CreateJob"))
    config = EngineConfig(
        provider="IonqNear",
        options=options(cloud, "simulator", gateset="Native"),
        credentials=str(secret),
        concurrency=30,
        memory_bytes=1024**3,
    )
    engine = Engine(config, executor=partial(CloudExecutor, patience=QUICK))
    try:
        await engine.start()
        for index in range(20):
            engine.submit(sweep(kit, f"storm-{index}"))
        async with asyncio.timeout(120):
            for index in range(20):
                check(await engine.wait(f"storm-{index}", float("inf")))
    finally:
        await engine.close()
        cloud.set_faults()
    begun = Counter(each["tags"][KEY_FIELD] for each in sent(cloud, "simulator"))
    assert (len(begun), set(begun.values())) == (60, {1})
    calls = cloud.journal.entries("ionq", "CreateJob")[before:]
    assert {entry.status for entry in calls} >= {None, 201, 429, 500, 503}
