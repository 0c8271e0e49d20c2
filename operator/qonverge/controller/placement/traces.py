"""The last rounds of placement, kept so that the same scheduler can be run over them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qonverge.scheduling import Plan, Policy, Snapshot
from qonverge.scheduling.trace import record

_MOST_ROUNDS = 2_000
# Pairs of jobs and backends in all rounds together: some 100 bytes each.
_MOST_PAIRS = 100_000


class Traces:
    """Keeps the last rounds as they are, and writes them down only for who asks: most are never looked at."""

    def __init__(self, policy: Policy) -> None:
        """``policy`` is the one that all rounds are made with."""
        self._policy = policy
        self._rounds: deque[tuple[Snapshot, Plan]] = deque()
        self._pairs = 0

    def keep(self, snapshot: Snapshot, plan: Plan) -> None:
        """Keep a round; the oldest go first."""
        self._rounds.append((snapshot, plan))
        self._pairs += _size(snapshot)
        while len(self._rounds) > 1 and (self._pairs > _MOST_PAIRS or len(self._rounds) > _MOST_ROUNDS):
            self._pairs -= _size(self._rounds.popleft()[0])

    def lines(self) -> Iterator[str]:
        """Yield the rounds as lines of JSON, the oldest first."""
        for snapshot, plan in list(self._rounds):
            yield record(snapshot, self._policy, plan) + "\n"


def _size(snapshot: Snapshot) -> int:
    return len(snapshot.jobs) * max(1, len(snapshot.backends))
