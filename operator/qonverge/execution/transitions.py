"""From one status to the next.

Every function takes the status before and returns the one after; conditions keep the time of their last change. The
conditions are usable with ``kubectl wait``; Ready, Reconciling and Stalled follow kstatus, which Flux and Argo CD read.
"""

from __future__ import annotations

from typing import Any, Literal

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.conditions import Progress, Truth, Verdict, seconds, set_conditions, timestamp
from qonverge.api.job_status import State
from qonverge.documents.excerpt import bounded

__all__ = ["complete", "deadlines", "duration", "fail", "move", "seconds", "timestamp"]

# What each state means: whether the job is ready, what is to come, and further conditions. One that is not named is not
# shown.
_CONDITIONS: dict[State, tuple[Truth, Literal["Reconciling", "Stalled"] | None, dict[str, Truth]]] = {
    "Pending": ("False", "Reconciling", {"Placed": "False"}),
    "Suspended": ("False", None, {"Suspended": "True", "Placed": "False", "Running": "False"}),
    "Placed": ("False", "Reconciling", {"Placed": "True"}),
    "Running": ("False", "Reconciling", {"Placed": "True", "Running": "True"}),
    "Complete": ("True", None, {"Placed": "True", "Running": "False", "Complete": "True"}),
    "Failed": ("False", "Stalled", {"Running": "False", "Complete": "False", "Failed": "True"}),
}
# Conditions that were shown once are not taken away where somebody may wait for their change.
_LASTING = ("Suspended", "Running")


def deadlines(job: HybridJob, created: float) -> list[tuple[float, str]]:
    """Return the times at which the job fails unless it has ended, Unix seconds, each with the field that says so.

    Args:
        job: the job.
        created: when it was created, Unix seconds.
    """
    spec, resumed = job.spec, job.status.resumed_at
    found = []
    if spec.active_deadline_seconds is not None:
        begun = created if resumed is None else seconds(resumed)
        found.append((begun + spec.active_deadline_seconds, f"activeDeadlineSeconds, {spec.active_deadline_seconds} s"))
    if spec.deadline is not None:
        found.append((seconds(spec.deadline), f"its deadline, {spec.deadline}"))
    return found


def move(
    status: HybridJobStatus,
    state: State,
    *,
    reason: str,
    message: str,
    now: float,
    generation: int,
    **fields: Any,
) -> HybridJobStatus:
    """Return the status in another state, with its conditions and whatever other fields changed."""
    message = bounded(message)
    ready, progress, others = _CONDITIONS[state]
    known = {condition.type for condition in status.conditions}
    if state != "Running":
        fields = {"estimated_end_at": None, **fields}
    lasting: dict[str, Truth] = {kind: "False" for kind in _LASTING if kind in known}
    return status.model_copy(
        update={
            **fields,
            "state": state,
            "reason": reason,
            "message": message,
            "observed_generation": generation,
            "conditions": set_conditions(
                status.conditions,
                ready=Verdict(ready, reason, message),
                progress=None if progress is None else Progress(progress, reason, message),
                others={kind: Verdict(truth, reason, message) for kind, truth in (lasting | others).items()},
                now=now,
                generation=generation,
            ),
        }
    )


def complete(status: HybridJobStatus, *, now: float, generation: int, message: str, **fields: Any) -> HybridJobStatus:
    """Return the status of a job that ended well."""
    return move(
        status,
        "Complete",
        reason="Completed",
        message=message,
        now=now,
        generation=generation,
        progress="100%",
        **_end(status, now, fields),
    )


def fail(
    status: HybridJobStatus, *, reason: str, message: str, now: float, generation: int, **fields: Any
) -> HybridJobStatus:
    """Return the status of a job that ended badly."""
    return move(
        status,
        "Failed",
        reason=reason,
        message=message,
        now=now,
        generation=generation,
        **_end(status, now, fields),
    )


def _end(before: HybridJobStatus, now: float, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job that ends, with how long its last attempt took where one began."""
    started = fields.get("started_at", before.started_at)
    took = {} if started is None else {"duration": duration(now - seconds(started))}
    return {**fields, **took, "paused": None, "completed_at": timestamp(now)}


def duration(length: float) -> str:
    """Return seconds as ``kubectl get`` shows them, such as 45s, 3m20s or 5h10m; below 0 they are 0."""
    whole = max(0, int(length))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    return f"{rest}s"
