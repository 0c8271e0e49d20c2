"""A proxy that is closed while it sends."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.executor import CloudExecutor
from qonverge.backend.tasks.engine import Engine
from tests.clouds.running import provider, vendor
from tests.clouds.sweep import sweep
from tests.integration.backend.test_cloud_executor import QUICK


async def test_nothing_is_left_of_a_proxy_that_is_closed_while_it_sends(kit: Any, tmp_path: Path) -> None:
    with provider(tmp_path), vendor() as service:
        config = EngineConfig(provider="Tagged", concurrency=5, memory_bytes=1024**3, options={"endpoint": service.url})
        engine = Engine(config, executor=partial(CloudExecutor, patience=QUICK))
        before = asyncio.all_tasks()
        await engine.start()
        service.fault("submit", "hold-before")
        engine.submit(sweep(kit, "held"))
        async with asyncio.timeout(60):
            while "submit" not in service.control()["held"]:
                await asyncio.sleep(0.01)
        await engine.close()
        assert asyncio.all_tasks() <= before
        service.control(mend=True, release=True)
