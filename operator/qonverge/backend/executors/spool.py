"""Tasks on disk in front of another executor: what was accepted is finished and delivered, whatever ends in between.

A task is on disk before its caller learns that it is taken, and its end before its caller learns of it. A process that
begins anew runs what has not ended; what has ended is given again and never runs twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Description, Execution, Executor, Outcome, Request, RunFacts
from qonverge.backend.executors.spool_files import Kind, SpoolFiles
from qonverge.backend.executors.spool_values import end_of, end_value, request_of, request_value
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.errors import QueueFull, WireError
from qonverge.wire.vendor import SpoolState, VendorTask

_SWEEP_SECONDS = 60.0

_Parsed = TypeVar("_Parsed")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Where the spool is, and how much it may hold."""

    folder: Path
    most_tasks: int = 10_000
    """Tasks and ends."""
    most_bytes: int = 1024**3
    retention_seconds: float = 7 * 86_400.0
    """For which an end is kept whose caller has not said that it has it."""


@dataclass(slots=True)
class _Stored:
    """What is on disk of one task."""

    nbytes: int
    ended: float | None = None
    """When it ended, Unix seconds; None: it has not."""


class Spool:
    """Keeps the tasks of another executor on disk."""

    def __init__(
        self, limits: SpoolLimits, inner: Executor, metrics: BackendMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        """Read the folder's index. ``clock`` gives Unix seconds, as files have them.

        Raises:
            OSError: the folder cannot be used.
            RuntimeError: another process uses it.
        """
        self._limits = limits
        self._inner = inner
        self._clock = clock
        self._files = SpoolFiles(limits.folder)
        self._stored: dict[str, _Stored] = {}
        self._nbytes = 0
        self._ends = 0
        self._spooled: dict[str, _Spooled] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False
        self._index()
        metrics.spool_bytes.set_function(lambda: self._nbytes)
        metrics.spool_tasks.labels(ended="false").set_function(lambda: self._state().tasks)
        metrics.spool_tasks.labels(ended="true").set_function(lambda: self._state().ends)

    @property
    def config(self) -> EngineConfig:
        """What tasks run with."""
        return self._inner.config

    @property
    def description(self) -> Description:
        """What the executor behind says of itself, and what is on disk."""
        return replace(self._inner.description, spool=self._state())

    @property
    def capacity(self) -> int:
        """How many tasks run at once."""
        return self._inner.capacity

    @property
    def ready(self) -> bool:
        """Whether a task can run now or will in a moment."""
        return self._inner.ready

    @property
    def durable(self) -> bool:
        """Tasks outlive this process."""
        return True

    def recover(self) -> Iterable[Request]:
        """Return the tasks that have not ended, in the order in which they came."""
        found: list[tuple[int, Request]] = []
        for key in [key for key, stored in self._stored.items() if stored.ended is None]:
            read = self._read(key, "task", request_of)
            if read is None:
                self._drop(key)
            else:
                found.append(read)
        return [request for _, request in sorted(found, key=lambda each: each[0])]

    async def start(self) -> None:
        """Start the executor behind."""
        self._sweep()
        self._sweeping = asyncio.create_task(self._sweep_again())
        await self._inner.start()

    def submit(self, execution: Execution) -> None:
        """Bring a task to the disk and hand it on; one that has ended gets its end.

        Raises:
            QueueFull: the spool has no room for it.
        """
        request = execution.request
        key = request.key
        known = self._stored.get(key)
        if known is not None and known.ended is not None:
            if (end := self._read(key, "end", end_of)) is not None:
                _report(execution, *end)
                execution.release()
                return
            # Its end was damaged: it has to run again.
            self._drop(key)
            known = None
        if known is None:
            self._store(key, request)
        spooled = self._spooled[key] = _Spooled(execution, self)
        self._inner.submit(spooled)

    async def cancel(self, execution: Execution) -> None:
        """Drop a task, and stop what runs of it."""
        key = execution.request.key
        spooled = self._spooled.get(key)
        self._drop(key)
        if spooled is not None:
            await self._inner.cancel(spooled)

    def forget(self, request: Request, *, answered: bool) -> None:
        """Keep the end: an answer may have been lost on its way. ``delivered`` or its age ends that."""
        self._inner.forget(request, answered=answered)

    def delivered(self, request: Request) -> None:
        """Drop an end that the caller has."""
        if request.key not in self._spooled:
            self._drop(request.key)
        self._inner.delivered(request)

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """End what goes on elsewhere; what is on disk is known here, and was cancelled."""
        return await self._inner.end_run(run)

    async def recalibrate(self, noise: Noise) -> None:
        """Imitate another calibration from the next task on."""
        await self._inner.recalibrate(noise)

    async def close(self) -> None:
        """Stop what runs, which the next process runs again, and let it have the folder."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._inner.close()
        await asyncio.gather(*self._writing)
        self._files.close()

    def conclude(self, spooled: _Spooled, outcome: Outcome, error: WireError | None) -> None:
        """Bring the end of a task to the disk, then report it."""
        if self._closed:
            # What fails because it is stopped has not ended.
            return
        writing = asyncio.create_task(self._conclude(spooled, outcome, error))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _conclude(self, spooled: _Spooled, outcome: Outcome, error: WireError | None) -> None:
        execution = spooled.execution
        key = execution.request.key
        run = outcome.run or RunFacts(
            self._inner.description.version, execution.request.seed, time.monotonic() - spooled.began
        )
        outcome = replace(outcome, run=run)
        try:
            nbytes = await asyncio.to_thread(self._files.write, key, "end", end_value(outcome, error))
        except OSError as failure:
            # It is in memory, and its task still on disk: it runs again only if this process ends before it is taken.
            logger.error("the end of task %s is not on disk: %s", execution.request.task.id, failure)
        else:
            if key not in self._stored:
                self._files.remove(key, "end")
            else:
                self._forget(key)
                self._keep(key, _Stored(nbytes, self._clock()))
                self._files.remove(key, "task")
        if self._spooled.get(key) is spooled:
            del self._spooled[key]
        _report(execution, outcome, error)
        if spooled.released:
            execution.release()

    def _store(self, key: str, request: Request) -> None:
        limits, held = self._limits, len(self._stored)
        size = request.task.nbytes + sum(map(len, request.task.circuits.values()))
        if held >= limits.most_tasks or self._nbytes + size > limits.most_bytes:
            state = self._state()
            raise QueueFull(
                f"the spool holds {state.tasks} tasks and {state.ends} results that were not taken yet, "
                f"{self._nbytes >> 20} MiB of {limits.most_bytes >> 20} and {held} of {limits.most_tasks}: "
                "try again later, or on another backend"
            )
        try:
            nbytes = self._files.write(key, "task", request_value(request, time.time_ns()))
        except OSError as error:
            raise QueueFull(
                f"the task cannot be brought to the spool's disk ({error.strerror or error}): try again later, or on "
                "another backend"
            ) from None
        self._keep(key, _Stored(nbytes))

    def _index(self) -> None:
        found: dict[str, _Stored] = {}
        for key, kind, size, changed in self._files.names():
            stored = found.setdefault(key, _Stored(0))
            stored.nbytes += size
            if kind == "end":
                stored.ended = changed
        for key, stored in found.items():
            self._keep(key, stored)

    def _state(self) -> SpoolState:
        limits = self._limits
        waiting = len(self._stored) - self._ends
        return SpoolState(waiting, self._ends, self._nbytes, limits.most_tasks, limits.most_bytes)

    def _keep(self, key: str, stored: _Stored) -> None:
        """Count what is on disk."""
        self._stored[key] = stored
        self._nbytes += stored.nbytes
        self._ends += stored.ended is not None

    def _forget(self, key: str) -> None:
        """Count it no more."""
        stored = self._stored.pop(key, None)
        if stored is not None:
            self._nbytes -= stored.nbytes
            self._ends -= stored.ended is not None

    def _drop(self, key: str) -> None:
        self._forget(key)
        # The task first: beside its end it does not run again.
        self._files.remove(key, "task")
        self._files.remove(key, "end")

    def _read(self, key: str, kind: Kind, parse: Callable[[dict[str, Any]], _Parsed]) -> _Parsed | None:
        """Return what a file says; None where it can't be used."""
        value = self._files.read(key, kind)
        try:
            return None if value is None else parse(value)
        except (KeyError, TypeError, ValueError, WireError) as error:
            # Another release may have written it.
            self._files.set_aside(key, kind, f"{type(error).__name__}: {error}")
            return None

    def _sweep(self) -> None:
        before = self._clock() - self._limits.retention_seconds
        old = [key for key, stored in self._stored.items() if stored.ended is not None and stored.ended < before]
        for key in old:
            self._drop(key)

    async def _sweep_again(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._sweep()


class _Spooled:
    """A task as the executor behind the spool sees it; an ``Execution``. It has an end before its caller knows."""

    def __init__(self, execution: Execution, spool: Spool) -> None:
        """Report to the execution by way of the spool."""
        self.execution = execution
        self.began = time.monotonic()
        self.released = False
        """Whether the executor behind has done with it."""
        self._spool = spool
        self._concluded = False

    @property
    def request(self) -> Request:
        """What to execute."""
        return self.execution.request

    @property
    def ended(self) -> bool:
        """Whether it has an end, which may still be on its way to the disk."""
        return self._concluded or self.execution.ended

    def begin(self) -> None:
        """Let it run."""
        self.began = time.monotonic()
        self.execution.begin()

    def note(self, vendor_tasks: tuple[VendorTask, ...]) -> None:
        """Take how what it became elsewhere stands."""
        self.execution.note(vendor_tasks)

    def complete(self, outcome: Outcome) -> None:
        """Give it results."""
        self._conclude(outcome, None)

    def fail(self, error: WireError) -> None:
        """Let it fail."""
        self._conclude(Outcome(()), error)

    def release(self) -> None:
        """Nothing is busy with it any more."""
        self.released = True
        if self.execution.ended:
            self.execution.release()

    def _conclude(self, outcome: Outcome, error: WireError | None) -> None:
        if not self.ended:
            self._concluded = True
            self._spool.conclude(self, outcome, error)


def _report(execution: Execution, outcome: Outcome, error: WireError | None) -> None:
    if error is not None:
        execution.fail(error)
        return
    execution.begin()
    execution.complete(outcome)
