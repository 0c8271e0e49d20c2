"""Pods that take time to start, their workers and one queue, on a virtual clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qonverge.scaling.model import Demand
from qonverge.scaling.removal import Pod, choose

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trace:
    """Tasks in the order in which they come."""

    name: str
    arrivals: Floats
    """Seconds from the start, rising."""
    seconds: Floats
    """How long each runs on a worker."""

    @property
    def work(self) -> float:
        """Worker seconds."""
        return float(self.seconds.sum())


@dataclass(frozen=True, slots=True)
class Pool:
    """What a scaler sees."""

    tasks: int
    """Those that wait or run."""
    replicas: int
    """Pods that were asked for and do not drain."""
    ready: int
    """Those of them that serve."""
    demand: Callable[[], Demand]
    """What ours goes by."""


class Scaler(Protocol):
    """What decides how many replicas there are."""

    @property
    def interval(self) -> float:
        """Seconds between two decisions."""

    @property
    def start_replicas(self) -> int:
        """Pods that serve at the start."""

    @property
    def drains(self) -> bool:
        """Whether it chooses pods that are free and takes drained ones back; else the ReplicaSet controller chooses."""

    def replicas(self, pool: Pool, now: float) -> int:
        """Return how many pods there should be."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A pool that stays as it is."""

    start_replicas: int
    interval: float = 3600.0
    drains: bool = True

    def replicas(self, pool: Pool, now: float) -> int:
        return self.start_replicas


@dataclass(frozen=True, slots=True)
class Plant:
    """What all scalers have in common."""

    workers_per_pod: int = 2
    start_seconds: float = 10.0
    """Of a pod, on average; each takes up to 30 % more or less."""
    forecast_deviation: float = 0.4
    """Of the logarithm of a forecast run time from the true one."""
    grace_seconds: float = 30.0
    """What a pod that is deleted has left."""


@dataclass(slots=True)
class _Pod:
    number: int
    made: float
    ready: bool = False
    draining: bool = False
    tasks: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trace."""

    waits: Floats
    """Seconds from a task's arrival to its start."""
    pod_seconds: float
    """Of pods that start, serve or drain."""
    cut_short: int
    """Tasks that still ran when the grace of a pod that was taken away had passed: a kubelet would have killed them."""
    events: int
    """Changes of the number of replicas."""

    @property
    def p95(self) -> float:
        """95th percentile of the waits, seconds."""
        return float(np.quantile(self.waits, 0.95))

    @property
    def pod_hours(self) -> float:
        return self.pod_seconds / 3600


_TICK, _ARRIVAL, _END, _READY = 0, 1, 2, 3


class Simulation:
    """One trace under one scaler."""

    def __init__(self, trace: Trace, scaler: Scaler, plant: Plant, seed: int = 1) -> None:
        self._trace, self._scaler, self._plant = trace, scaler, plant
        random = np.random.default_rng(seed)
        errors = np.exp(plant.forecast_deviation * random.standard_normal(len(trace.seconds)))
        self._forecasts: list[float] = (trace.seconds * errors).tolist()
        self._seconds: list[float] = trace.seconds.tolist()
        self._random = random
        self._pods: dict[int, _Pod] = {}
        self._numbers = 0
        self._queue: deque[int] = deque()
        self._running: dict[int, tuple[float, int]] = {}
        self._events: list[tuple[float, int, int]] = []
        self._arrived: list[float] = []
        self._waits = np.zeros(len(trace.seconds))
        self._pod_seconds = 0.0
        self._cut_short = 0
        self._changes = 0

    def run(self) -> Outcome:
        """Run until the last task has come and all have ended."""
        arrivals = self._trace.arrivals.tolist()
        end = arrivals[-1]
        for _ in range(self._scaler.start_replicas):
            self._make(0.0, ready=True)
        push = heapq.heappush
        push(self._events, (0.0, _TICK, 0))
        push(self._events, (arrivals[0], _ARRIVAL, 0))
        left = len(arrivals)
        now = 0.0
        while left or now < end:
            now, kind, which = heapq.heappop(self._events)
            if kind == _TICK:
                self._decide(now)
                push(self._events, (now + self._scaler.interval, _TICK, 0))
            elif kind == _ARRIVAL:
                self._queue.append(which)
                self._arrived.append(self._forecasts[which])
                if which + 1 < len(arrivals):
                    push(self._events, (arrivals[which + 1], _ARRIVAL, which + 1))
                self._assign(now)
            elif kind == _END:
                left -= 1
                self._finish(which, now)
            elif which in self._pods:
                self._pods[which].ready = True
                self._assign(now)
        for pod in list(self._pods.values()):
            self._remove(pod, now)
        return Outcome(self._waits, self._pod_seconds, self._cut_short, self._changes)

    def _make(self, now: float, *, ready: bool = False) -> None:
        self._numbers += 1
        self._pods[self._numbers] = _Pod(self._numbers, now, ready)
        if not ready:
            takes = self._plant.start_seconds * self._random.uniform(0.7, 1.3)
            heapq.heappush(self._events, (now + takes, _READY, self._numbers))

    def _remove(self, pod: _Pod, now: float) -> None:
        assert not pod.tasks, "a pod with a task was removed"
        self._pod_seconds += now - pod.made
        del self._pods[pod.number]

    def _finish(self, task: int, now: float) -> None:
        pod = self._pods[self._running.pop(task)[1]]
        pod.tasks.discard(task)
        if pod.draining and not pod.tasks:
            self._remove(pod, now)
        else:
            self._assign(now)

    def _assign(self, now: float) -> None:
        """Give waiting tasks to free workers, in the pod that has most to do."""
        most = self._plant.workers_per_pod
        while self._queue:
            room = [pod for pod in self._pods.values() if pod.ready and not pod.draining and len(pod.tasks) < most]
            if not room:
                return
            best = max(room, key=lambda pod: len(pod.tasks))
            task = self._queue.popleft()
            self._waits[task] = now - self._trace.arrivals[task]
            best.tasks.add(task)
            self._running[task] = (now, best.number)
            heapq.heappush(self._events, (now + self._seconds[task], _END, task))

    def _left(self, task: int, now: float) -> float:
        # Of a task beyond its forecast a quarter is taken to be left, as placement does.
        forecast = self._forecasts[task]
        return max(self._running[task][0] + forecast - now, forecast / 4)

    def _decide(self, now: float) -> None:
        active = [pod for pod in self._pods.values() if not pod.draining]
        before = len(active)
        ready = sum(pod.ready for pod in active)

        def demand() -> Demand:
            arrived, self._arrived = self._arrived, []
            return Demand(
                [self._forecasts[task] for task in self._queue],
                [self._left(task, now) for task in self._running],
                arrived,
                before,
                ready,
                self._plant.workers_per_pod,
                self._plant.start_seconds,
            )

        wanted = self._scaler.replicas(Pool(len(self._queue) + len(self._running), before, ready, demand), now)
        if wanted != before:
            self._changes += 1
        if self._scaler.drains:
            self._scale_draining(wanted, now)
        else:
            self._scale_as_replica_set(wanted, active, now)
        self._assign(now)

    def _scale_draining(self, wanted: int, now: float) -> None:
        if wanted == sum(not pod.draining for pod in self._pods.values()):
            return
        removal = choose([self._seen(pod, now) for pod in self._pods.values()], wanted)
        drain = {int(name) for name in removal.drain}
        for pod in self._pods.values():
            pod.draining = pod.number in drain
        for name in removal.remove:
            self._remove(self._pods[int(name)], now)
        for _ in range(wanted - len(self._pods)):
            self._make(now)

    def _seen(self, pod: _Pod, now: float) -> Pod:
        left = max((self._left(task, now) for task in pod.tasks), default=0.0)
        return Pod(str(pod.number), pod.ready, pod.draining, len(pod.tasks), left, pod.made)

    def _scale_as_replica_set(self, wanted: int, active: list[_Pod], now: float) -> None:
        for _ in range(wanted - len(active)):
            self._make(now)
        # What is not ready goes first, then what is ready for the shortest time.
        for pod in sorted(active, key=lambda pod: (pod.ready, -pod.made))[: max(0, len(active) - wanted)]:
            over = now + self._plant.grace_seconds
            self._cut_short += sum(self._running[t][0] + self._seconds[t] > over for t in pod.tasks)
            pod.draining = True
            if not pod.tasks:
                self._remove(pod, now)
