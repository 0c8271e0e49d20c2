"""Jobs, and what is sent to make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qonverge_dev_cloud.iqm.catalogue import Computer
from qonverge_dev_cloud.iqm.circuits import Circuit
from qonverge_dev_cloud.work import Phase, Work

_STATUS: dict[Phase, str] = {
    "Waiting": "waiting",
    "Running": "processing",
    "Completed": "completed",
    "Failed": "failed",
    # A job that runs is interrupted.
    "Cancelling": "cancelled",
    "Cancelled": "cancelled",
}


def _mapping(value: Any) -> Any:
    """Return a mapping of qubits, which clients send as a list of pairs."""
    return {own["logical_name"]: own["physical_name"] for own in value} if isinstance(value, list) else value


class SubmitJob(BaseModel):
    """The payload of a job of circuits."""

    # Clients send fields that are deprecated too.
    model_config = ConfigDict(extra="ignore", frozen=True)

    circuits: tuple[Circuit, ...] = Field(min_length=1)
    shots: int = Field(1, gt=0)
    calibration_set_id: str | None = None
    qubit_mapping: Annotated[dict[str, str] | None, BeforeValidator(_mapping)] = None
    heralding_mode: str = "none"
    dd_mode: str = "disabled"


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Work):
    """A job."""

    id: str
    computer: Computer
    circuits: tuple[Circuit, ...]
    """With the computer's own names of qubits."""
    payload: bytes
    """As it was sent."""
    tag: str | None
    calibration_set: str
    """The one that it is compiled with."""
    price: float
    """What a second of it costs."""
    measurements: list[dict[str, list[list[int]]]] = field(default_factory=list)
    """Of each circuit, by the key of the measurement: the bits of each shot."""

    def status(self, now: float) -> str:
        """Return the state by IQM's names."""
        return _STATUS[self.phase(now)]

    def cost(self, now: float) -> float:
        """Return what it cost by now."""
        return round(self.price * self.seconds_done(now), 6)
