"""How much room a job's status has for its result. Pure."""

from __future__ import annotations

import json

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.execution.stored_size import MOST_STORED, stored_with, surely_stored
from qonverge.programs.kinds import kind_of

MAX_RESULT = 600_000


def room_for_result(job: HybridJob) -> int:
    """Return how many bytes a result may take beside the program in the job."""
    # As JSON, in which a line end takes two bytes.
    return max(0, min(MAX_RESULT, MOST_STORED - len(json.dumps(kind_of(job).embedded(job)))))


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
