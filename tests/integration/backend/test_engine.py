"""The engine with real workers: order, limits, cancel, faults, drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.errors import (
    Cancelled,
    CircuitTooLarge,
    Draining,
    InvalidCircuit,
    NotFound,
    QueueFull,
    UnknownCircuit,
    WorkerLost,
)
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import Caller
from tests.unit.backend.tasks.spool import Spool

MIB = 1024**2


@contextlib.asynccontextmanager
async def engine(executor: Any = WorkerPool, **options: Any) -> AsyncIterator[Engine]:
    made = Engine(EngineConfig(**{"cpus": 2, "memory_bytes": 2048 * MIB, **options}), executor=executor)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture(params=["pool", "spool"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What runs the tasks: the registry is the same in front of any."""
    return WorkerPool if request.param == "pool" else partial(Spool, tmp_path)


def worker_pids() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "qonverge.backend.executors.worker_process" in child.cmdline()
    }


async def finish(made: Engine, task: Task, subject: str = "a") -> TaskResult:
    made.submit(task, Caller(subject))
    async with asyncio.timeout(120):
        return await made.wait(task.id, float("inf"), subject)


async def until_running(made: Engine, identity: str) -> None:
    async with asyncio.timeout(60):
        while (await made.wait(identity, 0)).state != "Running":
            await asyncio.sleep(0.01)


async def test_tasks_are_run_once_in_order_and_seen_by_their_owner_only(
    kit: Any, bell: QuantumCircuit, executor: Any
) -> None:
    async with engine(executor) as made:
        tasks = [kit.task(bell, f"t{number}", shots=10) for number in range(8)]
        sent = []
        for task in tasks:
            made.submit(task, Caller("a"))
            sent.append(time.monotonic())
        made.submit(tasks[0], Caller("a"))
        with pytest.raises(NotFound, match="is taken"):
            made.submit(tasks[0], Caller("b"))
        for call in (made.wait("t1", 0, "b"), made.cancel("t1", "b"), made.wait("nowhere", 0, "a")):
            with pytest.raises(NotFound):
                await call
        ended = [await made.wait(task.id, 60, "a") for task in tasks]
        assert [result.state for result in ended] == ["Completed"] * 8
        # One worker takes them one by one.
        starts = [at + result.queue_seconds for at, result in zip(sent, ended, strict=True)]
        if isinstance(made._executor, Spool):
            # A thread reports several beginnings at once; it keeps a log of what it ran.
            assert made._executor.runs == [task.id for task in tasks]
        else:
            assert starts == sorted(starts)
        again = await finish(made, tasks[3])
        assert again == ended[3]
        assert (await made.wait("t3", 0)).state == "Completed"
        assert (made.info().queued, made.info().running) == (0, 0)


async def test_the_engines_seed_stands_in_for_a_missing_one(kit: Any, bell: QuantumCircuit, executor: Any) -> None:
    async with engine(executor, seed=9) as made:
        first = await finish(made, kit.task(bell, "1", shots=1000))
        second = await finish(made, kit.task(bell, "2", shots=1000, seed=9))
        assert first.seed == 9
        assert first.results == second.results


async def test_a_full_queue_refuses_and_a_cancelled_task_makes_room(
    kit: Any, bell: QuantumCircuit, endless: Any
) -> None:
    async with engine(queue_limit=2) as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        await until_running(made, "endless")
        made.submit(kit.task(bell, "1"), Caller("a"))
        made.submit(kit.task(bell, "2"), Caller("a"))
        with pytest.raises(QueueFull, match="2 tasks wait already"):
            made.submit(kit.task(bell, "3"), Caller("a"))
        assert isinstance((await made.cancel("1", "a")).error, Cancelled)
        made.submit(kit.task(bell, "3"), Caller("a"))
        (before,) = worker_pids()
        async with asyncio.timeout(60):
            ended = await made.cancel("endless", "a")
            assert ended.state == "Cancelled"
            assert not psutil.pid_exists(before)
            # The place is free again: what waited runs on a new worker.
            assert (await made.wait("2", 60, "a")).state == "Completed"
            assert (await made.wait("3", 60, "a")).state == "Completed"
        assert (await made.wait("1", 0, "a")).state == "Cancelled"
        assert (await made.cancel("2", "a")).state == "Completed"
        assert (made.info().queued, made.info().running) == (0, 0)


async def test_circuits_travel_once(kit: Any, bell: QuantumCircuit) -> None:
    async with engine() as made:
        task = kit.task(bell, "1", shots=5)
        bare = Task("2", task.pubs)
        with pytest.raises(UnknownCircuit) as caught:
            made.submit(bare, Caller("a"))
        assert caught.value.missing == [task.pubs[0].circuit]
        await finish(made, task)
        assert (await finish(made, bare)).state == "Completed"
        os.kill(next(iter(worker_pids())), signal.SIGKILL)
        after = await finish(made, Task("3", task.pubs))
        if isinstance(after.error, WorkerLost):
            # It was sent before the engine could know of the death.
            after = await finish(made, Task("4", task.pubs))
        # A new worker gets what the old one knew.
        assert after.state == "Completed"


async def test_a_worker_that_forgot_a_circuit_gets_it_again(kit: Any) -> None:
    async with engine() as made:
        digests = []
        for width in range(1, 530):
            # More circuits than a worker keeps.
            circuit = QuantumCircuit(2, 1, global_phase=width / 1000)
            circuit.measure(0, 0)
            task = kit.task(circuit, f"t{width}", shots=1)
            digests.append(task.pubs[0].circuit)
            made.submit(task, Caller("a"))
        assert (await made.wait("t529", 120, "a")).state == "Completed"
        assert (await finish(made, Task("again", (Pub(digests[0], shots=1),)))).state == "Completed"


async def test_nobody_can_replace_anothers_circuit(kit: Any, bell: QuantumCircuit, executor: Any) -> None:
    digest, data = kit.travelling(bell)
    async with engine(executor) as made:
        with contextlib.suppress(InvalidCircuit):
            poisoned = await finish(made, Task("bad", (Pub(digest, shots=5),), {digest: b"garbage"}), "mallory")
            assert isinstance(poisoned.error, InvalidCircuit)
        assert (await finish(made, Task("good", (Pub(digest, shots=5),), {digest: data}), "a")).error is None


async def test_a_killed_worker_loses_its_task_only(kit: Any, bell: QuantumCircuit, endless: Any) -> None:
    async with engine() as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        made.submit(kit.task(bell, "next", shots=5), Caller("a"))
        await until_running(made, "endless")
        os.kill(next(iter(worker_pids())), signal.SIGKILL)
        lost = await made.wait("endless", 60, "a")
        assert isinstance(lost.error, WorkerLost)
        assert lost.error.retryable
        assert (await made.wait("next", 60, "a")).state == "Completed"
        assert b"qonverge_backend_worker_restarts_total 1.0" in made.metrics.exposition()


@pytest.mark.parametrize(
    "pub",
    [
        {"precision": 1e-200, "observables": ((("ZZ", 1.0),),)},
        {"precision": 0.1, "observables": ((("ZZ", 1e308),),)},
        {"shots": 10, "observables": ((("XX", 1e308), ("YY", 1e308), ("ZZ", -1e308)),)},
    ],
)
async def test_no_numbers_end_a_worker(kit: Any, bell: QuantumCircuit, pub: dict[str, Any]) -> None:
    async with engine() as made:
        before = worker_pids()
        result = await finish(made, kit.task(bell, "odd", **pub))
        assert result.error is None or not result.error.retryable
        assert worker_pids() == before


async def test_memory_is_bounded_whatever_the_task(kit: Any) -> None:
    limit = 700 * MIB
    angle = Parameter("t")
    circuit = QuantumCircuit(16, 16)
    circuit.ry(angle, range(16))
    circuit.measure(range(16), range(16))
    greedy = kit.task(circuit, "greedy", shots=1_000_000, memory=True, parameters={"t": np.linspace(0, 1, 400)})
    async with engine(memory_bytes=limit) as made:
        made.submit(greedy, Caller("a"))
        peak = 0
        async with asyncio.timeout(120):
            while not (ended := await made.wait("greedy", 0.05, "a")).done:
                for pid in worker_pids():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        peak = max(peak, psutil.Process(pid).memory_info().rss)
        assert isinstance(ended.error, CircuitTooLarge)
        assert peak < limit - 160 * MIB


@pytest.mark.parametrize("cpus", [1, 2])
async def test_a_circuit_whose_state_takes_all_that_it_may_runs_on_any_number_of_threads(kit: Any, cpus: int) -> None:
    config = EngineConfig(memory_bytes=384 * MIB)
    qubits = (config.circuit_bytes // 16).bit_length() - 1
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(4):
        circuit.rx(0.3, range(qubits))
        for control in range(qubits):
            circuit.cx(control, (control + 1) % qubits)
    circuit.measure(range(qubits), range(qubits))
    assert circuit.num_qubits == 22
    assert 16 << qubits == config.circuit_bytes
    async with engine(memory_bytes=config.memory_bytes, cpus=cpus, method="Statevector") as made:
        before = worker_pids()
        for number in range(2):
            result = await finish(made, kit.task(circuit, f"wide-{number}", shots=10))
            assert result.error is None
        assert worker_pids() == before


async def test_results_are_dropped_after_a_while(kit: Any, bell: QuantumCircuit, executor: Any) -> None:
    now = [1000.0]
    made = Engine(EngineConfig(), clock=lambda: now[0], executor=executor)
    try:
        await made.start()
        await finish(made, kit.task(bell, "old", shots=1))
        now[0] += 500
        await finish(made, kit.task(bell, "middle", shots=1))
        assert (await made.wait("old", 0, "a")).state == "Completed"
        now[0] += 200
        await finish(made, kit.task(bell, "new", shots=1))
        with pytest.raises(NotFound, match="dropped after a while"):
            await made.wait("old", 0, "a")
        assert (await made.wait("middle", 0, "a")).state == "Completed"
    finally:
        await made.close()


async def test_drain_lets_the_running_end_and_hands_the_rest_back(kit: Any, bell: QuantumCircuit, endless: Any) -> None:
    async with engine() as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        await until_running(made, "endless")
        made.submit(kit.task(bell, "waits"), Caller("a"))
        draining = asyncio.create_task(made.shut_down(1.0))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            made.submit(kit.task(bell, "late"), Caller("a"))
        assert made.info().draining
        # What is already known may still be asked for.
        made.submit(kit.task(bell, "waits"), Caller("a"))
        async with asyncio.timeout(60):
            await draining
        for identity in ("endless", "waits"):
            result = await made.wait(identity, 0, "a")
            assert isinstance(result.error, Draining)
            assert result.error.retryable


async def test_drain_ends_as_soon_as_nothing_runs(kit: Any, bell: QuantumCircuit, endless: Any) -> None:
    async with engine() as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        await until_running(made, "endless")
        await made.cancel("endless", "a")
        # Its worker is being replaced, so this one is cancelled before anything ran it.
        made.submit(kit.task(bell, "waits"), Caller("a"))
        await made.cancel("waits", "a")
        async with asyncio.timeout(60):
            await made.shut_down(10_000)


async def test_drain_does_not_wait_for_callers_that_seem_to_be_gone(kit: Any, bell: QuantumCircuit) -> None:
    now = [0.0]
    made = Engine(EngineConfig(concurrency=1), lambda: now[0])
    try:
        await made.start()
        made.submit(kit.task(bell, "unfetched"), Caller("a"))
        async with asyncio.timeout(60):
            while made.unfinished():
                await asyncio.sleep(0.01)
            draining = asyncio.create_task(made.shut_down(10_000))
            await asyncio.sleep(0.1)
            assert not draining.done()
            now[0] += 11
            await draining
    finally:
        await made.close()


async def test_what_waits_is_handed_back_at_once_when_draining(kit: Any, bell: QuantumCircuit, endless: Any) -> None:
    async with engine() as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        await until_running(made, "endless")
        made.submit(kit.task(bell, "waits"), Caller("a"))
        draining = asyncio.create_task(made.shut_down(10_000))
        async with asyncio.timeout(60):
            # Another backend could run it meanwhile.
            assert isinstance((await made.wait("waits", float("inf"), "a")).error, Draining)
            assert (await made.wait("endless", 0, "a")).state == "Running"
            await made.cancel("endless", "a")
            await draining


@pytest.mark.parametrize("broken", [{"provider": "Nope"}, {"method": "Guess"}])
async def test_an_engine_that_cannot_start_says_so(broken: dict[str, str]) -> None:
    made = Engine(EngineConfig(**broken))  # type: ignore[arg-type]  # only names of text fields are given
    try:
        async with asyncio.timeout(90):
            with pytest.raises((RuntimeError, LookupError)):
                await made.start()
    finally:
        await made.close()


async def test_nothing_is_left_after_close(kit: Any, endless: Any) -> None:
    async with engine(concurrency=2) as made:
        made.submit(kit.task(endless, "endless"), Caller("a"))
        await until_running(made, "endless")
        pids = worker_pids()
        assert len(pids) >= 1
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
