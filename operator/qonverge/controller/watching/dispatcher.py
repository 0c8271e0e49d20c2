"""From what was seen to what follows: first the store, then all that react."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from qonverge.api.registry import RESOURCES
from qonverge.controller.store.resources import Change, Unread
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching.declarations import Handler, Reconciler, Watch
from qonverge.controller.watching.watches import WATCHED


class Dispatcher:
    """Takes every object that a watch, a list or a write showed."""

    def __init__(self, state: State, queue: WorkQueue) -> None:
        """Nothing reacts yet."""
        self._state = state
        self._queue = queue
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._watches: defaultdict[str, list[tuple[str, Watch]]] = defaultdict(list)
        self.reconcilers: dict[str, Reconciler] = {}
        """By kind."""

    def register(self, *reconcilers: Reconciler) -> None:
        """Let reconcilers react to what they declared.

        Raises:
            ValueError: one is for a kind that Qonverge does not define or that has one, or needs a kind that nobody
                watches.
        """
        for reconciler in reconcilers:
            if reconciler.kind not in RESOURCES or reconciler.kind in self.reconcilers:
                raise ValueError(f"{reconciler.kind} is not registered as a resource, or has a reconciler already")
            self.reconcilers[reconciler.kind] = reconciler
            for watch in reconciler.watches:
                self._watches[_watched(watch.kind)].append((reconciler.kind, watch))
            self.handle(reconciler.handlers)

    def handle(self, handlers: Iterable[Handler]) -> None:
        """Let handlers react.

        Raises:
            ValueError: one needs a kind that nobody watches.
        """
        for handler in handlers:
            self._handlers[_watched(handler.kind)].append(handler)

    def observe(self, kind: str, obj: dict[str, Any], deleted: bool) -> None:
        """Take what a watch or a list showed."""
        if (change := self._state.observe(kind, obj, deleted)) is None:
            return
        for handler in self._handlers[kind]:
            handler.handle(change)
        self._enqueue(change)

    def written(self, kind: str, obj: dict[str, Any]) -> None:
        """Take what the API server answered to a write: the watch may show it only after the next look."""
        if (change := self._state.observe(kind, obj, deleted=False)) is None:
            return
        for handler in self._handlers[kind]:
            if handler.own_writes:
                handler.handle(change)

    def look_at_all(self) -> None:
        """Have every object reconciled, as a replica does that takes over."""
        state = self._state
        for kind in self.reconcilers:
            ended = state.finished if RESOURCES[kind].ended else ()
            for key in (*state.objects[kind], *ended):
                self._queue.add(f"{kind} {key}")
        for item in state.unread:
            self._queue.add(item)

    def _enqueue(self, change: Change) -> None:
        for kind, watch in self._watches[change.kind]:
            for key in watch.keys(change):
                self._queue.add(f"{kind} {key}", urgent=watch.urgent(change))
        if isinstance(change.after, Unread):
            self._queue.add(f"{change.kind} {change.key}")


def _watched(kind: str) -> str:
    if kind not in WATCHED:
        raise ValueError(f"{kind} is not watched: give it the verbs list and watch in the registry")
    return kind
