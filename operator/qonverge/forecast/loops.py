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
    seconds: float | None = None
    """How long it ran; None where that was not known yet."""


class Loops:
    """The programs of which something is known, by what tells them apart."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[str, Loop] = OrderedDict()

    def find(self, program: str) -> Loop | None:
        """Return what is known of a program."""
        return self._known.get(program)

    def learn(self, program: str, waits: int, backend: str, seconds: float | None = None) -> None:
        """Take what a program that completed did: what it did last counts half, so that a changed input shows soon."""
        before = self._known.pop(program, None)
        known = float(waits) if before is None else _newer(before.waits, waits)
        if before is not None and before.seconds is not None:
            seconds = before.seconds if seconds is None else _newer(before.seconds, seconds)
        self._known[program] = Loop(
            round(known, _DIGITS), backend, None if seconds is None else round(seconds, _DIGITS)
        )
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def dump(self) -> str:
        """Return the form that is kept."""
        return json.dumps({name: [loop.waits, loop.backend, loop.seconds] for name, loop in self._known.items()})

    def load(self, text: str) -> None:
        """Take what ``dump`` gave.

        Raises:
            ValueError: it is damaged; then nothing is taken.
        """
        try:
            given: Mapping[str, Any] = json.loads(text)
            known = {str(name): _loop(*values) for name, values in given.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"what was learned of programs is damaged: {error}") from None
        numbers = (number for loop in known.values() for number in (loop.waits, loop.seconds or 0.0))
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("what was learned of programs is damaged: a number of waits or seconds is none")
        self._known = OrderedDict(list(known.items())[-MOST:])


def _newer(before: float, now: float) -> float:
    return before + _NEW * (now - before)


def _loop(waits: Any, backend: Any, seconds: Any = None) -> Loop:
    # Operators before this one did not keep the time.
    return Loop(float(waits), str(backend), None if seconds is None else float(seconds))
