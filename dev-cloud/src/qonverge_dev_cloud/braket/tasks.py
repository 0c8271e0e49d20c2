"""Quantum tasks and the queues of devices. Pure but for the tasks' own fields: times are arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from qonverge_dev_cloud.scenario import DeviceScenario

ENDED = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Qasm:
    """An OpenQASM 3 program and its inputs."""

    source: str
    inputs: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True, eq=False)
class Task:
    """A quantum task. Times are seconds since 1970."""

    arn: str
    number: int
    """In the order of creation on its device, from 1."""
    request: dict[str, Any]
    """Members of CreateQuantumTask, but for its token, and the region."""
    program: Qasm
    created: float
    start: float
    end: float
    tags: dict[str, str] = field(default_factory=dict)
    cancelled: float | None = None
    """When it was cancelled."""
    cancel_token: str | None = None
    failure: str | None = None
    """Why it fails, or failed."""
    ready: bool = False
    """Whether its result is in its bucket, or its failure is known."""

    @property
    def shots(self) -> int:
        """Those that were asked for."""
        return int(self.request["shots"])

    @property
    def directory(self) -> str:
        """The folder of its results in its bucket."""
        return f"{self.request['outputS3KeyPrefix']}/{self.arn.rsplit('/', 1)[1]}"

    @property
    def withdrawn(self) -> bool:
        """Whether it was cancelled before it started."""
        return self.cancelled is not None and self.cancelled < self.start

    def status(self, now: float) -> str:
        """Return the state by Braket's names."""
        if self.withdrawn:
            return "CANCELLED"
        if self.cancelled is not None:
            return "CANCELLED" if now >= self.end else "CANCELLING"
        if now < self.start:
            return "QUEUED"
        if not self.ready or now < self.end:
            return "RUNNING"
        return "COMPLETED" if self.failure is None else "FAILED"

    def ended(self, now: float) -> float | None:
        """Return when it ended."""
        if self.status(now) not in ENDED:
            return None
        return self.cancelled if self.withdrawn else self.end

    def shots_done(self, now: float) -> int:
        """Return the shots that ran by now, all of them unless it was cancelled while it ran."""
        if self.withdrawn or now < self.start:
            return 0
        if now >= self.end and self.cancelled is None:
            return self.shots
        until = min(now, self.end if self.cancelled is None else self.cancelled)
        return (
            self.shots if self.end == self.start else int(self.shots * (until - self.start) / (self.end - self.start))
        )

    def seconds_done(self, now: float) -> float:
        """Return the seconds that it ran by now."""
        if self.withdrawn or now < self.start:
            return 0.0
        return min(now, self.end if self.cancelled is None else self.cancelled) - self.start


class DeviceQueue:
    """When the tasks of a device run. A QPU runs one at a time, a simulator all at once."""

    def __init__(self, scenario: DeviceScenario, *, start: float, parallel: bool) -> None:
        """Args: how the device behaves, when the clouds started, and whether it runs tasks at once."""
        self._scenario, self._parallel = scenario, parallel
        self._windows = [(start + own.start, start + own.end) for own in scenario.maintenance]
        self.tasks: list[Task] = []

    def times(self, created: float, shots: int, free: float) -> tuple[float, float]:
        """Return start and end of a task on a device that is free from then on."""
        run = self._scenario.run
        start = max(created + self._scenario.queue.seconds, created if self._parallel else free)
        length = run.seconds + shots * run.per_shot
        for begin, end in self._windows:
            # What would not end before a maintenance begins runs after it.
            if start < end and start + length > begin:
                start = end
        return start, start + length

    def next_times(self, created: float, shots: int) -> tuple[float, float]:
        """Return start and end of a task that is created now."""
        return self.times(created, shots, self._free(self.tasks))

    def cancel(self, task: Task, now: float) -> None:
        """Cancel a task that has not ended; those behind it move up."""
        task.cancelled = now
        if not task.withdrawn:
            return
        before: list[Task] = []
        for own in self.tasks:
            if own.number > task.number and own.start > now and not own.withdrawn:
                begin, end = self.times(own.created, own.shots, self._free(before))
                own.start, own.end = max(begin, now), max(begin, now) + (end - begin)
            before.append(own)

    def waiting(self, now: float) -> list[Task]:
        """Return the tasks in the queue, the next one first."""
        return sorted(
            (own for own in self.tasks if own.status(now) == "QUEUED"), key=lambda own: (own.start, own.number)
        )

    def ahead(self, created: float, now: float) -> int:
        """Return the tasks of others that are still before one that was created then."""
        queue = self._scenario.queue
        if not queue.ahead:
            return 0
        left = 1 - min(1.0, (now - created) / queue.seconds)
        return math.ceil(queue.ahead * left)

    def position(self, task: Task, now: float) -> int:
        """Return the place of a task that waits, from 1."""
        return 1 + self.ahead(task.created, now) + self.waiting(now).index(task)

    def size(self, now: float) -> int:
        """Return how many tasks wait, those of others included."""
        return self.ahead(now, now) + len(self.waiting(now))

    def closed(self, now: float) -> tuple[float, float] | None:
        """Return the maintenance that goes on."""
        return next((own for own in self._windows if own[0] <= now < own[1]), None)

    @staticmethod
    def _free(tasks: Iterable[Task]) -> float:
        return max((own.end for own in tasks if not own.withdrawn), default=0.0)
