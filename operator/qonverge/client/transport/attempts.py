"""An attempt at a task, from its first request to its end; and refusals of the token that it is sent with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Self

from qonverge.amounts import TaskLimits
from qonverge.client.errors import TaskFailed
from qonverge.wire.errors import Unauthorized
from qonverge.wire.messages import Task, TaskResult
from qonverge.wire.vendor import VendorTask

# Refusals of a token that are further apart are of two tokens.
_APART_SECONDS = 30.0


@dataclass(slots=True)
class Attempt:
    """The attempt at a task that is under way.

    What was refused, or not answered, is the same attempt: one that costs money is begun once. What failed is kept by
    the server under its id, so that another attempt has another.
    """

    again: bool
    """Whether a server may have it already."""
    since: float
    """Unix seconds before which no server had it; 0: not known."""
    limits: TaskLimits | None = None
    """What one task of the device could have when it was first sent: it stays the same task, also after the device
    changed that. None: it runs on no device."""
    known: dict[str, VendorTask] = field(default_factory=dict)
    """What it became at a vendor as far as a server has told, by the keys: the next one goes on with that."""
    failures: int = 0
    """Of those before it."""
    accepted: bool = False
    """Whether a server has told that it has it, and that it has not ended."""

    @classmethod
    def of(cls, task: Task) -> Self:
        """Return the first attempt at a task."""
        return cls(task.again, 0.0 if task.again else time.time(), task.limits)

    def task(self, whole: Task) -> Task:
        """Return the task as this attempt sends it."""
        return replace(
            whole,
            id=self.identity(whole),
            again=self.again,
            since=self.since,
            limits=self.limits,
            known={key: each.id for key, each in self.known.items()},
            seals={key: each.seal for key, each in self.known.items() if each.seal},
        )

    def hear(self, result: TaskResult) -> None:
        """Take what a server says of the task."""
        self.accepted = True
        self.known.update({each.key: each for each in result.vendor_tasks if each.key and each.id})

    def identity(self, task: Task) -> str:
        """Return its id: the task's own, and of later attempts others, the same in every process."""
        return f"{task.id[:200]}.{self.failures}" if self.failures else task.id

    def fail(self) -> None:
        """Let another one follow, which no server has."""
        self.failures, self.again, self.accepted = self.failures + 1, False, False
        self.known = {}


@dataclass(slots=True)
class Refusals:
    """Refusals of the token, one soon after the other."""

    seconds: float
    """For which another try is worth it."""
    since: float = 0.0
    last: float = float("-inf")

    def bear(self, error: Unauthorized, now: float, delay: float) -> None:
        """Let another try follow after so many seconds.

        Raises:
            TaskFailed: it would come too late.
        """
        if now > self.last + _APART_SECONDS:
            self.since = now
        self.last = now
        if not self.seconds:
            raise TaskFailed(error)
        if now + delay > self.since + self.seconds:
            said = f"{error.message}; the operator, which renews it, has not done so for {self.seconds:g} s"
            raise TaskFailed(type(error)(said))
