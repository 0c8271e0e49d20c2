"""Measurements that share a task of Braket, in front of dev-cloud."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.amounts import Limits, Money, Prices
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.errors import EngineFailed
from qonverge.wire.grants import Grant
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.tokens import Caller
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario
from tests.clouds.sweep import check, sweep

FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.1, poll_first=0.01, poll_near=0.05, cancel=5)
FEE, SHOT = Decimal("0.30"), Decimal("0.08")


@contextlib.contextmanager
def cloud(**device: Any) -> Any:
    scenario = {"braket": {"devices": {"Forte-1": {"noise": False, **device}}}}
    with DevCloud(Scenario.model_validate(scenario)) as running:
        yield running


@contextlib.asynccontextmanager
async def proxy(there: DevCloud, folder: Path) -> AsyncIterator[Engine]:
    environment = there.environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (folder / name).write_text(environment[name])
    options = {
        "device": FORTE,
        "bucket": environment["AMZN_BRAKET_OUT_S3_BUCKET"],
        "endpoint": environment["AWS_ENDPOINT_URL_BRAKET"],
        "s3Endpoint": environment["AWS_ENDPOINT_URL_S3"],
    }
    config = EngineConfig(
        provider="Braket", memory_bytes=1024**3, concurrency=10, options=options, credentials=str(folder)
    )
    made = Engine(config, executor=partial(CloudExecutor, patience=QUICK))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def result(engine: Engine, task: Task) -> TaskResult:
    engine.submit(task)
    async with asyncio.timeout(120):
        return await engine.wait(task.id, float("inf"))


@pytest.mark.asyncio
async def test_measurements_share_a_task_which_is_the_same_after_a_restart(kit: Any, tmp_path: Path) -> None:
    with cloud() as there:
        for _ in range(2):
            async with proxy(there, tmp_path) as engine:
                found = await result(engine, sweep(kit, "one"))
                check(found)
                (own,) = found.vendor_tasks
                (sent,) = there.tasks()
                assert (own.id, sent["shots"]) == (sent["arn"], 600)
                assert Decimal(str(sent["cost"])) == FEE + 600 * SHOT
        async with proxy(there, tmp_path) as engine:
            # What is charged is what is sent.
            left = Limits(cost=Money(Decimal("48.30"), "USD"))
            prices = Prices(task=FEE, shot=SHOT)
            engine.accounts.take({"uid": Grant(left, left, prices)}, engine.accounts.tell().boot)
            engine.submit(sweep(kit, "two"), Caller("chem/paid", "uid"))
            async with asyncio.timeout(120):
                check(await engine.wait("two", float("inf")))
            assert engine.accounts.tell().by_account["uid"].used.cost_in("USD") == FEE + 600 * SHOT
            await values(kit, engine, there)


async def values(kit: Any, engine: Engine, there: DevCloud) -> None:
    """Check bases and parameter sets against the state's own values."""
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    angles = np.array([0.3, 2.0])
    observables = ((("IZ", 1.0),), (("XX", 1.0), ("ZZ", 0.5)), (("YY", 1.0),))
    task = kit.task(circuit, "values", parameters={"theta": angles}, observables=observables, shots=2000)
    answer = await result(engine, task)
    # Three bases, each a program, and two sets, which are its inputs.
    assert len(answer.vendor_tasks) == 1
    *_, sent = [each for each in there.journal.entries() if each.operation == "CreateQuantumTask"]
    programs = json.loads(sent.request["action"])["programs"]
    assert [each["inputs"] for each in programs] == [{"p0": angles.tolist()}] * 3
    assert len({each["source"] for each in programs}) == 3
    found = answer.results[0]
    assert found.expectation_values is not None
    assert found.standard_errors is not None
    true = np.stack([np.cos(angles), np.sin(angles) + 0.5, -np.sin(angles)], axis=1)
    assert (abs(found.expectation_values - true) < 5 * found.standard_errors + 1e-3).all()


@pytest.mark.asyncio
async def test_only_what_failed_is_measured_again(kit: Any, tmp_path: Path) -> None:
    # Of three executables the second fails; it is sent alone then.
    with cloud(failingExecutables={"calls": [2, 4, 6]}) as there:
        async with proxy(there, tmp_path) as engine:
            found = await result(engine, sweep(kit, "one"))
            check(found)
            assert [task["shots"] for task in there.tasks()] == [600, 200]
            assert [task.state for task in found.vendor_tasks] == ["Completed", "Completed"]
            # Its other set fails twice over, and is a set again.
            check(await result(engine, sweep(kit, "two")))
            assert [task["shots"] for task in there.tasks()[2:]] == [600, 400]
        async with proxy(there, tmp_path) as engine:
            check(await result(engine, sweep(kit, "two")))
            assert len(there.tasks()) == 4


@pytest.mark.asyncio
async def test_what_was_measured_again_is_cancelled_by_the_next_process(kit: Any, tmp_path: Path) -> None:
    def states() -> list[str]:
        return [task["status"] for task in there.tasks()]

    with cloud(failingExecutables={"calls": [2]}, queue={"seconds": 3600}) as there:
        async with proxy(there, tmp_path) as engine:
            engine.submit(sweep(kit, "one"))
            await until(lambda: states() == ["QUEUED"])
            there.advance(3600)
            await until(lambda: states() == ["COMPLETED", "QUEUED"])
        async with proxy(there, tmp_path) as engine:
            engine.submit(sweep(kit, "one"))
            await engine.cancel("one")
            await until(lambda: states() == ["COMPLETED", "CANCELLED"])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_what_fails_for_good_fails_in_the_clouds_words(kit: Any, tmp_path: Path) -> None:
    failing = {"calls": [2], "reason": "the circuit is too deep", "retryable": False}
    with cloud(failingExecutables=failing) as there:
        async with proxy(there, tmp_path) as engine:
            found = await result(engine, sweep(kit, "one"))
            assert isinstance(found.error, EngineFailed)
            assert "1 of the 3 programs of the cloud's task arn:" in str(found.error)
            assert "failed: the circuit is too deep" in str(found.error)
            assert len(there.tasks()) == 1
