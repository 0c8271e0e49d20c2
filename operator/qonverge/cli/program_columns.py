"""The columns of a sweep of a program: what it returned at each point, whatever form that has. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qonverge.api.sweep import SweepPoint

_VALUE, _ERROR = "value", "error"


def columns_of_program(points: Sequence[SweepPoint]) -> dict[str, list[Any]]:
    """Return the swept parameters, and a column for each field of what the program returned.

    What is no object has the column ``value``, and a field that is called like a parameter one with ``value.`` in
    front. Lists and objects in fields are texts of JSON. Where the program failed ``error`` says why. What is not there
    is None.
    """
    swept = list(points[0].parameters)
    found: dict[str, list[Any]] = {name: [point.parameters.get(name) for point in points] for name in swept}
    fields = [_fields(point.value) for point in points]
    for name in dict.fromkeys(name for each in fields for name in each):
        found[f"{_VALUE}.{name}" if name in swept else name] = [_cell(each.get(name)) for each in fields]
    if any(point.error for point in points):
        found[_ERROR if _ERROR not in found else f"{_ERROR} of the program"] = [point.error for point in points]
    return found


def _fields(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {_VALUE: value}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
