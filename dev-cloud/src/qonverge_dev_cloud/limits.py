"""How many calls a cloud takes in a time. Pure: times are arguments."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from qonverge_dev_cloud.values import Value


class Limit(Value):
    """A token bucket for the calls of an operation; what is beyond it gets the vendor's error with the status 429."""

    cloud: str
    operation: str
    """By the vendor's name; * is all operations of the cloud together."""
    per_second: float = Field(gt=0)
    burst: int = Field(1, ge=1)
    """Calls that are taken at once after a time of silence."""


class LimitPlan:
    """The limits of a run, and what is left of each. Not safe for threads: calls come from one."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = tuple(limits)
        self._left = [float(limit.burst) for limit in limits]
        self._last = 0.0

    def admits(self, cloud: str, operation: str, now: float) -> bool:
        """Say whether a call is taken, and count it if so.

        Args:
            cloud: which.
            operation: by the vendor's name.
            now: seconds since the start.
        """
        passed, self._last = now - self._last, now
        self._left = [
            min(float(limit.burst), left + passed * limit.per_second)
            for limit, left in zip(self._limits, self._left, strict=True)
        ]
        own = [
            index
            for index, limit in enumerate(self._limits)
            if limit.cloud == cloud and limit.operation in ("*", operation)
        ]
        if any(self._left[index] < 1 for index in own):
            return False
        for index in own:
            self._left[index] -= 1
        return True
