"""Quantum tasks, by Braket's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qonverge_dev_cloud.simulation import Qasm
from qonverge_dev_cloud.work import Phase, Work

_STATUS: dict[Phase, str] = {
    "Waiting": "QUEUED",
    "Running": "RUNNING",
    "Completed": "COMPLETED",
    "Failed": "FAILED",
    "Cancelling": "CANCELLING",
    "Cancelled": "CANCELLED",
}


@dataclass(slots=True, eq=False, kw_only=True)
class Task(Work):
    """A quantum task."""

    arn: str
    request: dict[str, Any]
    """Members of CreateQuantumTask, but for its token, and the region."""
    program: Qasm
    tags: dict[str, str] = field(default_factory=dict)
    cancel_token: str | None = None

    @property
    def directory(self) -> str:
        """The folder of its results in its bucket."""
        return f"{self.request['outputS3KeyPrefix']}/{self.arn.rsplit('/', 1)[1]}"

    def status(self, now: float) -> str:
        """Return the state."""
        return _STATUS[self.phase(now)]
