"""What a decision about replicas sees, what it goes by, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """How a backend is scaled; ``spec.scaling`` as the decisions need it. Times are seconds."""

    min_replicas: int = 1
    max_replicas: int = 10
    target_queue_seconds: float = 30.0
    """No task should wait longer than this for a worker."""
    stable_window: float = 60.0
    """Load is averaged over this time."""
    panic_window: float = 6.0
    """Load is averaged over this time where it grew so fast that the stable window hides it."""
    panic_threshold: float = 2.0
    """It did where the panic window asks for this many times the ready workers."""
    scale_down_after: float = 30.0
    """Replicas go once they were not needed for so long."""
    scale_to_zero_after: float = 300.0
    """The last ones go once nothing ran or waited for so long, where ``min_replicas`` is 0."""
    max_scale_up_rate: float = 10.0
    """A decision asks for at most this many times the ready replicas, and may always add one."""
    max_scale_down_rate: float = 2.0
    """A decision leaves at least the ready replicas divided by this, and may always take one."""
    affordable_replicas: int | None = None
    """Replicas that the hourly budget pays for; None: there is no budget."""
    budget: str = "the hourly budget"
    """How messages call that budget."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}, or below 0")
        if min(self.target_queue_seconds, self.stable_window, self.panic_window) <= 0:
            raise ValueError("the target and the windows are longer than 0 s")
        if min(self.max_scale_up_rate, self.max_scale_down_rate, self.panic_threshold) <= 1:
            raise ValueError("rates and the panic threshold are above 1")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a backend has to do and with what, at one moment. Times are forecast seconds."""

    waiting: Sequence[float] = ()
    """Of each task that waits for a worker, how long it will run."""
    running: Sequence[float] = ()
    """Of each task that runs, how long it still will; one entry for each busy worker."""
    arrived: Sequence[float] = ()
    """Of each task that came since the last decision, how long it will run."""
    replicas: int = 0
    """Pods that were asked for, without those that drain."""
    ready: int = 0
    """Those of them that serve."""
    workers_per_pod: int = 1
    start_seconds: float = 10.0
    """How long a pod takes from being asked for until it serves."""
    unschedulable: int = 0
    """Pods that no node can hold now."""
    programs: int = 0
    """Programs that may send tasks at any moment: while there are some, the last pod stays."""


Bound = Literal[
    "DesiredWithinRange",
    "TooFewReplicas",
    "TooManyReplicas",
    "BudgetLimit",
    "NodesFull",
    "ScaleUpLimit",
    "ScaleDownLimit",
]
"""What bounded a decision, the last where several did; HPA's words where it has one."""

Driver = Literal["Backlog", "Load", "Burst", "Forecast", "Idle", "Stabilized"]
"""What decided how many replicas are wanted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, and why."""

    replicas: int
    wanted: int
    """Before what bounds it."""
    driver: Driver
    bound: Bound
    message: str
    """One sentence with the figures that decided."""

    @property
    def limited(self) -> bool:
        """Whether more or fewer were wanted than there may be."""
        return self.bound != "DesiredWithinRange"


def pods_for(workers: float, workers_per_pod: int) -> int:
    """Return the fewest pods with so many workers; what floating point adds to a whole number counts for nothing."""
    return math.ceil(round(workers / workers_per_pod, 6))
