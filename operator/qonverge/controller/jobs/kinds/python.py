"""Python programs: a pod with an interpreter, the program's text as a file and a token for its backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds import steps
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.objects import manifests
from qonverge.controller.settings import Settings
from qonverge.programs.python import specification

_FOLDER = "/program"
_FILE = "program.py"


class PythonJobs(PodProgram):
    """Jobs whose program is a text in Python."""

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
        """Return the token's Secret, the ConfigMap with the text where the job has it, and the batch Job."""
        python, reference = specification(job), specification(job).config_map_key_ref
        name, key = (
            (manifests.attempt_name(job, attempt), _FILE) if reference is None else (reference.name, reference.key)
        )
        text = {"name": "program", "configMap": {"name": name, "items": [{"key": key, "path": _FILE}]}}
        container = manifests.ProgramContainer(
            python.image or settings.program_image,
            ("python3", "-m", "qonverge.client.program.run", f"{_FOLDER}/{_FILE}", *python.args),
            python.resources,
            {_FOLDER: text, **steps.volumes(job, python)},
            python.near,
            steps.environment(job, python, attempt),
        )
        own = [] if python.source is None else [manifests.program_config_map(job, attempt, {_FILE: python.source})]
        batch = manifests.program_job(job, container, backend, settings, attempt=attempt, traceparent=traceparent)
        return [manifests.program_secret(job, attempt, tokens, settings), *own, batch]


KIND: JobKind = PythonJobs()
