"""What this process asked of backends, counted for its metrics: cheap enough to be counted always."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from qonverge.wire.messages import TaskResult

State = Literal["Completed", "Failed", "Cancelled"]


@dataclass(slots=True)
class Counts:
    """What was counted, of all tasks together."""

    ended: dict[State, int] = field(default_factory=lambda: {"Completed": 0, "Failed": 0, "Cancelled": 0})
    """Tasks by how they ended."""
    under_way: int = 0
    waits: int = 0
    """Times that a task was sent while none was under way."""
    wait_seconds: float = 0.0
    """Time in which at least one was under way."""
    task_seconds: float = 0.0
    """Time from sending a task to its end, of all together."""
    queue_seconds: float = 0.0
    """Of which they waited at the backend."""
    run_seconds: float = 0.0
    """Of which they ran."""
    shots: int = 0
    sent_bytes: int = 0
    """Of requests to backends, without their heads."""
    received_bytes: int = 0


class UsageCounts:
    """Counts from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count from nothing; ``clock`` gives seconds, of which only differences count."""
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = Counts()
        self._waited_until = clock()

    def read(self) -> Counts:
        """Return what was counted until now."""
        with self._lock:
            self._pass()
            return replace(self._counts, ended=dict(self._counts.ended))

    @contextlib.contextmanager
    def task(self) -> Iterator[None]:
        """Count a task as under way until the end of the block."""
        with self._lock:
            began = self._pass()
            self._add(waits=not self._counts.under_way, under_way=1)
        state: State = "Completed"
        try:
            yield
        except BaseException as failure:
            state = "Cancelled" if getattr(failure, "code", "") == "Cancelled" else "Failed"
            raise
        finally:
            with self._lock:
                now = self._pass()
                self._add(under_way=-1, task_seconds=now - began)
                self._counts.ended[state] += 1

    def take(self, result: TaskResult) -> None:
        """Count what a result tells."""
        shots = sum(pub.shots or 0 for pub in result.results)
        with self._lock:
            self._add(queue_seconds=result.queue_seconds, run_seconds=result.run_seconds, shots=shots)

    def exchange(self, *, sent: int = 0, received: int = 0) -> None:
        """Count bytes on their way."""
        with self._lock:
            self._add(sent_bytes=sent, received_bytes=received)

    def _pass(self) -> float:
        """Count the time until now, and return it."""
        now, before = self._clock(), self._waited_until
        self._waited_until = now
        if self._counts.under_way:
            self._add(wait_seconds=now - before)
        return now

    def _add(self, **more: float) -> None:
        for name, amount in more.items():
            setattr(self._counts, name, getattr(self._counts, name) + amount)


COUNTS = UsageCounts()
"""This process's."""
