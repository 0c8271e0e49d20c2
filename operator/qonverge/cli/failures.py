"""What a terminal shows of a job's attempts that failed. Pure: a job in, rich renderables out."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qonverge.api import HybridJob
from qonverge.api.conditions import seconds
from qonverge.api.retries import FailedAttempt
from qonverge.execution.transitions import duration

_LINES = 20


def failures(job: HybridJob) -> list[RenderableType]:
    """Return how often a job was tried, how each attempt failed, and what the last of these printed."""
    status, policy = job.status, job.spec.retry_policy
    records = status.failed_attempts or []
    if not records:
        return []
    failed = f"{status.failures or 0} failed (maxAttempts is {policy.max_attempts})"
    interrupted = f"{status.interruptions or 0} interrupted (maxInterruptions is {policy.max_interruptions})"
    parts: list[RenderableType] = [Text(f"attempts: {status.attempts or 0} begun, {failed}, {interrupted}")]
    table = Table.grid(padding=(0, 2))
    table.add_row("", *(Text(name, style="bold") for name in ("ATTEMPT", "ENDED", "TOOK", "REASON", "NODE", "WHY")))
    for each in records:
        mark = "✗" if each.counts else "-"
        took, node = _took(each), each.node or each.backend or ""
        table.add_row(mark, str(each.attempt), each.ended_at, took, Text(each.reason), Text(node), Text(each.message))
    parts.append(table)
    last = records[-1]
    log = last.log or (status.log if last.attempt == status.attempts else None)
    if log:
        parts.append(Text(f"last lines of attempt {last.attempt}:"))
        parts += [Text(f"  {line}", style="dim") for line in log.splitlines()[-_LINES:]]
    return parts


def _took(attempt: FailedAttempt) -> str:
    if attempt.started_at is None:
        return "not started"
    return duration(seconds(attempt.ended_at) - seconds(attempt.started_at))
