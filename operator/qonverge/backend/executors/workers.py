"""Worker processes: each place has one, and a spare that has loaded everything stands in for the next that is lost."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.first_worker import begin_worker
from qonverge.backend.executors.protocol import Description, Execution
from qonverge.backend.executors.records import Part, Slot, Started
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import Child, ChildEnded
from qonverge.wire.errors import UnknownCircuit

_LONGEST_RESTART_DELAY = 10.0
_FAILURES_AT_START = 3
_KNOWN_CIRCUITS = 4096

logger = logging.getLogger(__name__)


class Workers:
    """The worker processes of an engine."""

    def __init__(self, config: EngineConfig, metrics: BackendMetrics, first: Child | None = None) -> None:
        """Start none yet; ``first`` is the process of one that waits for its configuration."""
        self.config = config
        """What the next worker is told to be."""
        self.description = Description()
        """What a worker with it says of itself."""
        self.slots = [Slot() for _ in range(config.concurrency)]
        self.ready = asyncio.Event()
        """Set when the first can take a task."""
        self._metrics = metrics
        self._first = first
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
        first, self._first = self._first, None
        try:
            started = await (_start(self.config, first) if spare is None else spare)
        except (ChildEnded, OSError) as error:
            slot.failures += 1
            if not self.ready.is_set() and slot.failures > _FAILURES_AT_START:
                told = "" if self.config.quiet else "; its reason is on standard error"
                raise RuntimeError(f"no worker starts: {error}{told}") from None
            logger.warning("no worker starts, at try %d: %s", slot.failures, error)
            return
        slot.child, slot.config = started.child, started.config
        if started.config is self.config:
            self.description = started.description
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

    async def run(self, slot: Slot, child: Child, part: Part) -> dict[str, Any]:
        """Let the slot's worker run a part, and return its reply.

        Raises:
            ChildEnded: the worker ended before it answered.
            RuntimeError: it refuses the configuration that the task is to run with.
        """
        run, pubs = part.run, tuple(piece.pub for piece in part.pieces)
        task = run.execution.request.task
        circuits = {pub.circuit: task.circuits[pub.circuit] for pub in pubs}
        if slot.config is not run.config:
            slot.config = None
            slot.known.clear()
            described = await child.exchange({"config": run.config.to_dict()})
            if "refused" in described:
                raise RuntimeError(f"the worker refuses the calibration: {described['refused']}")
            slot.config = run.config
        for _ in range(2):
            send = {digest: qpy for digest, qpy in circuits.items() if digest not in slot.known}
            # What runs together shares the CPUs, and the other parts are about to.
            busy = sum(1 for other in self.slots if other.run is not None)
            threads = max(1, self.config.cpus // max(busy, run.left))
            request = {
                "task": replace(task, pubs=pubs, circuits=send).to_dict(),
                "blocks": [piece.blocks for piece in part.pieces],
                "threads": threads,
            }
            reply: dict[str, object] = await child.exchange(request)
            if len(slot.known) > _KNOWN_CIRCUITS:
                slot.known.clear()
            slot.known.update(circuits)
            error = reply.get("error")
            if not (isinstance(error, dict) and error["code"] == UnknownCircuit.code):
                break
            # The worker dropped circuits that it had; it says which, and gets them again.
            slot.known.clear()
        return reply

    def on(self, execution: Execution) -> list[Slot]:
        """Return the slots whose workers are on a task."""
        return [slot for slot in self.slots if slot.run is not None and slot.run.execution is execution]

    async def stop(self, execution: Execution) -> None:
        """End the workers that are on a task."""
        children = [slot.child for slot in self.on(execution) if slot.child is not None]
        # All before anything is awaited: a caller that is cancelled meanwhile leaves none running.
        for child in children:
            child.end()
        for child in children:
            await child.ended()

    def discard(self, slot: Slot) -> None:
        """End a worker that can't be relied on, so that the slot gets another."""
        slot.failures += 1
        child, slot.child = slot.child, None
        if child is not None:
            child.end()

    @property
    def able(self) -> bool:
        """Whether a worker can take a task, or is about to: not where every slot has failed to get one repeatedly."""
        return self.ready.is_set() and any(
            (slot.child is not None and slot.child.alive) or slot.failures <= _FAILURES_AT_START for slot in self.slots
        )

    async def recalibrate(self, noise: Noise) -> None:
        """Let workers imitate another calibration from now on.

        Raises:
            RuntimeError: the engine cannot imitate it, and all stays as before.
        """
        # Tried on a worker of its own, so that those that serve are not lost to it; it has the spare's memory then.
        await self._end_spare()
        try:
            started = await _start(replace(self.config, noise=noise))
            self.config, self.description = started.config, started.description
            await started.child.kill()
        finally:
            self._start_spare()

    async def close(self) -> None:
        """End all, after those who fill places."""
        self._closed = True
        if self._first is not None:
            await self._first.kill()
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


async def _start(config: EngineConfig, begun: Child | None = None) -> Started:
    """Start a process, or go on with one that was begun, and return it when it has loaded all that it needs.

    Raises:
        ChildEnded: the process ended.
        RuntimeError: the engine refuses the configuration, and would again.
    """
    child = await begin_worker(quiet=config.quiet) if begun is None else begun
    try:
        described = await child.exchange({"config": config.to_dict()})
        if "refused" in described:
            raise RuntimeError(described["refused"])
    except BaseException:
        await child.kill()
        raise
    said = {**described, "methods": tuple(described["methods"]), "basis_gates": tuple(described["basis_gates"])}
    return Started(child, config, Description(**said))
