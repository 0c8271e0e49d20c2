"""What a job's status says of its tasks on devices elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qonverge.api.base import StatusModel

FINALIZER = "qonverge.io/cloud-tasks"
"""On a job while tasks of it may run on a device elsewhere: its deletion waits until they are cancelled or ended."""
ABANDON_ANNOTATION = "qonverge.io/abandon-cloud-tasks"
"""With the value "true" on a job: do not wait for that any longer. What runs, runs on and may cost money."""
MOST_CLOUD_TASKS = 100


class SentLimits(StatusModel):
    """What one task of a device could have when the job was sent to it."""

    shots: int | None = None
    """Shots of one program; absent: any number."""
    programs: int = 1
    """Programs that one task could have."""
    total_shots: int | None = None
    """Shots of several programs together, at most; absent: any number."""
    least_total_shots: int = 1
    """Shots of several programs together, at least."""


class Submission(StatusModel):
    """A task that was to be sent, for whoever goes on with the job: the same task is never begun twice."""

    task: str
    """Id of the task."""
    backend: str
    """Namespace and name of its backend."""
    attempt: int
    """Which of the job's attempts it belongs to."""
    shots: int | None = None
    """Shots of this part, where the job is split; absent: all."""
    hedge: bool = False
    """Whether the job is hedged: the same task is on another backend too."""
    limits: SentLimits | None = None
    """How the device's own tasks were made of it: they are told by that, also after the device changed its limits."""


class CloudTask(StatusModel):
    """A task of a vendor that belongs to the job."""

    id: str
    """The vendor's own id."""
    key: str | None = None
    """Under which it was sent. By key and id it is gone on with after its pod was replaced."""
    state: str
    """Queued, Running, Completed, Failed or Cancelled."""
    link: str | None = None
    """Where it is shown in the vendor's console."""
    message: str | None = None
    """The vendor's words."""
    queue_position: int | None = None
    """Its place in the device's queue."""
    expected_start: str | None = None
    """When it is expected to start (RFC 3339)."""
    expected_seconds: float | None = None
    """For how long the device will be busy with it, as the vendor estimated when it took it."""
    seconds: float | None = None
    """For how long the device was busy with it, as the vendor tells."""
    cost: str | None = None
    """What the vendor billed for it, with the currency."""


CloudTasks = Annotated[list[CloudTask], Field(max_length=MOST_CLOUD_TASKS)]
