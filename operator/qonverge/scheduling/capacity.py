"""What a backend takes in one round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from qonverge.scheduling.model import Backend


@dataclass(slots=True)
class Capacity:
    """What a backend takes in this round."""

    workers: float
    """Workers that its dispatch depth leaves."""
    room: float
    """Tasks."""
    programs: float
    """Ranks of programs: slots that are free."""
    slots: float = math.inf
    """All slots, free or not."""

    @classmethod
    def of(cls, backend: Backend) -> Self:
        """Return what the backend takes now."""
        depth = math.inf if backend.dispatch_depth is None else backend.dispatch_depth
        room = math.inf if backend.room is None else backend.room
        workers = max(1, backend.workers) * (1 + depth - backend.load)
        if (slots := backend.slot_seconds) is None:
            return cls(workers, room, math.inf)
        return cls(workers, room, sum(seconds <= 0 for seconds in slots), len(slots))

    def takes(self, slots: int) -> bool:
        """Return whether a task that needs this many workers would be taken."""
        return self.workers >= slots - 1e-9 and self.room >= 1

    def has_slots(self, ranks: int) -> bool:
        """Return whether so many ranks of a program would find a slot each, or all slots where there are fewer."""
        return self.programs >= min(ranks, self.slots)

    def take(self, slots: int, *, ranks: int = 0) -> bool:
        """Take a task's part of it, or that of so many ranks of a program, and return whether it was there."""
        if not self.takes(slots) or not self.has_slots(ranks):
            return False
        self.workers -= slots
        self.room -= 1
        self.programs -= min(ranks, self.slots)
        return True
