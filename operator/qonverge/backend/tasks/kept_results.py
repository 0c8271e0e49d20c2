"""Results that are larger than a job's status, kept for those who fetch them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from qonverge.wire.errors import NotFound, ResultTooLarge

_MOST_BYTES = 1024**3
_OVERHEAD_BYTES = 1024
# Reasons that are remembered of results that are gone.
_REMEMBERED = 4096


def room(memory_bytes: int) -> int:
    """Return how many bytes a server with so much memory keeps: a sixteenth, at most 1 GiB."""
    return min(_MOST_BYTES, memory_bytes // 16)


@dataclass(slots=True)
class _Result:
    namespace: str
    data: bytes
    expires: float
    fetched: bool = False

    @property
    def size(self) -> int:
        return len(self.data) + _OVERHEAD_BYTES


class KeptResults:
    """Results by id in memory, each for its time, within a limit of bytes of which one namespace may take half.

    A new result makes room for itself: first among those of its own namespace, then among those of the namespace that
    holds the most. Results that were fetched go first, then the oldest.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        """Keep so many bytes; ``clock`` gives seconds, only differences count."""
        self._limit = limit
        self._share = limit // 2
        self._clock = clock
        self._results: OrderedDict[str, _Result] = OrderedDict()
        self._dropped: OrderedDict[str, str] = OrderedDict()

    @property
    def share(self) -> int:
        """How many bytes it keeps for one namespace."""
        return self._share

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        self._expire()
        return sum(kept.size for kept in self._results.values())

    def __len__(self) -> int:
        self._expire()
        return len(self._results)

    def put(self, identity: str, namespace: str, data: bytes, seconds: float, *, displaces: bool = True) -> None:
        """Keep a result for so many seconds, in the place of a former one with this id.

        Raises:
            ResultTooLarge: it is above the share of one namespace, or there is no room and it ``displaces`` no other.
        """
        result = _Result(namespace, data, self._clock() + seconds)
        if result.size > self._share:
            raise ResultTooLarge(
                f"the result takes {len(data)} bytes compressed, and this server keeps {self._share} for a namespace"
            )
        self._expire()
        former = self._results.get(identity)
        more = result.size - (0 if former is None else former.size)
        if not displaces and (self._held(namespace) + more > self._share or self.nbytes + more > self._limit):
            raise ResultTooLarge(f"the result takes {len(data)} bytes compressed, and others take the room for it")
        self._results.pop(identity, None)
        while self._held(namespace) + result.size > self._share:
            self._push_out(namespace)
        while self.nbytes + result.size > self._limit:
            self._push_out(max({kept.namespace for kept in self._results.values()}, key=self._held))
        self._results[identity] = result

    def fetch(self, identity: str) -> bytes:
        """Return a result.

        Raises:
            NotFound: it is not kept, or no more.
        """
        self._expire()
        result = self._results.get(identity)
        if result is None:
            raise NotFound(f"there is no result {identity}: {self._dropped.get(identity, 'it was never kept here')}")
        result.fetched = True
        return result.data

    def drop(self, identity: str) -> None:
        """Forget a result that nobody needs any more."""
        self._results.pop(identity, None)

    def listed(self) -> tuple[list[str], dict[str, str]]:
        """Return the ids of those that are kept, and why others are kept no more, as far as that is remembered."""
        self._expire()
        return list(self._results), dict(self._dropped)

    def _held(self, namespace: str) -> int:
        return sum(kept.size for kept in self._results.values() if kept.namespace == namespace)

    def _push_out(self, namespace: str) -> None:
        own = [(name, kept) for name, kept in self._results.items() if kept.namespace == namespace]
        identity = next((name for name, kept in own if kept.fetched), own[0][0])
        self._forget(identity, f"a newer result took its place: this pod keeps {self._share} bytes for a namespace")

    def _expire(self) -> None:
        now = self._clock()
        for identity in [name for name, kept in self._results.items() if kept.expires <= now]:
            self._forget(identity, "its time was over")

    def _forget(self, identity: str, reason: str) -> None:
        del self._results[identity]
        self._dropped[identity] = reason
        while len(self._dropped) > _REMEMBERED:
            self._dropped.popitem(last=False)
