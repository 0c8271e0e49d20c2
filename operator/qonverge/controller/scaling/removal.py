"""Makes backends smaller: carries out what ``removal_plan`` says, and sees that each step took effect."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.pod_order import GOES_FIRST, Shown, marked
from qonverge.controller.placement.snapshot import free_seconds, given_to_pods
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.scaling.removal_plan import Candidate, Plan, Size, plan
from qonverge.controller.store.phases import Ended
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.state import State
from qonverge.execution import cloud_tasks
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)


# The controller of ReplicaSets sees pods by a watch of its own, which may lag so far behind the operator's.
_LAG_SECONDS = 1.0
# A request to the API server ends well within it.
_UNSURE_SECONDS = 60.0
_UNWRITTEN = "a job that ended is about to write its result, which a pod may have to keep"


class Removal:
    """Says how many pods a backend's Deployment may have, and brings about that it may have as few as are wanted."""

    def __init__(
        self, *, state: State, data: DataPlane, kube: Kube, results: PodResults, clock: Callable[[], float]
    ) -> None:
        """Remove nothing yet.

        Args:
            state: what is known.
            data: asks pods to drain.
            kube: marks the pods that go first.
            results: moves what they keep.
            clock: Unix seconds.
        """
        self._state = state
        self._data = data
        self._kube = kube
        self._results = results
        self._clock = clock
        # The smaller number that each Deployment was given last, until it shows it.
        self._asked: dict[str, int] = {}
        # Until when a smaller number that was taken back may still be carried out, Unix seconds.
        self._unsure: dict[str, float] = {}
        # What is being done with pods, and what went wrong with that, by uid.
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}
        # Pods, by uid, whose mark was taken off, which the watch may show later or, where the answer was lost, never.
        self._unmarked: set[str] = set()
        # Until when others may see a mark that a pod was given, by uid, Unix seconds: for ever until it is taken off.
        self._mark_until: dict[str, float] = {}
        # What was shown of each pod, by uid, and until when, Unix seconds; the last until now.
        self._shown: dict[str, list[tuple[float, Shown]]] = {}

    async def remove(self, key: str, wanted: int) -> tuple[int, str]:
        """Return how many pods the backend's Deployment may have now, and why not what is wanted, else nothing.

        It may be more, or for a moment less: where a smaller number is on its way to the Deployment, that comes first.

        To be called again and again; what is to be done with pods goes on meanwhile, and nothing is waited for. Where
        as many are wanted as there are, pods that drain are taken back.

        Args:
            key: the backend's.
            wanted: pods that should be left; it may be more than there are.
        """
        backend = self._state.backends.get(key)
        deployment = None if backend is None else self._state.deployments.get(backend_selector(backend))
        if backend is None or deployment is None:
            self._asked.pop(key, None)
            self._unsure.pop(key, None)
            return wanted, ""
        pods = self._pods(backend_selector(backend), deployment["uid"])
        self._forget_gone()
        present = int(deployment["replicas"])
        if present <= self._asked.get(key, present):
            self._asked.pop(key, None)
        if wanted >= present and key not in self._asked and not any(map(_is_going, pods)):
            return wanted, ""
        # A pod may have to keep it.
        held = int(self._has_unwritten_result(key))
        observed = self._observed(deployment, pods) and self._clock() >= self._unsure.get(key, 0.0)
        size = Size(max(wanted, held), present, observed, self._asked.get(key))
        made = plan(size, self._candidates(pods))
        if size.asked is not None and made.replicas > size.asked:
            # A pod that was to go may have tasks again, and what was asked for may be carried out all the same.
            self._unsure[key] = self._clock() + _UNSURE_SECONDS
        self._asked.pop(key, None)
        if made.replicas < present:
            self._asked[key] = made.replicas
        self._carry_out(made, pods, key)
        return made.replicas, made.waiting or (_UNWRITTEN if made.replicas != wanted else "")

    async def take_back(self, key: str) -> None:
        """Let all pods of a backend get tasks again, of which others decide now how many there are."""
        backend = self._state.backends.get(key)
        if backend is not None and any(map(_is_going, self._state.pods.of(backend_selector(backend)))):
            self._asked.pop(key, None)
            deployment = self._state.deployments.get(backend_selector(backend))
            await self.remove(key, 0 if deployment is None else int(deployment["replicas"]))

    def stand_by(self) -> None:
        """Forget what was asked for: another replica scales."""
        self._asked.clear()
        self._unsure.clear()

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._acting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pods(self, selector: str, deployment: str) -> list[BackendPod]:
        """Return the backend's own pods that do not end yet."""
        own = {each.uid for each in self._state.replica_sets.values() if each.deployment == deployment}
        return [
            pod
            for pod in self._state.pods.of(selector)
            if pod.shown is not None and pod.shown.counts and pod.shown.replica_set in own
        ]

    def _observed(self, deployment: dict[str, Any], pods: list[BackendPod]) -> bool:
        """Return whether the controllers know how many pods there should be, and so take none for a former number."""
        status, sets = deployment["status"], {pod.shown.replica_set for pod in pods if pod.shown is not None}
        return status.get("observedGeneration", 0) >= (deployment["generation"] or 0) and all(
            each.observed and each.replicas >= len(pods)
            for each in self._state.replica_sets.values()
            if each.uid in sets
        )

    def _has_unwritten_result(self, key: str) -> bool:
        return any(
            isinstance(flight.phase, Ended)
            and key in {placed.key for placed, _ in cloud_tasks.parts_of(flight.phase.decision)}
            for flight in self._state.flights.values()
        )

    def _candidates(self, pods: list[BackendPod]) -> list[Candidate]:
        now = self._clock()
        given = given_to_pods(self._state, now)
        found = []
        for pod in pods:
            workers = 1 if pod.info is None else max(1, pod.info.workers)
            shown, before = self._seen(pod, now)
            found.append(
                Candidate(
                    pod.uid,
                    pod.key,
                    shown,
                    created=pod.created,
                    tasks=_tasks(pod),
                    remaining_seconds=free_seconds(workers, given.get(pod.uid, ()), now)[-1],
                    draining=pod.draining,
                    empty=_is_empty(pod),
                    kept=0 if pod.drained is None else max(pod.drained.kept_results, self._results.kept_on(pod.key)),
                    before=before,
                    problem=self._problems.get(pod.uid, ""),
                )
            )
        return found

    def _seen(self, pod: BackendPod, now: float) -> tuple[Shown, tuple[Shown, ...]]:
        """Return what is shown of a pod, without a mark that it may have no more, and what others may still see."""
        assert pod.shown is not None
        if not pod.shown.marked:
            self._unmarked.discard(pod.uid)
        kept = [each for each in self._shown.get(pod.uid, ()) if now - each[0] < _LAG_SECONDS]
        last = self._shown.get(pod.uid, [])[-1:]
        if last and last[0][1] != pod.shown and last[0] not in kept:
            # It held until some time after the last look.
            kept.append((now, last[0][1]))
        self._shown[pod.uid] = [*(each for each in kept if each[1] != pod.shown), (now, pod.shown)]
        before = tuple(shown for _, shown in self._shown[pod.uid][:-1])
        if self._mark_until.get(pod.uid, 0.0) > now:
            before = (replace(pod.shown, cost=GOES_FIRST), *before)
        if pod.uid in self._unmarked:
            return replace(pod.shown, cost=0), (pod.shown, *before)
        return pod.shown, before

    def _carry_out(self, made: Plan, pods: list[BackendPod], key: str) -> None:
        """Begin what is to be done with each pod, where nothing is done with it yet."""
        for pod in pods:
            if pod.uid in made.drain:
                # Known at once: no round gives it anything from now on.
                pod.leave()
                moves, marks = pod.uid in made.move, pod.uid in made.mark
                self._act(pod, partial(self._drain, pod, key, moves=moves, marks=marks))
            elif pod.uid in made.restore:
                self._act(pod, partial(self._restore, pod, key))

    def _act(self, pod: BackendPod, do: Callable[[], Awaitable[None]]) -> None:
        if pod.uid in self._acting:
            return

        async def act() -> None:
            try:
                await do()
                self._problems.pop(pod.uid, None)
            except (WireError, KubeError) as error:
                self._problems[pod.uid] = str(error)
                logger.info("pod %s: %s", pod.key, error)
            finally:
                self._acting.pop(pod.uid, None)

        self._acting[pod.uid] = asyncio.create_task(act(), name=f"scale {pod.key}")

    async def _drain(self, pod: BackendPod, backend: str, *, moves: bool, marks: bool) -> None:
        """Ask a pod that is to go how it does, each time anew: one that began again has forgotten that it drains."""
        if pod.admitted:
            # Where the answer is lost it drains still, unless a poll or the watch shows that it began anew.
            pod.drain(await self._data.drain(pod.endpoint, backend, on=True))
        if moves and pod.admitted:
            await self._results.move_away(pod.endpoint, backend)
        if marks:
            await self._mark(pod, goes=True)

    async def _restore(self, pod: BackendPod, backend: str) -> None:
        """Give a pod tasks again, once it is not among those any more that are taken first."""
        # It may have some before it answers.
        pod.drain(None)
        # The mark may not be shown yet.
        if self._mark_until.get(pod.uid) == math.inf or (pod.shown is not None and pod.shown.marked):
            await self._mark(pod, goes=False)
        if pod.admitted:
            info = await self._data.drain(pod.endpoint, backend, on=False)
            if pod.admitted:
                pod.stay(info)
        else:
            pod.stay(None)

    async def _mark(self, pod: BackendPod, *, goes: bool) -> None:
        namespace, name = pod.key.split("/", 1)
        if goes:
            self._mark_until[pod.uid] = math.inf
        else:
            self._unmarked.add(pod.uid)
        await self._kube.apply(marked(name, namespace, pod.uid, goes=goes))
        if goes:
            self._unmarked.discard(pod.uid)
        else:
            self._mark_until[pod.uid] = self._clock() + _LAG_SECONDS

    def _forget_gone(self) -> None:
        known: tuple[dict[str, Any], ...] = (self._problems, self._shown, self._mark_until)
        for each in known:
            for uid in [uid for uid in each if self._state.pods.find(uid) is None]:
                del each[uid]
        self._unmarked = {uid for uid in self._unmarked if self._state.pods.find(uid) is not None}


def _is_going(pod: BackendPod) -> bool:
    return pod.draining or (pod.shown is not None and pod.shown.marked)


def _tasks(pod: BackendPod) -> int:
    """Return how many tasks a pod has, as far as that is known; 1 where it may have some."""
    if pod.ready is None:
        return max(pod.assigned, int(pod.may_run_tasks))
    told = pod.drained or pod.info
    if told is None or pod.silent:
        return max(pod.assigned, 1)
    return max(pod.assigned, told.queued + told.running)


def _is_empty(pod: BackendPod) -> bool:
    """Return whether a pod certainly has no task and gets none."""
    if _tasks(pod):
        return False
    if pod.ready is not None:
        return pod.drained is not None
    # It may be ready by now, which the watch shows late, but no program is named to it: ``admits_programs``.
    return pod.leaving
