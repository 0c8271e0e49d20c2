"""Kubernetes' quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from qonverge.documents.excerpt import excerpt

_PATTERN = r"^\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([{units}]|[KMGTPE]i|[eE][-+]?[0-9]{{1,2}})?$"
ANY = _PATTERN.format(units="numkMGTPE")
"""Quantities that are not negative, as the API server takes them of resources."""
MEMORY = _PATTERN.format(units="kMGTPE")
"""Those of memory: Kubernetes takes thousandths of a byte too, but 64m was never meant."""

_UNITS = {
    "": Decimal(1),
    **{name: Decimal(1000) ** -power for power, name in enumerate(("m", "u", "n"), 1)},
    **{name: Decimal(1000) ** power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{name: Decimal(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def _matching(pattern: str, example: str, given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, int | str) or not re.fullmatch(pattern, str(given)):
        raise ValueError(f"give a whole number, or a text such as {example}")
    return given


def _int_or_string(pattern: str) -> Any:
    return Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": pattern, "minimum": 0})


# Checked here as by the schema; whole numbers are taken as in core types.
Quantity = Annotated[str | int, BeforeValidator(partial(_matching, ANY, "500m or 2Gi")), _int_or_string(ANY)]
Memory = Annotated[str | int, BeforeValidator(partial(_matching, MEMORY, "64Mi")), _int_or_string(MEMORY)]


def amount_of(quantity: str | int) -> Decimal:
    """Return a quantity as a number.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(ANY, str(quantity))
    if found is None:
        raise ValueError(f"{excerpt(quantity)} is not a quantity such as 500m or 64Mi")
    unit = found[2] or ""
    return Decimal(found[1]) * (_UNITS[unit] if unit in _UNITS else Decimal(10) ** int(unit[1:]))


def bytes_of(quantity: str | int) -> int:
    """Return a quantity of memory in bytes, rounded down.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(MEMORY, str(quantity)) is None:
        raise ValueError(f"{excerpt(quantity)} is not a quantity of memory such as 64Mi")
    return int(amount_of(quantity))


def memory_text(size: int) -> str:
    """Return a number of bytes as a quantity, with the largest unit that it is a whole number of."""
    for unit, each in sorted(_UNITS.items(), key=lambda pair: pair[1], reverse=True):
        if each >= 1 and size % each == 0:
            return f"{size // int(each)}{unit}"
    raise AssertionError("every number of bytes is a multiple of one")
