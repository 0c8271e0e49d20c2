"""HybridJob: one job, quantum or hybrid."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from qonverge.api.base import LabelSelector, ObjectMeta, OneOfModel, Rule, SpecModel, cel, same
from qonverge.api.dependencies import Dependencies
from qonverge.api.job_status import HybridJobStatus
from qonverge.api.money import CostLimit
from qonverge.api.placement import Placement
from qonverge.api.program import Program
from qonverge.api.retries import RetryPolicy

SHOTS_OR_PRECISION = (
    "set shots or precision, not both: precision is the standard error wanted, shots the number of runs"
)

# No format: with one the API server takes lists too.
_RFC_3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_A_TIME = "give a time with its zone, such as 2026-01-31T12:00:00Z"

OUTPUT_FINALIZER = "qonverge.io/output"
"""On a job that keeps something in a store: its deletion waits until that is deleted too."""
TRACEPARENT_ANNOTATION = "qonverge.io/traceparent"
"""Of a job: the span of whoever made it, as the W3C recommendation Trace Context has it."""
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
    """What happens when an attempt fails, or a backend or a pod is lost under it."""
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
