"""How often programs wait for their backend, learned from those that ended: what a round trip costs each of them."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 1000
"""Programs that are known; those that ran longest ago go first."""
_NEW = 0.5
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Loop:
    """What is known of a program."""

    waits: float
    """How often it waits for tasks; tasks that are under way together are one wait."""
    backend: str
    """Key of the backend that it ran on last."""


class Loops:
    """The programs of which something is known, by what tells them apart."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[str, Loop] = OrderedDict()

    def find(self, program: str) -> Loop | None:
        """Return what is known of a program."""
        return self._known.get(program)

    def learn(self, program: str, waits: int, backend: str) -> None:
        """Take what a program that completed did: what it did last counts half, so that a changed input shows soon."""
        before = self._known.pop(program, None)
        known = float(waits) if before is None else before.waits + _NEW * (waits - before.waits)
        self._known[program] = Loop(round(known, _DIGITS), backend)
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def dump(self) -> str:
        """Return the form that is kept."""
        return json.dumps({name: [loop.waits, loop.backend] for name, loop in self._known.items()})

    def load(self, text: str) -> None:
        """Take what ``dump`` gave.

        Raises:
            ValueError: it is damaged; then nothing is taken.
        """
        try:
            given: Mapping[str, Any] = json.loads(text)
            known = {str(name): Loop(float(waits), str(backend)) for name, (waits, backend) in given.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"what was learned of programs is damaged: {error}") from None
        if not all(math.isfinite(loop.waits) and loop.waits >= 0 for loop in known.values()):
            raise ValueError("what was learned of programs is damaged: a number of waits is none")
        self._known = OrderedDict(list(known.items())[-MOST:])
