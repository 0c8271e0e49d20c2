"""How a cloud's tasks stand: one poller for a backend, many tasks in a call, each asked about when that may pay."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qonverge.backend.clouds.errors import CannotFind, CloudError, CloudRefused
from qonverge.backend.clouds.protocol import CloudTask
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.executors.cloud.records import Sent
from qonverge.wire.errors import EngineFailed

_Found: TypeAlias = "asyncio.Future[tuple[str, float]]"
_Wanted: TypeAlias = tuple[str, float, _Found]


@dataclass(slots=True)
class _Watched:
    sent: Sent
    due: float
    ended: asyncio.Future[CloudTask]
    seen: float
    """When the cloud last knew it."""
    alone: bool = False
    """Whether it is asked about in a call of its own, since one that had others too was refused."""


class Poller:
    """Asks about the tasks that are watched, those that are due first."""

    def __init__(self, calls: Calls, patience: Patience, changed: Callable[[Sequence[Sent]], None]) -> None:
        """``changed`` is told of tasks of which something was heard."""
        self._calls, self._patience, self._changed = calls, patience, changed
        self._clock = asyncio.get_running_loop().time
        self._watched: dict[str, _Watched] = {}
        self._asked: list[str] = []
        self._more = asyncio.Event()

    def watch(self, sent: Sent) -> asyncio.Future[CloudTask]:
        """Return what will be how the cloud's task ended; watched until ``leave``.

        It fails with ``EngineFailed`` where the cloud refuses to say, or does not know the task any more.
        """
        now = self._clock()
        found = _Watched(sent, 0.0, asyncio.get_running_loop().create_future(), now)
        found.due = now + self._wait(found, now)
        self._watched[sent.id] = found
        self._more.set()
        return found.ended

    def leave(self, sent: Sent) -> None:
        """Ask no more about a task."""
        self._watched.pop(sent.id, None)

    async def serve(self) -> None:
        """Ask, for ever."""
        while True:
            self._more.clear()
            due = min((each.due for each in self._open), default=None)
            if due is None or due > self._clock():
                await within(self._more, None if due is None else due - self._clock())
                continue
            try:
                self._take(await self._calls.tasks(self._pick))
            except CloudRefused as error:
                self._refused(error)
            except CloudError:
                # The next call waits as its pacer says.
                continue

    @property
    def _open(self) -> Iterable[_Watched]:
        return (each for each in self._watched.values() if not each.ended.done())

    def _pick(self) -> Sequence[str]:
        """Return what to ask about: a call that is made anyway takes what is due soon along."""
        most = max(1, self._calls.cloud.rates.batch)
        soonest = heapq.nsmallest(most, self._open, key=lambda each: each.due)
        if soonest and soonest[0].alone:
            soonest = soonest[:1]
        self._asked = [each.sent.id for each in soonest if each is soonest[0] or not each.alone]
        return self._asked

    def _take(self, told: Mapping[str, CloudTask]) -> None:
        now, heard = self._clock(), []
        for identity in self._asked:
            each = self._watched.get(identity)
            if each is None or each.ended.done():
                continue
            task = told.get(identity)
            if task is not None:
                each.sent.task, each.seen, each.alone = task, now, False
                heard.append(each.sent)
                if each.sent.ended:
                    each.ended.set_result(task)
            elif now - each.seen > self._patience.vanished:
                self._fail(each, f"the cloud does not know its task {identity} any more")
            each.due = now + self._wait(each, now)
        self._changed(heard)

    def _refused(self, error: CloudRefused) -> None:
        """Let a task fail of which the cloud refuses to tell; where several were asked about, each is asked alone."""
        asked = [self._watched[identity] for identity in self._asked if identity in self._watched]
        for each in asked:
            each.alone = True
        if len(self._asked) == 1 and asked:
            self._fail(asked[0], f"the cloud tells nothing of its task {self._asked[0]}: {error}")

    def _fail(self, each: _Watched, why: str) -> None:
        if not each.ended.done():
            each.ended.set_exception(EngineFailed(why))

    def _wait(self, each: _Watched, now: float) -> float:
        jitter = random.random()  # noqa: S311  # spreads calls, and hides nothing
        return self._patience.poll(each.sent.task, now - each.sent.known_at, time.time(), jitter)


class Finder:
    """Looks for tasks by their keys, as many in a call as wait for one."""

    def __init__(self, calls: Calls) -> None:
        """Begin to look when ``serve`` runs."""
        self._calls = calls
        self._clock = asyncio.get_running_loop().time
        self._waiting: deque[_Wanted] = deque()
        self._asked: list[_Wanted] = []
        self._began = 0.0
        self._more = asyncio.Event()

    async def find(self, key: str, since: float) -> tuple[str, float]:
        """Return the id of the task with this key, empty where there is none, and when that was asked.

        Args:
            key: of the task.
            since: Unix seconds before which it was not sent; 0: not known.

        Raises:
            CannotFind: the cloud has no way to tell.
            EngineFailed: the cloud refuses to say.
        """
        found: _Found = asyncio.get_running_loop().create_future()
        self._waiting.append((key, since, found))
        self._more.set()
        return await found

    async def serve(self) -> None:
        """Look, for ever."""
        while True:
            if not (self._waiting or self._asked):
                self._more.clear()
                await self._more.wait()
            try:
                told = await self._calls.find(self._pick)
            except CloudRefused as error:
                for _, _, found in self._asked:
                    if not found.done():
                        found.set_exception(EngineFailed(f"the cloud does not tell which tasks it has: {error}"))
            except CannotFind as error:
                for _, _, found in self._asked:
                    if not found.done():
                        found.set_exception(error)
            except CloudError:
                # The same again, when the pacer lets it.
                continue
            else:
                for key, _, found in self._asked:
                    if not found.done():
                        found.set_result((told.get(key, ""), self._began))
            self._asked = []

    def _pick(self) -> tuple[Sequence[str], float]:
        most = max(1, self._calls.cloud.rates.batch)
        while self._waiting and len(self._asked) < most:
            self._asked.append(self._waiting.popleft())
        self._began = self._clock()
        return [key for key, _, _ in self._asked], min((since for _, since, _ in self._asked), default=0.0)


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event for so many seconds at most, None: for ever; return whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
