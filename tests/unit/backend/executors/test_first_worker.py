"""The worker that a server begins before its own libraries are loaded."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.first_worker import ENGINE, begin_first
from qonverge.backend.executors.pool import WorkerPool
from qonverge.backend.loading import loading
from qonverge.backend.settings import ServerSettings
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import Child

_LOADED = f"""
import asyncio, sys
import qonverge.backend.__main__
from qonverge.backend.executors import first_worker

async def begin(**_):
    heavy = {{"numpy", "pydantic", "qiskit", "starlette", "uvicorn"}} & sys.modules.keys()
    print("begins with", sorted(heavy))

first_worker.begin_worker = begin
asyncio.run(first_worker.begin_first({{"{ENGINE}": "Aer"}}))
"""


@pytest_asyncio.fixture
async def first() -> AsyncIterator[Child]:
    begun = await begin_first({ENGINE: "Stim"})
    assert begun is not None
    try:
        yield begun
    finally:
        await begun.kill()


def pool_with(first: Child) -> WorkerPool:
    return WorkerPool(EngineConfig(provider="Stim"), BackendMetrics(), first)


def test_it_begins_before_anything_heavy_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert done.stdout == "begins with []\n"


def test_the_engine_is_read_where_the_server_reads_it() -> None:
    assert ServerSettings.variable("engine") == ENGINE


@pytest.mark.parametrize("named", ["", "Nobody", "Braket", "Remote"])
async def test_none_begins_for_what_no_worker_runs(named: str) -> None:
    assert await begin_first({ENGINE: named}) is None


async def test_none_begins_where_no_engine_is_named() -> None:
    assert await begin_first({}) is None


async def test_it_is_the_pools_first_worker(first: Child) -> None:
    pool = pool_with(first)
    try:
        await pool.start()
        assert pool._workers.slots[0].child is first
        assert pool.description.version.startswith("Stim")
    finally:
        await pool.close()
    assert not first.alive


async def test_another_takes_its_place_where_it_was_lost(first: Child) -> None:
    os.kill(first.pid, 9)
    pool = pool_with(first)
    try:
        await pool.start()
        child = pool._workers.slots[0].child
        assert child is not None
        assert child is not first
        assert pool.ready
    finally:
        await pool.close()


async def test_a_pool_that_never_started_ends_it(first: Child) -> None:
    await pool_with(first).close()
    async with asyncio.timeout(60):
        await first.ended()


def test_a_server_that_cannot_be_set_up_says_why_and_leaves_no_worker() -> None:
    environment = {**os.environ, ENGINE: "Stim"}
    command = [sys.executable, "-m", "qonverge.backend", "--listen", "nowhere"]
    # The worker has this pipe too: it is read to its end once both have ended.
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert "give an address and port" in done.stderr
    assert "Traceback" not in done.stderr


def test_garbage_is_looked_for_again_once_all_is_loaded() -> None:
    loaded = loading()
    try:
        assert not gc.isenabled()
        loaded()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.enable()
        gc.unfreeze()
