"""Circuits that a server keeps for its callers."""

from __future__ import annotations

from collections import OrderedDict


class CircuitStore:
    """QPY by digest, the least recently used go first."""

    def __init__(self, limit: int) -> None:
        """Keep so many bytes."""
        self._data: OrderedDict[str, bytes] = OrderedDict()
        self._left = limit

    def __contains__(self, digest: str) -> bool:
        return digest in self._data

    def add(self, digest: str, qpy: bytes) -> None:
        """Keep a circuit."""
        if digest in self._data:
            self._data.move_to_end(digest)
            return
        self._data[digest] = qpy
        self._left -= len(qpy)
        while self._left < 0 and len(self._data) > 1:
            self._left += len(self._data.popitem(last=False)[1])

    def get(self, digest: str) -> bytes | None:
        """Return the circuit, if it is kept."""
        if digest in self._data:
            self._data.move_to_end(digest)
        return self._data.get(digest)
