"""Tasks on their way, as Braket shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from braket.tasks import GateModelQuantumTaskResult, QuantumTask, QuantumTaskBatch
from qiskit.providers import JobStatus

from qonverge.client.qiskit.jobs import SentTask
from qonverge.wire.messages import TaskResult

_STATES = {
    JobStatus.QUEUED: "QUEUED",
    JobStatus.RUNNING: "RUNNING",
    JobStatus.DONE: "COMPLETED",
    JobStatus.CANCELLED: "CANCELLED",
    JobStatus.ERROR: "FAILED",
}
Results = Callable[[TaskResult], Sequence[GateModelQuantumTaskResult]]


class Batch(QuantumTaskBatch):  # type: ignore[misc]  # the SDK ships no types
    """Circuits that run as one task."""

    def __init__(self, sent: SentTask, convert: Results) -> None:
        """Take a task that was sent, and what makes Braket's results of its own."""
        self._sent = sent
        self._convert = convert
        self._results: list[GateModelQuantumTaskResult] | None = None

    def results(self) -> list[GateModelQuantumTaskResult]:
        """Return the results in the order of the circuits, waiting for them.

        Raises:
            ClientError: saying why there are none.
        """
        if self._results is None:
            self._results = list(self._convert(self._sent.result()))
        return self._results

    def state(self) -> str:
        """Return how the task stands, in Braket's words."""
        return _STATES[self._sent.status()]

    def cancel(self) -> None:
        """End the task."""
        self._sent.cancel()


class Task(QuantumTask):  # type: ignore[misc]  # the SDK ships no types
    """One circuit on its way."""

    def __init__(self, batch: Batch, identity: str, about: Mapping[str, Any]) -> None:
        """Take a batch of one circuit, and what ``metadata`` says besides its state."""
        self._batch = batch
        self._id = identity
        self._about = dict(about)

    @property
    def id(self) -> str:
        """Id of the task."""
        return self._id

    def state(self) -> str:
        """Return QUEUED, RUNNING, COMPLETED, FAILED or CANCELLED."""
        return self._batch.state()

    def result(self) -> GateModelQuantumTaskResult:
        """Return the result, waiting for it.

        Raises:
            ClientError: saying why there is none.
        """
        return self._batch.results()[0]

    def async_result(self) -> asyncio.Task[GateModelQuantumTaskResult]:
        """Return a task of the running event loop that has the result.

        Raises:
            RuntimeError: no event loop is running.
        """
        return asyncio.get_running_loop().create_task(asyncio.to_thread(self.result))

    def cancel(self) -> None:
        """End the task."""
        self._batch.cancel()

    def metadata(self, use_cached_value: bool = False) -> dict[str, Any]:
        """Return id, device, shots, time of creation and status; what is kept here is never older than the task."""
        del use_cached_value
        return {**self._about, "status": self.state()}

    def __repr__(self) -> str:
        return f"Task('id':{self.id})"
