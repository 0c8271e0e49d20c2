"""Power of backends' tasks, learned from what their pods or devices were measured to draw."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qonverge.telemetry.figures import STALE_SECONDS, Figure, fresh

MOST = 1000
"""Backends that are known; those that were measured longest ago go first."""
WINDOW_SECONDS = 60.0
"""Meters average over tens of seconds and report late: power and run time of so long belong together."""
LEAST_SECONDS = 30.0
"""Run time of tasks before which nothing is said."""
# Seconds of run time in which what was measured before loses half of its weight.
_HALF_LIFE = 3600.0
_KEPT_DIGITS, _KEPT_SECONDS = 3, 600.0


@dataclass(frozen=True, slots=True)
class Draw:
    """What pods of a backend drew while they were watched."""

    joules: float
    pod_seconds: float
    """Time that they were watched, of all together."""
    task_seconds: float
    """Time that tasks ran there meanwhile, of all together."""

    def __add__(self, other: Draw) -> Draw:
        """Return both together."""
        return Draw(
            self.joules + other.joules,
            self.pod_seconds + other.pod_seconds,
            self.task_seconds + other.task_seconds,
        )


NOTHING = Draw(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a backend."""

    began: float
    """When the present window began, Unix seconds."""
    window: Draw = NOTHING
    joules: float = 0.0
    """Beyond what the pods draw without tasks."""
    seconds: float = 0.0
    """Run time for which."""
    idle_watts: float | None = None
    """The least that a pod drew in a window without tasks; None: there was none yet."""
    at: float = 0.0
    """When ``joules`` last grew, Unix seconds."""

    def after(self, now: float) -> _Known:
        """Return what is known once the window has ended."""
        window, begun = self.window, replace(self, began=now, window=NOTHING)
        if not window.pod_seconds:
            return begun
        if not window.task_seconds:
            watts = window.joules / window.pod_seconds
            return replace(begun, idle_watts=watts if self.idle_watts is None else min(self.idle_watts, watts))
        kept = 0.5 ** (window.task_seconds / _HALF_LIFE)
        beyond = max(0.0, window.joules - (self.idle_watts or 0.0) * window.pod_seconds)
        return replace(
            begun, joules=kept * self.joules + beyond, seconds=kept * self.seconds + window.task_seconds, at=now
        )


class TaskPowers:
    """What tasks of each backend draw.

    Of pods it is what they draw beyond what they draw without tasks, for each second that a task runs: so it says what
    another task adds, whether the backend is busy or not. What is told of a task itself, as by the meter of a device
    that runs one at a time, goes before.
    """

    def __init__(self, stale_seconds: float = STALE_SECONDS) -> None:
        """Know none. What is told of tasks counts for so long, and what was learned until more is."""
        self._stale_seconds = stale_seconds
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._told: dict[str, Figure] = {}

    def find(self, backend: str, now: float) -> Figure | None:
        """Return the power of the backend's tasks, watts, and when it was last measured; None: not known."""
        known, told = self._known.get(backend), fresh([self._told.get(backend)], now, self._stale_seconds)
        if told is not None or known is None or known.seconds < LEAST_SECONDS or not known.joules:
            return told
        return Figure(known.joules / known.seconds, known.at, "Prometheus")

    def tell(self, watts: Mapping[str, float], now: float) -> None:
        """Take what tasks of backends draw, by the backends' keys; of others nothing is told any more."""
        self._told = {key: Figure(value, now, "Prometheus") for key, value in watts.items() if value > 0}

    def observe(self, backend: str, drawn: Draw, now: float) -> None:
        """Take what the backend's pods drew since they were last looked at; ``now`` in Unix seconds."""
        known = self._known.pop(backend, None) or _Known(now)
        known = replace(known, window=known.window + drawn)
        self._known[backend] = known.after(now) if now >= known.began + WINDOW_SECONDS else known
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def dump(self) -> str:
        """Return the form that is kept, which small changes leave as it is."""
        return json.dumps(
            {
                name: [*map(_short, (known.joules, known.seconds, known.idle_watts)), known.at // _KEPT_SECONDS]
                for name, known in self._known.items()
                if known.seconds
            }
        )

    def load(self, text: str) -> None:
        """Take what ``dump`` gave.

        Raises:
            ValueError: it is damaged; then nothing is taken.
        """
        try:
            given: Mapping[str, Any] = json.loads(text)
            known = {str(name): _read(*values) for name, values in given.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"what was learned of power is damaged: {error}") from None
        self._known = OrderedDict(list(known.items())[-MOST:])


def _read(joules: float, seconds: float, idle_watts: float | None, at: float) -> _Known:
    numbers = [float(value) for value in (joules, seconds, idle_watts or 0.0, at)]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError(f"{numbers} are no energy, times and power")
    told = at * _KEPT_SECONDS
    return _Known(told, joules=numbers[0], seconds=numbers[1], idle_watts=idle_watts, at=told)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_KEPT_DIGITS}g}")
