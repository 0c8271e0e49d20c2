"""The tasks of an engine: which wait, which run, and which have ended and are kept for those who ask late."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from qonverge.backend.tasks.records import Record
from qonverge.wire.errors import NotFound
from qonverge.wire.messages import TaskInfo
from qonverge.wire.tokens import OPERATOR_SUBJECT

_KEPT_SECONDS = 600.0
_KEPT_BYTES = 256 * 1024**2


class Tasks:
    """Tasks by id.

    What is counted follows from sets, and leaving one twice, or without having been in it, is harmless: whatever fails
    between two steps leaves no count behind.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty; ``clock`` gives seconds, of which only differences count."""
        self._clock = clock
        self._ran_seconds, self._ran_until = 0.0, clock()
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._queued: dict[str, Record] = {}
        self._running: dict[str, Record] = {}
        self._finished: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._kept_bytes = 0
        self.queued_bytes = 0
        """Bytes of those that wait."""
        self.idle = asyncio.Event()
        """Set while none runs."""
        self.idle.set()

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._queued)

    @property
    def running(self) -> int:
        """How many run, or have ended and still have a worker."""
        return len(self._running)

    def ran_seconds(self) -> float:
        """Return for how long tasks ran until now, of all together."""
        now = self._clock()
        self._ran_seconds += len(self._running) * (now - self._ran_until)
        self._ran_until = now
        return self._ran_seconds

    def known(self, identity: str) -> Record | None:
        """Return the task with this id, whoever sent it."""
        return self._records.get(identity)

    def find(self, identity: str, subject: str) -> Record:
        """Return the subject's task; the operator finds everybody's.

        Raises:
            NotFound: there is no such task for this subject.
        """
        record = self._records.get(identity)
        if record is None or subject not in (record.subject, OPERATOR_SUBJECT):
            raise NotFound(f"there is no task {identity}: it was never sent, or its result was dropped after a while")
        return record

    def all(self) -> list[Record]:
        """Return all tasks, in the order in which they came."""
        return list(self._records.values())

    def unfinished(self, subject: str) -> list[TaskInfo]:
        """Return the subject's tasks that wait or run; the operator sees everybody's."""
        return [
            TaskInfo(identity, record.subject, record.state)
            for identity, record in self._records.items()
            if not record.ended and subject in (record.subject, OPERATOR_SUBJECT)
        ]

    def unfetched(self, since: float) -> bool:
        """Return whether a task that ended after this time has an end that no caller was given, and that is wanted."""
        return any(
            ended > since and not record.answered and record.state != "Cancelled"
            for identity, (ended, _) in self._finished.items()
            if (record := self._records[identity])
        )

    def under_way(self) -> list[Record]:
        """Return the tasks that wait or run."""
        return [*self._queued.values(), *self._running.values()]

    def add(self, record: Record) -> None:
        """Take a task that is to wait."""
        self._records[record.request.task.id] = self._queued[record.request.task.id] = record
        self.queued_bytes += record.nbytes

    def withdraw(self, record: Record) -> None:
        """Drop a task that is not taken after all, or whose end its caller has."""
        identity = record.request.task.id
        self._leave_queue(record)
        self.settle(record)
        self._records.pop(identity, None)
        _, size = self._finished.pop(identity, (0.0, 0))
        self._kept_bytes -= size

    def begin(self, record: Record) -> None:
        """Let a task run."""
        self._leave_queue(record)
        self.ran_seconds()
        self._running[record.request.task.id] = record
        self.idle.clear()

    def end(self, record: Record) -> None:
        """Let a task that has ended wait no more."""
        self._leave_queue(record)

    def settle(self, record: Record) -> None:
        """Let a task run no more, on whose behalf no worker is busy any longer."""
        self.ran_seconds()
        self._running.pop(record.request.task.id, None)
        if not self._running:
            self.idle.set()

    def keep(self, record: Record, now: float) -> list[Record]:
        """Keep an ended task's result for a while; drop, and return, what was kept for long enough or is too much."""
        assert record.result is not None
        size = record.result.nbytes
        self._kept_bytes += size
        self._finished[record.request.task.id] = (now, size)
        dropped = []
        while self._finished:
            identity, (ended, size) = next(iter(self._finished.items()))
            if self._kept_bytes <= _KEPT_BYTES and now - ended < _KEPT_SECONDS:
                break
            del self._finished[identity]
            dropped.append(self._records.pop(identity))
            self._kept_bytes -= size
        return dropped

    def _leave_queue(self, record: Record) -> None:
        if self._queued.pop(record.request.task.id, None) is not None:
            self.queued_bytes -= record.nbytes
