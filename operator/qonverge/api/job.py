"""HybridJob: one job, quantum or hybrid."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SkipValidation, field_validator, model_validator

from qonverge.api.backend import ResourceRequirements
from qonverge.api.base import (
    CONDITIONS_SCHEMA,
    Condition,
    ConfigMapKeyRef,
    LabelSelector,
    ObjectMeta,
    OneOfModel,
    Rule,
    SpecModel,
    StatusModel,
    cel,
    same,
)
from qonverge.api.cloud_tasks import CloudTasks, Submission
from qonverge.api.dependencies import Dependencies, DependencyStatus
from qonverge.api.money import CostLimit
from qonverge.api.placement import Candidate, Placement
from qonverge.api.pod_program import Arguments, Container, Image, Near, ProgramTemplate
from qonverge.api.program_source import ArtifactSource, GitSource, VolumeSource
from qonverge.api.session import Session, SessionStatus
from qonverge.api.sweep import Sweep, SweepPoint
from qonverge.api.usage import Usage
from qonverge.devices import Layout
from qonverge.devices.calibration import MAX_QUBITS
from qonverge.devices.layout import unusable
from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_CURVES, MOST_METRICS, MOST_POINTS

State = Literal["Pending", "Suspended", "Placed", "Running", "Complete", "Failed"]

# etcd refuses objects over 1.5 MiB; this leaves room for a result in the status, with what JSON adds for line ends.
MAX_SOURCE = 1_048_576

SHOTS_OR_PRECISION = (
    "set shots or precision, not both: precision is the standard error wanted, shots the number of runs"
)

# For who writes, the API server: a status that is there is read as it is.
_METRICS = cel(
    Rule(
        f"self.all(name, size(name) <= {LONGEST_METRIC_NAME})",
        f"names of metrics have at most {LONGEST_METRIC_NAME} characters",
    ),
    maxProperties=MOST_METRICS,
)

# No format: with one the API server takes lists too.
_RFC_3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_A_TIME = "give a time with its zone, such as 2026-01-31T12:00:00Z"

MOST_RANKS = 256
"""Ranks of one program."""

OUTPUT_FINALIZER = "qonverge.io/output"
"""On a job that keeps something in a store: its deletion waits until that is deleted too."""
TRACEPARENT_ANNOTATION = "qonverge.io/traceparent"
"""Of a job: the span of whoever made it, as the W3C recommendation Trace Context has it."""
_UNREACHABLE_SECONDS = 30
# What a job asks for, which nobody may change under it.
_FIXED = ("program", "shots", "precision", "seed", "dependsOn", "backend")


def _fixed(why: str, spec: str, before: str, unless: str) -> Rule:
    """Return the rule that what a job asks for does not change, in CEL expressions of its specification now and before.

    The API server evaluates it at each write of a status too, where one rule for all fields costs a third of one for
    each.
    """
    unchanged = {
        "program": f"{spec}.program == {before}.program",
        **{name: f"{spec}.?{name} == {before}.?{name}" for name in ("shots", "precision", "seed")},
        **{name: f"({same(name, spec, before)})" for name in ("dependsOn", "backend")},
    }
    named = "".join(f"!({unchanged[name]}) ? '{name}' : " for name in _FIXED[:-1]) + f"'{_FIXED[-1]}'"
    sentence = f"immutable{why}: create a new HybridJob instead"
    return Rule(
        f"{unless} || ({' && '.join(unchanged[name] for name in _FIXED)})",
        f"{', '.join(_FIXED[:-1])} and {_FIXED[-1]} are {sentence}",
        ".spec" if spec == "self.spec" else None,
        f"({named}) + ' is {sentence}'",
    )


_ON_ITSELF = "a job cannot depend on itself"
ANY_JSON: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class CircuitLayout(SpecModel):
    """Where a circuit lies on a device."""

    qubits: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_QUBITS - 1)]],
        # A set has its elements in order, and none of them twice.
        Field(min_length=1, max_length=MAX_QUBITS, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """For each qubit of the circuit, in order, the qubit of the device on which it begins."""
    routing: Literal["Allowed", "Never"] = "Allowed"
    """Whether SWAPs may be added where a gate needs two qubits that are not coupled: Allowed, as by Qiskit's transpile
    with an initial_layout. Never: a device without the coupling is not taken."""

    @field_validator("qubits")
    @classmethod
    def _is_one(cls, value: list[int]) -> list[int]:
        if (problem := unusable(value)) is not None:
            raise ValueError(problem)
        return value


class Circuit(OneOfModel):
    """A quantum circuit."""

    one_of = ("openqasm", "qpy", "configMapKeyRef")
    what = "program.circuit"

    openqasm: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The circuit as OpenQASM 2 or 3 text. Only the standard headers can be included."""
    qpy: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The circuit in Qiskit's binary format, version 13 or later, compressed by gzip or not, in base64."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key, in `data` or `binaryData`, that holds OpenQASM text or QPY, compressed by gzip or not."""
    parameters: Annotated[dict[str, float], Field(max_length=10_000)] = {}
    """Values for the circuit's input parameters, by name."""
    observables: Annotated[
        list[Annotated[str | dict[str, float], SkipValidation, Field(json_schema_extra=ANY_JSON)]],
        Field(max_length=10_000),
    ] = []
    """Observables whose expectation values are wanted: a Pauli label such as "ZZ" (qubit 0 is the last
    letter), or a sum such as {"XX": 0.5, "YY": 0.5}. Without observables the job returns counts."""
    layout: CircuitLayout | None = None
    """Where the circuit lies on a device. Default: physical qubits of OpenQASM 3, such as $3, where it names them, or
    else as the backend's `simulator.layout` says. A simulator without noise has no places."""

    @property
    def given_layout(self) -> Layout | None:
        """The layout as the device takes it."""
        given = self.layout
        return None if given is None else Layout(tuple(given.qubits), given.routing == "Allowed")


class Python(OneOfModel):
    """A Python program: the classical half of a hybrid job, which calls the backend through `qonverge.client`."""

    one_of = ("source", "configMapKeyRef", "git", "volume", "artifact")
    what = "program.python"

    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The program's text."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key that holds the program's text."""
    git: GitSource | None = None
    """A Git repository that the program is in."""
    volume: VolumeSource | None = None
    """A volume that the program is on."""
    artifact: ArtifactSource | None = None
    """An OCI image or artifact that the program is in."""
    requirements: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\r\n]*$", max_length=512)]], Field(max_length=128)
    ] = []
    """Packages that the program needs beside those of its image, as pip takes them, such as qiskit-nature==0.7.2. They
    are installed once for all programs of the namespace with the same list and image, into a volume that the
    administrator gives."""
    args: Arguments = []
    """Arguments, as in `sys.argv[1:]`."""
    image: Image | None = None
    """Container image with Python and `qonverge[client]`. Default: the image that came with the operator.
    Without a cluster the program runs in the current Python environment."""
    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of the program's pod. Without a cluster they do not apply."""
    near: Near | None = None
    """On which nodes the program's pod runs. Default: any. Without a cluster it does not apply."""
    template: ProgramTemplate = ProgramTemplate()
    """What else the program's pod gets."""
    pause_after_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Seconds that a `qonverge.client.step` waits for a task before the program gives its pod back until the task has
    ended; then it begins again, and its steps find what they did. Default: it waits in its pod. Without a cluster it
    does not apply."""

    @property
    def arguments(self) -> dict[str, list[str]]:
        """Words of the command line, by the field that has them."""
        return {"args": self.args}

    @property
    def uses(self) -> dict[str, tuple[str, str]]:
        """Objects that it uses beside those of `template`: what they are and their name, by the field that has it."""
        found = {}
        if self.git is not None and self.git.credentials is not None:
            found["git.credentials.name"] = ("secrets", self.git.credentials.name)
        if self.volume is not None:
            found["volume.claimName"] = ("persistent volume claims", self.volume.claim_name)
        if self.artifact is not None:
            found["artifact.reference"] = ("images", self.artifact.reference)
        return found


_RANKS_RUN_CODE = "parallelism is about programs that run code: the shots of a circuit are split by placement.split"
_RANKS_TO_GROUP = "ranksPerBackend divides the ranks of a parallel program: set parallelism"
_CONTAINER_CALLS_ONE = "ranksPerBackend is about Python programs: the ranks of a container all call one backend"
_SWEEPS_A_CIRCUIT = (
    "sweep is about circuits: a program has its values in program.parameters, and makes its own loop over them"
)
_SWEPT_AND_GIVEN = (
    "a parameter is in program.circuit.parameters and in program.sweep.parameters: give it in one of them"
)
_RANKS_PAUSE = (
    "pauseAfterSeconds is about programs that run alone: ranks wait for each other, so leave it out or set "
    "parallelism to 1"
)
_DASK_HAS_WORKERS = (
    "framework gives the ranks of a parallel program a scheduler: set parallelism to the number of workers"
)
_DASK_RUNS_PYTHON = "framework is about Python programs: a container starts what it needs itself"
_SESSION_HAS_NO_RANKS = "parallelism is about programs that run code: a session has one token, and no pod"
_DASK_PAUSES = "pauseAfterSeconds is about programs that run alone: leave it out with framework"


class Program(OneOfModel):
    """What to run: exactly one of the kinds."""

    one_of = ("circuit", "python", "container", "session")
    what = "program"
    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("!has(self.parallelism) || !has(self.circuit)", _RANKS_RUN_CODE),
            Rule("!has(self.parallelism) || !has(self.session)", _SESSION_HAS_NO_RANKS),
            Rule("!has(self.ranksPerBackend) || has(self.parallelism)", _RANKS_TO_GROUP),
            Rule("!has(self.ranksPerBackend) || !has(self.container)", _CONTAINER_CALLS_ONE),
            Rule("!has(self.sweep) || has(self.circuit)", _SWEEPS_A_CIRCUIT),
            Rule(
                "!has(self.sweep) || !has(self.circuit) || !has(self.circuit.parameters) || "
                "!self.sweep.parameters.exists(name, name in self.circuit.parameters)",
                _SWEPT_AND_GIVEN,
            ),
            Rule(
                "!has(self.python) || !has(self.python.pauseAfterSeconds) || !has(self.parallelism) || "
                "self.parallelism == 1",
                _RANKS_PAUSE,
            ),
            Rule("!has(self.framework) || has(self.parallelism)", _DASK_HAS_WORKERS),
            Rule("!has(self.framework) || has(self.python)", _DASK_RUNS_PYTHON),
            Rule(
                "!has(self.framework) || !has(self.python) || !has(self.python.pauseAfterSeconds)",
                _DASK_PAUSES,
            ),
        )
    )

    circuit: Circuit | None = None
    """A quantum circuit, run on a backend as it is; needs no pod of its own."""
    python: Python | None = None
    """A Python program that runs in a pod of its own and calls a backend."""
    container: Container | None = None
    """A program in any language: a container that calls a backend."""
    session: Session | None = None
    """No program: whoever may read the job's Secrets calls a backend for a while, as from a notebook. Needs a cluster,
    and no pod."""
    parameters: Annotated[dict[str, Any], Field(json_schema_extra=ANY_JSON)] = {}
    """Values for a program: it has them from `qonverge.client.parameters()`, in `$QONVERGE_PARAMETERS` as JSON, and as
    $(parameters.NAME) in arguments. A circuit has its own."""
    parameter_schema: Annotated[dict[str, Any], Field(json_schema_extra=ANY_JSON)] | None = None
    """JSON Schema that the parameters have to meet before the program starts. A `default` of its properties holds where
    the parameter is not given."""
    sweep: Sweep | None = None
    """Values that a circuit's parameters take: all points are run as one task, and `status.result.points` has what was
    found at each. `shots` and `precision` hold for each point."""
    parallelism: Annotated[int, Field(ge=1, le=MOST_RANKS)] | None = None
    """How many ranks run the program at the same time, each in a pod of its own: they find each other by MPI, by
    `torch.distributed`, or at the addresses in their environment. Default: one pod without any of that."""
    framework: Literal["Dask"] | None = None
    """What the ranks run. Dask: rank 0 runs the program beside a scheduler, which `dask.distributed.Client()` finds,
    and each rank a worker of it that calls its backend. Default: each rank runs the program."""
    ranks_per_backend: Annotated[int, Field(ge=1, le=MOST_RANKS)] | None = None
    """How many ranks call the same backend: 2 of 4 ranks put ranks 0 and 1 on one backend and ranks 2 and 3 on
    another, and the job waits until both can take it. Default: all ranks call one, and so do those of a container."""

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self.parallelism or 1

    @property
    def ranks_of_groups(self) -> tuple[int, ...]:
        """How many ranks call each of the different backends, in the order of the ranks."""
        size, each = self.world_size, self.ranks_per_backend or self.world_size
        return tuple(min(each, size - first) for first in range(0, size, each))

    @property
    def num_backends(self) -> int:
        """How many different backends the ranks call."""
        return len(self.ranks_of_groups)

    def group_of(self, rank: int) -> int:
        """Return which of these backends a rank calls, from 0."""
        return rank // (self.ranks_per_backend or self.world_size)

    @model_validator(mode="after")
    def _ranks_as_on_the_server(self) -> Program:
        if self.parallelism is not None and self.circuit is not None:
            raise ValueError(_RANKS_RUN_CODE)
        if self.parallelism is not None and self.session is not None:
            raise ValueError(_SESSION_HAS_NO_RANKS)
        if self.ranks_per_backend is not None and self.parallelism is None:
            raise ValueError(_RANKS_TO_GROUP)
        if self.ranks_per_backend is not None and self.container is not None:
            raise ValueError(_CONTAINER_CALLS_ONE)
        if self.sweep is not None and self.circuit is None:
            raise ValueError(_SWEEPS_A_CIRCUIT)
        if (
            self.sweep is not None
            and self.circuit is not None
            and self.sweep.parameters.keys() & self.circuit.parameters
        ):
            raise ValueError(_SWEPT_AND_GIVEN)
        if self.world_size > 1 and self.python is not None and self.python.pause_after_seconds is not None:
            raise ValueError(_RANKS_PAUSE)
        if self.framework is not None:
            self._framework_as_on_the_server()
        return self

    def _framework_as_on_the_server(self) -> None:
        if self.parallelism is None:
            raise ValueError(_DASK_HAS_WORKERS)
        if self.python is None:
            raise ValueError(_DASK_RUNS_PYTHON)
        if self.python.pause_after_seconds is not None:
            raise ValueError(_DASK_PAUSES)


class BackendReference(OneOfModel):
    """Which backends the job may run on."""

    one_of = ("name", "selector")
    what = "backend"

    name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name of a backend, in the job's namespace or one that admits it."""
    namespace: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Namespace of the backend. Default: the job's own first, then any that admits it."""
    selector: LabelSelector | None = None
    """Labels that the backend must have."""


class Output(SpecModel):
    """Where the job keeps what its status has no room for: a large result, a program's files and its checkpoints."""

    store: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """A store of the installation, by its name. Default: the installation's own default. Without a cluster it does not
    apply."""


class RetryPolicy(SpecModel):
    """What happens when a backend or a pod is lost under the job."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts in all. A program's own failure (an exit code, running out of memory) is never retried."""
    unreachable_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds for which a pod that does not answer, as one of a site that is cut off, is waited for. After that another
    attempt begins elsewhere, and what the first still does is dropped. Of a circuit it is the backend's pod, and the
    default is 30; a device elsewhere, where tasks cost money, is waited for without end. Of a Python program it is its
    own pod, from when Kubernetes finds that its node is unreachable or not ready, and the default is the cluster's,
    mostly 300. Without a cluster it does not apply."""

    @property
    def tolerated_seconds(self) -> float:
        """How long a circuit waits for a pod that does not answer, seconds."""
        return _UNREACHABLE_SECONDS if self.unreachable_seconds is None else self.unreachable_seconds


class HybridJobSpec(SpecModel):
    """What to run, where and within which limits."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule(
                "!(has(self.shots) && has(self.precision))",
                SHOTS_OR_PRECISION,
            ),
            _fixed(" unless the job is suspended and was never started", "self", "oldSelf", "oldSelf.suspend"),
        )
    )

    program: Program
    """What to run."""
    depends_on: Dependencies = []
    """HybridJobs of the same namespace that have to be complete before this one starts: until then it holds no backend
    and no pod. A program has their results from `qonverge.client.inputs()`."""
    shots: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Runs of the circuit. Default for counts: 1024; for observables without precision: exact values
    where the engine has them. A Python program gets it as the primitives' default."""
    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    """Standard error wanted for expectation values, instead of shots."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Seed of the simulation: the same seed gives the same result."""
    backend: BackendReference | None = None
    """Which backends may run it. Default: any that admits the job's namespace and fits."""
    placement: Placement | None = None
    """Where the job may run, and what counts among the backends that remain."""
    priority_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """A PriorityClass of the cluster: jobs of a higher value are placed first. Default: the cluster's default class."""
    queue_name: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        None
    )
    """A LocalQueue of Kueue in the job's namespace, which admits the program's pod: its batch Job is made suspended,
    once a slot of a backend is reserved. A circuit has no pod, and needs no admission. Without a cluster it does not
    apply."""
    # A pattern does not know how many days a month has.
    deadline: (
        Annotated[
            str,
            Field(json_schema_extra=cel(Rule("timestamp(self).getFullYear() >= 0", _A_TIME), pattern=_RFC_3339)),
        ]
        | None
    ) = None
    """When the result must be there (RFC 3339). A job that has not ended by then fails with DeadlineExceeded, and
    one that no backend could end by then, with Unschedulable."""
    budget: CostLimit | None = None
    """What the job may cost at most, all attempts together."""
    suspend: bool = False
    """Hold the job: what waits is not started, what runs is stopped and starts again when resumed."""
    cancel: bool = False
    """End the job for good: what waits is not started, what runs is stopped, and it is Failed with the reason
    Cancelled; a session that runs is Complete. Its status stays, with what it used."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Seconds, from creation or last resumption, after which an unfinished job fails with DeadlineExceeded."""
    start_deadline_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] = 900
    """Seconds that the pod of each attempt at a program may take to start. After that another attempt begins where the
    pod had a node, or else the job fails with StartDeadlineExceeded. Clusters that add nodes take minutes. Without a
    cluster it does not apply."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds after its end until the job is deleted. Default: it is kept."""
    retry_policy: RetryPolicy = RetryPolicy()
    """What happens when a backend or a pod is lost under the job."""
    output: Output = Output()
    """Where the job keeps what its status has no room for."""

    @model_validator(mode="after")
    def _same_rules_as_the_server(self) -> HybridJobSpec:
        if self.shots is not None and self.precision is not None:
            raise ValueError(SHOTS_OR_PRECISION)
        return self

    @field_validator("deadline")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                good = re.fullmatch(_RFC_3339, value) is not None and datetime.fromisoformat(value) is not None
            except ValueError:
                good = False
            if not good:
                raise ValueError(_A_TIME)
        return value


class KeptResult(StatusModel):
    """Where a result is that is larger than a status may be."""

    backend: str
    """Namespace and name of the backend that keeps it."""
    pod: str
    """The backend's pod that keeps it."""
    bytes: int
    """Size of the result, which is JSON as it would stand in `result`."""
    sha256: str
    """SHA-256 of the result, in hex."""
    expires_at: str
    """Until when it is kept (RFC 3339), unless newer results take its place or the pod goes away."""
    path: str
    """Where the API server gives it: `kubectl get --raw "$PATH"`. Only those who can read the job know this path."""
    lost: str | None = None
    """Why it is kept no more."""


class StoredResult(StatusModel):
    """Where a result is in a store."""

    store: str
    """The store, by its name."""
    key: str
    """Its key there, below the store's prefix."""
    bytes: int
    """Its size; it is JSON as it would stand in `result`."""
    sha256: str
    """SHA-256 of these bytes, in hex."""
    path: str
    """Where the API server gives it: `kubectl get --raw "$PATH"`. Only those who can read the job know this path."""


class StoredFiles(StatusModel):
    """The files that a program left in its output folder."""

    store: str
    """The store, by its name."""
    key: str
    """In front of their keys there, below the store's prefix."""
    count: int
    """How many they are."""
    bytes: int
    """Their size, all together."""
    path: str
    """Where the API server lists and gives them: `qonverge result JOB --files DIR` fetches them. Only those who can
    read the job know this path."""


class Result(StatusModel):
    """The job's result."""

    counts: dict[str, int] | None = None
    """How often each outcome was measured. The rightmost bit is classical bit 0; a space separates registers."""
    shots: int | None = None
    """Runs that the counts come from; of a sweep, those of each point."""
    expectation_values: list[float] | None = None
    """Expectation values, in the observables' order."""
    standard_errors: list[float] | None = None
    """Their standard errors; 0 where the value is exact."""
    points: list[SweepPoint] | None = None
    """What a sweep found at each point, in the points' order."""
    value: Annotated[Any, Field(json_schema_extra=ANY_JSON)] = None
    """What the program passed to `qonverge.client.result`."""
    kept: KeptResult | None = None
    """The pod that keeps the result when it is too large for the status and there is no store: `qonverge result JOB`
    fetches it."""
    stored: StoredResult | None = None
    """Where the result is in a store when it is too large for the status: `qonverge result JOB` fetches it."""


class Provenance(StatusModel):
    """Where the result comes from, to repeat it."""

    program_digest: str | None = None
    """SHA-256 of the program's text; of a container, of its image, command and arguments as JSON; of one
    in a repository or on a volume, of where it is as JSON."""
    commit: str | None = None
    """Commit of the Git repository that the program is from."""
    image: str | None = None
    """Image in which the program ran, with its digest, as the node's runtime names it."""
    qonverge_version: str | None = None
    """Version of Qonverge."""
    engine: str | None = None
    """Engine and its version."""
    method: str | None = None
    """Simulation method that the engine used."""
    method_reason: str | None = None
    """Why that method."""
    seed: int | None = None
    """Seed that the engine used."""
    calibration: str | None = None
    """SHA-256 of the calibration that a noisy backend imitated; absent where it is ideal."""
    virtual_device: str | None = None
    """Of a device elsewhere that `qonverge run` imitated since it had no access to it: which published calibration."""
    layout: list[int] | None = None
    """For each qubit of the circuit the qubit of the imitated device on which it began; absent without a device, and
    where all qubits are coupled and alike."""
    cached: bool | None = None
    """True where the result is that of an earlier job, which asked for the same."""


class MetricCurve(StatusModel):
    """The course of a metric that a program reports."""

    name: str
    """The metric's name."""
    reports: int
    """How often it was reported."""
    every: int
    """How many reports lie between two values: of long programs only some are kept."""
    values: Annotated[list[float], Field(max_length=MOST_POINTS)]
    """The values, from the first on."""


class Paused(StatusModel):
    """A program that gave its pod back."""

    tasks: list[str]
    """The tasks for whose end it waits, by their ids at the backend."""
    since: str
    """When it did (RFC 3339)."""


class HybridJobStatus(StatusModel):
    """What the operator observed."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status is about."""
    state: State = "Pending"
    """Pending, Suspended, Placed, Running, Complete or Failed."""
    reason: str | None = None
    """Why it is in this state, in one word."""
    message: str | None = None
    """Why it is in this state, in a sentence."""
    conditions: Annotated[list[Condition], Field(json_schema_extra=CONDITIONS_SCHEMA)] = []
    """Placed, Running, Complete, Failed, Suspended; Ready, Reconciling and Stalled as kstatus reads them."""
    dependencies: list[DependencyStatus] | None = None
    """The jobs that it depends on, as they were last seen."""
    trace_id: str | None = None
    """OpenTelemetry's id of the job's trace, 32 hexadecimal digits, where its spans are recorded."""
    backend: str | None = None
    """Backend that runs the job, with its namespace in front where that is not the job's own."""
    backends: list[str] | None = None
    """Backends that the ranks of a parallel program call, in the order of the ranks, where they are several; `backend`
    is the first of them."""
    placement: str | None = None
    """Why this backend."""
    forecast: Annotated[list[Candidate], Field(max_length=64)] | None = None
    """What is forecast of the job on each backend, the best first; of a job that has ended, what was forecast when it
    was placed."""
    attempts: int | None = None
    """How often it was started."""
    submissions: list[Submission] | None = None
    """Tasks that were to be sent to devices elsewhere and are not known to have ended, written before they are sent:
    whoever goes on with the job begins none of them twice."""
    cloud_tasks: CloudTasks | None = None
    """The vendors' tasks of the last attempt, where it ran on devices elsewhere; the first of very many."""
    pod: str | None = None
    """Pod of the program's last attempt."""
    session: SessionStatus | None = None
    """How a session is used; absent of all else."""
    paused: Paused | None = None
    """The tasks for which its program waits without a pod; absent while it has one."""
    pauses: int | None = None
    """How often the present attempt gave its pod back and began again."""
    progress: str | None = None
    """Share done, such as "40%"."""
    metrics: Annotated[dict[str, float], Field(json_schema_extra=_METRICS)] | None = None
    """Latest values that the program reported, at most 64 with names of at most 63 characters."""
    metrics_summary: str | None = None
    """The first of them as `kubectl get` shows them, such as `energy=-1.13727 step=40`."""
    metric_curves: Annotated[list[MetricCurve], Field(max_length=MOST_CURVES)] | None = None
    """The courses of the metrics that were reported first, at most 4 with at most 100 values each."""
    reported_at: str | None = None
    """When the program last reported progress or metrics (RFC 3339)."""
    estimated_end_at: str | None = None
    """When the program will have ended if it goes on at the rate of its progress (RFC 3339): an estimate, which each
    report renews."""
    placed_at: str | None = None
    """When a backend was chosen (RFC 3339)."""
    started_at: str | None = None
    """When the last attempt began to run."""
    resumed_at: str | None = None
    """When the job was last resumed."""
    completed_at: str | None = None
    """When it ended."""
    duration: str | None = None
    """How long the last attempt took, such as 3m20s."""
    usage: Usage | None = None
    """What the job used of backends so far."""
    result: Result | None = None
    """What the job found: counts, expectation values with their standard errors, or the value of a program."""
    files: StoredFiles | None = None
    """The files that the program left in `$QONVERGE_OUTPUT`."""
    exit_code: int | None = None
    """Exit code of the program."""
    log: str | None = None
    """Last lines that the program printed."""
    provenance: Provenance | None = None
    """Where the result comes from."""


class HybridJob(SpecModel):
    """One job: a quantum circuit, or a program that calls quantum backends."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            # A job that ran has attempts in its status, also after it was suspended.
            _fixed(
                " once the job was started",
                "self.spec",
                "oldSelf.spec",
                "!oldSelf.spec.suspend || !has(oldSelf.status) || !has(oldSelf.status.attempts)",
            ),
            Rule(
                "!has(self.spec.dependsOn) || self.spec.dependsOn.all(each, each.name != self.metadata.name)",
                _ON_ITSELF,
                ".spec.dependsOn",
            ),
        )
    )

    api_version: Literal["qonverge.io/v1alpha1"] = "qonverge.io/v1alpha1"
    kind: Literal["HybridJob"] = "HybridJob"
    metadata: ObjectMeta
    spec: HybridJobSpec
    status: HybridJobStatus = HybridJobStatus()

    @model_validator(mode="after")
    def _not_on_itself(self) -> HybridJob:
        if any(each.name == self.metadata.name for each in self.spec.depends_on):
            raise ValueError(f"spec.dependsOn: {_ON_ITSELF}")
        return self

    @property
    def finished(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.status.state in ("Complete", "Failed")

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's form: what was given, and the status."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"status": self.status.to_dict()}
