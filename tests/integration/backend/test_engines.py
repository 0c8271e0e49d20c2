"""Engines other than Aer in real workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit
from qonverge.wire.messages import Task, TaskResult

MIB = 1024**2


@contextlib.asynccontextmanager
async def engine(**options: Any) -> AsyncIterator[Engine]:
    made = Engine(EngineConfig(**{"cpus": 2, "memory_bytes": 2048 * MIB, **options}))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def finish(made: Engine, task: Task) -> TaskResult:
    made.submit(task)
    async with asyncio.timeout(120):
        return await made.wait(task.id, float("inf"))


@pytest.mark.parametrize("name", ["Automatic", "Stim", "BraketLocal"])
async def test_a_backend_runs_on_the_engine(kit: Any, bell: QuantumCircuit, name: str) -> None:
    async with engine(provider=name, seed=5) as made:
        assert made.info().engine.startswith(name)
        first = await finish(made, kit.task(bell, "1", shots=1000))
        again = await finish(made, kit.task(bell, "2", shots=1000))
        (own,) = first.results[0].counts
        assert set(own) == {"00", "11"}
        assert first.results[0].counts == again.results[0].counts
        chosen = first.results[0].engine or first.engine
        assert chosen.startswith("Stim " if name == "Automatic" else name)


async def test_refusals_leave_the_worker_alive(kit: Any, bell: QuantumCircuit) -> None:
    wide = QuantumCircuit(40, 40)
    wide.t(0)
    wide.measure(range(40), range(40))
    async with engine(provider="Stim") as made:
        assert isinstance((await finish(made, kit.task(wide, "1"))).error, InvalidCircuit)
        assert (await finish(made, kit.task(bell, "2"))).error is None
    async with engine(provider="BraketLocal") as made:
        error = (await finish(made, kit.task(wide, "1"))).error
        assert isinstance(error, CircuitTooLarge)
        assert "more memory or the engine Aer" in error.message
        assert (await finish(made, kit.task(bell, "2"))).error is None


@pytest.mark.parametrize(("name", "method"), [("Stim", "Statevector"), ("BraketLocal", "MatrixProductState")])
async def test_a_method_that_the_engine_lacks_is_told_at_the_start(name: str, method: str) -> None:
    with pytest.raises(RuntimeError, match=f"the engine {name} has the methods Automatic.*: choose one"):
        async with engine(provider=name, method=method):
            pass


async def test_compiled_loops_fit_in_a_small_worker(kit: Any) -> None:
    # Braket's loops are compiled under the worker's own limit.
    wide = QuantumCircuit(14, 14)
    wide.h(range(14))
    wide.rzz(0.4, 0, 13)
    wide.ccx(0, 1, 2)
    wide.measure(range(14), range(14))
    async with engine(provider="BraketLocal", memory_bytes=768 * MIB) as made:
        result = await finish(made, kit.task(wide, "1", shots=50))
        assert result.error is None
        assert sum(result.results[0].counts[0].values()) == 50
