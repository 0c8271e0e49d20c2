"""Filters and pages of the searches."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from qonverge_dev_cloud.braket.api import Refused
from qonverge_dev_cloud.braket.tasks import Task

_DEFAULT_PAGE = 100


def matches(task: Task, condition: dict[str, Any], now: float) -> bool:
    """Say whether a task fulfils one of a search's filters.

    Raises:
        Refused: there is no such filter.
    """
    name, operator, values = condition["name"], condition["operator"], condition["values"]
    if name == "createdAt":
        return _in_time(task.created, operator, [_seconds(value) for value in values])
    found = {
        "quantumTaskArn": task.arn,
        "deviceArn": task.request["deviceArn"],
        "status": task.status(now),
        # No task here belongs to a hybrid job.
        "jobArn": "",
    }
    if name not in found:
        raise Refused("ValidationException", f"tasks have no filter {name!r}: use {', '.join([*found, 'createdAt'])}")
    if operator != "EQUAL":
        raise Refused("ValidationException", f"filter {name} takes the operator EQUAL, not {operator}")
    return found[name] in values


def page(found: Sequence[dict[str, Any]], members: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the page that a request asks for, and the member that leads to the next one, if there is one.

    Raises:
        Refused: its token is none that was given.
    """
    size = members.get("maxResults", _DEFAULT_PAGE)
    first = 0
    if "nextToken" in members:
        try:
            first = int(base64.urlsafe_b64decode(members["nextToken"]).decode())
        except ValueError:
            raise Refused("ValidationException", "nextToken is none that a search gave") from None
    last = first + size
    more = {"nextToken": base64.urlsafe_b64encode(str(last).encode()).decode()} if last < len(found) else {}
    return list(found[first:last]), more


def _in_time(created: float, operator: str, values: list[float]) -> bool:
    if operator == "BETWEEN":
        if len(values) != 2:
            raise Refused("ValidationException", f"BETWEEN takes 2 values, not {len(values)}")
        return values[0] <= created <= values[1]
    if len(values) != 1:
        raise Refused("ValidationException", f"{operator} of createdAt takes 1 value, not {len(values)}")
    value = values[0]
    return {
        "LT": created < value,
        "LTE": created <= value,
        "EQUAL": created == value,
        "GT": created > value,
        "GTE": created >= value,
    }[operator]


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("ValidationException", f"{text!r} is no time in ISO 8601") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
