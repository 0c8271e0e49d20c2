"""Tasks on their way, as Qiskit's jobs show them: a thread sends each one and waits for its result."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus
from qiskit.providers.jobstatus import JOB_FINAL_STATES

from qonverge.client.connect import Runner
from qonverge.client.connection import MOST_TASKS
from qonverge.client.errors import BackendUnreachable, TaskFailed
from qonverge.wire.errors import Cancelled
from qonverge.wire.messages import Task, TaskResult

_CANCEL_ATTEMPTS = 40
_CANCEL_SECONDS = 0.05


class Sender:
    """Threads that send tasks; they are kept, since an optimiser sends one task after the other."""

    def __init__(self, runner: Runner) -> None:
        """Start no thread yet."""
        self.runner = runner
        self._threads = ThreadPoolExecutor(MOST_TASKS, thread_name_prefix="qonverge-task")

    def send(self, task: Task) -> SentTask:
        """Send a task; beyond ``MOST_TASKS`` at a time they wait here."""
        cancelled = threading.Event()
        if task.pubs:
            return SentTask(self.runner, task.id, self._threads.submit(self.runner.run, task, cancelled), cancelled)
        # Nothing to run is a result too, as in Qiskit.
        nothing: Future[TaskResult] = Future()
        nothing.set_result(TaskResult(task.id, "Completed"))
        return SentTask(self.runner, task.id, nothing, cancelled)


class SentTask:
    """A task on its way."""

    def __init__(self, runner: Runner, identity: str, future: Future[TaskResult], cancelled: threading.Event) -> None:
        """``cancelled``, when set, ends the task wherever it stands."""
        self.id = identity
        self._runner = runner
        self._future = future
        self._cancelled = cancelled

    def result(self, timeout: float | None = None) -> TaskResult:
        """Return the result, waiting for so many seconds.

        Raises:
            ClientError: saying why there is none.
            TimeoutError: it is not there yet.
        """
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise TaskFailed(Cancelled("the task was cancelled before it was sent")) from None

    def status(self) -> JobStatus:
        """Return how the task stands."""
        if not self._future.done():
            return JobStatus.RUNNING if self._future.running() else JobStatus.QUEUED
        if self._future.cancelled():
            return JobStatus.CANCELLED
        if self._future.exception() is None:
            return JobStatus.DONE
        return JobStatus.CANCELLED if self._cancelled.is_set() else JobStatus.ERROR

    def cancel(self) -> None:
        """End the task."""
        self._cancelled.set()
        if self._future.cancel():
            return
        # The task may still be on its way; where nobody answers, the thread that waits for it ends it later.
        with contextlib.suppress(BackendUnreachable):
            for _ in range(_CANCEL_ATTEMPTS):
                if self._runner.cancel(self.id) or wait((self._future,), _CANCEL_SECONDS).done:
                    return


class PrimitiveJob(BasePrimitiveJob[PrimitiveResult[Any], JobStatus]):  # type: ignore[misc]  # qiskit ships no types
    """A primitive's task on its way; ``result`` waits for it."""

    def __init__(self, sent: SentTask, convert: Callable[[TaskResult], PrimitiveResult[Any]]) -> None:
        """Take a task that was sent."""
        super().__init__(job_id=sent.id)
        self._sent = sent
        self._convert = convert

    def result(self) -> PrimitiveResult[Any]:
        """Return the result.

        Raises:
            ClientError: saying why there is none.
        """
        return self._convert(self._sent.result())

    def status(self) -> JobStatus:
        """Return how the task stands."""
        return self._sent.status()

    def done(self) -> bool:
        """Return whether there is a result."""
        return self.status() is JobStatus.DONE

    def running(self) -> bool:
        """Return whether the task is under way."""
        return self.status() is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        return self.status() is JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Return whether the task has ended."""
        return self.status() in JOB_FINAL_STATES

    def cancel(self) -> None:
        """End the task."""
        self._sent.cancel()


def new_id() -> str:
    """Return an id that no other task has."""
    return f"task-{uuid.uuid4()}"
