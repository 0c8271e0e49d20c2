"""Python programs: a pod with an interpreter, the program's text as a file and a token for its backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.program import Python
from qonverge.controller.jobs.kinds import steps
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.objects import manifests
from qonverge.controller.objects.program_inits import fetching, installing
from qonverge.controller.settings import Settings
from qonverge.programs.parameters import replaced, unswept
from qonverge.programs.python import specification
from qonverge.programs.requirements import key_of
from qonverge.wire.program_inits import SITE

_FOLDER = "/program"
_FILE = "program.py"
_VOLUME = "qonverge-program"
_REQUIREMENTS, _REQUIREMENTS_VOLUME = "/requirements", "qonverge-requirements"


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
        python = specification(job)
        volume, file = _where(python, manifests.attempt_name(job, attempt))
        known = job.status.provenance
        inits = []
        if python.git is not None:
            # Each attempt is the same program, wherever a branch is by now.
            revision = (known and known.commit) or python.git.revision
            inits.append(fetching(python.git, revision, _VOLUME, _FOLDER, settings))
        image, variables = python.image or settings.program_image, steps.variables(job, python, attempt)
        volumes = {_FOLDER: {"name": _VOLUME, **volume}, **steps.volumes(job, python)}
        if python.requirements:
            folder = f"{_REQUIREMENTS}/{key_of(python.requirements, image)}"
            claim = {"claimName": settings.requirements_claim}
            volumes[_REQUIREMENTS] = {"name": _REQUIREMENTS_VOLUME, "persistentVolumeClaim": claim}
            variables["PYTHONPATH"] = f"{folder}/{SITE}"
            inits.append(installing(python.requirements, image, _REQUIREMENTS_VOLUME, folder, settings))
        container = manifests.ProgramContainer(
            image,
            ("python3", "-m", "qonverge.client.program.run", f"{_FOLDER}/{file}"),
            python.resources,
            volumes,
            python.near,
            args=replaced(python.args, unswept(job)),
            template=python.template,
            metrics=True,
            inits=inits,
            variables=variables,
            working_folder=_FOLDER if python.git or python.volume or python.artifact else None,
        )
        own = [] if python.source is None else [manifests.program_config_map(job, attempt, {_FILE: python.source})]
        batch = manifests.program_job(job, container, backend, settings, attempt=attempt, traceparent=traceparent)
        return [manifests.program_secret(job, attempt, tokens, settings), *own, batch]


def _where(python: Python, config_map: str) -> tuple[dict[str, Any], str]:
    """Return the volume that a program is on, and its file there; ``config_map`` has a text that the job holds."""
    if python.git is not None:
        return {"emptyDir": {}}, python.git.path
    if python.volume is not None:
        claim = {"claimName": python.volume.claim_name, "readOnly": True}
        return {"persistentVolumeClaim": claim}, python.volume.path
    if (artifact := python.artifact) is not None:
        given = {"reference": artifact.reference, "pullPolicy": artifact.pull_policy}
        return {"image": {name: value for name, value in given.items() if value is not None}}, artifact.path
    reference = python.config_map_key_ref
    name, key = (config_map, _FILE) if reference is None else (reference.name, reference.key)
    return {"configMap": {"name": name, "items": [{"key": key, "path": _FILE}]}}, _FILE


KIND: JobKind = PythonJobs()
