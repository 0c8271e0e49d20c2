"""One task on all workers: the same result as on one, faster, and one task to its caller."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.engine import Engine
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.errors import Cancelled, InvalidTask, WorkerLost
from qonverge.wire.messages import Pub, Task, TaskResult

OBSERVABLES = ((("ZZXI", 1.0), ("IXXX", 0.5)), (("ZIIZ", 1.0),))


@contextlib.asynccontextmanager
async def engine(workers: int, **options: Any) -> AsyncIterator[Engine]:
    made = Engine(EngineConfig(**{"cpus": 2, "concurrency": workers, "memory_bytes": 4 * 1024**3, **options}))
    try:
        await made.start()
        async with asyncio.timeout(60):
            while made.metrics.exposition().find(f"qonverge_backend_workers {workers}.0".encode()) < 0:
                await asyncio.sleep(0.02)
        yield made
    finally:
        await made.close()


async def finish(made: Engine, task: Task) -> TaskResult:
    made.submit(task)
    async with asyncio.timeout(120):
        return await made.wait(task.id, float("inf"))


def circuits(kit: Any) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return a circuit whose counts are drawn from probabilities, one that Aer samples, and one without measurement."""
    angle = Parameter("t")
    plain = QuantumCircuit(4, 4)
    plain.ry(angle, range(4))
    plain.cx(0, 1)
    narrow, wide = plain.copy(), QuantumCircuit(15, 15)
    narrow.measure(range(4), range(4))
    wide.ry(angle, range(15))
    wide.measure(range(15), range(15))
    sent, names = {}, {}
    for name, circuit in (("plain", plain), ("narrow", narrow), ("wide", wide)):
        digest, qpy = kit.travelling(circuit)
        sent[digest], names[name] = qpy, digest
    return sent, names


def everything(kit: Any, identity: str, *, memory: bool) -> Task:
    """Return a task of every kind of pub, each with enough sets to be cut."""
    sent, names = circuits(kit)
    sweep = {"t": np.linspace(0, 2, 80)}
    pairs = np.stack([np.arange(80)[::-1], np.arange(80) % 2], axis=-1).astype(np.int32)
    pubs = (
        Pub(names["narrow"], sweep, shots=1000),
        Pub(names["wide"], {"t": sweep["t"][:20]}, shots=4000),
        Pub(names["plain"], sweep, observables=OBSERVABLES),
        Pub(names["plain"], sweep, observables=OBSERVABLES, pairs=pairs),
        Pub(names["plain"], sweep, shots=1000, observables=OBSERVABLES, pairs=pairs),
        Pub(names["plain"], sweep, shots=1000, observables=OBSERVABLES),
        Pub(names["plain"], {"t": sweep["t"][:3]}, precision=0.05, observables=OBSERVABLES),
        Pub(names["plain"], sweep, statevector=True),
        *(Pub(names["narrow"], {"t": np.array([value])}, shots=100) for value in range(20)),
    )
    return Task(identity, pubs, sent, seed=11, memory=memory)


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def test_the_same_seed_gives_the_same_result_on_any_number_of_workers(kit: Any) -> None:
    def values(result: TaskResult) -> Any:
        assert result.error is None
        return plain([one.to_dict() for one in result.results])

    own = Embedded(EngineConfig(memory_bytes=4 * 1024**3))
    tasks = {memory: everything(kit, f"memory-{memory}", memory=memory) for memory in (False, True)}
    expected = {memory: values(own.run(task)) for memory, task in tasks.items()}
    for workers in (1, 2, 3):
        async with engine(workers) as made:
            # The second time the costs of every circuit are known, and the cuts are others.
            for turn in range(2):
                for memory, task in tasks.items():
                    result = await finish(made, replace(task, id=f"{task.id}-{turn}"))
                    assert values(result) == expected[memory], (workers, turn)
    assert values(own.run(replace(tasks[False], seed=12)))[0] != expected[False][0]


def endless_pubs(kit: Any, endless: QuantumCircuit, identity: str) -> Task:
    """Return a task that ends on no worker, and has enough pubs to be shared by all."""
    task: Task = kit.task(endless, identity)
    return replace(task, pubs=task.pubs * 200)


async def cpu_seconds(made: Engine) -> list[float]:
    workers = [
        c for c in psutil.Process().children() if "qonverge.backend.executors.worker_process" in " ".join(c.cmdline())
    ]
    return [sum(worker.cpu_times()[:2]) for worker in workers]


async def both_run(made: Engine, task: Task) -> None:
    """Submit the task, and return when both workers are on it."""
    before = await cpu_seconds(made)
    made.submit(task)
    async with asyncio.timeout(60):
        while min(np.subtract(await cpu_seconds(made), before)) < 0.2:
            await asyncio.sleep(0.05)
    assert (made.info().running, made.info().queued) == (1, 0)


@pytest.fixture
def workers() -> Any:
    def pids() -> set[int]:
        return {
            child.pid
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE and "qonverge.backend.executors.worker_process" in child.cmdline()
        }

    return pids


async def test_cancelling_ends_all_parts(kit: Any, bell: Any, endless: Any, workers: Any) -> None:
    async with engine(2) as made:
        before = workers()
        await both_run(made, endless_pubs(kit, endless, "endless"))
        ended = await made.cancel("endless")
        assert isinstance(ended.error, Cancelled)
        assert not before & workers()
        assert (await finish(made, kit.task(bell, "next", shots=5))).state == "Completed"
        assert (made.info().running, made.info().queued) == (0, 0)


async def test_a_lost_worker_fails_the_task_and_stops_the_other_parts(
    kit: Any, bell: Any, endless: Any, workers: Any
) -> None:
    async with engine(2) as made:
        before = workers()
        await both_run(made, endless_pubs(kit, endless, "endless"))
        os.kill(min(before), signal.SIGKILL)
        ended = await made.wait("endless", 60)
        assert isinstance(ended.error, WorkerLost)
        async with asyncio.timeout(60):
            while before & workers() or made.info().running:
                await asyncio.sleep(0.02)
        for number in range(4):
            assert (await finish(made, kit.task(bell, f"next-{number}", shots=5))).state == "Completed"


async def test_an_error_of_one_part_is_the_tasks_error_and_costs_no_worker(kit: Any, workers: Any) -> None:
    sent, names = circuits(kit)
    good = Pub(names["plain"], {"t": np.linspace(0, 2, 300)}, observables=OBSERVABLES)
    bad = Pub(names["plain"], {"wrong": np.linspace(0, 2, 300)}, observables=OBSERVABLES)
    async with engine(2) as made:
        before = workers()
        ended = await finish(made, Task("t", (good, bad), sent))
        assert isinstance(ended.error, InvalidTask)
        assert "no values are given for t" in ended.error.message
        assert (await finish(made, Task("u", (good, good), sent))).state == "Completed"
        assert workers() == before


async def test_drain_lets_all_parts_end(kit: Any) -> None:
    sent, names = circuits(kit)
    pub = Pub(names["plain"], {"t": np.linspace(0, 2, 3000)}, observables=OBSERVABLES)
    async with engine(2) as made:
        made.submit(Task("t", (pub,), sent))
        async with asyncio.timeout(60):
            while (await made.wait("t", 0)).state != "Running":
                await asyncio.sleep(0.001)
            ended = asyncio.create_task(made.wait("t", 60))
            await made.shut_down(60)
        assert ended.done()
        assert (await ended).state == "Completed"


async def test_a_task_that_is_cut_counts_once(kit: Any) -> None:
    sent, names = circuits(kit)
    pub = Pub(names["plain"], {"t": np.linspace(0, 2, 3000)}, observables=OBSERVABLES)
    async with engine(2) as made:
        for number in range(3):
            assert (await finish(made, Task(f"t{number}", (pub,), sent))).state == "Completed"
        text = made.metrics.exposition().decode()
        assert 'qonverge_backend_tasks_total{state="Completed"} 3.0' in text
        assert "qonverge_backend_run_seconds_count 3.0" in text
        assert (made.info().running, made.info().queued) == (0, 0)
