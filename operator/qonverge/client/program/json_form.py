"""Python's values in the form that JSON has for them. Nothing is lost: what has none is kept as text, and named."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Set
from datetime import date, time
from enum import Enum
from numbers import Number
from typing import Any

_MOST_DEPTH = 64
_MOST_CHARACTERS = 200
# Kubernetes reads larger ones as floats, which have fewer digits.
_MOST_INTEGER = 2**63


class JsonForm:
    """Converts one value, and collects what JSON has no form for."""

    def __init__(self) -> None:
        """Know of no problems yet."""
        self.problems: list[str] = []
        """Which values are kept as text, each with its place."""

    def of(self, value: Any, path: str = "") -> Any:
        """Return the value as None, bools, ints, finite floats, texts, lists and dicts with texts as keys.

        Numpy's numbers and arrays, tuples, sets, dataclasses, enums, dates and paths have an obvious form. NaN,
        infinities, complex numbers and numbers beyond 64 bits become texts that Python reads back, such as
        ``float("NaN")``; other objects become their ``repr``, cut off.
        """
        return self._of(value, path, ())

    def _of(self, value: Any, path: str, around: tuple[int, ...]) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self._of(value.value, path, around)
        if isinstance(value, str):
            # Half a surrogate pair is no character of UTF-8.
            return str(value).encode("utf-8", "backslashreplace").decode()
        if isinstance(value, int):
            return int(value) if -_MOST_INTEGER <= value < _MOST_INTEGER else self._text(str(int(value)), path)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._text(_spelled(value), path)
        if id(value) in around or len(around) > _MOST_DEPTH:
            return self._text(_shown(value), path)
        inside = (*around, id(value))
        if isinstance(value, Mapping):
            return self._dict(value.items(), path, inside)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
            return self._dict(fields, path, inside)
        if isinstance(value, list | tuple | range | Set):
            items = _ordered(value) if isinstance(value, Set) else value
            return [self._of(item, f"{path}[{index}]", inside) for index, item in enumerate(items)]
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, os.PathLike):
            return str(value)
        # Numpy's numbers and arrays, and those of other libraries.
        if (plain := _plain(value)) is not value:
            return self._of(plain, path, inside)
        return self._text(str(value).strip("()") if isinstance(value, Number) else _shown(value), path)

    def _dict(self, items: Any, path: str, inside: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            name = name_of(key)
            if name in found:
                self.problems.append(f"{_at(path)} has two keys {name}, of which one is named {name}'")
                while name in found:
                    name += "'"
            found[name] = self._of(value, f"{path}.{name}" if path else name, inside)
        return found

    def _text(self, text: str, path: str) -> str:
        self.problems.append(f"{_at(path)} is {text}")
        return text


def name_of(key: Any) -> str:
    """Return a key as text, as JSON spells those that it has."""
    plain = _plain(key)
    if plain is None or isinstance(plain, bool):
        return {None: "null", True: "true", False: "false"}[plain]
    if isinstance(plain, float):
        return repr(plain) if math.isfinite(plain) else _spelled(plain)
    if isinstance(plain, tuple | frozenset):
        # Their own text would spell numpy's numbers with their types.
        return str(type(plain)(_plain(item) for item in plain))
    return str(plain).encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    convert: Callable[[], Any] | None = getattr(value, "tolist", None)
    return convert() if callable(convert) and not isinstance(value, type) else value


def _spelled(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _at(path: str) -> str:
    return path or "the value"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a foreign repr may raise anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."


def _ordered(values: Set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)
