"""Python programs: a pod with an interpreter, the program's text as a file and a token for its backend."""

from __future__ import annotations

from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.objects import manifests
from qonverge.controller.settings import Settings
from qonverge.programs.python import specification


class PythonJobs(PodProgram):
    """Jobs whose program is a text in Python."""

    def objects(
        self, job: HybridJob, backend: QuantumBackend, settings: Settings, *, attempt: int, token: str
    ) -> list[dict[str, Any]]:
        """Return the token's Secret, the ConfigMap with the text where the job has it, and the batch Job."""
        python = specification(job)
        return manifests.program_objects(job, python, backend, settings, attempt=attempt, token=token)


KIND: JobKind = PythonJobs()
