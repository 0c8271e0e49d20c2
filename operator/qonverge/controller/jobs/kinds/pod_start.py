"""Whether the pod of a program's attempt is about to start, and what keeps it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qonverge.api import HybridJob
from qonverge.controller.objects import pod_troubles
from qonverge.controller.store.flights import Flight
from qonverge.execution.transitions import seconds

# A pod is usually bound and its image there by then. What still does not start is looked at half as often each time.
_QUIET_SECONDS = 3.0
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """How far an attempt is whose pod does not run yet."""

    message: str
    """What keeps the pod, as a sentence; empty where nothing is known to."""
    trouble: pod_troubles.Trouble | None
    overdue: bool
    """Whether it took longer than it may."""
    elsewhere: bool
    """Whether another attempt may start where this one does not: it had a node, and may get another."""
    events_of: Mapping[str, Any] | None
    """The object whose events are to be read, if any."""
    next_at: float
    """When to look again."""


def look(job: HybridJob, flight: Flight, batch: Mapping[str, Any], pod: Mapping[str, Any] | None, now: float) -> Start:
    """Return how far the present attempt at a program is."""
    status, limit = job.status, job.spec.start_deadline_seconds
    # An attempt that paused has another Job. Of one that was suspended, it is when it was let go.
    stamps = [stamp for stamp in (status.placed_at, batch.get("created"), batch.get("startTime")) if stamp]
    begun = max(map(seconds, stamps), default=now)
    said = None if pod is None else pod_troubles.of_pod(pod)
    trouble = said or flight.trouble
    what = f"the pod {pod['name']} has not started" if pod is not None else "the program's pod was not created"
    read = flight.events_read_at
    due = begun + _QUIET_SECONDS if read is None else read + min(_LONGEST_SECONDS, max(_QUIET_SECONDS, read - begun))
    deadline = begun + limit
    overdue = now >= deadline
    message = "" if trouble is None else f"{what}: {trouble}"
    if overdue:
        message = f"{what} within startDeadlineSeconds, {limit} s" + (f": {trouble}" if trouble else "")
    return Start(
        message,
        trouble,
        overdue,
        elsewhere=pod is not None and pod_troubles.has_node(pod),
        # Where the pod itself says what is wrong, its events say no more.
        events_of=(batch if pod is None else pod) if said is None and now >= due else None,
        next_at=deadline if said is not None else min(deadline, max(due, now + _QUIET_SECONDS)),
    )
