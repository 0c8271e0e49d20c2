"""Filters of lists, in the form in which cirq-google's client writes them. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from qonverge_dev_cloud.google.errors import Refused

_TERM = re.compile(r"([\w.-]+)\s*(>=|<=|<|>|=|:)\s*(.+)")
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def matching(text: str, values: Mapping[str, Any]) -> bool:
    """Say whether a resource passes a filter.

    Args:
        text: terms joined by AND; each is a comparison, or some joined by OR in parentheses. Empty: all pass.
        values: of the resource, by the names that terms may have; times are Unix seconds.

    Raises:
        Refused: the filter is of another form, or names something else.
    """
    return all(
        any(_passes(term, values) for term in group.strip("() ").split(" OR "))
        for group in filter(None, text.split(" AND "))
    )


def _passes(term: str, values: Mapping[str, Any]) -> bool:
    found = _TERM.fullmatch(term.strip())
    if found is None:
        raise Refused("INVALID_ARGUMENT", f"the filter has {term!r}, which dev-cloud cannot read")
    name, comparison, wanted = found.groups()
    if name.startswith("labels."):
        own = values["labels"].get(name.removeprefix("labels."))
        return own is not None and wanted in ("*", own)
    if name not in values:
        raise Refused("INVALID_ARGUMENT", f"the filter has {name}, and dev-cloud knows {', '.join(sorted(values))}")
    own = values[name]
    if comparison == ":":
        return wanted in own
    if not isinstance(own, int | float):
        return _COMPARED[comparison](own, wanted)
    try:
        return _COMPARED[comparison](own, float(wanted))
    except ValueError:
        raise Refused("INVALID_ARGUMENT", f"the filter compares {name} with {wanted!r}: give Unix seconds") from None
