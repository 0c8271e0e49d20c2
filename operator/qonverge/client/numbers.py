"""Numbers that people give to the clients, checked in one place. Numpy's are taken as Python's; True is no number."""

from __future__ import annotations

import math
import os
from operator import index
from typing import Any

from qonverge.wire.messages import MAX_SHOTS


def whole(name: str, value: Any, least: int, most: int | None = None, hint: str = "") -> int:
    """Return a whole number as Python's int.

    Raises:
        TypeError: it is of another kind.
        ValueError: it is below ``least`` or above ``most``; the message ends with the hint.
    """
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
    wanted = f"{name} is {value!r}: give a whole number {bounds}{hint}"
    if isinstance(value, bool):
        raise TypeError(wanted)
    try:
        number = index(value)
    except TypeError:
        raise TypeError(wanted) from None
    if number < least or (most is not None and number > most):
        raise ValueError(wanted)
    return number


def shots(value: Any, name: str = "shots") -> int:
    """Return a number of shots, from 1 on.

    Raises:
        TypeError, ValueError: as ``whole``.
    """
    return whole(name, value, 1, MAX_SHOTS)


def shots_or_exact(value: Any) -> int:
    """Return a number of shots, where 0 asks for exact values.

    Raises:
        TypeError, ValueError: as ``whole``.
    """
    return whole("shots", value, 0, MAX_SHOTS, "; 0 asks for exact values")


def precision(value: Any, name: str = "precision") -> float:
    """Return a standard error that is wanted; 0 asks for exact values.

    Raises:
        TypeError: it is no real number.
        ValueError: it is below 0 or above 1, or NaN.
    """
    wanted = f"{name} is {value!r}: give a number from 0 to 1; 0 asks for exact values"
    # Numpy's numbers have ``item``, its bool among them, and arrays of one number too.
    number = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(wanted)
    if not 0 <= number <= 1 or math.isnan(number):
        raise ValueError(wanted)
    return float(number)


def shots_from_environment() -> int | None:
    """Return the job's shots."""
    text = os.environ.get("QONVERGE_SHOTS")
    return int(text) if text else None
