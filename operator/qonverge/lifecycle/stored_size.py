"""How much room a value takes in an object of the API server. Pure."""

from __future__ import annotations

import json
from typing import Any

# Go writes these as six characters, so that JSON may stand in HTML.
_ESCAPED = {"<": 5, ">": 5, "&": 5, "\u2028": 3, "\u2029": 3}
# Around a key in metadata.managedFields: "f:KEY":{},
_MANAGED = 9


def stored_size(value: Any) -> int:
    """Return the bytes that a JSON value takes where it is stored, with the records of who manages each of its keys."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    escapes = sum(text.count(character) * more for character, more in _ESCAPED.items())
    return len(text.encode()) + escapes + _managed_size(value)


def _managed_size(value: Any) -> int:
    size, maps = 0, [value]
    while maps:
        level = maps.pop()
        # A list has one manager as a whole.
        if isinstance(level, dict):
            size += sum(len(json.dumps(key).encode()) + _MANAGED for key in level)
            maps += level.values()
    return size
