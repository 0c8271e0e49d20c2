"""Checkpoints of a program: what it needs to go on where it was, kept in its job's store.

A program that is started again, since its pod was evicted, its node drained or its backend lost, finds the last one::

    from qonverge.client import checkpoint

    state = checkpoint.load() or {"iteration": 0, "theta": start}
    for iteration in range(state["iteration"], 200):
        theta = step(state["theta"])
        state = {"iteration": iteration + 1, "theta": theta}
        checkpoint.save(state)
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from qonverge.client.errors import ResultTooLarge, StoreUnreachable
from qonverge.client.program.checkpoint_form import from_bytes, to_bytes
from qonverge.client.program.job_store import JobStore
from qonverge.client.program.points import index_of
from qonverge.client.program.ranks import rank

__all__ = ["load", "save"]

_FOLDER = "checkpoints/"
# A program goes on without a checkpoint rather than to wait long for its store.
_PATIENCE_SECONDS = 60.0
# The one before the last stays until there is another, should the last turn out to be damaged.
_KEPT = 2


class Checkpoints:
    """The checkpoints of this program, numbered from 1 over all attempts of its job."""

    def __init__(self, store: JobStore | None, index: int | None = None) -> None:
        """Without a store nothing is kept, and a person is told once; ``index`` is that of a sweep's point."""
        self._store = store
        self._own = "" if index is None else f"{index}/"
        self._lock = threading.Lock()
        self._numbers: list[int] | None = None

    def save(self, value: Any) -> None:
        """See ``save``."""
        data = to_bytes(value)
        if rank():
            return
        if self._store is None:
            if self._numbers is None:
                self._numbers = []
                warnings.warn("checkpoints are not kept: there is no store for the job's output", stacklevel=3)
            return
        with self._lock:
            try:
                numbers = self._known(self._store)
                number = max(numbers, default=0) + 1
                self._store.put(self._path(number), lambda: [data], patience=_PATIENCE_SECONDS)
                numbers.append(number)
                while len(numbers) > _KEPT:
                    self._store.delete(self._path(numbers[0]), patience=_PATIENCE_SECONDS)
                    del numbers[0]
            except (StoreUnreachable, ResultTooLarge) as error:
                warnings.warn(f"the checkpoint is not kept, and the program goes on: {error}", stacklevel=3)

    def load(self) -> Any:
        """See ``load``."""
        if self._store is None:
            return None
        with self._lock:
            self._numbers = None
            for number in sorted(self._known(self._store), reverse=True):
                data = self._store.get(self._path(number))
                if data is None:
                    continue
                try:
                    value = from_bytes(data)
                except ValueError as error:
                    print(f"qonverge: checkpoint {number} is damaged: {error}", file=sys.stderr, flush=True)
                    continue
                print(f"qonverge: goes on from checkpoint {number}", file=sys.stderr, flush=True)
                return value
        return None

    def _known(self, store: JobStore) -> list[int]:
        """Return the numbers of those that are kept, in order."""
        if self._numbers is None:
            names = [name.removeprefix(self._own) for name in store.sizes(_FOLDER) if name.startswith(self._own)]
            self._numbers = [int(name) for name in names if name.isdecimal()]
        return self._numbers

    def _path(self, number: int) -> str:
        return f"{_FOLDER}{self._own}{number:08}"


def save(value: Any) -> None:
    """Keep a value as the program's last checkpoint: afterwards it is there as a whole, or the one before it is.

    Of a parallel program rank 0 keeps it, and all ranks load it; each point of a sweep has its own. A store that does
    not answer is tried again for a minute; then a warning says so, and the program goes on.

    Args:
        value: None, booleans, numbers, texts, bytes, arrays of numpy with numbers or booleans, and lists and
            dictionaries of such values. A tuple comes back as a list.

    Raises:
        TypeError: it holds something else; the message names it.
    """
    _of_this_process(os.environ).save(value)


def load() -> Any:
    """Return the last checkpoint of the job, of this attempt or one before; None where there is none.

    Raises:
        StoreUnreachable: the job's store does not answer, so that it is not known whether there is one.
    """
    return _of_this_process(os.environ).load()


_made: dict[str, Checkpoints] = {}


def _of_this_process(environment: Mapping[str, str]) -> Checkpoints:
    url = environment.get("QONVERGE_STORE_URL", "")
    if url not in _made:
        _made[url] = Checkpoints(JobStore.from_environment(environment), index_of(environment))
    return _made[url]
