"""Who waits for an engine's first moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Executor, Request
from qonverge.backend.tasks.engine import Engine
from qonverge.telemetry import BackendMetrics


class _Starting:
    """An executor that starts when it is told to."""

    durable = True

    def __init__(self) -> None:
        self.may = asyncio.Event()

    def recover(self) -> Iterable[Request]:
        return ()

    async def start(self) -> None:
        await self.may.wait()


def _engine(executor: _Starting) -> Engine:
    def made(config: EngineConfig, metrics: BackendMetrics) -> Executor:
        return cast(Executor, executor)

    return Engine(EngineConfig(), executor=made)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_who_waits_is_told_when_tasks_can_run() -> None:
    executor = _Starting()
    engine = _engine(executor)
    starting, waiting = asyncio.create_task(engine.start()), asyncio.create_task(engine.started(3600.0))
    await _turns()
    assert not waiting.done()
    executor.may.set()
    await _turns()
    assert waiting.done()
    await starting
    # Later there is nothing to wait for.
    await asyncio.wait_for(engine.started(3600.0), 60)


async def test_one_who_waits_is_told_when_time_is_over() -> None:
    await asyncio.wait_for(_engine(_Starting()).started(0.01), 60)


async def test_one_who_waits_is_told_when_it_shuts_down() -> None:
    engine = _engine(_Starting())
    waiting = asyncio.create_task(engine.started(3600.0))
    await _turns()
    await engine.shut_down(0.0)
    await _turns()
    assert waiting.done()
