"""The results of a program set, as Braket leaves them in S3.

Source: ``braket.task_result.program_set_task_result``, version 1, of amazon-braket-schemas. Each document has those
below it, or their names relative to its own folder. That of an executable has the fields of a gate model task's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from qonverge.backend.clouds.protocol import ProgramFailure

_FAILURE = "braket.task_result.program_set_executable_failure"


def read_set(read: Callable[[str], str]) -> Sequence[str | ProgramFailure]:
    """Return the result of each program, of sets whose programs have one executable each.

    Args:
        read: gives a document by its name, relative to the task's folder.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not as the schema says.
    """
    whole = json.loads(read("results.json"))
    return [_program(read, own) for own in whole["programResults"]]


def _program(read: Callable[[str], str], found: Any) -> str | ProgramFailure:
    folder = ""
    if isinstance(found, str):
        folder, found = found.rpartition("/")[0], json.loads(read(found))
    (executable,) = found["executableResults"]
    text = read(f"{folder}/{executable}".lstrip("/")) if isinstance(executable, str) else json.dumps(executable)
    document = json.loads(text) if isinstance(executable, str) else executable
    if document["inputsIndex"] != 0:
        raise ValueError(f"a program without inputs has the inputsIndex {document['inputsIndex']}")
    if document["braketSchemaHeader"]["name"] == _FAILURE:
        failure = document["failureMetadata"]
        return ProgramFailure(str(failure["failureReason"]), bool(failure["retryable"]))
    return text
