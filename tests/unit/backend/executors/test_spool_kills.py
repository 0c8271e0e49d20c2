"""A process that ends at any step on the disk loses no accepted task, and runs none that has ended again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution, Outcome, Request
from qonverge.backend.executors.spool import Spool, SpoolLimits
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.errors import WireError
from qonverge.wire.messages import Pub, PubResult, Task
from qonverge.wire.tokens import Caller
from qonverge.wire.vendor import VendorTask

REQUEST = Request(Task("task", (Pub("d", {"x": np.arange(3.0)}),), {"d": b"qpy"}, 5), 5, Caller("alice"))


class Killed(BaseException):
    """The process is gone."""


class Inner:
    """An executor that keeps what it is given until the test ends it."""

    config = EngineConfig()
    description = Description("Inner 1")
    capacity = 1
    ready = True
    durable = False

    def __init__(self) -> None:
        self.given: list[Execution] = []

    def recover(self) -> Iterable[Request]:
        return ()

    async def start(self) -> None: ...

    def submit(self, execution: Execution) -> None:
        self.given.append(execution)

    async def cancel(self, execution: Execution) -> None: ...

    def forget(self, request: Request, *, answered: bool) -> None: ...

    def delivered(self, request: Request) -> None: ...

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        return ()

    async def recalibrate(self, noise: Noise) -> None: ...

    async def close(self) -> None: ...


class Asked:
    """The registry's side of a task."""

    def __init__(self, request: Request = REQUEST) -> None:
        self.request = request
        self.outcome: Outcome | None = None
        self.error: WireError | None = None

    @property
    def ended(self) -> bool:
        return self.outcome is not None or self.error is not None

    def begin(self) -> None: ...

    def note(self, vendor_tasks: tuple[VendorTask, ...]) -> None: ...

    def complete(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def fail(self, error: WireError) -> None:
        self.error = error

    def release(self) -> None: ...


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the step-th of the calls by which the disk changes end the process, before it has its effect."""
    done: list[str] = []

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            if len(done) == step:
                raise Killed(name)
            done.append(name)
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((os, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        counted(owner, name)
    return done


def left(spool: Spool) -> None:
    """Give the folder free as the system does when a process ends."""
    spool._files.close()


async def life(folder: Path, said: list[str]) -> None:
    """Take a task and end it; ``said`` gets what a caller would know."""
    spool, asked = Spool(SpoolLimits(folder), inner := Inner(), BackendMetrics()), Asked()
    try:
        spool.submit(asked)
        said.append("accepted")
        (execution,) = inner.given
        execution.begin()
        execution.complete(Outcome((PubResult(({"0": 7},)),), "first run"))
        await asyncio.gather(*spool._writing)
        assert asked.outcome is not None
        said.append("ended")
    finally:
        left(spool)


async def test_a_kill_at_any_step(tmp_path: Path) -> None:
    step, whole = 0, False
    while not whole:
        folder, said = tmp_path / str(step), list[str]()
        with pytest.MonkeyPatch.context() as patch:
            # The lock's file is opened before.
            Spool(SpoolLimits(folder), Inner(), BackendMetrics())._files.close()
            done = kill_at(step + 1, patch)
            try:
                await life(folder, said)
                whole = True
            except Killed:
                assert len(done) == step + 1
        spool, inner, asked = Spool(SpoolLimits(folder), again := Inner(), BackendMetrics()), again, Asked()
        recovered = list(spool.recover())
        spool.submit(asked)
        if recovered:
            assert [request.task.to_dict()["id"] for request in recovered] == ["task"]
            (pub,) = recovered[0].task.pubs
            assert (pub.parameters["x"].tolist(), recovered[0].task.circuits) == ([0.0, 1.0, 2.0], {"d": b"qpy"})
            assert (recovered[0].seed, recovered[0].caller) == (5, REQUEST.caller)
        # What a caller was told is still so.
        assert recovered or asked.outcome or "accepted" not in said, f"step {step}: an accepted task is lost"
        assert "ended" not in said or not recovered, f"step {step}: what has ended would run again"
        # Exactly one of the two: it has its end, or it runs.
        assert (asked.outcome is not None) != bool(inner.given)
        if asked.outcome is not None:
            assert (asked.outcome.calibration, asked.outcome.results) == ("first run", (PubResult(({"0": 7},)),))
            assert asked.outcome.run is not None
            assert (asked.outcome.run.engine, asked.outcome.run.seed) == ("Inner 1", 5)
        left(spool)
        step += 1
    # Two files, each opened, brought to the disk, renamed, and its folder's entry brought there; one removed.
    assert step - 1 == 2 * 5 + 1
