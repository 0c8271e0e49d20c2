"""What is known of a job's program, and the phases of the work for it: values, whose steps are in ``flights``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.controller.store.pods import Endpoint
from qonverge.forecast.intervals import Interval
from qonverge.forecast.requests import WaitForecast
from qonverge.programs.source import Program
from qonverge.scheduling.model import Decision
from qonverge.wire.messages import TaskResult


@dataclass(frozen=True, slots=True)
class Sent:
    """A task on a pod."""

    identity: str
    endpoint: Endpoint
    backend_key: str
    """The backend's, which is the audience of tokens for its pods too."""
    at: float
    """When it was sent, Unix seconds."""
    run_seconds: Interval | None = None
    """How long it was forecast to run."""
    promised: WaitForecast | None = None
    """What was said of its wait, where waits are to be learned from it."""
    whole: bool = True
    """Whether it runs all shots of the job."""
    fidelity: Interval | None = None
    """What was said of its fidelity."""

    def elapsed(self, now: float) -> float:
        """Return the seconds since it was sent, by Unix time: 0 where the clock was set back since."""
        return max(0.0, now - self.at)


@dataclass(frozen=True, slots=True)
class Checking:
    """The program is being read and checked."""

    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class SourceMissing:
    """The program is not there yet."""

    message: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """The program can never run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The program is good."""

    source: Program
    circuit: CheckedCircuit | None
    """The circuit that it is, None where it is not one."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing was asked for yet. What an operator before this one started may run."""


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt at a circuit is under way."""

    decision: Decision
    started_at: float
    """Unix seconds."""
    sent: tuple[Sent, ...]
    """Its tasks on pods: several where its shots are split, or it is hedged."""
    task: asyncio.Task[None]
    """What waits for them."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Nobody waits for an attempt at a circuit any more, and it may go on: the operator ends."""

    decision: Decision
    started_at: float
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt at a circuit has ended, well or not."""

    decision: Decision
    started_at: float
    result: TaskResult
    counts: bool = True
    """Whether it is held against the job where it failed."""


@dataclass(frozen=True, slots=True)
class Launched:
    """The objects of an attempt at a program were made; how it does is in its pod's status."""

    decision: Decision


Former = Interrupted | Ended | Launched


@dataclass(frozen=True, slots=True)
class AwaitingPlacement:
    """The job waits for a round of placement, or for its proposal to be carried out."""

    former: Former | None = None
    """The attempt that this one follows, if it counts."""
    proposal: Decision | None = None
    """What the last round said of it."""
    behind: bool = False
    """Whether no round has looked at it, since more jobs that came first wait than a round looks at."""
    tried_at: float = 0.0
    """When a round last found no place for it, Unix seconds; 0 where none has."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The flight is over."""


ProgramState = Checking | SourceMissing | Invalid | Checked
Phase = Idle | AwaitingPlacement | Running | Interrupted | Ended | Launched | Stopped
