"""Whatever fails inside the server: the task ends with an error, and its worker, its count and its bytes come back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.backend import task_parts as split
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors import pool, protocol, waiting, workers
from qonverge.backend.executors import records as pool_records
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.http.caller_limits import Budget
from qonverge.backend.tasks import circuit_store as store
from qonverge.backend.tasks import engine, meters, records
from qonverge.backend.tasks import registry as tasks
from qonverge.backend.tasks import result_cache as cache
from qonverge.backend.tasks.engine import Engine
from qonverge.wire import child
from qonverge.wire.grants import Grant
from qonverge.wire.messages import Task
from qonverge.wire.tokens import Caller

MIB = 1024**2
CALLER = Caller("chem/job", account="uid-1")
# These are the release itself, which is kept so plain that it can be trusted.
_RELEASES = {
    *("Engine.ended", "Engine.released", "Workers.on", "WorkerPool._serve", "WorkerPool._settle", "engine._logged"),
    *("protocol.failing", "pool.failing", "engine.failing", "protocol.server_error", "Record.fail", "Record.release"),
    *("Tasks.add", "Tasks.end", "Tasks.settle", "Tasks._leave_queue", "Workers.discard", "Child.end"),
}
# These are called by the test, or only when an engine starts or ends.
_ASKED = {
    *("Engine.submit", "Engine.wait", "Engine.info", "Engine.unfinished", "Engine.start", "Engine.close"),
    *("Engine.drain", "Engine.cancel", "Engine.recalibrate", "engine._hand_back", "Workers.close", "Tasks.find"),
    *("WorkerPool.start", "WorkerPool.close", "WorkerPool.cancel", "WorkerPool.recalibrate", "WorkerPool.recover"),
    *("Engine._resume", "Accounts.resume"),
    *("Tasks.known", "Tasks.unfinished", "Tasks.all", "Workers.recalibrate", "Accounts.take", "Accounts.tell"),
    *("Engine.exchange", "Engine._cancel", "Tasks.under_way", "_Account.close", "_Account.is_told"),
}
_PARTS: tuple[ModuleType, ...] = (
    *(cache, child, engine, meters, pool, pool_records, protocol, records, split, store, tasks, waiting, workers),
)


@dataclass(frozen=True)
class Step:
    """A function or method that the server calls on a task's way."""

    owner: Any
    name: str

    def __str__(self) -> str:
        return f"{getattr(self.owner, '__name__', '').rpartition('.')[2]}.{self.name}"


def steps() -> Iterator[Step]:
    """Yield every function and method of the modules that an engine is made of."""
    for module in _PARTS:
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__.startswith("qonverge."):
                # Also those that a module has from others, by the name under which it calls them.
                yield Step(module, name)
            elif inspect.isclass(value) and value.__module__ == module.__name__ and not hasattr(value, "_is_protocol"):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("__"):
                        yield Step(value, method)


STEPS = [step for step in steps() if str(step) not in _RELEASES | _ASKED]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made() -> AsyncIterator[Engine]:
    """An engine of two workers with a cache."""
    running = Engine(EngineConfig(cpus=2, concurrency=2, memory_bytes=2048 * MIB, result_cache_bytes=MIB))
    try:
        await running.start()
        await all_free(running)
        yield running
    finally:
        await running.close()


def pool_of(made: Engine) -> WorkerPool:
    assert isinstance(made._executor, WorkerPool)
    return made._executor


async def all_free(made: Engine) -> None:
    """Return when every worker waits for work."""
    async with asyncio.timeout(60):
        while pool_of(made)._waiting.free < made.config.concurrency:
            await asyncio.sleep(0.01)


def sweep(kit: Any, identity: str, seed: int) -> Task:
    """Return a task that is worth two workers; with another seed its result is in no cache."""
    angle = Parameter("t")
    circuit = QuantumCircuit(3, 3)
    circuit.ry(angle, range(3))
    circuit.measure(range(3), range(3))
    task: Task = kit.task(circuit, identity, shots=2000, seed=seed, parameters={"t": np.linspace(0, 1, 200)})
    return task


def failing(monkeypatch: pytest.MonkeyPatch, step: Step, error: Exception) -> Callable[[], int]:
    """Let a step fail once, and return what tells how often it was reached."""
    original, reached = vars(step.owner)[step.name], [0]

    def fails() -> bool:
        reached[0] += 1
        return reached[0] == 1

    async def later(*arguments: Any, **more: Any) -> Any:
        if fails():
            raise error
        return await original(*arguments, **more)

    def at_once(*arguments: Any, **more: Any) -> Any:
        if fails():
            raise error
        return original(*arguments, **more)

    monkeypatch.setattr(step.owner, step.name, later if inspect.iscoroutinefunction(original) else at_once)
    return lambda: reached[0]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_step_that_fails_keeps_nothing(
    made: Engine, kit: Any, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.accounts.take({"uid-1": Grant()}, made.accounts.tell().boot)
    charged_before = made.accounts.tell().by_account["uid-1"]
    error = MemoryError() if len(step.name) % 2 else RuntimeError("injected")
    with monkeypatch.context() as patched:
        failing(patched, step, error)
        try:
            made.submit(sweep(kit, f"bad-{step}", STEPS.index(step)), CALLER)
        except (RuntimeError, MemoryError):
            # Refused with an error: then it is as if it had never been sent.
            assert made._tasks.known(f"bad-{step}") is None
        else:
            async with asyncio.timeout(60):
                ended = await made.wait(f"bad-{step}", float("inf"), "chem/job")
            assert ended.done
            if ended.error is not None:
                assert "injected" in str(ended.error) or "memory" in str(ended.error)
    await all_free(made)
    assert made.unfinished() == []
    assert (made.info().queued, made.info().running, made._tasks.queued_bytes) == (0, 0, 0)
    assert made.ready
    good = kit.task(QuantumCircuit(1), f"good-{step}", observables=((("Z", 1.0),),))
    made.submit(good, CALLER)
    async with asyncio.timeout(60):
        assert (await made.wait(good.id, float("inf"), "chem/job")).state == "Completed"
    if str(step) not in ("Accounts.ended", "Accounts.charge"):
        assert made.accounts.tell().by_account["uid-1"].under_way == charged_before.under_way


def test_the_steps_are_those_of_a_tasks_way() -> None:
    names = {str(step) for step in STEPS}
    assert {"Merge.put", "pool.cut", "Waiting.put", "ResultCache.put", "Child.exchange", "Workers.run"} <= names


async def test_readiness_tells_when_no_worker_can_ever_take_a_task(
    kit: Any, bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Engine(EngineConfig(memory_bytes=2048 * MIB))
    try:
        await made.start()

        async def refused(*_: Any) -> Any:
            raise OSError("no process can be started")

        (slot,) = pool_of(made)._workers.slots
        assert slot.child is not None
        with monkeypatch.context() as patched:
            patched.setattr(workers, "_start", refused)
            await slot.child.kill()
            made.submit(kit.task(bell, "waits", shots=5))
            async with asyncio.timeout(60):
                while made.ready:
                    await asyncio.sleep(0.05)
            assert made.unfinished()[0].state == "Queued"
        async with asyncio.timeout(60):
            assert (await made.wait("waits", float("inf"))).state == "Completed"
        assert made.ready
    finally:
        await made.close()


def test_an_answer_that_fails_is_an_error_of_the_protocol(kit: Any, bell: QuantumCircuit) -> None:
    """The task itself goes on, and the next request gets its result."""
    with kit.serving(
        "--concurrency", "1", constants={"qonverge.backend.http.server": {"_LONGEST_WAIT": None}}
    ) as backend:
        failed = backend.send(kit.task(bell, "task", shots=5), wait=5)
        assert (failed.status, failed.error["code"], failed.error["retryable"]) == (500, "Internal", False)
        assert "a defect of the server" in failed.error["message"]
        assert kit.until(lambda: backend.ask("GET", "/v1/tasks").body["tasks"] == [], "the task ends")
        assert backend.ask("GET", "/readyz").status == 200
        assert any("Traceback" in line for line in backend.lines)


async def test_a_budget_is_given_back_by_whoever_is_cancelled() -> None:
    budget = Budget(100, "the bodies of tasks")
    inside, entered = asyncio.Event(), asyncio.Event()

    async def holds() -> None:
        async with budget.hold(100, 60):
            inside.set()
            await asyncio.Event().wait()

    async def waits() -> None:
        async with budget.hold(60, 60):
            entered.set()

    holding = asyncio.create_task(holds())
    await inside.wait()
    waiting_for_it = asyncio.create_task(waits())
    await asyncio.sleep(0)
    holding.cancel()
    async with asyncio.timeout(10):
        await entered.wait()
        await waiting_for_it
    async with asyncio.timeout(10), budget.hold(100, 1):
        pass
