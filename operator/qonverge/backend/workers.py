"""Worker processes: each place has one, and a spare that has loaded everything stands in for the next that is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from qonverge.backend.config import EngineConfig
from qonverge.backend.records import Slot, Started
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import Child, ChildEnded

_LONGEST_RESTART_DELAY = 10.0
_FAILURES_AT_START = 3


class Workers:
    """The worker processes of an engine."""

    def __init__(self, config: EngineConfig, metrics: BackendMetrics) -> None:
        """Start none yet."""
        self.config = config
        """What the next worker is told to be."""
        self.described: dict[str, object] = {}
        """What a worker with it says of itself."""
        self.slots = [Slot() for _ in range(config.concurrency)]
        self.ready = asyncio.Event()
        """Set when one can take a task."""
        self._metrics = metrics
        self._spare: asyncio.Task[Started] | None = None
        self._closed = False

    async def fill(self, slot: Slot) -> None:
        """Give the place a worker; where none starts, it has none yet, and the next try is later.

        Raises:
            RuntimeError: none ever started, or the engine refuses the configuration.
        """
        if slot.failures:
            await asyncio.sleep(min(_LONGEST_RESTART_DELAY, 0.1 * 2**slot.failures))
        slot.known.clear()
        spare, self._spare = self._spare, None
        try:
            started = await (_start(self.config) if spare is None else spare)
        except ChildEnded as error:
            slot.failures += 1
            if not self.ready.is_set() and slot.failures > _FAILURES_AT_START:
                told = "" if self.config.quiet else "; its reason is on standard error"
                raise RuntimeError(f"no worker starts: {error}{told}") from None
            return
        slot.child, slot.config = started.child, started.config
        if started.config is self.config:
            self.described = started.described
        slot.ended = asyncio.create_task(slot.child.ended())
        slot.failures = 0
        self.ready.set()
        alive = sum(1 for other in self.slots if other.child is not None and other.child.alive)
        self._metrics.workers.set(alive)
        # Not before all places are taken, whose workers would start more slowly.
        if alive == len(self.slots):
            self._start_spare()

    def lost(self, slot: Slot) -> None:
        """Take note that the place's worker ended by itself."""
        self._metrics.restarts.inc()
        slot.failures += 1

    async def recalibrate(self, noise: Noise) -> None:
        """Let workers imitate another calibration from now on.

        Raises:
            RuntimeError: the engine cannot imitate it, and all stays as before.
        """
        # Tried on a worker of its own, so that those that serve are not lost to it; it has the spare's memory then.
        await self._end_spare()
        try:
            started = await _start(replace(self.config, noise=noise))
            self.config, self.described = started.config, started.described
            await started.child.kill()
        finally:
            self._start_spare()

    async def close(self) -> None:
        """End all, after those who fill places."""
        self._closed = True
        await self._end_spare()
        for slot in self.slots:
            if slot.child is not None:
                await slot.child.kill()
            if slot.ended is not None:
                await slot.ended

    def _start_spare(self) -> None:
        if self.config.spares and self._spare is None and not self._closed:
            self._spare = asyncio.create_task(_start(self.config))

    async def _end_spare(self) -> None:
        if self._spare is not None:
            spare, self._spare = self._spare, None
            spare.cancel()
            (ended,) = await asyncio.gather(spare, return_exceptions=True)
            if isinstance(ended, Started):
                await ended.child.kill()


async def _start(config: EngineConfig) -> Started:
    """Start a process, and return it when it has loaded all that it needs.

    Raises:
        ChildEnded: the process ended.
        RuntimeError: the engine refuses the configuration, and would again.
    """
    child = await Child.start("qonverge.backend.worker", quiet=config.quiet)
    try:
        described = await child.exchange({"config": config.to_dict()})
        if "refused" in described:
            raise RuntimeError(described["refused"])
    except BaseException:
        await child.kill()
        raise
    return Started(child, config, described)
