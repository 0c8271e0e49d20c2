"""What of a job's new status is worth a write or an event. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.api.placement import Candidate

_NUMBER = re.compile(r"[0-9][0-9.e+-]* ?(s|min|h)?\b")


def forecast_differs(old: Sequence[Candidate] | None, new: Sequence[Candidate] | None) -> bool:
    """Whether a forecast is worth a write: another backend or reason, or a value that moved beyond its interval."""
    if (old is None) != (new is None):
        return True
    pairs = list(zip(old or (), new or (), strict=False))
    if len(old or ()) != len(new or ()) or any((a.backend, a.rejected) != (b.backend, b.rejected) for a, b in pairs):
        return True
    return any(
        (before is None) != (after is None)
        or (before is not None and after is not None and not before.low <= after.mid <= before.high)
        for a, b in pairs
        for before, after in (
            (a.fidelity, b.fidelity),
            (a.wait_seconds, b.wait_seconds),
            (a.run_seconds, b.run_seconds),
            (a.cost, b.cost),
        )
    )


def same_but_for_numbers(old: str, new: str) -> bool:
    """Whether two messages say the same with other figures."""
    return _NUMBER.sub("#", old) == _NUMBER.sub("#", new)


def happened(before: HybridJobStatus, after: HybridJobStatus) -> tuple[str, str] | None:
    """Return the reason and the message of the event that tells of a new status; None where it tells no news."""
    if after.state == before.state and (after.attempts == before.attempts or after.state == "Pending"):
        return None
    if after.state == "Pending" and after.reason != "Resumed":
        # Why a job waits changes with every round.
        return None
    message = after.message or ""
    return after.reason or after.state, f"{message} on {after.backend}" if after.state == "Running" else message


def named(job: HybridJob) -> dict[str, Any]:
    """Return a job as events refer to it."""
    metadata = {"name": job.metadata.name, "namespace": job.metadata.namespace, "uid": job.metadata.uid}
    return {"apiVersion": job.api_version, "kind": job.kind, "metadata": metadata}
