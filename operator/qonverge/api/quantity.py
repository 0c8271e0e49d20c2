"""Kubernetes' quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "": 1,
    **{name: 1000**power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{name: 1024**power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def bytes_of(quantity: str | int) -> int:
    """Return a quantity of memory in bytes, rounded down.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(quantity))
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{quantity!r} is not a quantity of memory such as 64Mi")
    return int(Decimal(found[1]) * _UNITS[found[2]])
