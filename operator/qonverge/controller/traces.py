"""The last rounds of placement, recorded so that the same scheduler can be run over them again."""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterator

from qonverge.scheduling import Plan, Snapshot
from qonverge.scheduling.trace import record

_MOST_BYTES = 8 * 1024**2


class Traces:
    """Keeps the last rounds within a bound of memory, the oldest go first."""

    def __init__(self, limit: int = _MOST_BYTES) -> None:
        """``limit`` is in bytes."""
        self._rounds: deque[bytes] = deque()
        self._left = limit

    def record(self, snapshot: Snapshot, plan: Plan) -> None:
        """Keep a round."""
        line = gzip.compress(record(snapshot, plan).encode(), 1)
        self._rounds.append(line)
        self._left -= len(line)
        while self._left < 0 and self._rounds:
            self._left += len(self._rounds.popleft())

    def lines(self) -> Iterator[bytes]:
        """Yield the rounds as lines of JSON, the oldest first."""
        for line in list(self._rounds):
            yield gzip.decompress(line) + b"\n"
