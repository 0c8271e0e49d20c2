"""The tasks of one backend: who may send them, which wait, run and are kept. No HTTP; the embedded mode uses it too."""

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

from qonverge.amounts import TaskLimits
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.choice import executor_of
from qonverge.backend.executors.protocol import Executor, Outcome, Request, RunFacts, failing
from qonverge.backend.tasks.circuit_store import CircuitStore
from qonverge.backend.tasks.meters import Accounts
from qonverge.backend.tasks.readings import readings
from qonverge.backend.tasks.records import Record
from qonverge.backend.tasks.registry import Tasks
from qonverge.backend.tasks.result_cache import ResultCache, key_of, scope
from qonverge.backend.tasks.task_spans import TaskSpans
from qonverge.devices.noise import Noise
from qonverge.telemetry import BackendMetrics
from qonverge.tracing.spans import SpanSink
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import (
    Cancelled,
    Draining,
    InvalidCircuit,
    InvalidTask,
    NotFound,
    QueueFull,
    UnknownCircuit,
    WireError,
)
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import Task, TaskInfo, TaskResult
from qonverge.wire.tokens import OPERATOR_SUBJECT, Caller
from qonverge.wire.vendor import VendorTask, limits_of

_QUEUED_BYTES = 256 * 1024**2
_CIRCUITS_BYTES = 128 * 1024**2
_OPERATOR = Caller(OPERATOR_SUBJECT)
# A caller that waits for a task asks again at once after each answer: one that did not come for so long is gone.
_FETCH_SECONDS = 10.0
_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Engine:
    """Lets tasks in, hands them to an executor, and keeps what became of them for those who sent them.

    What fails in here is the end of the task that it happens to, whose caller reads why. A task counts by its
    membership in ``Tasks``, which it leaves in ``ended`` and ``released``.
    """

    def __init__(
        self,
        config: EngineConfig,
        clock: Callable[[], float] = time.monotonic,
        executor: Callable[[EngineConfig, BackendMetrics], Executor] = executor_of,
        spans: SpanSink | None = None,
    ) -> None:
        """``clock`` gives seconds, only differences count; ``executor`` makes what runs the tasks.

        ``spans`` takes those of tasks; None: none are recorded.
        """
        self._spans = spans
        self.metrics = BackendMetrics()
        self._executor = executor(config, self.metrics)
        self.accounts = Accounts(clock)
        self._clock = clock
        self._tasks = Tasks(clock)
        self.metrics.read_at_scrape(lambda: readings(self.info(), self.config.noise))
        self._cache = ResultCache(config.result_cache_bytes)
        self._identity: tuple[EngineConfig, str] | None = None
        self._circuits = CircuitStore(_CIRCUITS_BYTES)
        self._begun = asyncio.Event()
        self._closing = False
        self._draining = False
        # Set when a caller was given the end of a task.
        self._given = asyncio.Event()

    @property
    def config(self) -> EngineConfig:
        """What the engine is; a calibration may change."""
        return self._executor.config

    @property
    def closing(self) -> bool:
        """Whether it shuts down."""
        return self._closing

    @property
    def ready(self) -> bool:
        """Whether a task can run now, or will in a moment."""
        return self._executor.ready

    async def start(self) -> None:
        """Go on with what an earlier process left, and begin to run tasks; returns when the first could run."""
        # Before anything is awaited: no caller can send one of them meanwhile.
        for request in self._executor.recover():
            self._resume(request)
        await self._executor.start()
        self._begun.set()

    async def started(self, seconds: float) -> None:
        """Return when tasks could run for the first time, or it shuts down; at the latest after so many seconds."""
        if not self._begun.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._begun.wait()

    def info(self) -> BackendInfo:
        """Return what this backend is and how busy."""
        described = self._executor.description
        return BackendInfo(
            engine=described.version,
            method=self.config.method,
            methods=described.methods,
            basis_gates=described.basis_gates,
            max_qubits=self.config.widest,
            max_shots=self.config.max_shots,
            memory_bytes=self.config.circuit_bytes if described.memory_bytes is None else described.memory_bytes,
            workers=self._executor.capacity,
            queued=self._tasks.queued,
            running=self._tasks.running,
            queue_limit=self.config.queue_limit,
            draining=self._closing or self._draining,
            calibration=described.calibration,
            calibration_digest=_calibration(self.config),
            unnamed=self.accounts.unnamed,
            device=described.device,
            spool=described.spool,
            boot=self.accounts.boot,
            task_seconds=self._tasks.ran_seconds(),
        )

    async def recalibrate(self, noise: Noise) -> None:
        """Imitate another calibration from the next task on; what runs ends with the one that it began with.

        Raises:
            RuntimeError: the engine cannot imitate it, and goes on as before.
        """
        await self._executor.recalibrate(noise)

    def unfinished(self, subject: str = OPERATOR_SUBJECT) -> list[TaskInfo]:
        """Return the tasks of this subject that wait or run; the operator sees everybody's."""
        return self._tasks.unfinished(subject)

    def submit(self, task: Task, caller: Caller = _OPERATOR) -> None:
        """Take a task; one that is known by its id is not taken twice.

        Raises:
            AccessEnded: the caller's account is closed.
            Draining: the engine takes no new tasks.
            GrantPending: the caller's account has used what it was granted, or is not named yet.
            NotFound: somebody else's task has this id.
            QueueFull: too many tasks wait, or those that do hold too much.
            QuotaExceeded, BudgetExceeded: the account has too little left.
            UnknownCircuit: circuits are missing.
        """
        known = self._tasks.known(task.id)
        if known is not None:
            if caller.subject not in (known.subject, OPERATOR_SUBJECT):
                raise NotFound(f"the task id {task.id} is taken: choose another")
            return
        self._refuse_new(caller)
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
        # The record keeps the QPY that it needs, so that the store may forget it meanwhile.
        whole = replace(task, circuits={digest: self._circuits.get(digest) or b"" for digest in needed})
        first_here = caller.subject == OPERATOR_SUBJECT and task.boot == self.accounts.boot
        request = Request(whole, secrets.randbits(32) if seed is None else seed, caller, first_here)
        record = self._record(request, size)
        record.charged = self.accounts.charge(caller, task, self._limits_of(task))
        self._tasks.add(record)
        refused: QueueFull | None = None
        with failing(record):
            if self._cache:
                record.key = key_of(task, seed, scope(task, caller.subject), self._fingerprint())
            if record.key is not None and (earlier := self._cache.get(record.key)) is not None:
                self.ended(record, "Completed", Outcome(earlier, _calibration(self.config)), cached=True)
                return
            refused = self._hand_over(record)
        if refused is not None:
            self._tasks.withdraw(record)
            self.accounts.ended(caller, record.charged, ran=0.0, completed=False)
            raise refused

    def _refuse_new(self, caller: Caller) -> None:
        if self._closing:
            raise Draining("the backend is shutting down: send the task to another")
        if self._draining and caller.subject != OPERATOR_SUBJECT:
            raise Draining("this server of the backend takes no new tasks, since it may be removed: send it to another")

    def _record(self, request: Request, size: int) -> Record:
        spans = TaskSpans.of(request.task, self._spans)
        if spans is not None:
            # Whoever gets the task from here belongs to this server's span.
            task = replace(request.task, traceparent=spans.scope.context.traceparent)
            request = replace(request, task=task, scope=spans.scope)
        return Record(request, self, self._clock(), size, self.config, spans=spans)

    def _limits_of(self, task: Task) -> TaskLimits:
        device = self._executor.description.device
        return TaskLimits() if device is None else task.limits or limits_of(device)

    def _hand_over(self, record: Record) -> QueueFull | None:
        """Let the executor take a task; return why it has no room for it."""
        record.busy = True
        try:
            self._executor.submit(record)
        except QueueFull as error:
            return error
        return None

    def _resume(self, request: Request) -> None:
        """Take a task that an earlier process of this backend took; what it gives may be older than this engine."""
        # The earlier process may have sent it on.
        request = replace(request, task=replace(request.task, again=True))
        record = self._record(request, request.task.nbytes)
        self.accounts.resume(request.caller)
        self._tasks.add(record)
        with failing(record):
            record.busy = True
            self._executor.submit(record)

    async def wait(self, identity: str, seconds: float, subject: str = OPERATOR_SUBJECT) -> TaskResult:
        """Return how the task stands, at the latest after so many seconds.

        Raises:
            NotFound: there is no such task for this subject.
        """
        record = self._tasks.find(identity, subject)
        if not record.ended and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if seconds == float("inf") else seconds):
                    await record.done.wait()
        if record.ended:
            record.answered = True
            self._given.set()
        return record.answer

    async def cancel(self, identity: str, subject: str = OPERATOR_SUBJECT) -> TaskResult:
        """End a task: one that waits leaves the queue, one that runs is stopped by its executor.

        Raises:
            NotFound: there is no such task for this subject.
        """
        record = self._tasks.find(identity, subject)
        await self._cancel(record, Cancelled("the task was cancelled"))
        return record.answer

    def delivered(self, identity: str, subject: str = OPERATOR_SUBJECT) -> bool:
        """Keep an ended task no longer: its caller has the end. Return whether it was still kept.

        Raises:
            InvalidTask: it has not ended.
        """
        try:
            record = self._tasks.find(identity, subject)
        except NotFound:
            # The registry may have dropped what an executor still has.
            self._executor.delivered(Request(Task(identity, ()), 0, Caller(subject)))
            return False
        if not record.ended:
            raise InvalidTask(f"the task {identity} has not ended: cancel it, or wait for its end")
        self._tasks.withdraw(record)
        self._executor.delivered(record.request)
        return True

    async def _cancel(self, record: Record, error: WireError) -> None:
        if not record.ended:
            self.ended(record, "Cancelled", Outcome(()), error)
            await self._executor.cancel(record)

    async def exchange(self, grants: Mapping[str, Grant] | None, boot: str = "") -> Meters:
        """Take the operator's grants, end the tasks of accounts that are closed by them, and tell what was used.

        ``grants`` are all that there are; None changes nothing, and so do those for another start than ``boot``.
        """
        self.accounts.take(grants, boot)
        await self._end_refused()
        return self.accounts.tell()

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """End an attempt at a program: its tasks here, and those that earlier processes began elsewhere.

        Returns:
            What may still go on elsewhere; none: nothing does, and no more comes.
        """
        self.accounts.end_run(run)
        await self._end_refused()
        return await self._executor.end_run(run)

    async def _end_refused(self) -> None:
        """End the tasks of those who may do nothing here any more."""
        over = [
            (record, error)
            for record in self._tasks.under_way()
            if (error := self.accounts.refusal(record.request.caller)) is not None
        ]
        await asyncio.gather(*(self._cancel(record, error) for record, error in over))

    def set_draining(self, on: bool) -> None:
        """Take no new tasks of programs from now on, or take them again; what it has is done and given out as ever.

        The operator asks for it and sends none meanwhile, but some that it sent before may still be on their way.
        """
        self._draining = on

    async def shut_down(self, grace: float) -> None:
        """Take nothing more, hand back what waits, and let what runs end, or hand it back after ``grace`` seconds.

        Within that time callers fetch what has ended of late. What outlives this process stays as it is: the next one
        goes on with it.
        """
        self._closing = True
        self._begun.set()
        if self._executor.durable:
            return
        for record in self._tasks.all():
            if record.state == "Queued":
                record.fail(Draining("this server shuts down and has not begun the task: send it to another"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._tasks.idle.wait()
                await self._fetch()
        for record in self._tasks.all():
            record.fail(Draining(f"this server shut down, and the task did not end within {grace:g} s: send it again"))

    async def _fetch(self) -> None:
        """Wait until callers were given what has ended of late, or seem to be gone."""
        while self._tasks.unfetched(self._clock() - _FETCH_SECONDS):
            self._given.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._given.wait()

    async def close(self) -> None:
        """End what runs in this process."""
        self._closing = True
        await self._executor.close()

    def began(self, record: Record) -> None:
        """Count a task as running, with what the executor is now."""
        record.started = self._clock()
        if record.config is not self.config:
            # What it asks for was another thing when it came, and is not to be found under that key.
            record.config, record.key = self.config, None
        record.state = "Running"
        self._tasks.begin(record)
        self.metrics.queue_seconds.observe(record.started - record.submitted)

    def released(self, record: Record) -> None:
        """Count an ended task as running no more: nothing is busy with it."""
        self._tasks.settle(record)

    def ended(
        self, record: Record, state: str, outcome: Outcome, error: WireError | None = None, *, cached: bool = False
    ) -> None:
        """Give a task its end, count it and keep its result."""
        now = self._clock()
        request, caller = record.request, record.request.caller
        started, ran_at_all = record.started or now, record.state != "Queued"
        run = outcome.run or RunFacts(self._executor.description.version, request.seed, now - started, cached)
        record.result = TaskResult(
            request.task.id,
            state,
            outcome.results,
            error,
            engine=run.engine,
            seed=run.seed,
            queue_seconds=max(0.0, now - record.submitted - run.run_seconds),
            run_seconds=run.run_seconds,
            calibration=outcome.calibration,
            cached=run.cached,
            peak_bytes=outcome.peak_bytes,
            vendor_tasks=outcome.vendor_tasks or record.vendor_tasks,
        )
        record.state = state
        self._tasks.end(record)
        # What is kept is the answer; the question is dropped.
        record.request = replace(request, task=replace(request.task, circuits={}, pubs=()))
        record.done.set()
        # The task has ended. What fails from here on is the one count that it concerns.
        with _logged(record, "charging its account"):
            ran = 0.0 if run.cached else run.run_seconds
            completed, elsewhere = state == "Completed" and not run.cached, record.result.vendor_tasks
            self.accounts.ended(caller, record.charged, ran=ran, completed=completed, vendor_tasks=elsewhere)
        with _logged(record, "counting it"):
            self.metrics.tasks.labels(state=state).inc()
            if state == "Failed" and error is not None:
                self.metrics.failed(error.code)
            if ran_at_all:
                self.metrics.run_seconds.observe(run.run_seconds)
        if record.spans is not None:
            with _logged(record, "recording its span"):
                ran_for = now - started if ran_at_all else None
                record.spans.ended(request, record.result, since=now - record.submitted, ran=ran_for)
        with _logged(record, "caching its result"):
            # An executor that outlives its process may give what it began under another calibration.
            current = outcome.calibration == _calibration(record.config)
            if record.key is not None and state == "Completed" and not run.cached and current:
                self._cache.put(record.key, outcome.results)
        with _logged(record, "keeping its result"):
            for dropped in self._tasks.keep(record, now):
                self._executor.forget(dropped.request, answered=dropped.answered)

    def _fingerprint(self) -> str:
        """Return what the engine is, so that equal tasks on equal engines have equal results."""
        if self._identity is None or self._identity[0] is not self.config:
            text = json.dumps(self.config.to_dict(), sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()
            self._identity = (self.config, f"{self._executor.description.version} {digest}")
        return self._identity[1]


def _calibration(config: EngineConfig) -> str:
    return config.noise.digest if config.noise is not None else ""


@contextlib.contextmanager
def _logged(record: Record, doing: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("task %s has ended; %s failed", record.request.task.id, doing)
