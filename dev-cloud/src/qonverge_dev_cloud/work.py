"""What devices are given to do, and their queues. Pure but for the fields of the work itself: times are arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from qonverge_dev_cloud.scenario import DeviceScenario

Phase = Literal["Waiting", "Running", "Completed", "Failed", "Cancelling", "Cancelled"]
ENDED: tuple[Phase, ...] = ("Completed", "Failed", "Cancelled")


@dataclass(slots=True, eq=False, kw_only=True)
class Work:
    """A task or job of a device. Times are seconds since 1970."""

    number: int
    """In the order of creation on its device, from 1."""
    shots: int
    created: float
    start: float
    end: float
    cancelled: float | None = None
    """When it was cancelled."""
    failure: str | None = None
    """Why it fails, or failed."""
    ready: bool = False
    """Whether its result, or its failure, is known."""
    reservation: str = ""
    """Name of that in which it runs, apart from the device's queue; empty: in none."""

    @property
    def withdrawn(self) -> bool:
        """Whether it was cancelled before it started."""
        return self.cancelled is not None and self.cancelled < self.start

    def phase(self, now: float) -> Phase:
        """Return where it is."""
        if self.withdrawn:
            return "Cancelled"
        if self.cancelled is not None:
            return "Cancelled" if now >= self.end else "Cancelling"
        if now < self.start:
            return "Waiting"
        if not self.ready or now < self.end:
            return "Running"
        return "Completed" if self.failure is None else "Failed"

    def ended(self, now: float) -> float | None:
        """Return when it ended."""
        if self.phase(now) not in ENDED:
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


W = TypeVar("W", bound=Work)


class DeviceQueue(Generic[W]):
    """When the tasks of a device run. A QPU runs one at a time, a simulator all at once."""

    def __init__(
        self,
        scenario: DeviceScenario,
        *,
        start: float,
        parallel: bool,
        reserved: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Take how the device behaves.

        Args:
            scenario: of the device.
            start: when the clouds started.
            parallel: whether it runs tasks at once.
            reserved: its reservations by name, each from when to when.
        """
        self._scenario, self._parallel = scenario, parallel
        self._windows = [(start + own.start, start + own.end) for own in scenario.maintenance]
        self._reserved = dict(reserved or {})
        self.work: list[W] = []

    def times(self, created: float, shots: int, free: float) -> tuple[float, float]:
        """Return start and end of a task on a device that is free from then on."""
        start = max(created + self._scenario.queue.seconds, created if self._parallel else free)
        length = self._length(shots)
        for begin, end in sorted([*self._windows, *self._reserved.values()]):
            # What would not end before a maintenance or a reservation begins runs after it.
            if start < end and start + length > begin:
                start = end
        return start, start + length

    def next_times(self, created: float, shots: int) -> tuple[float, float]:
        """Return start and end of a task that is created now."""
        return self.times(created, shots, self._free(own for own in self.work if not own.reservation))

    def reserved_times(self, created: float, shots: int, reservation: str) -> tuple[float, float] | None:
        """Return start and end of a task that is created now in a reservation; None where it does not end within."""
        begin, end = self._reserved[reservation]
        start = max(created, begin, self._free(own for own in self.work if own.reservation == reservation))
        ends = start + self._length(shots)
        return (start, ends) if ends <= end else None

    def cancel(self, work: W, now: float) -> None:
        """Cancel a task that has not ended; those behind it move up."""
        work.cancelled = now
        if not work.withdrawn or work.reservation:
            return
        before: list[W] = []
        for own in (own for own in self.work if not own.reservation):
            if own.number > work.number and own.start > now and not own.withdrawn:
                # As long as it was: a cloud may have made it shorter.
                length = own.end - own.start
                begin, _ = self.times(own.created, own.shots, self._free(before))
                own.start, own.end = max(begin, now), max(begin, now) + length
            before.append(own)

    def waiting(self, now: float) -> list[W]:
        """Return the tasks in the queue, the next one first; those of reservations are in none."""
        queued = (own for own in self.work if own.phase(now) == "Waiting" and not own.reservation)
        return sorted(queued, key=lambda own: (own.start, own.number))

    def ahead(self, created: float, now: float) -> int:
        """Return the tasks of others that are still before one that was created then."""
        queue = self._scenario.queue
        if not queue.ahead:
            return 0
        left = 1 - min(1.0, (now - created) / queue.seconds)
        return math.ceil(queue.ahead * left)

    def position(self, work: W, now: float) -> int:
        """Return the place of a task that waits, from 1."""
        return 1 + self.ahead(work.created, now) + self.waiting(now).index(work)

    def size(self, now: float) -> int:
        """Return how many tasks wait, those of others included."""
        return self.ahead(now, now) + len(self.waiting(now))

    def closed(self, now: float) -> tuple[float, float] | None:
        """Return the maintenance that goes on."""
        return next((own for own in self._windows if own[0] <= now < own[1]), None)

    def _length(self, shots: int) -> float:
        return self._scenario.run.seconds + shots * self._scenario.run.per_shot

    @staticmethod
    def _free(work: Iterable[Work]) -> float:
        return max((own.end for own in work if not own.withdrawn), default=0.0)
