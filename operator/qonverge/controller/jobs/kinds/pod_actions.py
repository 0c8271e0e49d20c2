"""What can be done about an attempt at a program that runs in a pod of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJobStatus
from qonverge.controller.jobs.actions import Action
from qonverge.scheduling import Decision


@dataclass(frozen=True, slots=True)
class Launch(Action):
    """Create the objects of an attempt, then write the status."""

    decision: Decision
    attempt: int
    status: HybridJobStatus


@dataclass(frozen=True, slots=True)
class Renew(Action):
    """Give the running attempt a new token."""


@dataclass(frozen=True, slots=True)
class TryAgain(Action):
    """Read the log of an attempt that failed, and write that another is to begin."""

    status: HybridJobStatus
    attempt: int
    pod: str | None
    """None where there is none that could be asked for its log."""
    remove: bool = False
    """Whether its batch Job has not ended, and is deleted."""


@dataclass(frozen=True, slots=True)
class Finish(Action):
    """Read the program's log and write how it ended."""

    status: HybridJobStatus
    pod: str | None
    """None where there is none that could be asked for its log."""
    remove: bool = False
    """Whether its batch Job has not ended, and is deleted."""


@dataclass(frozen=True, slots=True)
class ReadLog(Action):
    """Keep the last lines of a pod that is about to go."""

    pod: str


@dataclass(frozen=True, slots=True)
class ReadEvents(Action):
    """Read what events say of the pod, or of its Job where there is none, and make again what it mounts."""

    of: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LookForTasks(Action):
    """Ask the backend's pods whether any of these tasks of a program without a pod is still under way."""

    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restart(Action):
    """Make the next pod of an attempt that paused."""

    attempt: int
    pauses: int
