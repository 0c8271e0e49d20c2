"""Worker processes with a queue in front: the executor of simulators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution, Outcome, Request, failing
from qonverge.backend.executors.records import Part, Run, Slot
from qonverge.backend.executors.waiting import Waiting
from qonverge.backend.executors.workers import Workers
from qonverge.backend.task_parts import Costs, Merge, cut
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import Child, ChildEnded
from qonverge.wire.errors import WireError, WorkerLost
from qonverge.wire.messages import PubResult
from qonverge.wire.vendor import VendorTask

_IN_VAIN_SECONDS = 1.0

logger = logging.getLogger(__name__)


class WorkerPool:
    """Runs tasks on worker processes in the order in which they came; one that pays it runs on all that are free.

    Whatever fails keeps no worker: one is busy by its slot's ``run``, which is given back in one place, ``_run``.
    """

    def __init__(self, config: EngineConfig, metrics: BackendMetrics, first: Child | None = None) -> None:
        """Start nothing yet; ``first`` is the process of a worker that was begun, see ``begin_first``."""
        self._metrics = metrics
        self._workers = Workers(config, metrics, first)
        self._waiting = Waiting()
        self._costs = Costs()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def config(self) -> EngineConfig:
        """What tasks run with."""
        return self._workers.config

    @property
    def description(self) -> Description:
        """What a worker says of itself."""
        return self._workers.description

    @property
    def capacity(self) -> int:
        """Worker processes."""
        return self.config.concurrency

    @property
    def ready(self) -> bool:
        """Whether a worker can take a task, or will in a moment."""
        return self._workers.able

    @property
    def durable(self) -> bool:
        """Tasks are in memory, and end with this process."""
        return False

    def recover(self) -> Iterable[Request]:
        """Nothing is left of an earlier process."""
        return ()

    async def start(self) -> None:
        """Start the workers; returns when the first can take a task."""
        self._loops = [asyncio.create_task(self._serve(slot)) for slot in self._workers.slots]
        first = asyncio.create_task(self._workers.ready.wait())
        await asyncio.wait([first, *self._loops], return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            # All fail for one reason, told once: asyncio prints a traceback of a task whose error nobody takes.
            for loop in self._loops:
                loop.cancel()
            failed = await asyncio.gather(*self._loops, return_exceptions=True)
            for error in failed:
                if isinstance(error, Exception):
                    raise error

    def submit(self, execution: Execution) -> None:
        """Put a task into the queue."""
        self._waiting.put(Part(Run(execution, self.config)))

    async def cancel(self, execution: Execution) -> None:
        """End the workers that are on a task, which are replaced."""
        if self._workers.on(execution):
            await self._workers.stop(execution)
        else:
            execution.release()

    def forget(self, request: Request, *, answered: bool) -> None:
        """Nothing is kept here of a task that has ended."""

    def delivered(self, request: Request) -> None:
        """Nothing is kept here of a task that has ended."""

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """Nothing goes on elsewhere."""
        return ()

    async def recalibrate(self, noise: Noise) -> None:
        """Try a calibration on a worker of its own, and let the others imitate it from their next task on."""
        await self._workers.recalibrate(noise)

    async def close(self) -> None:
        """End the workers."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._workers.close()

    async def _serve(self, slot: Slot) -> None:
        while True:
            try:
                await self._turn(slot)
            except Exception:
                if not self._workers.ready.is_set():
                    # ``start`` tells its caller.
                    raise
                logger.exception("a worker's place failed and gets another worker")
                self._workers.discard(slot)

    async def _turn(self, slot: Slot) -> None:
        """Get a worker where the slot has none, else run one part of a task."""
        if slot.child is None or not slot.child.alive:
            await self._workers.fill(slot)
            return
        part = await self._waiting.take(slot)
        if part is None:
            self._workers.lost(slot)
        elif not part.run.execution.ended:
            try:
                with failing(part.run.execution):
                    await self._run(slot, part)
            finally:
                self._settle(part.run)
            await self._stop_in_vain(part.run)

    async def _run(self, slot: Slot, part: Part) -> None:
        child, run = slot.child, part.run
        slot.run = run
        try:
            if child is None or not child.alive:
                # The worker is being replaced: another may take the task before this slot is back.
                self._waiting.put(part)
                return
            if not part.pieces:
                part = self._begin(run)
            try:
                reply = await self._workers.run(slot, child, part)
            except ChildEnded as error:
                self._metrics.restarts.inc()
                if not run.execution.ended:
                    slot.failures += 1
                lost = f"the worker that ran the task is gone ({error}); it may have run out of memory"
                raise WorkerLost(lost) from None
            if not run.execution.ended:
                self._conclude(part, reply)
        finally:
            slot.run = None

    async def _stop_in_vain(self, run: Run) -> None:
        """End workers that run other parts of a task that has failed."""
        if run.execution.ended and self._workers.on(run.execution):
            # The others have most often failed by themselves; one that has not is in vain.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IN_VAIN_SECONDS):
                    await run.still.wait()
            await self._workers.stop(run.execution)

    def _begin(self, run: Run) -> Part:
        """Take a task from the queue, give further parts to workers that are free, and return the first."""
        request = run.execution.request
        run.execution.begin()
        run.config = self.config
        first, *others = cut(request.task, request.seed, 1 + self._waiting.free, self._costs)
        run.merge, run.left = Merge(request.task.pubs), 1 + len(others)
        for pieces in others:
            self._waiting.put(Part(run, pieces))
        return Part(run, first)

    def _conclude(self, part: Part, reply: dict[str, Any]) -> None:
        run, error = part.run, reply.get("error")
        if isinstance(error, dict):
            raise WireError.from_dict(error)
        assert run.merge is not None
        for piece, result, seconds in zip(part.pieces, reply["results"], reply["seconds"], strict=True):
            self._costs.note(piece.pub, seconds)
            run.merge.put(piece, PubResult.from_dict(result))
        run.calibration = str(reply["calibration"])
        run.peak_bytes = max((peak for peak in (run.peak_bytes, reply["peak_bytes"]) if peak is not None), default=None)
        run.left -= 1
        if not run.left:
            run.execution.complete(Outcome(run.merge.results(), run.calibration, run.peak_bytes))

    def _settle(self, run: Run) -> None:
        """Release a task that has ended once no worker is on it."""
        if run.execution.ended and not self._workers.on(run.execution):
            run.still.set()
            run.execution.release()
