"""What the operator observed of a HybridJob: how it is, what it found, and where that is kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from qonverge.api.base import CONDITIONS_SCHEMA, Condition, Rule, StatusModel, cel
from qonverge.api.cloud_tasks import CloudTasks, Submission
from qonverge.api.dependencies import DependencyStatus
from qonverge.api.placement import Candidate
from qonverge.api.program import ANY_JSON
from qonverge.api.retries import MOST_FAILED_ATTEMPTS, FailedAttempt
from qonverge.api.sweep import SweepPoint
from qonverge.api.usage import Usage
from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_CURVES, MOST_METRICS, MOST_POINTS

State = Literal["Pending", "Suspended", "Placed", "Running", "Complete", "Failed"]

# For who writes, the API server: a status that is there is read as it is.
_METRICS = cel(
    Rule(
        f"self.all(name, size(name) <= {LONGEST_METRIC_NAME})",
        f"names of metrics have at most {LONGEST_METRIC_NAME} characters",
    ),
    maxProperties=MOST_METRICS,
)


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


class Indexes(StatusModel):
    """How far the sweep of a program is: its points are numbered from 0, as the indexes of batch/v1's Job are."""

    total: int
    """How many points there are."""
    succeeded: int
    """At how many the program ended well."""
    failed: int
    """At how many it failed, and is not run again."""
    completed_indexes: str
    """The former, such as "0-3,7"."""
    failed_indexes: str
    """The latter, likewise."""


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
    failures: int | None = None
    """Attempts that failed and count towards retryPolicy.maxAttempts."""
    interruptions: int | None = None
    """Attempts that ended without the program's doing, which count towards retryPolicy.maxInterruptions."""
    failed_attempts: Annotated[list[FailedAttempt], Field(max_length=MOST_FAILED_ATTEMPTS)] | None = None
    """How the last of them ended, at most 10, the latest last."""
    submissions: list[Submission] | None = None
    """Tasks that were to be sent to devices elsewhere and are not known to have ended, written before they are sent:
    whoever goes on with the job begins none of them twice."""
    cloud_tasks: CloudTasks | None = None
    """The vendors' tasks of the last attempt, where it ran on devices elsewhere; the first of very many."""
    pod: str | None = None
    """Pod of the program's last attempt; of a sweep one of them."""
    paused: Paused | None = None
    """The tasks for which its program waits without a pod; absent while it has one."""
    pauses: int | None = None
    """How often the present attempt gave its pod back and began again."""
    indexes: Indexes | None = None
    """How far the points of a program's sweep are."""
    progress: str | None = None
    """Share done, such as "40%": as the program reports it, of a sweep the share of its points that have ended."""
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
