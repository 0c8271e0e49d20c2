"""A primitive's job: one task, run in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus

from qonverge.client.connect import Runner
from qonverge.client.errors import BackendUnreachable
from qonverge.wire.messages import Task, TaskResult

_CANCEL_ATTEMPTS = 40
_CANCEL_SECONDS = 0.05


class PrimitiveJob(BasePrimitiveJob[PrimitiveResult[Any], JobStatus]):  # type: ignore[misc]  # qiskit ships no types
    """A task on its way; ``result`` waits for it."""

    def __init__(self, connection: Runner, task: Task, convert: Callable[[TaskResult], PrimitiveResult[Any]]) -> None:
        """Send the task at once."""
        super().__init__(job_id=task.id)
        self._connection = connection
        self._convert = convert
        self._cancelled = threading.Event()
        self._future: Future[TaskResult] = Future()
        if not task.pubs:
            # Nothing to run is a result too, as in Qiskit.
            self._future.set_result(TaskResult(task.id, "Completed"))
            return
        executor = ThreadPoolExecutor(1, thread_name_prefix="qonverge-task")
        self._future = executor.submit(connection.run, task, self._cancelled)
        executor.shutdown(wait=False)

    def result(self) -> PrimitiveResult[Any]:
        """Return the result.

        Raises:
            ClientError: saying why there is none.
        """
        return self._convert(self._future.result())

    def status(self) -> JobStatus:
        """Return how the task stands."""
        if not self._future.done():
            return JobStatus.RUNNING
        if self._cancelled.is_set() and self._future.exception() is not None:
            return JobStatus.CANCELLED
        return JobStatus.ERROR if self._future.exception() is not None else JobStatus.DONE

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
        return self._future.done()

    def cancel(self) -> None:
        """End the task."""
        self._cancelled.set()
        # The task may still be on its way; where nobody answers, the thread that waits for it ends it later.
        with contextlib.suppress(BackendUnreachable):
            for _ in range(_CANCEL_ATTEMPTS):
                if self._connection.cancel(self.job_id()) or wait((self._future,), _CANCEL_SECONDS).done:
                    return


def new_id() -> str:
    """Return an id that no other task has."""
    return f"task-{uuid.uuid4()}"
