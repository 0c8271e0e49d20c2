"""Jobs and sessions, and what is sent to make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qonverge_dev_cloud.work import Phase, Work

if TYPE_CHECKING:
    from qonverge_dev_cloud.ibm.programs import Program

_STATUS: dict[Phase, str] = {
    "Waiting": "Queued",
    "Running": "Running",
    "Completed": "Completed",
    "Failed": "Failed",
    # A job that runs is not stopped at once; the API calls it cancelled already.
    "Cancelling": "Cancelled",
    "Cancelled": "Cancelled",
}
TOO_LONG = 1305


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateJob(_Sent):
    """What is sent to make a job."""

    program_id: str
    backend: str
    params: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    session_id: str | None = None
    cost: int | None = Field(None, ge=1)
    """Seconds of the device after which the job is ended."""
    private: bool = False
    runtime: str | None = None
    log_level: str | None = None
    calibration_id: str | None = None
    start_session: bool = False
    session_time: int | None = None


class CreateSession(_Sent):
    """What is sent to make a session or a batch."""

    mode: Literal["dedicated", "batch"] = "dedicated"
    backend: str
    instance: str | None = None
    max_ttl: int = Field(28800, ge=1)


class ListQuery(_Sent):
    """Which jobs are asked for."""

    limit: int = Field(20, ge=1, le=200)
    offset: int = Field(0, ge=0)
    backend: str | None = None
    program: str | None = None
    session_id: str | None = None
    pending: bool | None = None
    created_after: str | None = None
    created_before: str | None = None
    sort: Literal["ASC", "DESC"] = "DESC"
    exclude_params: bool = False
    include_mocks: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Work):
    """A job."""

    id: str
    request: CreateJob
    program: Program
    tags: list[str]
    too_long: bool = False
    """Whether it is ended since it runs for longer than it may."""
    result: str = ""

    def status(self, now: float) -> str:
        """Return the state by IBM's names."""
        found = _STATUS[self.phase(now)]
        return "Cancelled" if self.too_long and found in ("Completed", "Failed") else found

    def reason(self, now: float) -> tuple[str | None, int | None]:
        """Return why it ended as it did, and the code of that."""
        status = self.status(now)
        if self.too_long and status == "Cancelled" and self.cancelled is None:
            return "Job exceeded the maximum execution time.", TOO_LONG
        if status == "Failed":
            return self.failure, 8000
        return None, None


@dataclass(slots=True, eq=False, kw_only=True)
class Session:
    """A session or a batch, with the jobs in it."""

    id: str
    request: CreateSession
    created: float
    closed: float | None = None
    jobs: list[Job] = field(default_factory=list)

    @property
    def begun(self) -> float | None:
        """When its time began: with its first job."""
        return min((job.start for job in self.jobs if not job.withdrawn), default=None)

    def accepts(self, now: float) -> bool:
        """Say whether it takes jobs."""
        return self.closed is None and (self.begun is None or now < self.begun + self.request.max_ttl)
