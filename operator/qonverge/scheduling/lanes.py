"""When the workers of a backend are free, as work is put on them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Self


class Lanes:
    """The workers of one backend: when each is free, and the idle gaps before reservations.

    Work that takes several workers starts when enough of them are free; those that are free earlier have a gap until
    then, which later and shorter work may fill. So nothing that is put later delays what is there (conservative
    backfill, after Mu'alem and Feitelson, IEEE TPDS 12 (2001) 529).
    """

    __slots__ = ("_free", "_gaps")

    def __init__(self, free: Sequence[float], gaps: Sequence[tuple[float, float]] = ()) -> None:
        """``free`` has the time of every worker, seconds from now; ``gaps`` are idle intervals of single workers."""
        self._free = sorted(free)
        self._gaps = list(gaps)

    def copy(self) -> Self:
        """Return lanes of their own in the same state."""
        return type(self)(self._free, self._gaps)

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self._free)

    @property
    def times(self) -> tuple[float, ...]:
        """When each worker is free, sorted."""
        return tuple(self._free)

    @property
    def has_gaps(self) -> bool:
        """Whether a worker idles before a reservation."""
        return bool(self._gaps)

    @property
    def mean(self) -> float:
        """Mean of the times at which the workers are free."""
        return sum(self._free) / len(self._free)

    @property
    def first(self) -> float:
        """The earliest time at which anything could start, a gap included."""
        return min(self._free[0], min((start for start, _ in self._gaps), default=self._free[0]))

    def start(self, run: float, slots: int = 1) -> float:
        """Return when work that takes ``slots`` workers for ``run`` seconds would start."""
        if slots == 1 and self._gaps and (gap := self._gap(run)) is not None:
            return self._gaps[gap][0]
        return self._free[slots - 1]

    def put(self, run: float, slots: int = 1) -> float:
        """Put the work there and return its start."""
        if slots == 1:
            if self._gaps and (index := self._gap(run)) is not None:
                start, end = self._gaps.pop(index)
                if end - start > run:
                    insort(self._gaps, (start + run, end))
                return start
            start = self._free.pop(0)
            insort(self._free, start + run)
            return start
        start = self._free[slots - 1]
        for idle in self._free[: slots - 1]:
            if idle < start:
                insort(self._gaps, (idle, start))
        self._free = sorted([*self._free[slots:], *[start + run] * slots])
        return start

    def _gap(self, run: float) -> int | None:
        for index, (start, end) in enumerate(self._gaps):
            if start > self._free[0]:
                return None
            if end - start >= run:
                return index
        return None
