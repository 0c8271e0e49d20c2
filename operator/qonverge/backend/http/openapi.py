"""The protocol's JSON as OpenAPI 3.1: the routes that the server has, and models of what they take and give.

The routes are in ``operations``; tests read real answers by these models, which allow no other fields.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from qonverge import __version__
from qonverge.backend.http.operations import OPERATIONS, Operation
from qonverge.sites.peers import MOST, MOST_NAME


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LayoutRequest(BaseModel):
    """Where a circuit lies on a device."""

    qubits: list[int] = Field(description="For each of the circuit's qubits the device's qubit on which it begins.")
    routing: bool = Field(True, description="Whether SWAPs may be added; else gates on uncoupled qubits are refused.")


class PubRequest(BaseModel):
    """A circuit and what is wanted of it; shots, or precision or nothing with observables."""

    openqasm: str = Field(description="The circuit as OpenQASM 2 or 3.")
    parameters: dict[str, float | list[float]] = Field({}, description="Values for each parameter, one for each set.")
    shots: int | None = Field(None, ge=1, description="Runs of each set.")
    precision: float | None = Field(None, gt=0, le=1, description="Standard error wanted of each expectation value.")
    observables: list[str | dict[str, float]] = Field([], description='Such as "ZZ" or {"XX": 0.5, "YY": 0.5}.')
    pairs: list[tuple[int, int]] | None = Field(None, description="Wanted (set, observable) pairs; default: all.")
    statevector: bool = Field(False, description="Whether the final states are wanted.")
    layout: LayoutRequest | None = Field(None, description="Where it lies on the backend's device; default: its best.")


class TaskRequest(BaseModel):
    """A task."""

    pubs: list[PubRequest] = Field(min_length=1)
    id: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$", description="The same id is one task.")
    seed: int | None = Field(None, ge=0, lt=2**32)
    memory: bool = Field(False, description="Whether the bits of every shot are wanted.")
    again: bool = Field(False, description="Whether it may have been sent before.")
    traceparent: str = Field("", description="The span that it belongs to, in place of the header of this name.")


class ErrorBody(_Model):
    """What went wrong."""

    code: str
    message: str
    retryable: bool
    detail: dict[str, Any]


class ErrorAnswer(_Model):
    """A refusal."""

    error: ErrorBody


class PubAnswer(_Model):
    """The answer to one pub."""

    counts: list[dict[str, int]]
    registers: dict[str, tuple[int, list[Any]]] = Field(description="With memory: bits, and bytes of each shot.")
    expectation_values: list[Any] | None
    standard_errors: list[Any] | None
    statevectors: list[Any] | None
    shots: int | None
    method: str
    reason: str
    engine: str = Field(description="Where the backend chooses among several; else empty.")
    layout: list[int] = Field(description="The device's qubit on which each of the circuit's began; empty without one.")


class TaskAnswer(_Model):
    """How a task stands."""

    id: str
    state: Literal["Queued", "Running", "Completed", "Failed", "Cancelled"]
    results: list[PubAnswer]
    error: ErrorBody | None
    engine: str
    seed: int | None
    queue_seconds: float
    run_seconds: float
    calibration: str = Field(description="Digest of the calibration that was imitated; empty without one.")
    cached: bool
    peak_bytes: int | None = Field(description="Memory beyond what its worker had before; null where not measured.")
    vendor_tasks: list[dict[str, Any]] = Field(description="What it became at a cloud or another site.")
    stopping: bool = Field(description="Of a cancelled task: whether what it became elsewhere may run still.")


class DeliveredAnswer(_Model):
    """Whether there was a result to drop."""

    dropped: bool


class ListedTask(_Model):
    """A task that waits or runs."""

    id: str
    subject: str
    state: Literal["Queued", "Running"]


class TaskList(_Model):
    """The caller's tasks."""

    tasks: list[ListedTask]


class LinkAnswer(_Model):
    """What was measured of the way to another site; null where nothing was of late."""

    round_trip_seconds: float | None
    loss_ratio: float | None
    bytes_per_second: float | None = Field(description="From there.")


class BackendAnswer(_Model):
    """What the backend is, and how busy."""

    engine: str
    method: str
    methods: list[str]
    basis_gates: list[str]
    max_qubits: int | None
    max_shots: int
    memory_bytes: int | None
    workers: int
    queued: int
    running: int
    queue_limit: int
    draining: bool
    calibration: dict[str, Any] | None = Field(description="Of the device that is imitated or driven.")
    calibration_digest: str
    kept_results: int = Field(description="Results that it keeps for jobs whose status is too small for them.")
    keeps_bytes: int | None = Field(description="Bytes of such results, compressed, that it keeps for one namespace.")
    unnamed: int = Field(description="Programs that ask for something and that the operator has not named here.")
    device: dict[str, Any] | None = Field(description="How the device elsewhere is that it stands for.")
    spool: dict[str, int] | None = Field(description="Tasks and results on disk, and their limits; null without.")
    boot: str = Field(description="Changes when the server begins anew.")
    task_seconds: float = Field(description="Time that tasks ran since it began, of all together, with those that run.")
    peers: str = Field(description="Digest of the list of peers to which it measures its links; empty without.")
    links: dict[str, LinkAnswer] = Field(description="What it measured of them, by their sites.")


class PeerRequest(BaseModel):
    """A server at another site."""

    site: str = Field(min_length=1, max_length=MOST_NAME)
    url: str = Field(description="http://ADDRESS:PORT, with an address and no name.")


class PeersRequest(BaseModel):
    """All servers to which this one is to measure its links."""

    peers: list[PeerRequest] = Field(max_length=MOST)


class DrainRequest(BaseModel):
    """Whether the server takes new tasks."""

    on: bool = Field(description="True: it takes none, and does those that it has.")


class GrantRequest(BaseModel):
    """What a job may have used of this server since that began: [shots, seconds, cost], each null without limit."""

    now: tuple[int | None, float | None, str | None] = Field(description="Until more is granted.")
    most: tuple[int | None, float | None, str | None] = Field(description="What could be granted at most.")
    prices: tuple[str, str, str] = Field(description="Of a task, a shot and a second.")
    currency: str
    until: str = Field(description="When more may be there, RFC 3339; or empty.")
    attempt: int = Field(description="Which attempt at the job's program may use it: those before it are over.")
    cost_is_budget: bool = Field(False, description="Whether the cost in most is what is left of the job's budget.")
    shots_are_the_jobs: bool = Field(False, description="Whether the shots in most are what the job itself may run.")


class MetersRequest(BaseModel):
    """All grants that there are; without them nothing changes."""

    grants: dict[str, GrantRequest] | None = None
    boot: str | None = Field(None, description="The boot that they count from: grants for another one change nothing.")


class MeterAnswer(_Model):
    """What one job used: [tasks, shots, seconds]."""

    used: tuple[int, int, float]
    costs: list[tuple[str, str]] = Field(description="What it cost: [amount, currency] of each currency.")
    wanted: tuple[int, int, float] | None = Field(description="What a task needs that waits for a grant.")
    now: tuple[int | None, float | None, str | None] = Field(description="What is granted.")
    currency: str | None = Field(description="Of the cost that is granted; null where there is no limit of cost.")
    under_way: int = Field(description="Its tasks that wait or run.")
    waits: int | None = Field(description="How often it sent a task while none of it was under way.")


class MetersAnswer(_Model):
    """What all jobs used."""

    boot: str = Field(description="Changes when the server begins anew, and counts from nothing.")
    meters: dict[str, MeterAnswer]


class RunAnswer(_Model):
    """An attempt at a program that is to have no tasks any more."""

    vendor_tasks: list[dict[str, Any]] = Field(description="What may still go on elsewhere; none: nothing does.")


class KeptAnswer(_Model):
    """Results of jobs, by the job's uid."""

    results: list[str] = Field(description="Those that are kept.")
    dropped: dict[str, str] = Field(description="Why others are kept no more.")


class IdentityAnswer(_Model):
    """Which pod this is."""

    instance: str = Field(description="The pod's uid.")
    proof: str = Field(description="HMAC-SHA256 of challenge, zero byte and uid with the backend's key, in hex.")


def document() -> dict[str, Any]:
    """Return the description."""
    names = {name for operation in OPERATIONS for name in (operation.answer, operation.request) if name}
    models: list[type[BaseModel]] = [globals()[name] for name in sorted(names | {ErrorAnswer.__name__})]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Qonverge backend",
            "version": __version__,
            "description": "Tasks for a quantum backend, in JSON; docs/protocol.md describes msgpack as well.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    answer = _content(operation.answer)
    responses = {str(status): {"description": operation.summary, **answer} for status in operation.statuses}
    found: dict[str, Any] = {"operationId": operation.handler, "summary": operation.summary, "responses": responses}
    parameters = []
    if "{identity}" in operation.path:
        parameters.append({"name": "identity", "in": "path", "required": True, "schema": {"type": "string"}})
    if operation.waits:
        seconds = {"type": "string", "pattern": r"^[0-9.]+s?$", "default": "0"}
        text = "Seconds to wait for the task's end, 60 at most."
        parameters.append({"name": "wait", "in": "query", "description": text, "schema": seconds})
    if operation.shortens:
        without = {"type": "string", "enum": ["calibration"]}
        text = "What to leave out: a device's calibration is long."
        parameters.append({"name": "without", "in": "query", "description": text, "schema": without})
    if operation.proves:
        text, schema = "Any text that is new each time.", {"type": "string", "maxLength": 128}
        parameters.append({"name": "challenge", "in": "query", "required": True, "description": text, "schema": schema})
    if operation.keeps:
        texts = {"namespace": "Of the job.", "seconds": "For how long it is kept."}
        parameters += [
            {"name": name, "in": "query", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in texts.items()
        ]
        flag, text = {"type": "boolean", "default": True}, "Whether it may take the place of others."
        parameters.append({"name": "displaces", "in": "query", "description": text, "schema": flag})
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if parameters:
        found["parameters"] = parameters
    if operation.request:
        found["requestBody"] = {"required": True, **_content(operation.request)}
    if operation.guarded:
        # Without a public key the server asks for no token.
        found["security"] = [{"token": []}, {}]
        responses["default"] = {"description": "Refused: the code says why", **_content(ErrorAnswer.__name__)}
    return found


def _content(model: str) -> dict[str, Any]:
    if not model:
        return {}
    reference = {"$ref": f"#/components/schemas/{model}"}
    return {"content": {"application/json": {"schema": reference}}}
