"""Results, as Braket puts them into a task's bucket: one document, or of a program set a folder with several."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from braket.task_result import (
    AdditionalMetadata,
    GateModelTaskResult,
    ProgramResult,
    ProgramSetExecutableFailure,
    ProgramSetExecutableResult,
    ProgramSetTaskMetadata,
    ProgramSetTaskResult,
)

from qonverge_dev_cloud.braket.tasks import Task


def files(task: Task, outcomes: Sequence[dict[str, Any] | None], *, frequencies: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the names of the documents in the task's folder, and the documents, checked against amazon-braket-schemas.

    Args:
        task: whose results they are.
        outcomes: of each executable what ``simulation.run`` returned; None: it failed.
        frequencies: whether results have those of the outcomes in place of the shots.
    """
    shots = task.shots // task.action.count
    found = [None if each is None else _measured(each, shots, frequencies=frequencies) for each in outcomes]
    if task.action.is_set:
        yield from _set(task, found)
        return
    metadata = {**_times(task), "shots": task.shots, "status": "COMPLETED"}
    yield (
        "results.json",
        _body(
            GateModelTaskResult(
                taskMetadata=metadata,
                additionalMetadata={"action": task.action.programs[0]},
                **(found[0] or {}),
            )
        ),
    )


def _set(task: Task, outcomes: Sequence[dict[str, Any] | None]) -> Iterator[tuple[str, bytes]]:
    left, number = iter(outcomes), 0
    told: list[dict[str, Any]] = []
    for index, (program, executables) in enumerate(zip(task.action.programs, task.action.executables, strict=True)):
        folder, own = f"programs/{index}", list[dict[str, Any]]()
        for place in range(len(executables)):
            outcome = next(left)
            failure = {
                "failureReason": task.failures.get(number, ""),
                "retryable": task.failures_pass,
                "category": "DEVICE",
            }
            document = (
                ProgramSetExecutableFailure(inputsIndex=place, failureMetadata=failure)
                if outcome is None
                else ProgramSetExecutableResult(inputsIndex=place, **outcome)
            )
            yield f"{folder}/executables/{place}.json", _body(document)
            own.append(failure if outcome is None else {})
            number += 1
        told.append({"executables": own})
        yield f"{folder}/program.json", _body(program)
        results = ProgramResult(
            executableResults=[f"executables/{place}.json" for place in range(len(executables))],
            source="program.json",
            additionalMetadata=AdditionalMetadata(),
        )
        yield f"{folder}/results.json", _body(results)
    metadata = ProgramSetTaskMetadata(
        **_times(task),
        requestedShots=task.shots,
        successfulShots=task.successful_shots,
        programMetadata=told,
        status="FAILED" if len(task.failures) == task.action.count else "COMPLETED",
        totalFailedExecutables=len(task.failures),
    )
    yield "metadata.json", _body(metadata)
    # The last one: who finds it finds the others.
    whole = ProgramSetTaskResult(
        programResults=[f"programs/{index}/results.json" for index in range(len(task.action.programs))],
        taskMetadata="metadata.json",
        s3Location=(task.request["outputS3Bucket"], task.directory),
    )
    yield "results.json", _body(whole)


def _measured(outcome: dict[str, Any], shots: int, *, frequencies: bool) -> dict[str, Any]:
    if not (frequencies and shots):
        return outcome
    counts = Counter("".join(map(str, row)) for row in outcome["measurements"])
    return outcome | {
        "measurements": None,
        "measurementProbabilities": {key: counts[key] / shots for key in sorted(counts)},
    }


def _times(task: Task) -> dict[str, str]:
    return {
        "id": task.arn,
        "deviceId": task.request["deviceArn"],
        "createdAt": _time(task.created),
        "endedAt": _time(task.end),
    }


def _body(document: Any) -> bytes:
    return str(document.json(exclude_none=True)).encode()


def parameters(task: Task) -> str:
    """Return the device parameters as replies carry them."""
    return json.dumps(json.loads(task.request.get("deviceParameters", "{}")))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
