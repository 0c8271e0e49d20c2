"""``qonverge validate``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.local.manifests import ManifestError, Manifests, read
from qonverge.programs.kinds import kind_of


def validate_files(files: Sequence[str]) -> list[str]:
    """Return a line for each object that is good.

    Raises:
        ManifestError: listing every problem.
    """
    manifests = read(files)
    if not manifests.places:
        raise ManifestError([f"{', '.join(files)}: there is nothing to check"])
    return asyncio.run(_validate(manifests))


async def _validate(manifests: Manifests) -> list[str]:
    checker, problems = Checker(), []
    lines = [f"quantumbackend/{backend.metadata.name}: valid" for backend in manifests.backends]
    lines += [f"quantumquota/{quota.metadata.name}: valid" for quota in manifests.quotas]
    try:
        for job in manifests.jobs:
            name = f"hybridjob/{job.metadata.name}"
            try:
                kind, program = kind_of(job), manifests.program(job)
                if (problem := kind.contradiction(job)) is not None:
                    raise InvalidProgram(problem)
                checked = await kind.check(job, program, checker)
                summary = kind.summary(checked)
                lines.append(f"{name}: valid{summary and f'; {summary}'}")
                if checked is not None:
                    lines += [f"{name}: warning: {warning}" for warning in checked.warnings]
            except (InvalidProgram, LookupError) as error:
                reason = error.args[0] if isinstance(error, LookupError) else error
                problems.append(f"{manifests.where(job)}: {reason}")
    finally:
        await checker.close()
    if problems:
        raise ManifestError(problems)
    return lines
