"""From one status to the next.

Every function takes the status before and returns the one after; conditions keep the time of their last change. The
conditions are usable with ``kubectl wait``; Ready, Reconciling and Stalled follow kstatus, which Flux and Argo CD read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from qonverge.api import Condition, HybridJob, HybridJobStatus
from qonverge.api.job import State
from qonverge.documents.excerpt import bounded

Truth = Literal["True", "False"]

# What each state means for each condition; a condition that is not named is not shown.
_CONDITIONS: dict[State, dict[str, Truth]] = {
    "Pending": {"Placed": "False", "Ready": "False", "Reconciling": "True"},
    "Suspended": {"Suspended": "True", "Placed": "False", "Running": "False", "Ready": "False"},
    "Placed": {"Placed": "True", "Ready": "False", "Reconciling": "True"},
    "Running": {"Placed": "True", "Running": "True", "Ready": "False", "Reconciling": "True"},
    "Complete": {"Placed": "True", "Running": "False", "Complete": "True", "Ready": "True"},
    "Failed": {"Running": "False", "Complete": "False", "Failed": "True", "Ready": "False", "Stalled": "True"},
}
# Conditions that were shown once are not taken away where somebody may wait for their change.
_LASTING = ("Suspended", "Running")


def timestamp(now: float) -> str:
    """Return Unix seconds as RFC 3339, to the second as Kubernetes has it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(stamp: str) -> float:
    """Return an RFC 3339 time as Unix seconds."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


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
    return status.model_copy(
        update={
            **fields,
            "state": state,
            "reason": reason,
            "message": message,
            "observed_generation": generation,
            "conditions": _conditions(
                status.conditions, state, reason=reason, message=message, now=now, generation=generation
            ),
        }
    )


def _conditions(
    before: Sequence[Condition], state: State, *, reason: str, message: str, now: float, generation: int
) -> list[Condition]:
    old = {condition.type: condition for condition in before}
    wanted = dict(_CONDITIONS[state])
    for kind in _LASTING:
        if kind in old:
            wanted.setdefault(kind, "False")
    after = []
    for kind, truth in wanted.items():
        known = old.get(kind)
        changed = known is None or known.status != truth
        after.append(
            Condition(
                type=kind,
                status=truth,
                reason=reason,
                message=message,
                last_transition_time=timestamp(now) if changed or known is None else known.last_transition_time,
                observed_generation=generation,
            )
        )
    return after


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
        completed_at=timestamp(now),
        **fields,
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
        completed_at=timestamp(now),
        **fields,
    )
