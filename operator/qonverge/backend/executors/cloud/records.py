"""What the executor of a cloud's tasks knows of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qonverge.amounts import TaskLimits
from qonverge.backend.clouds.measurement import Measurement, in_tasks
from qonverge.backend.clouds.protocol import JOB_TAG, NAMESPACE_TAG, RUN_TAG, CloudTask
from qonverge.backend.executors.protocol import Execution, Request, RunFacts
from qonverge.tracing.spans import SpanScope
from qonverge.wire.messages import Task
from qonverge.wire.tokens import OPERATOR_SUBJECT
from qonverge.wire.vendor import ENDED_STATES, VendorTask

SubmissionState = Literal["Planned", "Finding", "Submitting", "Known", "Ended", "Cancelled", "Unknown"]


@dataclass(slots=True, eq=False)
class Part:
    """Measurements of a task that one program of the cloud makes, and its answer."""

    measurements: Sequence[Measurement]
    reading: Mapping[str, Any] | None = None
    """How its answer is read; None before it was translated in this process."""
    answer: bytes = b""
    """Compressed; empty before it is here."""


@dataclass(slots=True, eq=False)
class Sent:
    """Measurements on their way to a cloud and back in one task of it."""

    run: Run
    parts: Sequence[Part]
    """In their order; several where a task of the cloud may have several."""
    state: SubmissionState = "Planned"
    attempt: int = 0
    """A task that failed by no fault of its own is followed by another one, with another key."""
    id: str = ""
    """The cloud's; empty before it is known."""
    known_at: float = 0.0
    task: CloudTask | None = None
    """As the cloud last said."""
    message: str = ""
    """What is to be said of it besides the cloud's words."""
    former: list[tuple[str, str, CloudTask]] = field(default_factory=list)
    """Those of earlier attempts: key, the cloud's id, and how it ended."""

    @property
    def key(self) -> str:
        """64 characters: the same for the same measurements of the same task at the same attempt, in every process."""
        names = "\0".join(each.name for part in self.parts for each in part.measurements)
        text = f"{self.run.key}\0{names}\0{self.attempt}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def ended(self) -> bool:
        """Whether the cloud says that its task has ended."""
        return self.task is not None and self.task.state in ENDED_STATES

    def next_attempt(self) -> None:
        """Let another task follow one that failed."""
        if self.task is not None:
            self.former.append((self.key, self.id, self.task))
        self.attempt += 1
        self.state, self.id, self.task, self.message = "Planned", "", None, ""


def tags_of(request: Request) -> dict[str, str]:
    """Return for whom a task runs; nothing where a token says neither job nor program."""
    caller, task = request.caller, request.task
    if caller.run:
        namespace, _, job = caller.subject.partition("/")
        return {NAMESPACE_TAG: namespace, JOB_TAG: job, RUN_TAG: caller.run}
    if caller.subject == OPERATOR_SUBJECT and task.job:
        # The id of a circuit's task says which attempt at which job it is.
        return {NAMESPACE_TAG: task.namespace, JOB_TAG: task.job, RUN_TAG: task.id}
    return {}


@dataclass(slots=True, eq=False)
class Run:
    """A task of ours that is executed."""

    execution: Execution
    task: Task
    """Whole: the registry drops what a task asked when it has ended, and a task that was cancelled has still to be
    found at the cloud."""
    key: str
    tags: Mapping[str, str]
    """For whom it runs, see ``Submission.tags``."""
    tenant: str
    """Whose turn it takes where tenants take turns: a namespace, or whom a token names."""
    measurements: Sequence[Measurement] = ()
    """In the order of the plan."""
    alone: bool = True
    """Whether each measurement is a program of its own, also where a task of the cloud has several."""
    limits: TaskLimits = field(default_factory=TaskLimits)
    """Of the cloud's tasks, when it was planned."""
    sent: list[Sent] = field(default_factory=list)
    calibration: str = ""
    """Digest of the one in force when it was planned."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the task has ended: what is at the cloud is to end, and nothing is to be sent."""

    @classmethod
    def of(cls, execution: Execution) -> Run:
        """Return the task that an execution is about."""
        request = execution.request
        tags = tags_of(request)
        tenant = tags.get(NAMESPACE_TAG, request.caller.subject)
        return cls(execution, request.task, request.key, tags, tenant)

    @property
    def scope(self) -> SpanScope | None:
        """What spans of it belong to."""
        return self.execution.request.scope

    def plan(self, found: Sequence[Measurement], limits: TaskLimits, *, alone: bool = True) -> None:
        """Take the measurements that it is, what one task of the cloud may have, and ``alone``."""
        self.measurements, self.limits, self.alone = found, limits, alone
        self.sent = self._in_tasks(found, 0)

    def again(self, sent: Sent) -> list[Sent]:
        """Return the cloud's tasks for what one that is complete did not answer."""
        left = [each for part in sent.parts if not part.answer for each in part.measurements]
        more = self._in_tasks(left, sent.attempt + 1)
        self.sent += more
        return more

    @property
    def answered(self) -> list[Part]:
        """All that has an answer: all measurements, once the task is complete."""
        return [part for each in self.sent for part in each.parts if part.answer]

    def _in_tasks(self, own: Sequence[Measurement], attempt: int) -> list[Sent]:
        return [
            Sent(self, [Part([each]) for each in task] if self.alone else [Part(task)], attempt=attempt)
            for task in in_tasks(own, self.limits)
        ]

    def facts(self, engine: str) -> RunFacts | None:
        """Return how it ran, as the cloud tells; None: it does not tell how long the device was busy."""
        told = [each.task.run_seconds for each in self.sent if each.task is not None]
        if not told or len(told) < len(self.sent) or any(seconds is None for seconds in told):
            return None
        return RunFacts(engine, self.execution.request.seed, sum(seconds or 0.0 for seconds in told))

    def vendor_tasks(self, link: Callable[[str], str], waits: str = "") -> tuple[VendorTask, ...]:
        """Return how its tasks at the cloud stand.

        Args:
            link: gives the page of a task by its id.
            waits: why those that are not there yet wait.
        """
        found: list[VendorTask] = []
        for each in self.sent:
            found.extend(_vendor_task(key, identity, task, link) for key, identity, task in each.former)
            if each.id or each.state == "Unknown":
                found.append(_vendor_task(each.key, each.id, each.task or CloudTask("Queued"), link, each.message))
        if waits and not self.execution.ended and not (self.sent and all(each.id for each in self.sent)):
            found.append(VendorTask("", "Queued", message=waits))
        return tuple(found)


def _vendor_task(key: str, identity: str, task: CloudTask, link: Callable[[str], str], message: str = "") -> VendorTask:
    return VendorTask(
        identity,
        task.state,
        link(identity) if identity else "",
        message or task.message,
        task.queue_position,
        task.expected_start,
        task.billed,
        task.run_seconds,
        key,
        task.expected_seconds,
    )
