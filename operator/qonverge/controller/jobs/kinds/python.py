"""Python programs: a pod with an interpreter, the program's text as a file and a token for its backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.program import Python
from qonverge.controller.jobs.kinds import steps
from qonverge.controller.jobs.kinds.kind import JobKind
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.objects import object_names, program_objects
from qonverge.controller.objects.program_inits import fetching, installing
from qonverge.controller.objects.program_objects import PROGRAM_FILE
from qonverge.controller.settings import Settings
from qonverge.programs.parameters import replaced, unswept
from qonverge.programs.python import specification
from qonverge.programs.requirements import key_of
from qonverge.wire.program_inits import SITE

_FOLDER = "/program"
_VOLUME = "qonverge-program"
_REQUIREMENTS, _REQUIREMENTS_VOLUME = "/requirements", "qonverge-requirements"


class PythonJobs(PodProgram):
    """Jobs whose program is a text in Python."""

    def text(self, job: HybridJob) -> str | None:
        """Return the text where the job has it."""
        return specification(job).source

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
        """Return the Secret with the tokens, and the text where the job has it, and the batch Job."""
        python = specification(job)
        volume, file = _where(python, object_names.attempt_name(job, attempt))
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
        container = program_objects.ProgramContainer(
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
        batch = program_objects.program_job(job, container, backend, settings, attempt=attempt, traceparent=traceparent)
        return [program_objects.program_secret(job, attempt, tokens, settings, self.text(job)), batch]


def _where(python: Python, secret: str) -> tuple[dict[str, Any], str]:
    """Return the volume that a program is on, and its file there; ``secret`` has a text that the job holds."""
    if python.git is not None:
        return {"emptyDir": {}}, python.git.path
    if python.volume is not None:
        claim = {"claimName": python.volume.claim_name, "readOnly": True}
        return {"persistentVolumeClaim": claim}, python.volume.path
    if (artifact := python.artifact) is not None:
        given = {"reference": artifact.reference, "pullPolicy": artifact.pull_policy}
        return {"image": {name: value for name, value in given.items() if value is not None}}, artifact.path
    reference = python.config_map_key_ref
    items = [{"key": PROGRAM_FILE if reference is None else reference.key, "path": PROGRAM_FILE}]
    if reference is None:
        return {"secret": {"secretName": secret, "items": items}}, PROGRAM_FILE
    return {"configMap": {"name": reference.name, "items": items}}, PROGRAM_FILE


KIND: JobKind = PythonJobs()
