"""``qonverge why``: why a job of the cluster waits, went where it went, or failed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from qonverge.accounting.conversion import amounts_of, usage_of
from qonverge.api import HybridJob
from qonverge.cli.cluster import connected
from qonverge.cli.failures import failures
from qonverge.cli.render import console_of, forecast_table
from qonverge.scheduling.texts import joules

_TOLD = (
    *("state", "reason", "message", "backend", "placement", "forecast", "usage", "traceId"),
    *("attempts", "failures", "interruptions", "failedAttempts", "exitCode", "log"),
)


def explain(name: str, namespace: str | None, *, output: str | None) -> None:
    """Print the job's state, the reason, and what was forecast of each backend.

    Raises:
        NoAnswer: there is no cluster that answers, or no such job in it.
    """
    obj = asyncio.run(_get(name, namespace))
    job = HybridJob.model_validate(obj)
    status = job.status
    if output is not None:
        print(json.dumps({key: value for key, value in status.to_dict().items() if key in _TOLD}, indent=2))
        return
    from rich.text import Text

    console = console_of(sys.stdout)
    console.print(Text(f"{job.metadata.name}  ", style="bold") + Text(f"{status.state}: {status.message or 'new'}"))
    for part in forecast_table(None, status.placement or "", status.forecast or [], chosen=status.backend):
        console.print(part)
    for part in failures(job):
        console.print(part)
    if status.usage is not None:
        # Also of a status that a former version wrote.
        used = usage_of(amounts_of(status.usage))
        cost = f", {used.cost}" if used.costs else ""
        energy = "" if status.usage.energy_joules is None else f", {joules(status.usage.energy_joules)}"
        console.print(Text(f"used: {status.usage.shots} shots, {status.usage.seconds:.3g} s{cost}{energy}"))
    if status.trace_id is not None:
        console.print(Text(f"trace: {status.trace_id}"))


async def _get(name: str, namespace: str | None) -> dict[str, Any]:
    async with connected() as cluster:
        return await cluster.job(name, namespace)
