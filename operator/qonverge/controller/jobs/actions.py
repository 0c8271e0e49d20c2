"""What can be done about a job of any kind. What only one kind does stands in its module of ``kinds``."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge.api import HybridJobStatus


class Action:
    """Something to do about a job."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SetStatus(Action):
    """Write the job's status."""

    status: HybridJobStatus


@dataclass(frozen=True, slots=True)
class CheckProgram(Action):
    """Read and check the job's program."""


@dataclass(frozen=True, slots=True)
class TakeInputs(Action):
    """Take what the job needs from the results of those that it depends on, which are complete."""


@dataclass(frozen=True, slots=True)
class RequestPlacement(Action):
    """Let the next round of placement decide where the job goes, or what is forecast of it while it is suspended."""


@dataclass(frozen=True, slots=True)
class Continue(Action):
    """Go on under the changed specification."""


@dataclass(frozen=True, slots=True)
class Stop(Action):
    """End whatever runs for the job and forget it; with ``program`` its pods in the cluster are ended too."""

    program: bool = False


@dataclass(frozen=True, slots=True)
class Hold(Action):
    """Make the job's deletion wait for its tasks on devices elsewhere."""


@dataclass(frozen=True, slots=True)
class Settle(Action):
    """Cancel what is recorded of the job on devices elsewhere and nobody wants any more."""


@dataclass(frozen=True, slots=True)
class Warn(Action):
    """Write an event of type Warning."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Requeue(Action):
    """Look at the job again at this time."""

    when: float
