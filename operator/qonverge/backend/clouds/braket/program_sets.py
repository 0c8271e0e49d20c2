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
    """Return the result of each executable: programs in their order, and each with its inputs in theirs.

    Args:
        read: gives a document by its name, relative to the task's folder.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not as the schema says.
    """
    whole = json.loads(read("results.json"))
    return [result for own in whole["programResults"] for result in _program(read, own)]


def _program(read: Callable[[str], str], found: Any) -> list[str | ProgramFailure]:
    folder = ""
    if isinstance(found, str):
        folder, found = found.rpartition("/")[0], json.loads(read(found))
    results = [_executable(read, folder, index, own) for index, own in enumerate(found["executableResults"])]
    if not results:
        raise ValueError("a program has no executableResults")
    return results


def _executable(read: Callable[[str], str], folder: str, index: int, found: Any) -> str | ProgramFailure:
    text = read(f"{folder}/{found}".lstrip("/")) if isinstance(found, str) else json.dumps(found)
    document = json.loads(text) if isinstance(found, str) else found
    if document["inputsIndex"] != index:
        raise ValueError(f"the executable at place {index} of a program has the inputsIndex {document['inputsIndex']}")
    if document["braketSchemaHeader"]["name"] == _FAILURE:
        failure = document["failureMetadata"]
        return ProgramFailure(str(failure["failureReason"]), bool(failure["retryable"]))
    return text
