"""Runs what devices were given, when its time has come."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.work import Work


class Devices(Protocol):
    """The devices of a cloud, as a worker sees them."""

    def unready(self) -> Sequence[Work]:
        """Return what has no result and was not cancelled."""

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
            while not self._stopping and (first := self._first()) is not None and first.end <= self._clock.now():
                self._service.carry_out(first)

    def _first(self) -> Work | None:
        """Return what is the next to end, or should have already."""
        return min(self._service.unready(), key=lambda work: work.end, default=None)

    def _follow(self) -> None:
        while True:
            # What changes from here on is seen by the wait below.
            self._changed.clear()
            if self._stopping:
                return
            self.settle()
            first = self._first()
            # A virtual clock wakes this thread when it moves.
            self._changed.wait(
                None if first is None or self._clock.virtual else max(0.0, first.end - self._clock.now())
            )
