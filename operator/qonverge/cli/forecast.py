"""``qonverge forecast``: what is to be expected of jobs, before anything runs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob
from qonverge.circuits import InvalidProgram
from qonverge.cli.render import console_of, forecast_table
from qonverge.local.dependencies import check
from qonverge.local.manifests import ManifestError, Manifests, read, refuse_quotas
from qonverge.local.placement import Placed
from qonverge.local.run import Observer
from qonverge.local.runner import LocalRunner


def forecast_files(files: Sequence[str], *, output: str | None) -> bool:
    """Print what is forecast of every job, and return whether each has a backend.

    Raises:
        ManifestError: when the files cannot be used.
    """
    manifests = read(files)
    refuse_quotas(manifests)
    if not manifests.jobs:
        raise ManifestError([f"{', '.join(files)}: there is no HybridJob to forecast"])
    check(manifests)
    found = asyncio.run(_forecast(manifests))
    if output is not None:
        print(json.dumps([_plain(job, placed) for job, placed in found], indent=2))
    else:
        console = console_of(sys.stdout)
        for job, placed in found:
            for part in forecast_table(job.metadata.name, placed.decision.reason, placed.forecast):
                console.print(part)
    return all(placed.decision.backend is not None for _, placed in found)


async def _forecast(manifests: Manifests) -> list[tuple[HybridJob, Placed]]:
    runner = LocalRunner(manifests, Observer(lambda _: None, lambda _, __: None, lambda _, __: None))
    found, problems = [], []
    async with runner.started():
        for job in manifests.jobs:
            try:
                found.append((job, await runner.forecast(job)))
            except (InvalidProgram, LookupError) as error:
                reason = error.args[0] if isinstance(error, LookupError) else error
                problems.append(f"{manifests.where(job)}: {reason}")
    if problems:
        raise ManifestError(problems)
    return found


def _plain(job: HybridJob, placed: Placed) -> dict[str, Any]:
    chosen = placed.decision.backend
    return {
        "name": job.metadata.name,
        "namespace": job.metadata.namespace,
        "backend": None if chosen is None else chosen.label_for(job.metadata.namespace),
        "reason": placed.decision.reason,
        "forecast": [candidate.to_dict() for candidate in placed.forecast],
    }
