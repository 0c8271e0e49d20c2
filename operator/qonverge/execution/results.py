"""How large a job's result is, and what the status says of one that it has no room for. Pure."""

from __future__ import annotations

import json

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job import KeptResult, Result
from qonverge.execution import transitions
from qonverge.execution.stored_size import MOST_STORED, stored_with, surely_stored
from qonverge.programs.kinds import kind_of

MAX_RESULT = 600_000
# A shorter one is written in less time than a thread takes to start.
_LONG = 2000


def room_for_result(job: HybridJob) -> int:
    """Return how many bytes a result may take beside the program in the job."""
    # As JSON, in which a line end takes two bytes.
    return max(0, min(MAX_RESULT, MOST_STORED - len(json.dumps(kind_of(job).embedded(job)))))


def document(result: Result) -> bytes:
    """Return the JSON of a result, as it stands in a status; its length is what it takes there."""
    return json.dumps(result.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()


def is_long(result: Result) -> bool:
    """Whether a result of a circuit has so many entries that its JSON is better made in a thread."""
    return len(result.counts or ()) + len(result.expectation_values or ()) > _LONG


def excess(job: HybridJob, status: HybridJobStatus, size: int) -> str | None:
    """Return why the job has no room for the result in a status, with the figures; None where it has.

    Args:
        job: the job.
        status: with the result.
        size: of the result as JSON, in bytes.
    """
    if size > (room := room_for_result(job)):
        return f"the result takes {size} bytes and the job's status has room for {room}"
    if not surely_stored(job, status) and (stored := stored_with(job, status)) > MOST_STORED:
        return (
            f"with its result of {size} bytes the job takes {stored} bytes where it is stored, and {MOST_STORED} are "
            "possible: each key of an object, such as an outcome, is stored twice"
        )
    return None


def kept(job: HybridJob, status: HybridJobStatus, reference: KeptResult, *, why: str, now: float) -> HybridJobStatus:
    """Return the status of a job that ended well and whose result is kept elsewhere.

    Args:
        job: the job.
        status: with the whole result.
        reference: says where the result is.
        why: the status has no room for it.
        now: Unix seconds.
    """
    assert status.result is not None
    metadata = job.metadata
    message = (
        f"{status.message}; {why}: it is kept until {reference.expires_at}, fetch it by: qonverge result "
        f"{metadata.name} -n {metadata.namespace}"
    )
    return transitions.move(
        status,
        "Complete",
        reason="ResultKept",
        message=message,
        now=now,
        generation=metadata.generation,
        result=Result(shots=status.result.shots, kept=reference),
    )


def lost(job: HybridJob, why: str, now: float) -> HybridJobStatus:
    """Return the status of a job whose result is kept no more; it stays complete, since it did run."""
    status, metadata = job.status, job.metadata
    assert status.result is not None
    assert status.result.kept is not None
    reference = status.result.kept.model_copy(update={"lost": why})
    message = (
        f"the result of {reference.bytes} bytes is kept no more: {why}; run the job again by: kubectl get hybridjob "
        f"{metadata.name} -n {metadata.namespace} -o json | kubectl replace --force -f -"
    )
    return transitions.move(
        status,
        "Complete",
        reason="ResultLost",
        message=message,
        now=now,
        generation=status.observed_generation or metadata.generation,
        result=status.result.model_copy(update={"kept": reference}),
    )
