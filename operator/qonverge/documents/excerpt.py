"""Values and sentences in messages: none is longer than a person reads, whatever the input was."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence

MOST_CHARACTERS = 2000
"""Of one message."""

_VALUES = reprlib.Repr()
_VALUES.maxstring = _VALUES.maxother = _VALUES.maxlong = 80
_VALUES.maxdict = _VALUES.maxlist = _VALUES.maxtuple = _VALUES.maxset = _VALUES.maxfrozenset = 4
_VALUES.maxlevel = 3


def excerpt(value: object) -> str:
    """Return a value as Python writes it, its middle left out where it is long."""
    return _VALUES.repr(value)


def json_excerpt(value: object) -> str:
    """Return a value of a manifest as JSON writes it, its middle left out where it is long."""
    return json.dumps(value) if value is None or isinstance(value, bool) else excerpt(value)


def some(names: Sequence[str], most: int = 10) -> str:
    """Return the first names, with commas between them, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def bounded(message: str) -> str:
    """Return a message, the middle left out of one that is longer than ``MOST_CHARACTERS``."""
    if len(message) <= MOST_CHARACTERS:
        return message
    mark = f" ... ({len(message)} characters in all) ... "
    half = (MOST_CHARACTERS - len(mark)) // 2
    return message[:half] + mark + message[-half:]
