"""How long to wait before what was tried in vain is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double up to a limit, in seconds; jitter spreads those who began to wait together."""

    first: float
    most: float

    def wait(self, failures: int, jitter: float | None = None) -> float:
        """Return how long to wait after so many failures in a row.

        Args:
            failures: 1 after the first one.
            jitter: a random number from 0 to 1; None: one is drawn. At 1 the wait is the longest, at 0 half of that.
        """
        drawn = random.random() if jitter is None else jitter  # noqa: S311  # spreads calls, and hides nothing
        return min(self.most, self.first * 2.0 ** min(failures - 1, 30)) * (0.5 + drawn / 2)
