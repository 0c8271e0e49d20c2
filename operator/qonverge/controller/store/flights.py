"""The work in flight for a job: what is known of its program, and how far its attempts are.

Both are explicit: a state of the program, and a phase of the work. Only the methods of ``Flight`` change them, and they
refuse a step that the present one does not allow. The two are apart since a program that an operator before this one
started runs on while its text is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from qonverge.amounts import Amounts
from qonverge.api.placement import Candidate
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.store.job_spans import JobSpans
from qonverge.controller.store.phases import (
    AwaitingPlacement,
    Checked,
    Checking,
    Ended,
    Former,
    Idle,
    Interrupted,
    Invalid,
    Launched,
    Phase,
    ProgramState,
    Running,
    Sent,
    SourceMissing,
    Stopped,
)
from qonverge.controller.store.pods import Endpoint
from qonverge.programs.source import Program
from qonverge.scheduling.model import Decision
from qonverge.wire.errors import WireError
from qonverge.wire.messages import TaskResult
from qonverge.wire.vendor import VendorTask


class ImpossibleStep(Exception):
    """A step that the present state of a flight does not allow."""

    def __init__(self, before: object, step: str) -> None:
        """``before`` is the present state, ``step`` what was to come of it."""
        super().__init__(f"a flight that is {type(before).__name__} cannot become {step}")


@dataclass(slots=True)
class Flight:
    """A job's work in memory. It is lost with the process and made again from the job."""

    uid: str
    generation: int
    program: ProgramState = field(default_factory=Checking)
    phase: Phase = field(default_factory=Idle)
    forecast: tuple[Candidate, ...] = ()
    """What the last round forecast of it, as the status shows it."""
    written_at: float = 0.0
    """When its status was last written, Unix seconds."""
    placed_at: float | None = None
    """When its first attempt was sent, Unix seconds."""
    attempts: int = 0
    usage: Amounts = field(default_factory=Amounts)
    """What the job used so far: what its status said when this began, and its tasks since."""
    unreachable_usage: Amounts = field(default_factory=Amounts)
    """What its program used of pods that will not tell of it again."""
    renew_at: float = 0.0
    """When its program's token is to be renewed, Unix seconds; of programs that a former operator started at once."""
    refusal: Refusal | None = None
    """What the API server refused of its program's objects."""
    trouble: Trouble | None = None
    """What the events of its program's objects last said, while its pod does not start and says nothing itself."""
    events_read_at: float | None = None
    """When they were last read, Unix seconds."""
    tasks_sought_at: float = 0.0
    """When pods were last asked for the tasks of its program, which gave its own pod back, Unix seconds."""
    tasks_ended: bool = False
    """Whether none had any of them."""
    displaced: str | None = None
    """Why its program makes room for a job of higher priority; None: it does not."""
    last_log: str | None = None
    """The last lines of its program's pod, as they were when it was about to go; None while they were not read."""
    spans: JobSpans | None = None
    """What is recorded of its way."""
    vendor_tasks: dict[str, tuple[VendorTask, ...]] = field(default_factory=dict)
    """What the present attempt's tasks became on devices elsewhere, by their ids."""

    @property
    def next_identity(self) -> str:
        """The id of the task that the job's next attempt is, where it is one."""
        return f"{self.uid}-{self.generation}-{self.attempts + 1}"

    @property
    def source(self) -> Program | None:
        """The program, once it is checked."""
        return self.program.source if isinstance(self.program, Checked) else None

    @property
    def checked(self) -> CheckedCircuit | None:
        """The circuit that the program is, once it is checked; None where it is not one."""
        return self.program.circuit if isinstance(self.program, Checked) else None

    @property
    def problem(self) -> tuple[str, str] | None:
        """(reason, message) of a program that can never run."""
        return (self.program.reason, self.program.message) if isinstance(self.program, Invalid) else None

    @property
    def waiting(self) -> str | None:
        """Why the program is not there yet."""
        return self.program.message if isinstance(self.program, SourceMissing) else None

    @property
    def awaiting_placement(self) -> bool:
        """Whether it waits for a round of placement, or for its proposal to be carried out."""
        return isinstance(self.phase, AwaitingPlacement)

    @property
    def proposal(self) -> Decision | None:
        """What the last round said of it, until it is carried out."""
        return self.phase.proposal if isinstance(self.phase, AwaitingPlacement) else None

    @property
    def behind(self) -> bool:
        """Whether it waits and no round has looked at it, since too many that came first wait."""
        return isinstance(self.phase, AwaitingPlacement) and self.phase.behind

    @property
    def tried_at(self) -> float:
        """When a round last found no place for it, Unix seconds; 0 where none has."""
        return self.phase.tried_at if isinstance(self.phase, AwaitingPlacement) else 0.0

    @property
    def running(self) -> asyncio.Task[None] | None:
        """What waits for the tasks of an attempt at a circuit."""
        return self.phase.task if isinstance(self.phase, Running) else None

    @property
    def sent(self) -> tuple[Sent, ...]:
        """Its tasks that are on pods."""
        return self.phase.sent if isinstance(self.phase, (Running, Interrupted)) else ()

    @property
    def attempt(self) -> Running | Former | None:
        """The present attempt, or while the next one waits for its place the one before it; None where none counts."""
        match self.phase:
            case AwaitingPlacement(former):
                return former
            case Running() | Interrupted() | Ended() | Launched():
                return self.phase
        return None

    @property
    def decision(self) -> Decision | None:
        """Where the present attempt was placed, and why."""
        return None if self.attempt is None else self.attempt.decision

    @property
    def started_at(self) -> float | None:
        """When the present attempt at a circuit was sent, Unix seconds."""
        return self.attempt.started_at if isinstance(self.attempt, (Running, Interrupted, Ended)) else None

    @property
    def result(self) -> TaskResult | None:
        """How the present attempt at a circuit ended."""
        return self.attempt.result if isinstance(self.attempt, Ended) else None

    @property
    def counts(self) -> bool:
        """Whether the present attempt at a circuit is held against the job where it failed."""
        return not isinstance(self.attempt, Ended) or self.attempt.counts

    def check(self, task: asyncio.Task[None]) -> None:
        """Record what reads and checks the program."""
        self._read(Checking(task))

    def accept(self, source: Program, circuit: CheckedCircuit | None) -> None:
        """Record that the program is good; ``circuit`` is None for a Python program."""
        self._read(Checked(source, circuit))

    def wait_for_source(self, message: str) -> None:
        """Record why the program is not there yet."""
        self._read(SourceMissing(message))

    def reject(self, reason: str, message: str) -> None:
        """Record why the program can never run."""
        self._read(Invalid(reason, message))

    def await_placement(self) -> None:
        """Wait for a round of placement, for the first or another attempt."""
        match self.phase:
            case Idle():
                self.phase = AwaitingPlacement()
            case Interrupted() | Ended() | Launched():
                self.phase = AwaitingPlacement(self.phase)
            case _:
                raise ImpossibleStep(self.phase, "AwaitingPlacement")
        if self.spans is not None:
            self.spans.ask()

    def propose(self, decision: Decision, forecast: tuple[Candidate, ...], *, tried_at: float) -> None:
        """Record what a round said of it; ``tried_at`` is 0 where it found a place."""
        self.phase = replace(self._awaiting("AwaitingPlacement"), proposal=decision, tried_at=tried_at)
        self.forecast = forecast
        if self.spans is not None:
            self.spans.say(decision.reason)

    def discard_proposal(self) -> None:
        """Wait for another round: what the last one said cannot be carried out."""
        self.phase = replace(self._awaiting("AwaitingPlacement"), proposal=None)

    def fall_behind(self, behind: bool) -> bool:
        """Record whether too many jobs come before it for a round to look at it, and return whether that is new."""
        before = self._awaiting("AwaitingPlacement")
        self.phase = replace(before, behind=behind)
        return behind and not before.behind

    def send(
        self, decision: Decision, sent: tuple[Sent, ...], now: float, start: Callable[[], asyncio.Task[None]]
    ) -> None:
        """Carry a proposal out as another attempt at a circuit.

        Args:
            decision: the proposal.
            sent: its tasks.
            now: Unix seconds.
            start: sends them, and returns what waits for them.
        """
        self._awaiting("Running")
        if self.checked is None:
            raise ImpossibleStep(self.program, "Running")
        self.vendor_tasks = {}
        self.phase = Running(decision, now, sent, start())
        self.placed_at = self.placed_at or now
        self.attempts += 1
        if self.spans is not None:
            self.spans.place(decision)

    def release(self, sent: Sent) -> None:
        """Record that a pod has a task no more."""
        if isinstance(self.phase, (Running, Interrupted)):
            self.phase = replace(self.phase, sent=tuple(other for other in self.phase.sent if other is not sent))

    def relocate(self, sent: Sent, endpoint: Endpoint) -> Sent:
        """Record that a task is sent again, to the pod that took the place of the one that had it, and return it."""
        moved = replace(sent, endpoint=endpoint)
        if isinstance(self.phase, Running):
            tasks = tuple(moved if other.identity == sent.identity else other for other in self.phase.sent)
            self.phase = replace(self.phase, sent=tasks)
        return moved

    def note(self, identity: str, tasks: tuple[VendorTask, ...]) -> bool:
        """Record what a task became elsewhere, and return whether that is news."""
        news = self.vendor_tasks.get(identity, ()) != tasks
        self.vendor_tasks = {**self.vendor_tasks, identity: tasks}
        return news

    @property
    def all_vendor_tasks(self) -> tuple[VendorTask, ...]:
        """What the present attempt became on devices elsewhere."""
        return tuple(task for tasks in self.vendor_tasks.values() for task in tasks)

    def end(self, result: TaskResult, *, counts: bool = True) -> None:
        """Record how an attempt at a circuit ended; the tasks that it still has are of no use.

        ``counts`` is False where it was lost since its pod was ended, which is not the job's doing.
        """
        if not isinstance(self.phase, Running):
            raise ImpossibleStep(self.phase, "Ended")
        self.phase = Ended(self.phase.decision, self.phase.started_at, result, counts)

    def discard_result(self, error: WireError) -> None:
        """Record that a result is of no use, as if its attempt had ended with this error."""
        if not isinstance(self.phase, Ended):
            raise ImpossibleStep(self.phase, "Ended")
        self.phase = replace(self.phase, result=replace(self.phase.result, state="Failed", results=(), error=error))

    def displace(self, reason: str) -> None:
        """Record why an attempt at a program makes room for a job of higher priority; what looks after it ends it."""
        self.displaced = reason

    def interrupt(self) -> None:
        """Record that nobody waits any more for an attempt at a circuit, whose tasks go on."""
        if not isinstance(self.phase, Running):
            raise ImpossibleStep(self.phase, "Interrupted")
        self.phase = Interrupted(self.phase.decision, self.phase.started_at, self.phase.sent)

    def withdraw(self) -> None:
        """Take an attempt at a circuit back, which does not count, and wait for another place."""
        if not isinstance(self.phase, Running):
            raise ImpossibleStep(self.phase, "AwaitingPlacement")
        task, self.phase = self.phase.task, AwaitingPlacement()
        task.cancel()
        if self.spans is not None:
            self.spans.ask()

    def hand_back(self) -> None:
        """Record that a pod did not begin the only task of an attempt, which is none, and wait for another place."""
        if not isinstance(self.phase, Running):
            raise ImpossibleStep(self.phase, "AwaitingPlacement")
        self.phase = AwaitingPlacement()
        self.attempts -= 1
        if self.spans is not None:
            self.spans.ask()

    def launch(self, decision: Decision, renew_at: float) -> None:
        """Record that a proposal was carried out as another attempt at a Python program.

        Args:
            decision: the proposal; a round may have made another since.
            renew_at: when its token is to be renewed, Unix seconds.
        """
        self._awaiting("Launched")
        self.phase = Launched(decision)
        self.renew_at = renew_at
        self.refusal = self.trouble = self.events_read_at = self.last_log = self.displaced = None
        if self.spans is not None:
            self.spans.place(decision)

    def refuse(self, refusal: Refusal) -> None:
        """Record what the API server refused of the objects of an attempt that was to be launched.

        Its place, and the slot with it, is another's until it is tried again.
        """
        self.phase = replace(self._awaiting("Launched"), proposal=None)
        self.refusal = refusal

    def is_refused(self, now: float) -> bool:
        """Return whether it waits until what the API server refused is tried again; ``now`` in Unix seconds."""
        return self.refusal is not None and now < self.refusal.again_at

    def renew(self, renew_at: float) -> None:
        """Record when the program's token is to be renewed, Unix seconds."""
        self.renew_at = renew_at

    def read_events(self, now: float) -> None:
        """Record that the events of the program's objects are read, at Unix seconds."""
        self.events_read_at = now

    def keep_log(self, text: str) -> None:
        """Keep the last lines of its program's pod."""
        self.last_log = text

    def record_trouble(self, trouble: Trouble | None) -> None:
        """Record what those events said; None where nothing is wrong any more."""
        self.trouble = trouble

    def seek_tasks(self, now: float, *, ended: bool = False) -> None:
        """Record that pods were asked for the tasks of a program without a pod, and whether none has any."""
        self.tasks_sought_at, self.tasks_ended = now, ended

    def adopt_generation(self, generation: int) -> None:
        """Go on under a changed specification."""
        self.generation = generation

    def record_write(self, now: float) -> None:
        """Record that the job's status was written, at Unix seconds."""
        self.written_at = now

    def charge(self, use: Amounts) -> None:
        """Count what a task used."""
        self.usage += use

    def meter(self, usage: Amounts, unreachable: Amounts) -> bool:
        """Record what the program used in all, and of pods that will not tell of it again; return whether that grew."""
        grew, self.usage, self.unreachable_usage = unreachable != self.unreachable_usage, usage, unreachable
        return grew

    def stop(self) -> None:
        """End it: what reads its program and what waits for its tasks is cancelled."""
        tasks = (self.program.task if isinstance(self.program, Checking) else None, self.running)
        self.phase = Stopped()
        for task in tasks:
            if task is not None and not task.done():
                task.cancel()

    def _read(self, state: ProgramState) -> None:
        if not isinstance(self.program, Checking):
            raise ImpossibleStep(self.program, type(state).__name__)
        self.program = state

    def _awaiting(self, step: str) -> AwaitingPlacement:
        if not isinstance(self.phase, AwaitingPlacement):
            raise ImpossibleStep(self.phase, step)
        return self.phase
