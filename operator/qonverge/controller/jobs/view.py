"""What is known of one job when it is decided what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job_status import State
from qonverge.controller.store.dependents import Awaited
from qonverge.controller.store.flights import Flight
from qonverge.execution import transitions


@dataclass(frozen=True, slots=True)
class View:
    """Everything about one job, and its next status by what is decided."""

    job: HybridJob
    flight: Flight | None
    now: float
    batch: Mapping[str, Any] | None = None
    """The batch Job of the current attempt, where the program runs in one."""
    pods: tuple[Mapping[str, Any], ...] = ()
    """Its pods, one for each rank, in the order of the ranks: name, uid, rank and status. Also those that are gone."""
    unrecorded: Mapping[str, Any] | None = None
    """The batch Job of the attempt after it, which an operator made that was killed before it could record that."""
    lost: tuple[str, ...] = ()
    """Backends that are recorded to have tasks of the job, and that were deleted."""
    withdrawn: tuple[str, str] | None = None
    """(reason, message) where the backend that the program calls serves it no more."""
    unkeepable: str | None = None
    """Why there would be no place for the result on the backend that is proposed."""
    boots: Mapping[str, str] = field(default_factory=dict)
    """The present starts of the pods' servers where the job is to be sent, by the pods' uids."""

    awaited: Awaited | None = None
    """The jobs that it waits for; None where it has all that it takes from others."""

    @property
    def stamp(self) -> str:
        """The time as a status has it."""
        return transitions.timestamp(self.now)

    @property
    def created(self) -> float:
        """When the job was created, Unix seconds."""
        created = self.job.metadata.creation_timestamp
        return self.now if created is None else transitions.seconds(created)

    @property
    def is_behind(self) -> bool:
        """Whether the status is about another generation of the job."""
        return self.job.status.observed_generation != self.job.metadata.generation

    def move(self, state: State, reason: str, message: str, **fields: Any) -> HybridJobStatus:
        """Return the job's status in another state."""
        job, generation = self.job, self.job.metadata.generation
        return transitions.move(
            job.status, state, reason=reason, message=message, now=self.now, generation=generation, **fields
        )

    def complete(self, message: str, **fields: Any) -> HybridJobStatus:
        """Return the status of a job that has ended well."""
        job, generation = self.job, self.job.metadata.generation
        return transitions.complete(job.status, now=self.now, generation=generation, message=message, **fields)

    def fail(self, reason: str, message: str, **fields: Any) -> HybridJobStatus:
        """Return the status of a job that has ended badly."""
        job, generation = self.job, self.job.metadata.generation
        return transitions.fail(
            job.status, reason=reason, message=message, now=self.now, generation=generation, **fields
        )
