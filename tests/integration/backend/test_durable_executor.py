"""An executor whose tasks outlive the server, behind the same registry: restarts, cancelling, owners and retention."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.engine import Engine
from qonverge.devices.noise import noise_named
from qonverge.wire.errors import Cancelled, Draining, InvalidCircuit, NotFound, QueueFull
from qonverge.wire.grants import Grant
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.tokens import Caller
from tests.unit.backend.tasks.spool import Spool

ALICE = Caller("chem/alice")


@contextlib.asynccontextmanager
async def site(folder: Path, *, is_open: bool = True, clock: Any = None, **options: Any) -> AsyncIterator[Engine]:
    """A server in front of the folder; a second one in the same folder is what a restart gives."""
    more = {} if clock is None else {"clock": clock}
    made = Engine(EngineConfig(**options), executor=partial(Spool, folder), **more)
    if not is_open:
        spool(made).open.clear()
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def spool(made: Engine) -> Spool:
    assert isinstance(made._executor, Spool)
    return made._executor


async def ended(made: Engine, identity: str, subject: str = ALICE.subject) -> TaskResult:
    async with asyncio.timeout(60):
        return await made.wait(identity, float("inf"), subject)


async def until_running(made: Engine, identity: str) -> None:
    async with asyncio.timeout(60):
        while (await made.wait(identity, 0)).state != "Running":
            await asyncio.sleep(0.005)


async def test_a_restarted_server_goes_on_with_what_ran_and_waited(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    async with site(tmp_path, is_open=False) as before:
        for identity in ("first", "second"):
            before.submit(kit.task(bell, identity, shots=100, seed=5), ALICE)
        await until_running(before, "first")
        assert (before.info().running, before.info().queued, before.info().workers) == (1, 1, 1)
        # Draining ends nothing, and does not wait for what goes on elsewhere.
        async with asyncio.timeout(10):
            await before.shut_down(10_000)
        assert [task.state for task in before.unfinished()] == ["Running", "Queued"]
        with pytest.raises(Draining):
            before.submit(kit.task(bell, "late"), ALICE)
    async with site(tmp_path) as after:
        # The owner that a task had is the owner that it has.
        for call in (after.wait("first", 0, "chem/bob"), after.cancel("first", "chem/bob")):
            with pytest.raises(NotFound):
                await call
        with pytest.raises(NotFound, match="is taken"):
            after.submit(kit.task(bell, "first"), Caller("chem/bob"))
        results = [await ended(after, identity) for identity in ("first", "second")]
        assert [result.state for result in results] == ["Completed", "Completed"]
        assert spool(after).runs == ["first", "second"]
        # Exactly what an undisturbed server gives.
        after.submit(kit.task(bell, "undisturbed", shots=100, seed=5), ALICE)
        assert (await ended(after, "undisturbed")).results == results[0].results
        assert (after.info().running, after.info().queued) == (0, 0)


async def test_an_end_that_a_restart_lost_is_given_again_and_nothing_runs_twice(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    bad = QuantumCircuit(40, 40)
    bad.h(range(40))
    bad.t(range(40))
    bad.measure(range(40), range(40))
    tasks = [kit.task(bell, "good", shots=10), kit.task(bad, "bad", shots=10)]
    async with site(tmp_path, method="Statevector") as before:
        for task in tasks:
            before.submit(task, ALICE)
        first = [await ended(before, task.id) for task in tasks]
        assert [result.state for result in first] == ["Completed", "Failed"]
    async with site(tmp_path, method="Statevector") as after:
        for task, result in zip(tasks, first, strict=True):
            after.submit(task, ALICE)
            again = await ended(after, task.id)
            assert (again.state, again.results, again.seed) == (result.state, result.results, result.seed)
            assert str(again.error) == str(result.error)
        assert spool(after).runs == ["good", "bad"]
        assert (after.info().running, after.info().queued, after._tasks.queued_bytes) == (0, 0, 0)


async def test_a_cancelled_task_never_begins_and_is_not_recovered(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    async with site(tmp_path, is_open=False, queue_limit=1) as made:
        made.submit(kit.task(bell, "runs", shots=10), ALICE)
        await until_running(made, "runs")
        made.submit(kit.task(bell, "waits", shots=10), ALICE)
        with pytest.raises(QueueFull, match="1 tasks wait already"):
            made.submit(kit.task(bell, "more", shots=10), ALICE)
        assert isinstance((await made.cancel("waits", ALICE.subject)).error, Cancelled)
        made.submit(kit.task(bell, "more", shots=10), ALICE)
        assert (await made.cancel("runs", ALICE.subject)).state == "Cancelled"
        spool(made).open.set()
        assert (await ended(made, "more")).state == "Completed"
        assert (await made.wait("runs", 0)).state == "Cancelled"
        assert spool(made).runs == ["more"]
        assert (made.info().running, made.info().queued) == (0, 0)
    async with site(tmp_path) as after:
        assert after.unfinished() == []
        for identity in ("runs", "waits"):
            with pytest.raises(NotFound):
                await after.wait(identity, 0)


async def test_what_nobody_can_ask_for_is_dropped_from_the_folder(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    now = [1000.0]
    async with site(tmp_path, clock=lambda: now[0]) as made:
        made.submit(kit.task(bell, "old", shots=1), ALICE)
        await ended(made, "old")
        assert len(list(tmp_path.glob("*.end"))) == 1
        now[0] += 700
        made.submit(kit.task(bell, "new", shots=1), ALICE)
        await ended(made, "new")
        assert len(list(tmp_path.glob("*.end"))) == len(list(tmp_path.glob("*.task"))) == 1
        with pytest.raises(NotFound, match="dropped after a while"):
            await made.wait("old", 0, ALICE.subject)


async def test_a_task_that_was_charged_before_a_restart_is_not_charged_again(
    kit: Any, bell: QuantumCircuit, tmp_path: Path
) -> None:
    program = Caller("chem/job", "uid-1")
    async with site(tmp_path, is_open=False) as before:
        await before.exchange({"uid-1": Grant()}, before.accounts.tell().boot)
        before.submit(kit.task(bell, "task", shots=100), program)
        assert before.accounts.tell().by_account["uid-1"].used.shots == 100
    async with site(tmp_path, is_open=False) as after:
        meter = after.accounts.tell().by_account["uid-1"]
        assert (meter.under_way, meter.used.shots) == (1, 0)
        await after.exchange({"uid-1": Grant()}, after.accounts.tell().boot)
        spool(after).open.set()
        assert (await ended(after, "task", "chem/job")).state == "Completed"
        meter = after.accounts.tell().by_account["uid-1"]
        assert (meter.under_way, meter.used.shots) == (0, 0)


async def test_a_recovered_task_of_a_job_that_is_gone_ends(kit: Any, bell: QuantumCircuit, tmp_path: Path) -> None:
    program, now = Caller("chem/job", "uid-1"), [1000.0]
    async with site(tmp_path, is_open=False) as before:
        await before.exchange({"uid-1": Grant()}, before.accounts.tell().boot)
        before.submit(kit.task(bell, "task", shots=100), program)
    async with site(tmp_path, is_open=False, clock=lambda: now[0]) as after:
        boot = after.accounts.tell().boot
        await after.exchange({}, boot)
        assert after.unfinished() != []
        now[0] += 60
        await after.exchange({}, boot)
        assert (await after.wait("task", 0)).state == "Cancelled"
        assert list(tmp_path.glob("*.task")) == []


async def test_a_site_that_refuses_a_calibration_goes_on(kit: Any, bell: QuantumCircuit, tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        with pytest.raises(RuntimeError, match="does not imitate"):
            await made.recalibrate(noise_named("algiers"))
        made.submit(kit.task(bell, "task", shots=10), ALICE)
        assert (await ended(made, "task")).state == "Completed"


async def test_a_damaged_circuit_is_refused_before_it_is_stored(bell: QuantumCircuit, tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        with pytest.raises(InvalidCircuit):
            made.submit(Task("bad", (Pub("d" * 64, shots=5),), {"d" * 64: b"garbage"}), ALICE)
        assert list(tmp_path.glob("*.task")) == []
