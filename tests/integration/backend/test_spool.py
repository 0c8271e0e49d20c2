"""The spool of an edge server: what was accepted is finished and given once, whatever ends in between."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.executors.spool import Spool, SpoolLimits
from qonverge.backend.executors.spool_files import SpoolFiles
from qonverge.backend.tasks.engine import Engine
from qonverge.telemetry import BackendMetrics
from qonverge.wire.errors import NotFound, QueueFull
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import Caller

ALICE = Caller("alice")


class Pool(WorkerPool):
    """The real pool; counts what it is given, and holds it back where it is to, which then needs no workers."""

    def __init__(self, config: EngineConfig, metrics: BackendMetrics) -> None:
        super().__init__(config, metrics)
        self.given: list[str] = []
        self.held: list[Any] | None = None

    async def start(self) -> None:
        if self.held is None:
            await super().start()

    def submit(self, execution: Any) -> None:
        self.given.append(execution.request.task.id)
        if self.held is None:
            super().submit(execution)
        else:
            self.held.append(execution)


@contextlib.asynccontextmanager
async def site(
    folder: Path, *, held: bool = False, clock: Any = None, config: EngineConfig | None = None, **limits: Any
) -> AsyncIterator[tuple[Engine, Spool, Pool]]:
    """A server over the folder; another one in the same folder is what a restart gives."""
    made: list[Pool] = []

    def executor(config: EngineConfig, metrics: BackendMetrics) -> Spool:
        made.append(Pool(config, metrics))
        made[0].held = [] if held else None
        more = {} if clock is None else {"clock": clock}
        return Spool(SpoolLimits(folder, **limits), made[0], metrics, **more)

    engine = Engine(config or EngineConfig(), executor=executor)
    spool = engine._executor
    assert isinstance(spool, Spool)
    try:
        await engine.start()
        yield engine, spool, made[0]
    finally:
        await engine.close()


async def ended(engine: Engine, identity: str) -> TaskResult:
    async with asyncio.timeout(60):
        return await engine.wait(identity, float("inf"), ALICE.subject)


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"*.{kind}"))


async def test_what_had_not_ended_runs_again_and_what_had_does_not(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    tasks = [kit.task(bell, f"task-{k}", shots=100, seed=k) for k in range(3)]
    async with site(tmp_path) as (before, _, pool):
        before.submit(tasks[0], ALICE)
        first = await ended(before, "task-0")
        pool.held = []
        for task in tasks[1:]:
            before.submit(task, ALICE)
        state = before.info().spool
        assert state is not None
        assert (state.tasks, state.ends) == (2, 1)
        assert state.nbytes == sum(path.stat().st_size for path in tmp_path.glob("*.[te]*"))
        assert b'qonverge_backend_spool_tasks{ended="false"} 2.0' in before.metrics.exposition()
    async with site(tmp_path) as (after, _, pool):
        for task in tasks:
            after.submit(task, ALICE)
        results = [await ended(after, task.id) for task in tasks]
        assert pool.given == ["task-1", "task-2"], "in the order in which they came, and none that had ended"
        assert [result.state for result in results] == ["Completed"] * 3
        # All of it is as it was: the seed that was drawn, the engine and the time.
        assert (results[0].results, results[0].seed) == (first.results, first.seed)
        assert (results[0].engine, results[0].run_seconds) == (first.engine, first.run_seconds)
        assert after.info().spool is not None


async def test_a_drawn_seed_and_an_error_are_given_again_as_they_were(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    wide = QuantumCircuit(40, 40)
    wide.h(range(40))
    wide.t(range(40))
    wide.measure(range(40), range(40))
    config = EngineConfig(method="Statevector")
    tasks = [kit.task(bell, "good", shots=1000), kit.task(wide, "bad", shots=10)]
    async with site(tmp_path, config=config) as (before, _, _):
        for task in tasks:
            before.submit(task, ALICE)
        first = [await ended(before, task.id) for task in tasks]
        assert [result.state for result in first] == ["Completed", "Failed"]
    async with site(tmp_path, config=config) as (after, _, pool):
        for task, result in zip(tasks, first, strict=True):
            after.submit(task, ALICE)
            again = await ended(after, task.id)
            assert (again.state, again.results, str(again.error)) == (result.state, result.results, str(result.error))
        assert (await ended(after, "good")).seed == first[0].seed
        assert pool.given == []


async def test_an_end_is_kept_until_its_caller_has_it_or_it_is_old(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    now = [1e9]
    async with site(tmp_path, clock=lambda: now[0], retention_seconds=1000) as (engine, spool, pool):
        for identity in ("taken", "left"):
            engine.submit(kit.task(bell, identity, shots=1), ALICE)
            await ended(engine, identity)
        # That it was answered does not count: the answer may be lost on a bad link.
        spool.forget(engine._tasks.all()[0].request, answered=True)
        assert len(files(tmp_path, "end")) == 2
        assert not engine.delivered("taken", "bob")
        assert engine.delivered("taken", ALICE.subject)
        assert not engine.delivered("taken", ALICE.subject)
        assert len(files(tmp_path, "end")) == 1
        with pytest.raises(NotFound):
            await engine.wait("taken", 0, ALICE.subject)
        now[0] += 999
        spool._sweep()
        assert len(files(tmp_path, "end")) == 1
        now[0] += 2
        spool._sweep()
        assert files(tmp_path, "end") == []
        assert pool.given == ["taken", "left"]


async def test_a_cancelled_task_leaves_the_disk(kit: Any, bell: QuantumCircuit, tmp_path: Path) -> None:
    async with site(tmp_path, held=True) as (engine, _, _):
        engine.submit(kit.task(bell, "task", shots=1), ALICE)
        assert (await engine.cancel("task", ALICE.subject)).state == "Cancelled"
        assert files(tmp_path, "task") == files(tmp_path, "end") == []
        assert (engine.info().queued, engine.info().running) == (0, 0)


async def test_what_has_no_room_is_refused_and_may_come_again(kit: Any, bell: QuantumCircuit, tmp_path: Path) -> None:
    async with site(tmp_path, held=True, most_tasks=2) as (engine, spool, pool):
        for identity in ("one", "two"):
            engine.submit(kit.task(bell, identity, shots=1), ALICE)
        with pytest.raises(QueueFull, match=r"2 tasks and 0 results that were not taken yet, 0 MiB of 1024 and 2 of 2"):
            engine.submit(kit.task(bell, "three", shots=1), ALICE)
        # As if it had never come.
        assert engine.info().queued == 2
        with pytest.raises(NotFound):
            await engine.wait("three", 0, ALICE.subject)
        await engine.cancel("one", ALICE.subject)
        engine.submit(kit.task(bell, "three", shots=1), ALICE)
        assert pool.given == ["one", "two", "three"]
    async with site(tmp_path, held=True, most_bytes=10) as (engine, _, _):
        with pytest.raises(QueueFull, match="MiB of 0"):
            engine.submit(kit.task(bell, "four", shots=1), ALICE)
        assert spool is not None


async def test_a_full_disk_refuses_tasks_and_loses_no_result(
    kit: Any, bell: QuantumCircuit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with site(tmp_path, held=True) as (engine, _, pool):
        engine.submit(kit.task(bell, "accepted", shots=10, seed=3), ALICE)
        with monkeypatch.context() as patch:
            patch.setattr("qonverge.backend.executors.spool_files.os.fsync", full)
            with pytest.raises(QueueFull, match="cannot be brought to the spool"):
                engine.submit(kit.task(bell, "late", shots=10), ALICE)
            assert not list(tmp_path.glob("*.part"))
            assert pool.held is not None
            await WorkerPool.start(pool)
            WorkerPool.submit(pool, pool.held.pop())
            result = await ended(engine, "accepted")
        assert result.state == "Completed"
        assert len(files(tmp_path, "task")) == 1, "its end is not on disk, so the task still is"
        assert engine.delivered("accepted", ALICE.subject)
        assert files(tmp_path, "task") == []


async def test_damaged_files_are_set_aside_and_said(
    kit: Any, bell: QuantumCircuit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(tmp_path) as (engine, _, pool):
        engine.submit(kit.task(bell, "ended", shots=10, seed=1), ALICE)
        first = await ended(engine, "ended")
        pool.held = []
        for identity in ("good", "bad"):
            engine.submit(kit.task(bell, identity, shots=10), ALICE)
    bad = next(path for path in files(tmp_path, "task") if b"\xa3bad" in path.read_bytes())
    bad.write_bytes(bad.read_bytes()[:-1])
    (end,) = files(tmp_path, "end")
    data = bytearray(end.read_bytes())
    data[40] ^= 1
    end.write_bytes(data)
    (tmp_path / "left.task.part").write_bytes(b"half")
    with caplog.at_level(logging.ERROR):
        async with site(tmp_path) as (engine, _, pool):
            assert (await ended(engine, "good")).state == "Completed"
            engine.submit(kit.task(bell, "ended", shots=10, seed=1), ALICE)
            assert (await ended(engine, "ended")).results == first.results
            assert pool.given == ["good", "ended"], "what has no end that can be read runs again"
    assert len(list(tmp_path.glob("*.damaged"))) == 2
    assert not list(tmp_path.glob("*.part"))
    assert sum("is damaged (its digest is another)" in record.message for record in caplog.records) == 2


async def test_arrays_come_back_from_the_disk_bit_for_bit(kit: Any, tmp_path: Path) -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h(range(3))
    circuit.measure(range(3), [2, 0, 1])
    digest, data = kit.travelling(circuit)
    task = Task("memory", (Pub(digest, shots=1000),), {digest: data}, 7, True)
    async with site(tmp_path) as (engine, _, _):
        engine.submit(task, ALICE)
        (first,) = (await ended(engine, "memory")).results
    async with site(tmp_path) as (engine, _, _):
        engine.submit(task, ALICE)
        (again,) = (await ended(engine, "memory")).results
    (bits, array), (bits_again, array_again) = first.registers["c"], again.registers["c"]
    assert (bits, array.tobytes(), array.shape) == (bits_again, array_again.tobytes(), array_again.shape)


def test_a_folder_is_used_by_one_server_at_a_time(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path)
    with pytest.raises(RuntimeError, match=r"spool.folder: .* is in use by another server"):
        SpoolFiles(tmp_path)
    files.close()
    SpoolFiles(tmp_path).close()
    assert (tmp_path / "lock").stat().st_mode & 0o77 == 0
