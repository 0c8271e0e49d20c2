"""Tasks on their way, as Qiskit's jobs show them: a thread sends each one and waits for its result."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from typing import Any

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus
from qiskit.providers.jobstatus import JOB_FINAL_STATES

from qonverge.client.errors import BackendUnreachable, TaskFailed
from qonverge.client.transport.connect import Runner
from qonverge.client.transport.connection import MOST_TASKS
from qonverge.client.transport.step_tasks import STEP_TASKS
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
        sent = SentTask(self.runner, task, self._threads)
        if task.pubs:
            self._threads.submit(sent.begin)
        else:
            # Nothing to run is a result too, as in Qiskit.
            sent.ended.set_result(TaskResult(task.id, "Completed"))
        return sent


class SentTask:
    """A task on its way."""

    def __init__(self, runner: Runner, task: Task, threads: Executor) -> None:
        """Wait for ``begin``."""
        self.id = task.id
        self.ended: Future[TaskResult] = Future()
        self._runner = runner
        self._task = task
        self._threads = threads
        self._first = threading.Lock()
        self._cancelled = threading.Event()

    def begin(self) -> None:
        """Send the task and wait for its end in this thread, unless another does so already."""
        if not self.ended.done() and self._first.acquire(blocking=False) and self.ended.set_running_or_notify_cancel():
            self._run()

    def _run(self) -> None:
        try:
            result = self._runner.run(self._task, self._cancelled)
        except Exception as error:
            self.ended.set_exception(error)
        except KeyboardInterrupt:
            # Who waits was interrupted, as in a notebook. The task goes on, and may be asked for again: what has the
            # same id is the same task.
            self._threads.submit(self._run)
            raise
        except BaseException as error:
            # The process leaves, and must not wait for the task.
            self._cancelled.set()
            self.ended.set_exception(error)
            raise
        else:
            self.ended.set_result(result)

    def result(self, timeout: float | None = None) -> TaskResult:
        """Return the result, waiting for so many seconds.

        Raises:
            ClientError: saying why there is none.
            TimeoutError: it is not there yet.
        """
        if timeout is None and STEP_TASKS.may_pause(self.id):
            self._wait_or_pause()
        if timeout is None:
            # Handing it to another thread and back would cost a small task a tenth of its time.
            self.begin()
        try:
            return self.ended.result(timeout)
        except CancelledError:
            raise TaskFailed(Cancelled("the task was cancelled before it was sent")) from None

    def _wait_or_pause(self) -> None:
        """Wait for the end in another thread, and give the pod back where that takes long."""
        while STEP_TASKS.may_pause(self.id) and not wait((self.ended,), STEP_TASKS.patience).done:
            STEP_TASKS.pause()

    def status(self) -> JobStatus:
        """Return how the task stands."""
        if not self.ended.done():
            return JobStatus.RUNNING if self.ended.running() else JobStatus.QUEUED
        if self.ended.cancelled():
            return JobStatus.CANCELLED
        if self.ended.exception() is None:
            return JobStatus.DONE
        return JobStatus.CANCELLED if self._cancelled.is_set() else JobStatus.ERROR

    def cancel(self) -> None:
        """End the task."""
        self._cancelled.set()
        if self.ended.cancel():
            return
        # The task may still be on its way; where nobody answers, the thread that waits for it ends it later.
        with contextlib.suppress(BackendUnreachable):
            for _ in range(_CANCEL_ATTEMPTS):
                if self._runner.cancel(self.id) or wait((self.ended,), _CANCEL_SECONDS).done:
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
    """Return an id that no other task has, and in a step of a program the same whenever it is run again."""
    return STEP_TASKS.next_id() or f"task-{uuid.uuid4()}"
