"""What is said of a job of the cluster in a line or a row. Pure."""

from __future__ import annotations

from qonverge.api import HybridJobStatus
from qonverge.api.conditions import seconds
from qonverge.cli.following import SeenJob
from qonverge.execution.transitions import duration


def line(job: SeenJob, now: float) -> str:
    """Return where a job is in its life, in one line; ``now`` is in Unix seconds."""
    status = job.status
    if job.deleted:
        return f"{job.name}  was deleted"
    if status.state == "Running":
        parts = (f"on {status.backend}", status.progress, status.metrics_summary, left(status, now))
        return f"{job.name}  Running " + "  ".join(part for part in parts if part)
    return f"{job.name}  {status.state}: {status.message or 'new'}"


def key(job: SeenJob) -> tuple[object, ...]:
    """Return what a line says but for the time that is left, so that the same is not said twice."""
    status = job.status
    running = (status.backend, status.progress, status.metrics_summary) if status.state == "Running" else ()
    return (job.deleted, status.state, status.attempts, status.reason, *running)


def left(status: HybridJobStatus, now: float) -> str:
    """Return how long a job that runs may take yet, as far as that is known."""
    if status.estimated_end_at is None or status.state != "Running":
        return ""
    rest = seconds(status.estimated_end_at) - now
    return f"about {duration(rest)} left" if rest >= 1 else "should end now"


def failure(job: SeenJob) -> str:
    """Return why a job did not end well."""
    status = job.status
    if job.deleted:
        return f"{job.name} was deleted while it was {status.state}"
    return f"{job.name} {status.state}: {status.reason}: {status.message}"
