"""Jobs, and the messages that the API has of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cirq_google.cloud import quantum
from google.protobuf.timestamp_pb2 import Timestamp

from qonverge_dev_cloud.work import Phase, Work

State = quantum.ExecutionStatus.State
_STATES: dict[Phase, Any] = {
    "Waiting": State.READY,
    "Running": State.RUNNING,
    "Completed": State.SUCCESS,
    "Failed": State.FAILURE,
    "Cancelling": State.CANCELLING,
    "Cancelled": State.CANCELLED,
}


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Work):
    """A job."""

    name: str
    processor: str
    """Its id."""
    code: Any
    """The program, packed."""
    sent: Any
    """``QuantumJob`` as it was sent, its name filled in, and as it was updated."""
    result: Any = None
    """Packed, once it is known."""
    failure_code: str = "SYSTEM_ERROR"

    def state(self, now: float) -> Any:
        """Return the state by Google's names."""
        return _STATES[self.phase(now)]

    def message(self, now: float, *, context: bool = False) -> Any:
        """Return the job as the API tells it.

        Args:
            now: Unix seconds.
            context: whether its run context is told too.
        """
        told = quantum.QuantumJob(self.sent)
        told.create_time = moment(self.created)
        if not context:
            quantum.QuantumJob.pb(told).ClearField("run_context")
        status = quantum.ExecutionStatus(state=self.state(now))
        project = self.name.split("/")[1]
        if not self.withdrawn and now >= self.start:
            status.processor_name = f"projects/{project}/processors/{self.processor}"
            status.timing.started_time = moment(self.start)
            if (ended := self.ended(now)) is not None:
                status.timing.completed_time = moment(ended)
        if status.state == State.FAILURE:
            status.failure.error_code = getattr(quantum.ExecutionStatus.Failure.Code, self.failure_code)
            status.failure.error_message = self.failure or ""
        told.execution_status = status
        return told


@dataclass(slots=True)
class Stored:
    """A program, with its jobs."""

    message: Any
    jobs: dict[str, Job] = field(default_factory=dict)


def moment(seconds: float) -> Any:
    """Return a time stamp of protocol buffers."""
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=min(999_999_999, round((seconds - whole) * 1e9)))
