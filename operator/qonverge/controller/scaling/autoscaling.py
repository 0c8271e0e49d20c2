"""The loop that follows what backends have to do: it decides how many pods each has, and says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from qonverge.api import QuantumBackend
from qonverge.api.placement import seconds_of
from qonverge.api.scaling import Scaling
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.pod_troubles import UNSCHEDULABLE
from qonverge.controller.placement.snapshot import START_SECONDS
from qonverge.controller.scaling.work import Work, work_of, workers_of
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.scaling import Autoscaler, Decision, Demand, Policy

logger = logging.getLogger(__name__)

_PANIC_SHARE = 0.1
# Where the number stays, what bounds it and what decided are written this often at most.
_BOUND_SECONDS = 5.0
_NEWS_SECONDS = 30.0
# What one pod took to start counts half beside all before it.
_NEW = 0.5


def policy_of(scaling: Scaling) -> Policy:
    """Return how a backend is scaled, with the defaults for what is not given."""
    defaults = Policy()

    def given(duration: str | None, default: float) -> float:
        return default if duration is None else seconds_of(duration)

    stable, budget = given(scaling.stable_window, defaults.stable_window), scaling.budget
    assert scaling.max_replicas is not None
    return Policy(
        min_replicas=defaults.min_replicas if scaling.min_replicas is None else scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        target_queue_seconds=given(scaling.target_queue_time, defaults.target_queue_seconds),
        stable_window=stable,
        panic_window=_PANIC_SHARE * stable,
        scale_down_after=given(scaling.scale_down_after, defaults.scale_down_after),
        scale_to_zero_after=given(scaling.scale_to_zero_after, defaults.scale_to_zero_after),
        max_scale_up_rate=scaling.max_scale_up_rate or defaults.max_scale_up_rate,
        max_scale_down_rate=scaling.max_scale_down_rate or defaults.max_scale_down_rate,
        affordable_replicas=scaling.affordable_replicas,
        budget="" if budget is None else f"the hourly budget of {budget.max_per_hour} {budget.currency}",
    )


class Remover(Protocol):
    """Makes a backend's pods fewer without ending a task."""

    async def remove(self, key: str, wanted: int) -> tuple[int, str]:
        """Return how many pods the backend's Deployment may have now, and why not what is wanted, else nothing.

        Args:
            key: the backend's.
            wanted: pods that should be left; it may be more than there are.
        """
        ...

    async def take_back(self, key: str) -> None:
        """Let all pods of a backend get tasks again, of which others decide now how many there are."""
        ...

    def stand_by(self) -> None:
        """Forget what is under way: another replica scales."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


@dataclass(slots=True)
class _Scaled:
    """What the loop knows of one backend."""

    autoscaler: Autoscaler
    policy: Policy
    tasks: set[str] = field(default_factory=set)
    """Attempts that were there at the last decision."""
    recorded_at: float = 0.0
    """When a decision was last recorded, Unix seconds."""


class Autoscaling:
    """Scales the backends of the replica that leads."""

    def __init__(self, *, state: State, queue: WorkQueue, remover: Remover, clock: Callable[[], float]) -> None:
        """Scale nothing yet.

        Args:
            state: what is known; ``replicas`` and what goes with it are kept here.
            queue: gets the backends that should have another number of pods.
            remover: says which numbers a Deployment may have.
            clock: Unix seconds.
        """
        self._state = state
        self._queue = queue
        self._remover = remover
        self._clock = clock
        self._last = self._unix = self._set_back = 0.0
        self._scaled: dict[str, _Scaled] = {}
        # Pods that were there before this replica led, or of which the time that they took is known.
        self._timed: dict[str, set[str]] = {}
        self.wanted = asyncio.Event()
        """Set where a decision should not wait for its turn."""

    def stand_by(self) -> None:
        """Forget everything: another replica scales."""
        for known in (self._scaled, self._timed, self._state.replicas, self._state.scaled, self._state.start_seconds):
            known.clear()
        self._remover.stand_by()

    async def close(self) -> None:
        """End what is under way."""
        await self._remover.close()

    async def step(self) -> None:
        """Decide once for every backend."""
        unix = self._clock()
        # Windows go on where the clock is set back: they would stand still until it is where it was.
        self._set_back += max(0.0, self._unix - unix)
        self._unix, self._last = unix, unix + self._set_back
        state, work, now = self._state, work_of(self._state, unix), self._last
        for key in work:
            self._time_starts(key, state.backends[key])
        scaled = {key: backend for key in work if (backend := state.backends[key]).spec.automatic}
        _keep(scaled, self._scaled, state.replicas, state.scaled)
        _keep(work, self._timed, state.start_seconds)
        for key in state.backends.keys() - scaled.keys():
            await self._remover.take_back(key)
        for key, backend in scaled.items():
            try:
                await self._scale(key, backend, work[key], now)
            except Exception:
                # A defect that one backend trips must not keep the others from scaling.
                logger.exception("backend %s could not be scaled", key)

    async def _scale(self, key: str, backend: QuantumBackend, work: Work, now: float) -> None:
        state, scaling = self._state, backend.spec.scaling
        assert scaling is not None
        # Pods that drain are the Deployment's still, and none of those that were wanted.
        decided = state.scaled.get(key)
        policy, before = policy_of(scaling), state.replicas_of(backend) if decided is None else decided.replicas
        known = self._scaled.get(key)
        if known is None:
            known = self._scaled[key] = _Scaled(Autoscaler(policy, now, before), policy, set(work.tasks))
        if known.policy != policy:
            known.autoscaler.follow(policy)
            known.policy = policy
        selector = backend_selector(backend)
        troubles = [pod.trouble[1].reason for pod in state.pods.of(selector) if pod.trouble is not None]
        demand = Demand(
            waiting=work.waiting,
            running=work.running,
            # A task that came and ended between two decisions is seen by the worker that it kept busy only.
            arrived=[run for attempt, run in work.tasks.items() if attempt not in known.tasks],
            replicas=before,
            ready=min(before, len(state.pods_of(key))),
            workers_per_pod=workers_of(state, backend),
            start_seconds=state.start_seconds.get(key, START_SECONDS),
            unschedulable=troubles.count(UNSCHEDULABLE),
            programs=work.programs,
        )
        known.tasks = set(work.tasks)
        decision = known.autoscaler.scale(demand, now)
        replicas, why = await self._remover.remove(key, decision.replicas)
        if state.backends.get(key) is backend:
            self._record(key, known, decision, replicas, why)

    def _record(self, key: str, known: _Scaled, decision: Decision, replicas: int, why: str) -> None:
        """Keep what was decided, and have it carried out and written, where it is another number.

        What bounds and what decides change more often than the number: that is worth a write now and then.
        """
        before = self._state.scaled.get(key)
        if before is not None and (before.replicas, self._state.replicas.get(key)) == (decision.replicas, replicas):
            if (before.bound, before.driver) == (decision.bound, decision.driver):
                return
            rest = _NEWS_SECONDS if before.bound == decision.bound else _BOUND_SECONDS
            if self._last < known.recorded_at + rest:
                return
        known.recorded_at = self._last
        message = f"{decision.message}; {why}" if why else decision.message
        self._state.replicas[key], self._state.scaled[key] = replicas, replace(decision, message=message)
        logger.info("backend %s: %s", key, message)
        self._queue.add(f"QuantumBackend {key}", urgent=True)

    def _time_starts(self, key: str, backend: QuantumBackend) -> None:
        """Learn how long pods take to start."""
        there = {pod.uid: pod.started_in for pod in self._state.pods.of(backend_selector(backend))}
        timed = self._timed.setdefault(key, set(there))
        for took in [took for uid, took in there.items() if took is not None and uid not in timed]:
            before = self._state.start_seconds.get(key)
            self._state.start_seconds[key] = took if before is None else before + _NEW * (took - before)
        self._timed[key] = {uid for uid, took in there.items() if took is not None or uid in timed}


def _keep(keys: Collection[str], *known: MutableMapping[str, Any]) -> None:
    """Forget what is known of other backends than these."""
    for each in known:
        for key in each.keys() - set(keys):
            del each[key]
