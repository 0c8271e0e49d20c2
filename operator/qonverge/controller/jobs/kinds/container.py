"""Containers: a pod with the job's own image, and a token for its backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.objects import program_objects
from qonverge.controller.settings import Settings
from qonverge.programs.container import specification
from qonverge.programs.parameters import parameters_of, replaced


class ContainerJobs(PodProgram):
    """Jobs whose program is a container."""

    def objects(
        self,
        job: HybridJob,
        backend: QuantumBackend,
        settings: Settings,
        *,
        attempt: int,
        tokens: Sequence[str],
        traceparent: str = "",
    ) -> list[dict[str, Any]]:
        """Return the tokens' Secret and the batch Job."""
        asked = specification(job)
        parameters = parameters_of(job)
        container = program_objects.ProgramContainer(
            asked.image,
            replaced(asked.command, parameters),
            asked.resources,
            {},
            asked.near,
            args=replaced(asked.args, parameters),
            template=asked.template,
        )
        batch = program_objects.program_job(job, container, backend, settings, attempt=attempt, traceparent=traceparent)
        return [program_objects.program_secret(job, attempt, tokens, settings), batch]


KIND: JobKind = ContainerJobs()
