"""Runs the tasks when their time has come."""

from __future__ import annotations

import threading

from qonverge_dev_cloud.braket.service import BraketService
from qonverge_dev_cloud.clock import Clock


class Worker:
    """A thread that follows the clock."""

    def __init__(self, service: BraketService, clock: Clock) -> None:
        self._service, self._clock = service, clock
        self._changed, self._stopping = threading.Event(), False
        self._settling = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="braket-devices", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once it has finished the task that it runs."""
        self._stopping = True
        self._changed.set()
        self._thread.join()

    def wake(self) -> None:
        """Look again: there is a new task, or the clock moved."""
        self._changed.set()

    def settle(self) -> None:
        """Run all tasks that have to have ended by now, and return then."""
        with self._settling:
            while not self._stopping and (due := next(self._service.due(), None)) is not None:
                self._service.carry_out(due)

    def _follow(self) -> None:
        while not self._stopping:
            self._changed.clear()
            self.settle()
            end = self._service.next_end()
            # A virtual clock wakes this thread when it moves.
            self._changed.wait(None if end is None or self._clock.virtual else max(0.0, end - self._clock.now()))
