"""Small worlds for the scheduler: builders of snapshots, and a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from qonverge.forecast.intervals import Intervals, JobForecasts
from qonverge.scheduling import Active, Backend, Estimates, Job, Needs, Plan, Policy, Shares, Snapshot, plan

NEEDS = Needs(2, 1000, False, 64)


def job(name: str, namespace: str = "chem", created: float = 0.0, **fields: object) -> Job:
    return Job(f"{namespace}/{name}", namespace, created, **{"needs": NEEDS, **fields})  # type: ignore[arg-type]


def backend(name: str, **fields: object) -> Backend:
    return Backend(name, "lab", True, **{"dispatch_depth": 0, **fields})  # type: ignore[arg-type]


def row(fidelity: ArrayLike, run: ArrayLike, cost: ArrayLike, high: float = 1.0) -> JobForecasts:
    """One job's forecasts, which are certain but for the run time: ``high`` times it is its upper bound."""
    fidelities, runs, costs = (np.asarray(values, dtype=np.float64) for values in (fidelity, run, cost))
    return JobForecasts(
        fidelity=Intervals(fidelities, fidelities, fidelities),
        run_seconds=Intervals(runs, runs, runs * high),
        cost=Intervals(costs, costs, costs),
    )


def estimates(
    fidelity: Sequence[Sequence[float]] | float,
    run: Sequence[Sequence[float]] | float,
    cost: Sequence[Sequence[float]] | float,
    shape: tuple[int, int],
    high: float = 1.0,
) -> Estimates:
    """Forecasts from tables or one number for all; ``high`` times the run time is its upper bound."""
    tables = [np.broadcast_to(np.asarray(values, dtype=np.float64), shape) for values in (fidelity, run, cost)]
    rows = [row(f, r, c, high) for f, r, c in zip(*tables, strict=True)]
    return Estimates.stack(rows, shape[1])


def snapshot(
    jobs: Sequence[Job],
    backends: Sequence[Backend],
    fidelity: Sequence[Sequence[float]] | float = 0.9,
    run: Sequence[Sequence[float]] | float = 10.0,
    cost: Sequence[Sequence[float]] | float = 0.0,
    now: float = 0.0,
    high: float = 1.0,
    **fields: object,
) -> Snapshot:
    made = estimates(fidelity, run, cost, (len(jobs), len(backends)), high)
    return Snapshot(tuple(jobs), tuple(backends), now, made, **fields)  # type: ignore[arg-type]


@dataclass(slots=True)
class Task:
    """A job on a backend: its workers are taken in order of arrival."""

    job: Job
    backend: int
    run: float
    start: float
    end: float


@dataclass(slots=True)
class World:
    """A virtual clock around ``plan``: rounds whenever a job comes or ends."""

    backends: tuple[Backend, ...]
    forecast: Callable[[Job], JobForecasts]
    """A job's row of forecasts."""
    actual: Callable[[Job, int], float]
    """Its true run time on a backend."""
    policy: Policy = field(default_factory=Policy)
    shares: Shares = field(default_factory=Shares)
    now: float = 0.0
    waiting: dict[str, Job] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    done: list[Task] = field(default_factory=list)
    rows: dict[str, JobForecasts] = field(default_factory=dict)
    on_round: Callable[[Snapshot, Plan], None] = lambda _snapshot, _plan: None

    def run(self, arrivals: Sequence[Job], on_end: Callable[[Task], Sequence[Job]], until: float) -> None:
        """Live through the arrivals; ``on_end`` may return further jobs."""
        coming = [(job.created, number, job) for number, job in enumerate(arrivals)]
        heapq.heapify(coming)
        number = len(coming)
        while True:
            ends = min((task.end for task in self.tasks), default=np.inf)
            upcoming = coming[0][0] if coming else np.inf
            moment = min(ends, upcoming)
            if moment > until:
                return
            self.shares = self.shares.later(moment - self.now)
            self.now = moment
            ended = [task for task in self.tasks if task.end <= moment]
            self.tasks = [task for task in self.tasks if task.end > moment]
            for task in ended:
                self.done.append(task)
                for job in on_end(task):
                    number += 1
                    heapq.heappush(coming, (job.created, number, job))
            while coming and coming[0][0] <= moment:
                arrived = heapq.heappop(coming)[2]
                self.waiting[arrived.key] = arrived
                self.rows[arrived.key] = self.forecast(arrived)
            self._round()

    def _round(self) -> None:
        jobs = tuple(self.waiting.values())
        seen = []
        for index, one in enumerate(self.backends):
            free = self._free(index)
            there = sum(task.backend == index for task in self.tasks)
            seen.append(
                replace(one, free_seconds=tuple(max(0.0, t - self.now) for t in free), load=there / one.workers)
            )
        made = Estimates.stack([self.rows[job.key] for job in jobs], len(self.backends))
        active = tuple(
            Active(t.job.key, t.job.namespace, self.backends[t.backend].key, t.job.priority, t.start <= self.now)
            for t in self.tasks
        )
        view = Snapshot(jobs, tuple(seen), self.now, made, self.shares, active=active)
        decided = plan(view, self.policy)
        self.on_round(view, decided)
        column = {one.key: number for number, one in enumerate(self.backends)}
        sent = [decision for decision in decided.decisions if decision.backend is not None]
        for decision in sorted(sent, key=lambda decision: (decision.expected_start, decision.job)):
            assert decision.backend is not None
            self._send(self.waiting.pop(decision.job), column[decision.backend.key])

    def _send(self, job: Job, target: int) -> None:
        slots = job.needs.slots if job.needs else 1
        start = max(self.now, self._free(target)[slots - 1])
        run = self.actual(job, target)
        self.tasks.append(Task(job, target, run, start, start + run))
        self.shares = self.shares.charged(job.namespace, run * slots)
        self.rows.pop(job.key)

    def _free(self, target: int) -> list[float]:
        """When each worker will have done what it has, by true times: a forecast's error shows in the next round."""
        free = [self.now] * self.backends[target].workers
        for task in sorted((t for t in self.tasks if t.backend == target), key=lambda t: (t.start, t.end)):
            slots = task.job.needs.slots if task.job.needs else 1
            free = sorted([*free[slots:], *[task.end] * slots])
        return free
