"""What a round has found so far, by indices into its snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.capacity import Capacity
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.model import PartKind, Policy, Snapshot
from qonverge.scheduling.order import Queue
from qonverge.scheduling.slots import Slots
from qonverge.scheduling.terms import Table


@dataclass(frozen=True, slots=True)
class Piece:
    """One submission of a job."""

    backend: int
    shots: int
    """0 for programs."""
    fraction: float
    """Of the job's shots."""
    start: float
    """Seconds from now."""
    run: float
    """Seconds."""
    kind: PartKind = "Split"


@dataclass(frozen=True, slots=True)
class Placement:
    """A job's place in the plan, by indices into the snapshot."""

    job: int
    pieces: tuple[Piece, ...]
    """Its submissions; one unless it is split or hedged, or its ranks call several backends."""
    second_best: int | None
    """The backend that would have been next."""
    second_wait: float
    """Seconds until that one could have started it when its group was assigned."""
    slot_place: int = 0
    """Of a program its place among those that wait for slots of a backend, from 1; 0: it waits for none."""
    slot_piece: int = 0
    """Which of its pieces has to wait longest for slots."""

    @property
    def start(self) -> float:
        """Seconds until the first piece starts."""
        return min(piece.start for piece in self.pieces)


@dataclass(slots=True)
class Round:
    """What a round has found so far."""

    snapshot: Snapshot
    policy: Policy
    table: Table
    static: Floats
    network: Floats
    """Seconds that each job waits for the ways to each backend and back; in ``static`` already."""
    weight: Floats
    due: Floats
    """Seconds until each job's deadline; infinite without."""
    lanes: list[Lanes]
    slots: Slots
    capacity: list[Capacity]
    queue: Queue
    placements: dict[int, Placement]
    """In order of admission."""
    sent: set[int]
    """Jobs that go to their backends now."""
    over_quota: set[int]
    objective: float = 0.0
    lower_bound: float = 0.0
