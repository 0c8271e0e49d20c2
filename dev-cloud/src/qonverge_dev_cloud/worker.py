"""Runs what devices were given, when its time has come."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from qonverge_dev_cloud.clock import Clock


class Devices(Protocol):
    """The devices of a cloud, as a worker sees them."""

    def next_due(self) -> Any | None:
        """Return what has to have ended by now and has no result, the earliest first."""

    def next_end(self) -> float | None:
        """Return when the next result has to be there."""

    def carry_out(self, work: Any, /) -> None:
        """Run it, and keep its result or why it failed."""


class Worker:
    """A thread that follows the clock."""

    def __init__(self, service: Devices, clock: Clock, name: str) -> None:
        self._service, self._clock = service, clock
        self._changed, self._stopping = threading.Event(), False
        self._settling = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name=f"{name}-devices", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once it has finished what it runs."""
        self._stopping = True
        self._changed.set()
        self._thread.join()

    def wake(self) -> None:
        """Look again: there is more to do, or the clock moved."""
        self._changed.set()

    def settle(self) -> None:
        """Run all that has to have ended by now, and return then."""
        with self._settling:
            while not self._stopping and (due := self._service.next_due()) is not None:
                self._service.carry_out(due)

    def _follow(self) -> None:
        while True:
            # What changes from here on is seen by the wait below.
            self._changed.clear()
            if self._stopping:
                return
            self.settle()
            end = self._service.next_end()
            # A virtual clock wakes this thread when it moves.
            self._changed.wait(None if end is None or self._clock.virtual else max(0.0, end - self._clock.now()))
