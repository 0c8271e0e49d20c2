"""What a program's report changes in its job's status. Pure."""

from __future__ import annotations

from typing import Any

from qonverge.api import HybridJobStatus
from qonverge.documents.reports import Report, merged


def changes(status: HybridJobStatus, report: Report) -> dict[str, Any]:
    """Return the fields of progress and metrics that a report changes, as the status has them.

    Raises:
        InvalidReport: the job would have too many metrics.
    """
    changed: dict[str, Any] = {}
    if report.progress is not None:
        changed["progress"] = f"{report.progress:.0%}"
    if report.metrics:
        changed["metrics"] = merged(status.metrics or {}, report.metrics)
    return changed
