"""Whether a watch shows what happens: decided from lists of versions, without any input or output."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

LATE_SECONDS = 20.0
"""A change that a watch has not shown for so long after a list showed it is one that it will not show."""


class WatchLag:
    """What lists have shown and watches have not, yet.

    A list is ahead of a watch for a moment after every change. Only a change that stays unseen tells a broken watch
    from a busy one.
    """

    def __init__(self) -> None:
        """Nothing is behind."""
        self._behind: dict[Hashable, dict[str, tuple[int, float]]] = {}

    @property
    def any(self) -> bool:
        """Whether anything was behind when last compared, so that it is worth looking again soon."""
        return any(self._behind.values())

    def compare(self, watch: Hashable, there: Mapping[str, int], known: Mapping[str, int], now: float) -> int:
        """Return how many changes the watch is late with.

        Args:
            watch: names the watch.
            there: version of each object, by key, in a new list.
            known: version of each object that the watch has shown.
            now: seconds, of any clock that only goes on.
        """
        before = self._behind.get(watch, {})
        behind = {}
        for key, version in there.items():
            shown = known.get(key, 0)
            if version > shown:
                # An object that changes all the time is late as of the first change that was not shown.
                first = before.get(key)
                behind[key] = first if first is not None and first[0] > shown else (version, now)
        self._behind[watch] = behind
        return sum(now - since >= LATE_SECONDS for _, since in behind.values())
