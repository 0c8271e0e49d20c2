"""Which of a backend's pods gets the next task: the one with the least to do. Without any input or output."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

_WAITED_SECONDS = 0.05
_LOOK_SECONDS = 5.0


@dataclass(slots=True)
class _Pod:
    """What is known of a pod."""

    workers: int = 1
    others: int = 0
    """Tasks of others, when last looked."""
    own: int = 0
    """Tasks of this client that are under way."""

    @property
    def load(self) -> float:
        return (self.others + self.own) / self.workers


class Pods:
    """The pods behind one address, as this client sees them.

    A loop that sends one task after the other stays on the pod that has its circuits; tasks at the same time spread.
    """

    def __init__(self) -> None:
        """Know none."""
        self._pods: dict[str, _Pod] = {}
        self._last = ""
        self._looked = float("-inf")
        self._waited = True
        self._lock = threading.Lock()

    def stale(self, now: float) -> bool:
        """Return whether to look at the pods: tasks have waited, or a pod was lost, and the last look is some time ago.

        Only one of several callers gets True.
        """
        with self._lock:
            if not self._waited or now - self._looked < _LOOK_SECONDS:
                return False
            self._looked = now
            return True

    def see(self, found: Iterable[tuple[str, int, int]]) -> None:
        """Take what a look has found: address, workers, and tasks that wait or run there, for each pod that answers."""
        with self._lock:
            seen = {}
            for address, workers, tasks in found:
                own = self._pods[address].own if address in self._pods else 0
                seen[address] = _Pod(max(1, workers), max(0, tasks - own), own)
            # Nothing is better known of pods that nobody reached.
            self._pods = seen or self._pods
            self._waited = False

    def take(self) -> str | None:
        """Return where the next task goes, and count it; None when no pod is known."""
        with self._lock:
            if not self._pods:
                return None
            address = min(self._pods, key=lambda name: (self._pods[name].load, name != self._last))
            self._pods[address].own += 1
            self._last = address
            return address

    def done(self, address: str, *, queue_seconds: float = 0.0, lost: bool = False) -> None:
        """Note that a task there has ended, how long it had waited, and whether the pod is gone."""
        with self._lock:
            if address in self._pods:
                self._pods[address].own -= 1
                if lost:
                    del self._pods[address]
            if lost or queue_seconds > _WAITED_SECONDS:
                self._waited = True
            if lost:
                self._looked = float("-inf")
