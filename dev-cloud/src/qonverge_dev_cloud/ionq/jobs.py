"""Jobs and sessions, and what is sent to make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from qonverge_dev_cloud.ionq.catalogue import Backend
from qonverge_dev_cloud.ionq.circuits import GateCounts, Input
from qonverge_dev_cloud.work import Phase, Work

_STATUS: dict[Phase, str] = {
    "Waiting": "ready",
    "Running": "started",
    "Completed": "completed",
    "Failed": "failed",
    # A job that runs is not stopped at once; until then the API calls it canceled already.
    "Cancelling": "canceled",
    "Cancelled": "canceled",
}


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoiseModel(_Sent):
    """Whose errors the simulator has."""

    model: str = "ideal"
    seed: int | None = None


class Mitigation(_Sent):
    """Error mitigation: it costs, and has no other effect here."""

    debiasing: bool = False


class Settings(_Sent):
    """How a job is compiled and run."""

    error_mitigation: Mitigation = Mitigation()
    compilation: dict[str, Any] = Field(default_factory=dict)


class CreateJob(_Sent):
    """What is sent to make a job."""

    type: Literal["ionq.circuit.v1"]
    backend: str
    input: Input
    # Cirq's client sends a text.
    shots: Annotated[int, BeforeValidator(lambda value: int(value) if isinstance(value, str) else value)] = Field(
        100, ge=1, le=1_000_000
    )
    name: str | None = None
    metadata: dict[str, Annotated[str, StringConstraints(max_length=400)]] = Field(default_factory=dict)
    noise: NoiseModel = NoiseModel()
    dry_run: bool = False
    session_id: str | None = None
    settings: Settings = Settings()
    lang: Literal["json"] = "json"


class CostLimit(_Sent):
    """The most that the jobs of a session may cost."""

    unit: Literal["usd"]
    value: float = Field(ge=0)


class SessionSettings(_Sent):
    """The limits of a session."""

    job_count_limit: int | None = Field(None, ge=1)
    duration_limit_min: int | None = Field(None, ge=1)
    cost_limit: CostLimit | None = None


class CreateSession(_Sent):
    """What is sent to make a session."""

    backend: str
    settings: SessionSettings = SessionSettings()


class ListQuery(_Sent):
    """Which jobs are asked for."""

    ids: tuple[str, ...] = ()
    status: str | None = None
    target: str | None = None
    """Backends, with commas between them."""
    session_id: str | None = None
    limit: int = Field(25, ge=1)
    next: str | None = None


class EstimateQuery(_Sent):
    """What an estimate is asked for."""

    backend: str
    type: str = "ionq.circuit.v1"
    qubits: int = Field(25, ge=1)
    shots: int = Field(1000, ge=1)
    single: int = Field(0, ge=0, alias="1q_gates")
    pairs: int = Field(0, ge=0, alias="2q_gates")
    error_mitigation: bool = False
    # Qiskit's client sends it.
    session: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Work):
    """A job."""

    id: str
    backend: Backend
    request: CreateJob
    gates: GateCounts
    estimate: float
    """What it costs if it runs, US dollars."""
    probabilities: dict[str, float] = field(default_factory=dict)

    def status(self, now: float) -> str:
        """Return the state by IonQ's names."""
        return _STATUS[self.phase(now)]

    def cost(self, now: float) -> float:
        """Return what it cost by now: a job is charged when it has run."""
        return self.estimate if self.phase(now) == "Completed" and not self.request.dry_run else 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class Session:
    """A session, with the jobs in it."""

    id: str
    request: CreateSession
    created: float
    ended: float | None = None
    jobs: list[Job] = field(default_factory=list)

    def active(self, now: float) -> bool:
        """Say whether it takes jobs."""
        limit = self.request.settings.duration_limit_min
        return self.ended is None and (limit is None or now < self.created + 60 * limit)

    def refusal(self, estimate: float, now: float) -> str | None:
        """Return why it does not take a job of this cost; None where it does."""
        settings = self.request.settings
        if not self.active(now):
            return "the session has ended"
        if settings.job_count_limit is not None and len(self.jobs) >= settings.job_count_limit:
            return f"the session has had its {settings.job_count_limit} jobs"
        if settings.cost_limit is not None:
            # What was cancelled or failed costs nothing.
            spent = sum(job.estimate for job in self.jobs if job.status(now) not in ("canceled", "failed"))
            if spent + estimate > settings.cost_limit.value:
                return (
                    f"the job costs {estimate:g} usd and the session's others {spent:g}: "
                    f"its limit is {settings.cost_limit.value:g}"
                )
        return None
