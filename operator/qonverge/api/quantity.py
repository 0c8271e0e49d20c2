"""Kubernetes' quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

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
