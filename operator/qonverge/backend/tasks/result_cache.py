"""Results that are given again for a task that would give the same."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from qonverge.backend.task_parts import exact
from qonverge.wire.codec import parts
from qonverge.wire.messages import PubResult, Task
from qonverge.wire.tokens import OPERATOR_SUBJECT


def scope(task: Task, subject: str) -> str:
    """Return the namespace whose results the task may get: the sender's own, or the one that the operator names.

    Empty where it names none: such a task is neither looked up nor kept.
    """
    return task.namespace if subject == OPERATOR_SUBJECT else subject.partition("/")[0]


def key_of(task: Task, seed: int | None, space: str, engine: str) -> bytes | None:
    """Return what two tasks share exactly if they have the same result; None for one whose result is drawn anew.

    Args:
        task: to be looked up.
        seed: that the task or the backend gives; None where each run draws its own.
        space: see ``scope``.
        engine: the engine's version and whole configuration.
    """
    alike = all(exact(pub) for pub in task.pubs)
    if not space or (seed is None and not alike):
        return None
    pubs = [{**pub.to_dict(), "parameters": sorted(pub.parameters.items())} for pub in task.pubs]
    digest = hashlib.sha256()
    for part in parts([space, engine, pubs, task.memory, None if alike else seed]):
        digest.update(part)
    return digest.digest()


class ResultCache:
    """Results by key, up to so many bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        """With a limit of 0 nothing is kept."""
        self._limit = limit
        self._left = limit
        self._kept: OrderedDict[bytes, tuple[tuple[PubResult, ...], int]] = OrderedDict()

    def __bool__(self) -> bool:
        return self._limit > 0

    def get(self, key: bytes) -> tuple[PubResult, ...] | None:
        """Return the results, if they are kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: bytes, results: tuple[PubResult, ...]) -> None:
        """Keep results; those that take more than the half of all are not."""
        size = 512 + sum(result.nbytes for result in results)
        if key in self._kept or size > self._limit // 2:
            return
        self._kept[key] = (results, size)
        self._left -= size
        while self._left < 0:
            self._left += self._kept.popitem(last=False)[1][1]
