"""A quantum cloud as the executor of cloud tasks sees it: one of the two things to write for another vendor.

They run apart. A ``Cloud`` runs in the server, which has credentials and a network and opens no circuit. What opens
circuits, which nobody trusts, is in ``clouds.translators``. Between them travel texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from qonverge.amounts import Money, Prices, TaskLimits
from qonverge.devices.noise import Noise

NAMESPACE_TAG = "qonverge.io/namespace"
JOB_TAG = "qonverge.io/job"
RUN_TAG = "qonverge.io/run"
CloudState = Literal["Queued", "Running", "Completed", "Failed", "Cancelled"]


@dataclass(frozen=True, slots=True)
class Submission:
    """One task of a cloud."""

    program: str
    """In the cloud's own language."""
    shots: int
    reading: Mapping[str, Any] = field(default_factory=dict)
    """What ``Translator.decode`` needs; plain values, as JSON carries them. It follows from the circuit and the options
    alone: after a restart it is made again, perhaps by another calibration than the task was."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """For whom it runs: tags or labels of the cloud's task, as far as the cloud has any. They name the job, for whoever
    divides a bill, and with ``RUN_TAG`` the attempt at it."""
    inputs: Mapping[str, float] = field(default_factory=dict)
    """Values of the program's inputs; only of a ``ParametricTranslator``."""


@dataclass(frozen=True, slots=True)
class CloudTask:
    """What a cloud says of a task."""

    state: CloudState
    message: str = ""
    """The cloud's own words, such as why it failed."""
    retryable: bool = False
    """Of a task that failed: whether another one may succeed, as after a fault of the device."""
    queue_position: int | None = None
    """Tasks before it and itself, in the device's queue; None where the cloud does not tell."""
    expected_start: float | None = None
    """Unix seconds."""
    billed: Money | None = None
    """What it cost; None where the cloud does not tell, or not yet."""
    run_seconds: float | None = None
    """How long the device was busy with it."""
    expected_seconds: float | None = None
    """How long it will be busy with it, by the cloud's own estimate."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a cloud says of its device."""

    online: bool
    reason: str = ""
    """Why it takes nothing now, or runs nothing: its state, or its next window."""
    available_at: float | None = None
    """When it runs tasks again, Unix seconds."""
    num_qubits: int | None = None
    max_shots: int | None = None
    max_programs: int = 1
    """Programs that one task may have; more than one only of a ``ProgramSetCloud`` or with a ``PubTranslator``, whose
    programs are parameter sets."""
    max_total_shots: int | None = None
    """Shots of a task of several programs, of all of them."""
    min_total_shots: int = 1
    """The fewest of those; 0: those share a task too whose shots the device chooses."""
    calibration: Noise | None = None
    """Its coupling, gates and errors; None where the cloud does not publish them."""
    ideal: bool = False
    """Whether it makes no errors, as a simulator that imitates no device."""
    exact: bool = False
    """Whether it gives expectation values without statistical error."""
    states: bool = False
    """Whether it gives final states."""
    prices: Prices | None = None
    queue_length: int | None = None
    """Tasks that wait, of everybody."""
    wait_seconds: float | None = None
    """How long a new task waits there, where the cloud tells that."""

    @property
    def limits(self) -> TaskLimits:
        """What one task may have."""
        return TaskLimits(self.max_shots, self.max_programs, self.max_total_shots, self.min_total_shots)


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a cloud may be called, by its published limits."""

    submit: float
    """Calls a second."""
    read: float
    """Calls a second, of all that change nothing."""
    batch: int = 1
    """Tasks that one call of ``Cloud.tasks`` asks about."""
    cancel: float | None = None
    """Calls a second, where cancelling has a limit of its own; None: it shares that of ``submit``."""


class Cloud(Protocol):
    """A vendor's service. Its class takes a ``CloudConfig``. All calls block, and are made on threads.

    Each call is one request, or few, and is never repeated in here: SDKs' own retries are off, since a request whose
    reply was lost may have had its effect. The executor knows what may be repeated.

    All calls raise ``CloudError``.
    """

    rates: ClassVar[Rates]
    idempotent: ClassVar[bool]
    """Whether ``submit`` with a key that the cloud knows returns the task that it has, and begins none. Where it does
    not, ``find`` is asked before anything is sent that may have been sent before."""
    settle_seconds: ClassVar[float]
    """How long after a request was sent ``find`` may not have its task yet, though there is one: for how long requests
    take effect whose reply was lost, and how far listings lag."""

    def device(self) -> Device:
        """Return how the device is."""

    def submit(self, key: str, submission: Submission) -> str:
        """Begin a task and return the cloud's id of it.

        Args:
            key: 64 characters. It goes along as idempotency token or tag, so that the task is found by it.
            submission: what to run.
        """

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        """Return the cloud's ids of the tasks that it has of these keys, ended ones too; others are not there.

        Args:
            keys: of ``submit``.
            since: Unix seconds before which none of them was sent, for clouds that are to be asked for all tasks, page
                by page. It is the time of another clock: leave a margin. 0: not known.

        Raises:
            CannotFind: the cloud has no way to tell.
        """

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        """Return how tasks stand, at most ``rates.batch``; one that is not there is none that the cloud knows."""

    def result(self, identity: str) -> str:
        """Return the answer of a task that is complete, as ``Translator.decode`` reads it."""

    def cancel(self, identity: str) -> None:
        """Ask for a task to end; one that has ended is none to cancel."""

    def link(self, identity: str) -> str:
        """Return where a person sees the task in the vendor's console; empty where there is no such page."""


@runtime_checkable
class TaggingCloud(Cloud, Protocol):
    """A cloud that lists tasks by a tag.

    What programs send stands nowhere in the cluster. After a restart it is found by its tags, and ended with the
    program; a cloud without them leaves running what an earlier process sent.
    """

    def of_run(self, run: str) -> Sequence[str]:
        """Return the cloud's ids of the tasks that have not ended and whose ``RUN_TAG`` is this."""


@runtime_checkable
class RehearsingCloud(Cloud, Protocol):
    """A cloud that checks a task as if it were sent, and runs nothing."""

    def rehearse(self, submission: Submission) -> Money | None:
        """Return what a task would cost; None: the cloud does not tell.

        It costs nothing, and leaves nothing that ``find`` or ``TaggingCloud.of_run`` returns.

        Raises:
            CloudRefused: why the cloud would not run it.
        """


@dataclass(frozen=True, slots=True)
class ProgramFailure:
    """Why a program of a task of several has no answer, though others may have theirs."""

    message: str
    """The cloud's own words."""
    retryable: bool = False
    """Whether another try may succeed, as after a fault of the device."""


@runtime_checkable
class ProgramSetCloud(Cloud, Protocol):
    """A cloud with devices of which one task may have several programs, see ``Device.max_programs``."""

    def submit_set(self, key: str, submissions: Sequence[Submission]) -> str:
        """Begin a task of several programs, at least two, and return the cloud's id of it; see ``submit``.

        All have as many shots and the same tags. Programs that differ in their inputs alone stand side by side.
        """

    def results(self, identity: str) -> Sequence[str | ProgramFailure]:
        """Return the answer of each program of such a task that is complete, in their order; see ``result``."""


def _nobody(_seconds: float) -> None:
    """Take nothing."""


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """What a cloud is set up with."""

    options: Mapping[str, Any]
    """The provider's own, as its model in the API gives them."""
    credentials: str = ""
    """Folder with a file for each key of the Secret, read again when one changes; empty: the pod's own identity."""
    answered: Callable[[float], None] = _nobody
    """Takes how long a request took that the cloud itself answered, seconds, from any thread: the quickest is the round
    trip to the cloud, which is not known otherwise."""
