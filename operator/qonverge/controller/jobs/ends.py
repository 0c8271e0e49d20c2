"""What is counted of a job that ended. Pure."""

from __future__ import annotations

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.objects.object_names import key_of_backend
from qonverge.execution.transitions import seconds
from qonverge.telemetry import JobEnd


def job_end(job: HybridJob, status: HybridJobStatus) -> JobEnd:
    """Return how a job ended.

    Args:
        job: as it was before.
        status: with its end.
    """
    backend = "" if status.backend is None else key_of_backend(job.metadata.namespace, status.backend)
    since, started, ended = status.resumed_at or job.metadata.creation_timestamp, status.started_at, status.completed_at
    wait = None if since is None or started is None else max(0.0, seconds(started) - seconds(since))
    run = None if started is None or ended is None else max(0.0, seconds(ended) - seconds(started))
    return JobEnd(backend, status.state, status.reason or "", wait, run)
