"""Fields of what servers tell, each checked: who reads them goes on with them far from where they came in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from qonverge.documents.excerpt import excerpt


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object. One that is absent is the same as None."""

    data: Mapping[str, Any]

    @classmethod
    def of(cls, what: str, data: Any) -> Fields:
        """Return the fields of an object.

        Raises:
            ValueError: it is none; each method raises it too, for a field of another kind.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"{what} is {excerpt(data)}, which is no object")
        return cls(data)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        given = self.data.get(name, default)
        return given if isinstance(given, str) else self._refuse(name, given)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        given = self.data.get(name)
        if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
            self._refuse(name, given)
        return tuple(given)

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return whether something is so; without a default it must be told."""
        given = self.data.get(name, default)
        return given if isinstance(given, bool) else self._refuse(name, given)

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number of 0 or more; without a default it must be there."""
        found = self.count_or_none(name)
        return self._refuse(name, None) if found is None and default is None else (found or default or 0)

    def count_or_none(self, name: str) -> int | None:
        """Return a whole number of 0 or more, or None."""
        given = self.data.get(name)
        if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
            self._refuse(name, given)
        return given

    def amount_or_none(self, name: str) -> float | None:
        """Return a finite number of 0 or more, or None."""
        given = self.data.get(name)
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if given is not None and not (is_number and 0 <= given < math.inf):
            self._refuse(name, given)
        return None if given is None else float(given)

    def _refuse(self, name: str, given: object) -> NoReturn:
        raise ValueError(f"{name} is {excerpt(given)}")
