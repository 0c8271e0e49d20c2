"""Quantum tasks, by Braket's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qonverge_dev_cloud.braket.actions import Action
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
    action: Action
    failures: dict[int, str] = field(default_factory=dict)
    """Executables of a program set that fail, numbered through all programs, and why."""
    failures_pass: bool = True
    """Whether another try of those may succeed."""
    tags: dict[str, str] = field(default_factory=dict)
    cancel_token: str | None = None

    @property
    def directory(self) -> str:
        """The folder of its results in its bucket."""
        return f"{self.request['outputS3KeyPrefix']}/{self.arn.rsplit('/', 1)[1]}"

    @property
    def successful_shots(self) -> int:
        """Shots of the executables that do not fail."""
        return self.shots // self.action.count * (self.action.count - len(self.failures))

    def status(self, now: float) -> str:
        """Return the state."""
        return _STATUS[self.phase(now)]
