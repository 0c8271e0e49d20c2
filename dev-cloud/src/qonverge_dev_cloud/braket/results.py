"""``results.json``, as Braket puts it into a task's bucket."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from braket.ir.openqasm import Program
from braket.task_result import GateModelTaskResult

from qonverge_dev_cloud.braket.tasks import Task


def document(task: Task, outcome: dict[str, Any], *, frequencies: bool) -> bytes:
    """Return the document, checked against amazon-braket-schemas.

    Args:
        task: whose result it is.
        outcome: what ``simulation.run`` returned.
        frequencies: whether it has those of the outcomes in place of the shots.
    """
    if frequencies and task.shots:
        shots = Counter("".join(map(str, row)) for row in outcome["measurements"])
        outcome = outcome | {"measurements": None}
        outcome["measurementProbabilities"] = {key: shots[key] / task.shots for key in sorted(shots)}
    metadata = {
        "id": task.arn,
        "shots": task.shots,
        "deviceId": task.request["deviceArn"],
        "createdAt": _time(task.created),
        "endedAt": _time(task.end),
        "status": "COMPLETED",
    }
    result = GateModelTaskResult(
        taskMetadata=metadata,
        additionalMetadata={"action": Program.parse_raw(task.request["action"])},
        **outcome,
    )
    return str(result.json(exclude_none=True)).encode()


def parameters(task: Task) -> str:
    """Return the device parameters as replies carry them."""
    return json.dumps(json.loads(task.request.get("deviceParameters", "{}")))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
