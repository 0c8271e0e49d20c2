"""What a new server sends at once, and what an earlier one may have sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.tasks.engine import Engine
from qonverge.wire.tokens import OPERATOR_SUBJECT, Caller
from tests.clouds.running import Service, provider, vendor
from tests.clouds.sweep import check, sweep

QUICK = Patience(first_backoff=0.02, most_backoff=0.1, device=0.1, poll_first=0.01, poll_near=0.05, cancel=5)
OPERATOR = Caller(OPERATOR_SUBJECT)


@contextlib.asynccontextmanager
async def proxy(service: Service) -> AsyncIterator[Engine]:
    config = EngineConfig(
        provider="Tagged", concurrency=50, memory_bytes=1024**3, options={"endpoint": service.url}, quiet=True
    )
    made = Engine(config, executor=partial(CloudExecutor, patience=QUICK))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.mark.asyncio
async def test_only_what_an_earlier_server_may_have_had_waits_for_the_cloud_s_list(
    kit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Nothing that waits for it is ever sent here.
    monkeypatch.setattr("tests.clouds.provider.Tagged.settle_seconds", 10_000.0)
    with provider(tmp_path), vendor() as service:
        async with proxy(service) as engine:
            boot = engine.info().boot
            assert boot
            engine.submit(replace(sweep(kit, "unknown"), boot=""), OPERATOR)
            engine.submit(replace(sweep(kit, "earlier"), boot="0123456789abcdef"), OPERATOR)
            # Only the operator knows: others would pay twice for what they say.
            engine.submit(replace(sweep(kit, "theirs"), boot=boot), Caller("chem/job"))
            first = replace(sweep(kit, "first"), boot=boot)
            engine.submit(first, OPERATOR)
            async with asyncio.timeout(60):
                check(await engine.wait("first", float("inf")))
        assert len(service.tasks) == 3
        async with proxy(service) as other:
            assert other.info().boot != boot
            # The list is looked at all the same: what another one sent, which nobody could see, is found.
            other.submit(replace(first, boot=other.info().boot), OPERATOR)
            async with asyncio.timeout(60):
                check(await other.wait("first", float("inf")))
        assert len(service.tasks) == 3
