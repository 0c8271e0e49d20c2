"""Ends a rank of Dask whose scheduler is gone: its nanny, which loads this module, would wait for one for ever."""

from __future__ import annotations

import asyncio
import os
from typing import Any

_EVERY_SECONDS = 5.0
_MOST_MISSES = 2
# The loop itself keeps no task from being collected.
_watches: set[asyncio.Task[None]] = set()


async def dask_setup(nanny: Any) -> None:
    """Begin to watch the scheduler."""
    _watches.add(asyncio.create_task(_watch(nanny)))


async def _watch(nanny: Any) -> None:
    misses = 0
    while misses < _MOST_MISSES:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            # Where nobody listens, Dask tries for a while of its own.
            await nanny.scheduler.identity()
            misses = 0
        except OSError:
            misses += 1
    # The nanny's own end waits for a worker that waits for the scheduler. How the program ended, rank 0 says.
    os._exit(0)
