"""A result as JSON, and what the status says of one that it has no room for. Pure."""

from __future__ import annotations

import json

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.job_status import KeptResult, Result, StoredResult
from qonverge.execution import transitions

# A shorter one is written in less time than a thread takes to start.
_LONG = 2000


def document(result: Result) -> bytes:
    """Return the JSON of a result, as it stands in a status; its length is what it takes there."""
    return json.dumps(result.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()


def is_long(result: Result) -> bool:
    """Whether a result of a circuit has so many entries that its JSON is better made in a thread."""
    parts = (result, *(result.points or ()))
    return sum(len(part.counts or ()) + len(part.expectation_values or ()) for part in parts) > _LONG


def kept(job: HybridJob, status: HybridJobStatus, reference: KeptResult, *, why: str, now: float) -> HybridJobStatus:
    """Return the status of a job that ended well and whose result is kept elsewhere.

    Args:
        job: the job.
        status: with the whole result.
        reference: says where the result is.
        why: the status has no room for it.
        now: Unix seconds.
    """
    where = f"{why}: it is kept until {reference.expires_at}"
    return _elsewhere(job, status, Result(kept=reference), reason="ResultKept", where=where, options="", now=now)


def stored(
    job: HybridJob, status: HybridJobStatus, reference: StoredResult, *, why: str, now: float
) -> HybridJobStatus:
    """Return the status of a job that ended well and whose result is in a store; arguments are those of ``kept``."""
    where, options = f"{why}: it is in the store {reference.store}", " -o result.json"
    return _elsewhere(
        job, status, Result(stored=reference), reason="ResultStored", where=where, options=options, now=now
    )


def _elsewhere(
    job: HybridJob, status: HybridJobStatus, result: Result, *, reason: str, where: str, options: str, now: float
) -> HybridJobStatus:
    assert status.result is not None
    metadata = job.metadata
    fetch = f"qonverge result {metadata.name} -n {metadata.namespace}{options}"
    return transitions.move(
        status,
        "Complete",
        reason=reason,
        message=f"{status.message}; {where}, fetch it by: {fetch}",
        now=now,
        generation=metadata.generation,
        result=result.model_copy(update={"shots": status.result.shots}),
    )


def moved(job: HybridJob, pod: str) -> HybridJobStatus:
    """Return the status of a job whose result another pod keeps now, in the same backend and under the same path."""
    result = job.status.result
    assert result is not None
    assert result.kept is not None
    kept = result.kept.model_copy(update={"pod": pod})
    return job.status.model_copy(update={"result": result.model_copy(update={"kept": kept})})


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
