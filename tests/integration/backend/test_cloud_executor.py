"""A backend in front of a cloud: a real service with faults on the other side of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.messages import TaskResult
from tests.clouds.running import Service, provider, vendor

QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.1, poll_first=0.01, poll_near=0.05, cancel=5)
KINDS = ("Keyed", "Tagged")


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("vendor")):
        yield


@pytest.fixture
def service() -> Iterator[Service]:
    with vendor() as running:
        yield running


@contextlib.asynccontextmanager
async def proxy(
    service: Service, kind: str = "Tagged", patience: Patience = QUICK, **more: Any
) -> AsyncIterator[Engine]:
    options = {"concurrency": 50, "memory_bytes": 1024**3, "options": {"endpoint": service.url}, **more}
    made = Engine(EngineConfig(provider=kind, **options), executor=partial(CloudExecutor, patience=patience))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def ended(engine: Engine, identity: str = "t") -> TaskResult:
    async with asyncio.timeout(60):
        return await engine.wait(identity, float("inf"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bell_state(kit: Any, bell: QuantumCircuit, service: Service, kind: str) -> None:
    async with proxy(service, kind) as engine:
        engine.submit(kit.task(bell, "t", shots=500))
        result = await ended(engine)
    assert result.error is None
    assert result.state == "Completed"
    (counts,) = (own.counts[0] for own in result.results)
    assert sum(counts.values()) == 500
    assert set(counts) == {"00", "11"}
    (task,) = result.vendor_tasks
    assert (task.id, task.state, task.link) == ("task-0", "Completed", "https://vendor.example/tasks/task-0")
    assert len(service.tasks) == 1
