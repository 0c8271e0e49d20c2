"""The tasks of a program's steps: they have the same ids whenever the program begins again, and so are sent once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import astuple, dataclass
from typing import Any

from qonverge.amounts import TaskLimits
from qonverge.client.transport.attempts import Attempt
from qonverge.wire.messages import Task
from qonverge.wire.vendor import VendorTask


@dataclass(slots=True)
class _Step:
    """A step that runs."""

    name: str
    tasks: int = 0
    """That it made so far."""


class StepTasks:
    """What is under way for the program, and what a former pod of it left under way."""

    def __init__(self) -> None:
        """Know of no step."""
        self._step: ContextVar[_Step | None] = ContextVar("step", default=None)
        self._lock = threading.Lock()
        self._prefix = ""
        self._left: dict[str, Attempt] = {}
        self._under_way: dict[str, Attempt] = {}
        self._pause: Callable[[list[str], dict[str, Any]], None] | None = None
        self.patience = 0.0
        """Seconds that a step waits for a task before the pod may be given back."""

    def begin(
        self,
        prefix: str,
        patience: float,
        left: Mapping[str, Any],
        pause: Callable[[list[str], dict[str, Any]], None],
    ) -> None:
        """Let steps pause.

        Args:
            prefix: what the tasks' ids begin with: no other attempt at a program has it.
            patience: seconds.
            left: the tasks that a former pod left under way, as ``pause`` gave them.
            pause: gives the pod back with these tasks under way, and what is to be kept of them; it returns only where
                that could not be done.
        """
        with self._lock:
            self._prefix, self.patience, self._pause = prefix, patience, pause
            self._left = {identity: _restored(each) for identity, each in left.items()}

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Let the tasks that are made in the block be those of a step."""
        token = self._step.set(_Step(name))
        try:
            yield
        finally:
            self._step.reset(token)

    def next_id(self) -> str | None:
        """Return the id of the next task of the step; None outside of one that may pause."""
        step = self._step.get()
        if step is None or not self._prefix:
            return None
        step.tasks += 1
        return f"{self._prefix}-{hashlib.sha256(step.name.encode()).hexdigest()[:16]}-{step.tasks}"

    def attempt(self, task: Task) -> Attempt:
        """Return the attempt that a task begins with: where a former pod sent it, that is gone on with."""
        with self._lock:
            found = self._left.pop(task.id, None) or Attempt.of(task)
            self._under_way[task.id] = found
            return found

    def ended(self, identity: str) -> None:
        """Record that a task is under way no more."""
        with self._lock:
            self._under_way.pop(identity, None)

    def may_pause(self, identity: str) -> bool:
        """Return whether the pod may be given back while this task is waited for."""
        ours = bool(self._prefix) and identity.startswith(f"{self._prefix}-")
        # Whatever another thread does would end with the process.
        return ours and self._pause is not None and threading.current_thread() is threading.main_thread()

    def pause(self) -> None:
        """Give the pod back; return where that cannot be, or not yet.

        Each task has to be one that is found again, and taken by the backend: another would be sent, and paid, twice.
        """
        with self._lock:
            tasks, pause = dict(self._under_way), self._pause
        found = all(identity.startswith(f"{self._prefix}-") and each.accepted for identity, each in tasks.items())
        if pause is None or not tasks or not found:
            return
        names = [f"{identity}.{each.failures}" if each.failures else identity for identity, each in tasks.items()]
        pause(names, {identity: _kept(each) for identity, each in tasks.items()})

    def stop_pausing(self) -> None:
        """Wait for every task from now on."""
        with self._lock:
            self._pause = None


STEP_TASKS = StepTasks()
"""Those of this process."""


def _kept(attempt: Attempt) -> dict[str, Any]:
    return {
        "since": attempt.since,
        "failures": attempt.failures,
        "limits": None if attempt.limits is None else list(astuple(attempt.limits)),
        "known": {key: [each.id, each.seal] for key, each in attempt.known.items()},
    }


def _restored(kept: Mapping[str, Any]) -> Attempt:
    limits = kept["limits"]
    return Attempt(
        again=True,
        since=float(kept["since"]),
        limits=None if limits is None else TaskLimits(*limits),
        known={key: VendorTask(own, "Queued", key=key, seal=seal) for key, (own, seal) in kept["known"].items()},
        failures=int(kept["failures"]),
    )
