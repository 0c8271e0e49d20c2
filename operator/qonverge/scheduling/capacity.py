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

    @classmethod
    def of(cls, backend: Backend) -> Self:
        """Return what the backend takes now."""
        depth = math.inf if backend.dispatch_depth is None else backend.dispatch_depth
        room = math.inf if backend.room is None else backend.room
        return cls(max(1, backend.workers) * (1 + depth - backend.load), room)

    def takes(self, slots: int) -> bool:
        """Return whether a task that needs this many workers would be taken."""
        return self.workers >= slots - 1e-9 and self.room >= 1

    def take(self, slots: int) -> bool:
        """Take a task's part of it, and return whether it was there."""
        if not self.takes(slots):
            return False
        self.workers -= slots
        self.room -= 1
        return True
