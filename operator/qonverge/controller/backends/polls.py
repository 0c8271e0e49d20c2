"""Asks all pods how they do, and looks after what they have and tell."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from qonverge.controller.objects import object_names
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.pods.lateness import Lateness
from qonverge.controller.pods.orphans import cancel_orphans
from qonverge.controller.pods.site_links import LinkMeasurements
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)

# Of the time in which pods answer, after which those that did not are asked again.
_LATE_SECONDS = 1.0
# That a poll waits for what follows on pods' answers, so that the next one comes in time whatever they do.
_FOLLOWING_SECONDS = 1.0


class Polls:
    """What is asked of pods again and again."""

    def __init__(
        self,
        *,
        state: State,
        data: DataPlane,
        links: LinkMeasurements,
        metering: Metering,
        results: PodResults,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives Unix seconds."""
        self._state = state
        self._data = data
        self._links = links
        self._metering = metering
        self._results = results
        self._clock = clock
        self._news: set[str] = set()
        self._following: dict[str, asyncio.Task[None]] = {}
        """What goes on with pods that answered, by their uids."""

    async def once(self, *, leading: bool, whole: bool) -> set[str]:
        """Ask every pod that serves, and return the keys of the backends with news since the last time.

        Of what follows on an answer only as much is waited for as takes little time, unless it is to be ``whole``.
        """
        keys = {backend_selector(backend): key for key, backend in self._state.backends.items()}
        if leading:
            self._links.choose()
        async with Lateness() as lateness:
            missed = await self._ask(self._state.pods.serving(), keys, leading=leading)
        if missed and lateness.seconds > _LATE_SECONDS:
            # Their answers may have come, and waited here until it was too late.
            logger.warning(
                "%d pods are asked again: the operator was busy for %.1f s meanwhile", len(missed), lateness.seconds
            )
            missed = await self._ask([pod for pod, *_ in missed if pod.admitted], keys, leading=leading)
        for pod, key, error in missed:
            self._lost(pod, key, error)
        if following := list(self._following.values()):
            await asyncio.wait(following, timeout=None if whole else _FOLLOWING_SECONDS)
        news, self._news = self._news, set()
        return news

    async def _ask(
        self, pods: Iterable[BackendPod], keys: dict[str, str], *, leading: bool
    ) -> list[tuple[BackendPod, str, WireError]]:
        """Ask pods, and return those that did not answer as they should, with their backends' keys and the errors."""
        missed: list[tuple[BackendPod, str, WireError]] = []

        async def ask(pod: BackendPod) -> None:
            key = keys.get(pod.endpoint.backend)
            backend = None if key is None else self._state.backends.get(key)
            if key is None or backend is None:
                return
            try:
                asked = time.monotonic()
                info = await self._data.info(pod.endpoint, object_names.audience(backend))
                took = time.monotonic() - asked
            except WireError as error:
                missed.append((pod, key, error))
                return
            if not pod.admitted:
                return
            if pod.answers or not leading:
                self._answered(pod, key, info, took)
            if leading and pod.uid not in self._following:
                following = asyncio.create_task(_alone(pod, self._follow(pod, key, info, took)))
                self._following[pod.uid] = following
                following.add_done_callback(lambda _: self._following.pop(pod.uid))

        await asyncio.gather(*(_alone(pod, ask(pod)) for pod in pods))
        return missed

    async def _follow(self, pod: BackendPod, key: str, info: BackendInfo, took: float) -> None:
        """Look after what a pod has and tells: what it told last may have changed since."""
        endpoint, backend = pod.endpoint, self._state.backends[key]
        audience, lost = object_names.audience(backend), partial(self._lost, pod, key)
        try:
            if info.queued + info.running > pod.assigned:
                await cancel_orphans(self._state, self._data, pod, audience)
        except WireError as error:
            lost(error)
            return
        if not pod.admitted:
            return
        if not pod.answers:
            # What is new or was away is given nothing before it is known which tasks it has.
            self._answered(pod, key, info, took)
        await self._links.meet(pod, backend, info)
        try:
            if pod.admits_programs:
                await self._metering.meet(endpoint, backend, unnamed=info.unnamed > 0)
        except WireError as error:
            if lost(error):
                return
        try:
            await self._results.meet(endpoint, audience, info.kept_results)
        except WireError as error:
            lost(error)

    def _answered(self, pod: BackendPod, key: str, info: BackendInfo, took: float) -> None:
        if pod.answer(info, took, self._clock()):
            self._news.add(key)

    def _lost(self, pod: BackendPod, key: str, error: WireError) -> bool:
        """Record that a pod does not tell, and return whether it does not answer at all."""
        logger.info("pod %s does not tell: %s", pod.key, error)
        if not isinstance(error, PodLost):
            return False
        if pod.lose(time.monotonic()):
            self._news.add(key)
        return True


async def _alone(pod: BackendPod, what: Awaitable[None]) -> None:
    """Do something about one pod; a defect that its answer trips ends nothing else."""
    try:
        await what
    except Exception:
        logger.exception("what was asked of pod %s failed", pod.key)
