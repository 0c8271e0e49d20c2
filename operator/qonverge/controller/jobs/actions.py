"""What can be done about a job, and what decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.store.state import Flight
from qonverge.scheduling import Decision


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Write the job's status."""

    status: HybridJobStatus


@dataclass(frozen=True, slots=True)
class CheckProgram:
    """Read and check the job's program."""


@dataclass(frozen=True, slots=True)
class RequestPlacement:
    """Let the next round of placement decide where the job goes, or what is forecast of it while it is suspended."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Send the circuit to the backend, as the next attempt."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Launch:
    """Create the objects of an attempt at a program, then write the status."""

    decision: Decision
    attempt: int
    status: HybridJobStatus


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with a program under the changed specification: what it runs cannot change."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Give the running attempt at a program a new token."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """End the pod of an attempt that lost its backend, and tell why."""

    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Read the program's log and write how it ended."""

    status: HybridJobStatus
    pod: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End whatever runs for the job and forget it; with ``program`` the program's pods are ended too."""

    program: bool = False


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Read what events say of a program's pod, or of its Job where there is none, and make again what it mounts."""

    of: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Warn:
    """Write an event of type Warning."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look at the job again at this time."""

    when: float


Action = (
    SetStatus
    | CheckProgram
    | RequestPlacement
    | Submit
    | Launch
    | Continue
    | Renew
    | Abandon
    | Finish
    | Stop
    | ReadEvents
    | Warn
    | Requeue
)


@dataclass(frozen=True, slots=True)
class View:
    """Everything about one job."""

    job: HybridJob
    flight: Flight | None
    now: float
    batch: Mapping[str, Any] | None = None
    """The batch Job of the current attempt at a program."""
    pod: Mapping[str, Any] | None = None
    """Its pod: name, uid and status."""
    withdrawn: tuple[str, str] | None = None
    """(reason, message) where the backend on which a program runs serves it no more."""
