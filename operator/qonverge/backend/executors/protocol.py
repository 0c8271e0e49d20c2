"""What executes tasks, as the registry of tasks sees it: the one thing to write for another way of running them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from qonverge.backend.config import EngineConfig
from qonverge.devices.noise import Noise
from qonverge.tracing.spans import SpanScope
from qonverge.wire.errors import WireError, server_error
from qonverge.wire.messages import PubResult, Task
from qonverge.wire.tokens import Caller
from qonverge.wire.vendor import DeviceState, SpoolState, VendorTask

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A task that is to be executed. An executor that outlives its process stores it whole."""

    task: Task
    """With the QPY of every circuit that its pubs name."""
    seed: int
    """For what is drawn; the task's own, the backend's, or one that was drawn for it."""
    caller: Caller
    """Who sent it, and who alone may see it."""
    first_here: bool = False
    """Whether it is certain that no earlier process of this server had it."""
    scope: SpanScope | None = None
    """The task's span on this server, which no executor stores; None where none is recorded."""

    @property
    def key(self) -> str:
        """The idempotency key: 64 characters that say whose task it is and which.

        The same caller sending the same id after a restart has the same key, and so finds the task that was begun.
        Another caller's task of the same id has another. Amazon Braket takes a key of this length as ``clientToken``.
        """
        return hashlib.sha256(f"{self.caller.subject}\0{self.task.id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How a task ran, as told by what ran it."""

    engine: str
    """Name and version."""
    seed: int | None
    run_seconds: float
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task gave that was executed to its end."""

    results: tuple[PubResult, ...]
    """One for each pub, in order."""
    calibration: str = ""
    """Digest of the calibration that was imitated or in force; empty where there is none."""
    peak_bytes: int | None = None
    """Most memory that it took; None where that was not measured."""
    vendor_tasks: tuple[VendorTask, ...] = ()
    """What it became at a cloud or another site."""
    run: RunFacts | None = None
    """How it ran, where that was elsewhere or before this process began; None: as this process sees it."""


@dataclass(frozen=True, slots=True)
class Description:
    """What an executor says of its engine."""

    version: str = ""
    """Name and version; part of what decides whether a cached result may be given again."""
    methods: tuple[str, ...] = ()
    basis_gates: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    """As ``devices.noise.noise_from_dict`` reads it; None: any gate anywhere, without error."""
    device: DeviceState | None = None
    """How the device elsewhere is; None of a simulator. It may change at any time."""
    memory_bytes: int | None = None
    """Memory for one circuit there; None: as the configuration says."""
    spool: SpoolState | None = None
    """What lies on disk; None where nothing does."""


class Execution(Protocol):
    """A task that was handed to an executor, and where the executor reports what becomes of it.

    All calls are made on the event loop's thread. None of them blocks.
    """

    @property
    def request(self) -> Request:
        """What to execute. Once the task has ended its pubs and circuits are dropped."""

    @property
    def ended(self) -> bool:
        """Whether the task has an end: reported by the executor, or cancelled. No report changes it any more."""

    def begin(self) -> None:
        """Report that the task waits no longer. Its state becomes Running, and its time is counted."""

    def note(self, vendor_tasks: tuple[VendorTask, ...]) -> None:
        """Report how what the task became elsewhere stands; callers who ask see it.

        After the task's end too: what is cancelled elsewhere may end later, or not want to.
        """

    def complete(self, outcome: Outcome) -> None:
        """Report the task's results, after ``begin``."""

    def fail(self, error: WireError) -> None:
        """Report why there are none; ``error.retryable`` says whether another attempt may help."""

    def release(self) -> None:
        """Report that nothing is busy with the ended task any more. Until then it counts as running."""


class Executor(Protocol):
    """Executes tasks that the registry (``tasks/engine.py``) has let in.

    The registry knows ids, owners, limits of the queue, retention, the result cache and meters. An executor knows the
    order in which tasks run, what runs them and how they are split. It gets each task once and reports through the
    task's ``Execution``.

    How the points of this protocol are meant, for three kinds of executor:

    ============  ========================  ==============================  ===========================
    point         worker pool               cloud                           edge server with a spool
    ============  ========================  ==============================  ===========================
    submit        queue in memory           queue in memory, then one call  file in the spool, named by
                                            to the cloud with the key as    the key, before it returns
                                            its idempotency token
    restart       nothing is left           the caller sends the task       ``recover`` reads the spool
                                            again, the same key finds the
                                            cloud's task
    begin         a worker takes it         the cloud's state is running    a reader takes the file
    ending        the worker's reply        polling or a notification       a result in the spool
    cancel        the worker is killed      the cloud is asked; a task that the file goes; what runs ends
                                            still ends has ended here       when it can
    capacity      worker processes          tasks that the account may run  what the site runs at once
                                            at once
    splitting     parts for free workers    tasks of the cloud, one for     none
                                            each circuit or set
    durable       no                        yes                             yes
    ============  ========================  ==============================  ===========================

    The registry counts the tasks that wait and run from ``begin`` and the end. That is what callers see of the queue,
    and of a task's progress: Queued, Running, ended. Tasks of others in a device's own queue make ``begin`` later, and
    so show as time in the queue.
    """

    @property
    def config(self) -> EngineConfig:
        """What tasks run with; another object after ``recalibrate``."""

    @property
    def description(self) -> Description:
        """What the engine says of itself; empty before ``start`` has returned."""

    @property
    def capacity(self) -> int:
        """How many tasks can run at once."""

    @property
    def ready(self) -> bool:
        """Whether a task can run now or will in a moment."""

    @property
    def durable(self) -> bool:
        """Whether tasks outlive this process.

        Where they do, a server that drains ends none of them: the next one, or the same caller's next request, goes on
        with them. Where they don't, what has not ended is handed back for another server to run.
        """

    def recover(self) -> Iterable[Request]:
        """Return the tasks that an earlier process left here, ended or not; each is submitted again with its key.

        It does not block: a list that a network has to give is left to callers, who send their tasks again.
        """

    async def start(self) -> None:
        """Begin to execute; returns when the first task could run.

        Raises:
            LookupError, RuntimeError: it cannot, for a reason that its operator can read.
        """

    def submit(self, execution: Execution) -> None:
        """Take a task; one whose key is known from an earlier process is joined and not begun anew.

        It does not block for longer than a write to the disk, may be called before ``start``, and may report the end
        at once.

        Raises:
            QueueFull: there is no room. The task is as if it had never come.
        """

    async def cancel(self, execution: Execution) -> None:
        """Stop what is busy with a task, which has ended; returns when it is stopped, or asked to.

        ``Execution.release`` is called when nothing is busy with it. A task that still waits never begins.
        """

    def forget(self, request: Request, *, answered: bool) -> None:
        """The registry keeps an ended task no longer, and finds it again only if it is submitted again.

        ``answered``: whether an answer with its end was given to its caller, which on a bad link may not have come.
        Until then an executor that outlives its process keeps the end, so that a caller whose answer was lost by a
        restart gets it and nothing runs twice. One whose callers may be away for longer keeps it for a time of its own.
        """

    def delivered(self, request: Request) -> None:
        """The caller has said that it has the task's end, and will not ask for it again."""

    async def end_run(self, run: str) -> tuple[VendorTask, ...]:
        """End what this process and earlier ones began elsewhere for an attempt at a job's program.

        Its tasks that are known here are cancelled before, and no more of them come.

        Args:
            run: see ``Caller.run``.

        Returns:
            What may still go on there. Where there is none, nothing does; else this is asked for again.
        """

    async def recalibrate(self, noise: Noise) -> None:
        """Imitate another calibration from the next task on.

        Raises:
            RuntimeError: the engine cannot, and goes on as before.
        """

    async def close(self) -> None:
        """Stop all that runs in this process; a durable executor's tasks go on elsewhere or later."""


@contextlib.contextmanager
def failing(execution: Execution) -> Iterator[None]:
    """Make what goes wrong in the block the task's end, with an error that its caller can read."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, WireError):
            logger.exception("task %s failed in the server", execution.request.task.id)
            error = server_error(error)
        execution.fail(error)
