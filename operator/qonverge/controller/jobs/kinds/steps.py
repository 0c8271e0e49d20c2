"""What the pod of a program gets that may give it back while a step waits: what the pods before it left."""

from __future__ import annotations

from typing import Any

from qonverge.api import HybridJob
from qonverge.api.program import Python
from qonverge.controller.objects import object_names, program_objects

_FOLDER = "/run/qonverge-steps"


def volumes(job: HybridJob, python: Python) -> dict[str, dict[str, Any]]:
    """Return the volumes, by where they are mounted."""
    if python.pause_after_seconds is None:
        return {}
    # The first pod has none.
    return {_FOLDER: {"name": "steps", "configMap": {"name": object_names.steps_name(job), "optional": True}}}


def variables(job: HybridJob, python: Python, attempt: int) -> dict[str, str]:
    """Return the settings."""
    if python.pause_after_seconds is None:
        return {}
    return {
        "QONVERGE_PAUSE_AFTER": str(python.pause_after_seconds),
        "QONVERGE_STEPS_FILE": f"{_FOLDER}/{program_objects.STEPS_KEY}",
        # What an attempt before this one sent was ended with it.
        "QONVERGE_TASK_PREFIX": f"{job.metadata.uid}-{attempt}",
    }
