"""A task in the registry, as its executor sees it and as its callers do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Protocol

from qonverge.amounts import Amounts
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.protocol import Outcome, Request
from qonverge.backend.tasks.task_spans import TaskSpans
from qonverge.wire.errors import WireError
from qonverge.wire.messages import TaskResult
from qonverge.wire.vendor import VendorTask


class Owner(Protocol):
    """Who keeps records and is told what executors report of them."""

    def began(self, record: Record) -> None:
        """Count a task that waited as running."""

    def ended(self, record: Record, state: str, outcome: Outcome, error: WireError | None = None) -> None:
        """Give a task its end."""

    def released(self, record: Record) -> None:
        """Count an ended task as running no more."""


@dataclass(slots=True, eq=False)
class Record:
    """A task on its way; an ``Execution``."""

    request: Request
    """Without pubs and circuits once it has ended: what is kept is the answer."""
    owner: Owner
    submitted: float
    nbytes: int
    config: EngineConfig
    """What it runs with, or would if it began now."""
    charged: Amounts = field(default_factory=Amounts)
    """What its caller's account was charged."""
    state: str = "Queued"
    started: float = 0.0
    result: TaskResult | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    key: bytes | None = None
    """Under which its result is kept for later tasks."""
    vendor_tasks: tuple[VendorTask, ...] = ()
    """What it became elsewhere, as far as that is known."""
    busy: bool = False
    """Whether the executor is busy with it, which may last longer than until its end."""
    spans: TaskSpans | None = None
    """Its span, where one is recorded."""
    answered: bool = False
    """Whether its end was given to a caller."""

    @property
    def subject(self) -> str:
        """Who sent it."""
        return self.request.caller.subject

    @property
    def ended(self) -> bool:
        """Whether it has a result or an error."""
        return self.result is not None

    @property
    def answer(self) -> TaskResult:
        """How it stands."""
        if self.result is None:
            return TaskResult(self.request.task.id, self.state, seed=self.request.seed, vendor_tasks=self.vendor_tasks)
        return replace(self.result, stopping=self.busy and self.state == "Cancelled")

    def begin(self) -> None:
        """Let it run, if it still waits."""
        if self.state == "Queued":
            self.owner.began(self)

    def note(self, vendor_tasks: tuple[VendorTask, ...]) -> None:
        """Take how what it became elsewhere stands; what was cancelled may end there later than here."""
        self.vendor_tasks = vendor_tasks
        if self.result is not None:
            self.result = replace(self.result, vendor_tasks=vendor_tasks)

    def complete(self, outcome: Outcome) -> None:
        """Give it results, if it has no end yet."""
        if not self.ended:
            self.owner.ended(self, "Completed", outcome)

    def fail(self, error: WireError) -> None:
        """Let it fail, if it has no end yet."""
        if not self.ended:
            self.owner.ended(self, "Failed", Outcome(()), error)

    def release(self) -> None:
        """Let it count as running no more, once it has ended."""
        if self.ended:
            self.busy = False
            self.owner.released(self)
