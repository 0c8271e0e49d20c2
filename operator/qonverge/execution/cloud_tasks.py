"""A job's tasks on devices elsewhere: what is recorded before they are sent, and what is said of them. Pure.

A task there costs money. So its id and its backend are in the job's status before it is sent, and who goes on with the
job, this operator or its successor, sends the same task to the same backend, which finds the one that it began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from qonverge.amounts import TaskLimits
from qonverge.api import HybridJob
from qonverge.api.cloud_tasks import FINALIZER, MOST_CLOUD_TASKS, CloudTask, SentLimits, Submission
from qonverge.execution.transitions import timestamp
from qonverge.scheduling.model import Backend, Decision, Part, PartKind
from qonverge.wire.vendor import ENDED_STATES, VendorTask


def is_recorded(decision: Decision) -> bool:
    """Return whether the intent to send what was decided is recorded first."""
    return any(backend.recorded for backend, _ in parts_of(decision))


def parts_of(decision: Decision) -> list[tuple[Backend, int | None]]:
    """Return the backends that get a task each, with the shots of the part; None: all of them."""
    assert decision.backend is not None
    if not decision.parts:
        return [(decision.backend, None)]
    hedged = is_hedged(decision)
    return [(part.backend, None if hedged else part.shots) for part in decision.parts]


def is_hedged(decision: Decision) -> bool:
    """Return whether all shots go to several backends, of which the first that ends gives the result."""
    return any(part.kind == "Hedge" for part in decision.parts)


def identities(decision: Decision, whole: str) -> list[str]:
    """Return the ids of the tasks that a decision becomes; ``whole`` is that of a task with all shots."""
    # A part is told by its shots too: after a restart they may be divided in another way.
    return [
        f"{whole}.{number}.{shots}" if shots is not None else f"{whole}.{number}" if number else whole
        for number, (_, shots) in enumerate(parts_of(decision))
    ]


def submissions(decision: Decision, whole: str, attempt: int) -> list[Submission]:
    """Return the record of what a decision becomes."""
    hedge = is_hedged(decision)
    pairs = zip(identities(decision, whole), parts_of(decision), strict=True)
    return [
        Submission(
            task=identity,
            backend=backend.key,
            attempt=attempt,
            shots=shots,
            hedge=hedge,
            limits=SentLimits(**asdict(backend.task_limits)),
        )
        for identity, (backend, shots) in pairs
    ]


def limits_of(submission: Submission) -> TaskLimits | None:
    """Return what one task of the device could have when it was recorded; None: an operator before did not say."""
    return None if submission.limits is None else TaskLimits(**submission.limits.model_dump())


def under_way(job: HybridJob) -> list[Submission]:
    """Return what is recorded of the job's present attempt, which is to be gone on with."""
    if job.status.state not in ("Placed", "Running") or job.spec.suspend:
        return []
    return [each for each in job.status.submissions or () if each.attempt == job.status.attempts]


def intended(job: HybridJob) -> list[Submission]:
    """Return what is recorded of the attempt that comes next, as of a program before its pod is made."""
    if job.finished or job.spec.suspend or job.status.state == "Suspended":
        return []
    return [each for each in job.status.submissions or () if each.attempt == (job.status.attempts or 0) + 1]


def left_over(job: HybridJob) -> list[Submission]:
    """Return what is recorded of tasks that nobody wants any more: they are to be cancelled."""
    wanted = [] if job.metadata.deletion_timestamp else [*under_way(job), *intended(job)]
    return [each for each in job.status.submissions or () if each not in wanted]


def needs_settling(job: HybridJob) -> bool:
    """Return whether tasks are to be cancelled, or the job is to be let go since none is left."""
    idle = FINALIZER in job.metadata.finalizers and job.status.state == "Suspended"
    return bool(left_over(job)) or (idle and not job.status.submissions)


def resumed(job: HybridJob, record: Sequence[Submission], backends: Mapping[str, Backend]) -> Decision:
    """Return the decision that a record was made of; ``backends`` has all that it names, by key."""
    first = backends[record[0].backend]
    parts: tuple[Part, ...] = ()
    if len(record) > 1:
        kind: PartKind = "Hedge" if record[0].hedge else "Ranks" if job.spec.program.num_backends > 1 else "Split"
        parts = tuple(Part(backends[each.backend], each.shots or 0, kind) for each in record)
    key = f"{job.metadata.namespace}/{job.metadata.name}"
    return Decision(key, first, job.status.placement or f"it was sent to {first.label_for(key)}", parts=parts)


def ids_of(tasks: Iterable[VendorTask | CloudTask]) -> dict[str, str]:
    """Return the vendors' ids of tasks by their keys, as far as they are known; see ``Task.known``."""
    return {task.key: task.id for task in tasks if task.key and task.id}


def in_status(tasks: Iterable[VendorTask], before: Iterable[CloudTask] = ()) -> list[CloudTask] | None:
    """Return vendors' tasks as the status shows them, the first of very many; None where there are none.

    Args:
        tasks: as they are told.
        before: those that the status has. A pod that was started since tells of them only when it has heard of them.
    """
    shown = [
        CloudTask(
            id=task.id,
            key=task.key or None,
            state=task.state,
            link=task.link or None,
            message=task.message or None,
            queue_position=task.queue_position,
            expected_start=None if task.expected_start is None else timestamp(task.expected_start),
            expected_seconds=task.expected_seconds,
            seconds=task.run_seconds,
            cost=None if task.billed is None else str(task.billed),
        )
        for task in tasks
    ]
    told = {task.key for task in shown}
    shown += [task for task in before if task.key and task.id and task.key not in told]
    return shown[:MOST_CLOUD_TASKS] or None


def is_settled(tasks: Iterable[VendorTask]) -> bool:
    """Return whether none of the vendor's tasks may still run."""
    return all(task.state in ENDED_STATES for task in tasks)


def progress(tasks: Sequence[VendorTask], label: str) -> tuple[Literal["Placed", "Running"], str, str]:
    """Return the state, the reason and the message of a job whose tasks are on a device elsewhere.

    Args:
        tasks: the vendor's, as far as they are known.
        label: the backend's name.
    """
    if not tasks:
        return "Placed", "Sent", f"sent to {label}, which has not told of its tasks yet"
    words = next((task.message for task in tasks if task.message and task.state not in ENDED_STATES), "")
    said = f": {words}" if words else ""
    ended = sum(task.state in ENDED_STATES for task in tasks)
    running = sum(task.state == "Running" for task in tasks)
    if running or ended:
        return "Running", "Running", f"{counted(len(tasks))} on {label}: {running} running, {ended} ended{said}"
    places = [task.queue_position for task in tasks if task.queue_position is not None]
    starts = [task.expected_start for task in tasks if task.expected_start is not None]
    place = f", at place {min(places)} of its queue" if places else ""
    start = f", expected to start at {timestamp(min(starts))}" if starts else ""
    times = [task.expected_seconds for task in tasks]
    known = [seconds for seconds in times if seconds is not None]
    run = f", expected to take {sum(known):.3g} s of it" if len(known) == len(times) else ""
    return "Placed", "QueuedElsewhere", f"{counted(len(tasks))} queued on {label}{place}{start}{run}{said}"


def counted(tasks: int) -> str:
    """Return a number of tasks in words."""
    return f"{tasks} task" if tasks == 1 else f"{tasks} tasks"
