"""Tasks on pods that do not answer: each is waited for as long as its job allows, and is another's then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from qonverge.api.retries import RetryPolicy
from qonverge.controller.pods.errors import PodLost, PodSilent, PodUnreachable
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.phases import Sent
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State
from qonverge.wire.messages import Task, TaskResult

_MOST_MISSES = 5
"""Tries to ask for a task, one after the other, that fail: all but the first two after the pod was heard of."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A task whose result is waited for."""

    pod: BackendPod
    seconds: float
    """How long, from when its pod was last heard of."""
    limit: asyncio.Timeout
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a poll after which the pod may be asked."""


class Patience:
    """The tasks that are waited for, and until when."""

    def __init__(self, state: State, data: DataPlane, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds and is never set, since a job's time must not end, or last, by a machine's."""
        self._state = state
        self._data = data
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    async def result(self, pod: BackendPod, sent: Sent, task: Task, policy: RetryPolicy) -> TaskResult:
        """Send a task and return its result, which may be there when its pod is heard of again.

        Raises:
            PodLost: the pod has it no more; ``PodUnreachable``: it was not heard of for as long as the job allows.
            WireError: the pod refused it.
        """
        seconds = policy.tolerated_seconds
        try:
            async with asyncio.timeout(None) as limit:
                waiting = self._waiting[sent.identity] = _Waiting(pod, seconds, limit)
                try:
                    return await self._asked(waiting, sent, task)
                finally:
                    del self._waiting[sent.identity]
        except TimeoutError:
            raise PodUnreachable(
                f"the backend pod {pod.key} has not answered for {seconds:g} s (retryPolicy.unreachableSeconds)"
            ) from None

    async def _asked(self, waiting: _Waiting, sent: Sent, task: Task) -> TaskResult:
        pod, began, misses = waiting.pod, False, 0

        def answered() -> None:
            nonlocal misses
            misses = 0

        while True:
            try:
                return await self._data.run(sent.endpoint, sent.backend_key, task, sent=began, answered=answered)
            except PodSilent as error:
                pod.lose(self._clock())
                began, misses = True, misses + 1
                if self._state.pods.find(pod.uid) is not pod:
                    raise PodLost(f"the backend pod {pod.key} was deleted: {error.message}") from None
                if misses > 1 and not pod.admitted and not pod.silent:
                    # No poll asks it, so that its time would never be over.
                    raise PodLost(
                        f"the backend pod {pod.key} is not ready and does not answer: {error.message}"
                    ) from None
                if misses >= _MOST_MISSES:
                    raise PodLost(
                        f"the backend pod {pod.key} answers, but not about its task: {error.message}"
                    ) from None
            if misses > 1:
                # A connection that broke says little. One that does not come about is left to the polls.
                waiting.heard.clear()
                await waiting.heard.wait()

    def keep_time(self) -> None:
        """Let the time run for tasks whose pods do not answer, and stop it for the others; after each poll."""
        now, loop_now = self._clock(), asyncio.get_running_loop().time()
        for each in self._waiting.values():
            if each.limit.expired():
                continue
            when = None
            if self._state.pods.find(each.pod.uid) is not each.pod:
                when = loop_now
            elif (since := each.pod.silent_since) is not None:
                when = loop_now + max(0.0, since + each.seconds - now)
            if when is not None or each.limit.when() is not None:
                each.limit.reschedule(when)
            if not each.pod.silent:
                each.heard.set()
