"""Worker processes with a queue in front: tasks in, results out. No HTTP; the embedded mode uses it as it is."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.records import Part, Record, Slot
from qonverge.backend.executors.waiting import Waiting
from qonverge.backend.executors.workers import Workers
from qonverge.backend.task_parts import Costs, Merge, cut
from qonverge.backend.tasks.circuit_store import CircuitStore
from qonverge.backend.tasks.meters import Accounts
from qonverge.backend.tasks.registry import Tasks
from qonverge.backend.tasks.result_cache import ResultCache, key_of, scope
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.wire.child import ChildEnded
from qonverge.wire.errors import (
    Cancelled,
    Draining,
    InvalidCircuit,
    NotFound,
    QueueFull,
    UnknownCircuit,
    WireError,
    WorkerLost,
    server_error,
)
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import BackendInfo, PubResult, Task, TaskInfo, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT, Caller

_QUEUED_BYTES = 256 * 1024**2
_CIRCUITS_BYTES = 128 * 1024**2
_IN_VAIN_SECONDS = 1.0
_OPERATOR = Caller(OPERATOR_SUBJECT)

logger = logging.getLogger(__name__)


class Engine:
    """Runs tasks on worker processes in the order in which they came; one that pays it runs on all that are free.

    What fails in here is the end of the task that it happens to, whose caller reads why, and never keeps a worker: a
    task counts by its membership in ``Tasks`` and a worker is busy by its slot's ``record``, both given back in one
    place each, ``_end`` and ``_run``.
    """

    def __init__(self, config: EngineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds, only differences count."""
        self.metrics = BackendMetrics()
        self._workers = Workers(config, self.metrics)
        self.accounts = Accounts(clock)
        self._clock = clock
        self._tasks = Tasks()
        self.metrics.queued.set_function(lambda: self._tasks.queued)
        self.metrics.running.set_function(lambda: self._tasks.running)
        self._waiting = Waiting()
        self._costs = Costs()
        self._cache = ResultCache(config.result_cache_bytes)
        self._identity: tuple[EngineConfig, str] | None = None
        self._circuits = CircuitStore(_CIRCUITS_BYTES)
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False

    @property
    def config(self) -> EngineConfig:
        """What the engine is; a calibration may change."""
        return self._workers.config

    @property
    def ready(self) -> bool:
        """Whether a worker can take a task, or will in a moment."""
        return self._workers.able

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

    def info(self) -> BackendInfo:
        """Return what this backend is and how busy."""
        described = self._workers.described
        return BackendInfo(
            engine=str(described.get("version", "")),
            method=self.config.method,
            methods=tuple(described.get("methods", ())),  # type: ignore[arg-type]  # a worker's own answer
            basis_gates=tuple(described.get("basis_gates", ())),  # type: ignore[arg-type]
            max_qubits=self.config.widest,
            max_shots=self.config.max_shots,
            memory_bytes=self.config.circuit_bytes,
            workers=self.config.concurrency,
            queued=self._tasks.queued,
            running=self._tasks.running,
            queue_limit=self.config.queue_limit,
            draining=self._draining,
            calibration=described.get("calibration"),  # type: ignore[arg-type]
            calibration_digest=self.config.noise.digest if self.config.noise is not None else "",
            unnamed=self.accounts.unnamed,
        )

    async def recalibrate(self, noise: Noise) -> None:
        """Imitate another calibration from the next task on; what runs ends with the one that it began with.

        Raises:
            RuntimeError: the engine cannot imitate it, and goes on as before.
        """
        await self._workers.recalibrate(noise)

    def unfinished(self, subject: str = OPERATOR_SUBJECT) -> list[TaskInfo]:
        """Return the tasks of this subject that wait or run; the operator sees everybody's."""
        return self._tasks.unfinished(subject)

    def submit(self, task: Task, caller: Caller = _OPERATOR) -> None:
        """Take a task; one that is known by its id is not taken twice.

        Raises:
            AccessEnded: the caller's account is closed.
            Draining: the engine is shutting down.
            GrantPending: the caller's account has used what it was granted, or is not named yet.
            NotFound: somebody else's task has this id.
            QueueFull: too many tasks wait, or those that do hold too much.
            QuotaExceeded: the account has nothing left.
            UnknownCircuit: circuits are missing.
        """
        known = self._tasks.known(task.id)
        if known is not None:
            if caller.subject not in (known.subject, OPERATOR_SUBJECT):
                raise NotFound(f"the task id {task.id} is taken: choose another")
            return
        if self._draining:
            raise Draining("the backend is shutting down: send the task to another")
        queued, queued_bytes = self._tasks.queued, self._tasks.queued_bytes
        if queued >= self.config.queue_limit:
            raise QueueFull(f"{queued} tasks wait already, the limit: try again later or on another backend")
        needed = {pub.circuit for pub in task.pubs}
        new = sum(len(qpy) for digest, qpy in task.circuits.items() if digest not in self._circuits)
        size = task.nbytes + new
        if queued and queued_bytes + size > _QUEUED_BYTES:
            raise QueueFull(
                f"{queued} tasks wait and hold {queued_bytes >> 20} MiB; {size >> 20} more are over the "
                f"limit of {_QUEUED_BYTES >> 20}: try again later or on another backend, or split the task"
            )
        for digest in needed & task.circuits.keys():
            if digest not in self._circuits:
                # Known circuits are shared by all callers, so nobody may put something else under their digest.
                if hashlib.sha256(task.circuits[digest]).hexdigest() != digest:
                    raise InvalidCircuit(f"the QPY sent as {digest[:12]} has another digest: it was damaged on its way")
                self._circuits.add(digest, task.circuits[digest])
        if missing := sorted(digest for digest in needed if digest not in self._circuits):
            raise UnknownCircuit(f"{len(missing)} circuits are not known: send the task with them", missing=missing)
        seed = task.seed if task.seed is not None else self.config.seed
        record = Record(
            # The record keeps the QPY that it needs, so that the store may forget it meanwhile.
            replace(task, circuits={digest: self._circuits.get(digest) or b"" for digest in needed}),
            caller,
            secrets.randbits(32) if seed is None else seed,
            self._clock(),
            size,
            self.config,
        )
        record.charged = self.accounts.charge(caller, task)
        self._tasks.add(record)
        with self._ending(record):
            if self._cache:
                record.key = key_of(task, seed, scope(task, caller.subject), self._fingerprint())
            if record.key is not None and (earlier := self._cache.get(record.key)) is not None:
                record.calibration = self.config.noise.digest if self.config.noise is not None else ""
                self._end(record, "Completed", earlier, cached=True)
                return
            self._waiting.put(Part(record))

    async def wait(self, identity: str, seconds: float, subject: str = OPERATOR_SUBJECT) -> TaskResult:
        """Return how the task stands, at the latest after so many seconds.

        Raises:
            NotFound: there is no such task for this subject.
        """
        record = self._tasks.find(identity, subject)
        if record.result is None and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if seconds == float("inf") else seconds):
                    await record.done.wait()
        return record.result or TaskResult(identity, record.state, seed=record.seed)

    async def cancel(self, identity: str, subject: str = OPERATOR_SUBJECT) -> TaskResult:
        """End a task: one that waits leaves the queue, one that runs ends with its worker, which is replaced.

        Raises:
            NotFound: there is no such task for this subject.
        """
        record = self._tasks.find(identity, subject)
        await self._cancel(record, Cancelled("the task was cancelled"))
        assert record.result is not None
        return record.result

    async def _cancel(self, record: Record, error: WireError) -> None:
        if record.result is None:
            self._end(record, "Cancelled", error=error)
            await self._workers.stop(record)

    async def exchange(self, grants: Mapping[str, Grant] | None, boot: str = "") -> Meters:
        """Take the operator's grants, end the tasks of accounts that are closed by them, and tell what was used.

        ``grants`` are all that there are; None changes nothing, and so do those for another start than ``boot``.
        """
        self.accounts.take(grants, boot)
        over = [
            (record, error)
            for record in self._tasks.under_way()
            if (error := self.accounts.refusal(record.caller)) is not None
        ]
        await asyncio.gather(*(self._cancel(record, error) for record, error in over))
        return self.accounts.tell()

    async def drain(self, grace: float) -> None:
        """Take nothing more, hand back what waits, and let what runs end, or hand it back after ``grace`` seconds."""
        self._draining = True
        for record in self._tasks.all():
            if record.state == "Queued":
                self._hand_back(record)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tasks.idle.wait(), grace)
        for record in self._tasks.all():
            self._hand_back(record)

    async def close(self) -> None:
        """End the workers."""
        self._draining = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._workers.close()

    def _fingerprint(self) -> str:
        """Return what the engine is, so that equal tasks on equal engines have equal results."""
        if self._identity is None or self._identity[0] is not self.config:
            text = json.dumps(self.config.to_dict(), sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()
            self._identity = (self.config, f"{self._workers.described.get('version')} {digest}")
        return self._identity[1]

    def _hand_back(self, record: Record) -> None:
        if record.result is None:
            self._end(record, "Failed", error=Draining("the backend shut down before the task ended: send it again"))

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
        elif not part.record.done.is_set():
            with self._ending(part.record):
                await self._run(slot, part)
            await self._stop_in_vain(part.record)

    async def _run(self, slot: Slot, part: Part) -> None:
        child, record = slot.child, part.record
        slot.record = record
        try:
            if child is None or not child.alive:
                # The worker is being replaced: another may take the task before this slot is back.
                self._waiting.put(part)
                return
            if not part.pieces:
                part = self._begin(record)
            try:
                reply = await self._workers.run(slot, child, part)
            except ChildEnded as error:
                self.metrics.restarts.inc()
                if record.result is None:
                    slot.failures += 1
                lost = f"the worker that ran the task is gone ({error}); it may have run out of memory"
                raise WorkerLost(lost) from None
            if record.result is None:
                self._conclude(part, reply)
        finally:
            slot.record = None
            self._settle(record)

    @contextlib.contextmanager
    def _ending(self, record: Record) -> Iterator[None]:
        """Make what goes wrong in the block the task's end, with an error that its caller can read."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, WireError):
                logger.exception("task %s failed in the server", record.task.id)
                error = server_error(error)
            if record.result is None:
                self._end(record, "Failed", error=error)

    async def _stop_in_vain(self, record: Record) -> None:
        """End workers that run other parts of a task that has failed."""
        if record.done.is_set() and self._workers.on(record):
            # The others have most often failed by themselves; one that has not is in vain.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IN_VAIN_SECONDS):
                    await record.still.wait()
            await self._workers.stop(record)

    def _begin(self, record: Record) -> Part:
        """Take a task from the queue, give further parts to workers that are free, and return the first."""
        record.started = self._clock()
        if record.config is not self.config:
            # What it asks for was another thing when it came, and is not to be found under that key.
            record.config, record.key = self.config, None
        record.state = "Running"
        self._tasks.begin(record)
        self.metrics.queue_seconds.observe(record.started - record.submitted)
        first, *others = cut(record.task, record.seed, 1 + self._waiting.free, self._costs)
        record.merge, record.left = Merge(record.task.pubs), 1 + len(others)
        for pieces in others:
            self._waiting.put(Part(record, pieces))
        return Part(record, first)

    def _settle(self, record: Record) -> None:
        """Count a task no more as running when it has ended and no worker is on it."""
        if record.result is not None and not self._workers.on(record):
            record.still.set()
            self._tasks.settle(record)

    def _conclude(self, part: Part, reply: dict[str, Any]) -> None:
        record, error = part.record, reply.get("error")
        if isinstance(error, dict):
            self._end(record, "Failed", error=WireError.from_dict(error))
            return
        assert record.merge is not None
        for piece, result, seconds in zip(part.pieces, reply["results"], reply["seconds"], strict=True):
            self._costs.note(piece.pub, seconds)
            record.merge.put(piece, PubResult.from_dict(result))
        record.calibration = str(reply["calibration"])
        record.peak_bytes = max(
            (peak for peak in (record.peak_bytes, reply["peak_bytes"]) if peak is not None), default=None
        )
        record.left -= 1
        if not record.left:
            self._end(record, "Completed", record.merge.results())

    def _end(
        self,
        record: Record,
        state: str,
        results: tuple[PubResult, ...] = (),
        error: WireError | None = None,
        *,
        cached: bool = False,
    ) -> None:
        now = self._clock()
        started, ran_at_all = record.started or now, record.state != "Queued"
        record.result = TaskResult(
            record.task.id,
            state,
            results,
            error,
            engine=str(self._workers.described.get("version", "")),
            seed=record.seed,
            queue_seconds=started - record.submitted,
            run_seconds=now - started,
            calibration=record.calibration,
            cached=cached,
            peak_bytes=record.peak_bytes,
        )
        record.state = state
        self._tasks.end(record)
        # What is kept is the answer; the question is dropped.
        record.task, record.merge = replace(record.task, circuits={}, pubs=()), None
        record.done.set()
        self._settle(record)
        # The task has ended. What fails from here on is the one entry of the books that it concerns.
        with _logged(record, "charging its account"):
            ran = 0.0 if cached else now - started
            self.accounts.ended(record.caller, record.charged, ran=ran, completed=state == "Completed" and not cached)
        with _logged(record, "counting it"):
            self.metrics.tasks.labels(state=state).inc()
            if ran_at_all:
                self.metrics.run_seconds.observe(now - started)
        with _logged(record, "caching its result"):
            if record.key is not None and state == "Completed" and not cached:
                self._cache.put(record.key, results)
        with _logged(record, "keeping its result"):
            self._tasks.keep(record, now)


@contextlib.contextmanager
def _logged(record: Record, doing: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("task %s has ended; %s failed", record.task.id, doing)
