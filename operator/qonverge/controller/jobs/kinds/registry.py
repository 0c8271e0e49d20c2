"""The operator's part of each kind of program."""

from __future__ import annotations

from collections.abc import Mapping

from qonverge.api import HybridJob
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.programs.kinds import parts

_KINDS: Mapping[str, JobKind] = parts("qonverge.controller.jobs.kinds")


def job_kind(job: HybridJob) -> JobKind:
    """Return what the operator does about jobs like this one."""
    return _KINDS[job.spec.program.chosen]
