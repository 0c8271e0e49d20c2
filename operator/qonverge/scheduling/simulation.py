"""Rounds on a virtual clock: what follows from a policy's decisions, where one round's change the next one's."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from qonverge.forecast.intervals import JobForecasts
from qonverge.scheduling.estimates import Estimates
from qonverge.scheduling.model import Active, Backend, Job, PartKind, Plan, Policy, Shares, Snapshot
from qonverge.scheduling.network import Links
from qonverge.scheduling.schedulers import decide


@dataclass(slots=True)
class Task:
    """A job, or a part of it, on a backend: its workers are taken in order of arrival."""

    job: Job
    backend: int
    run: float
    start: float
    end: float
    share: float = 1.0
    """Of the job's shots."""
    kind: PartKind = "Split"


@dataclass(slots=True)
class Simulation:
    """A virtual clock around a policy: a round whenever a job comes or a task ends, and at moments that are given."""

    backends: tuple[Backend, ...]
    """As they are but for what tasks of the simulation make of them; ``on_time`` may change all but their order."""
    forecast: Callable[[Job], JobForecasts]
    """A job's row of forecasts."""
    actual: Callable[[Job, int], float]
    """Its true run time on a backend, seconds."""
    policy: Policy = field(default_factory=Policy)
    shares: Shares = field(default_factory=Shares)
    now: float = 0.0
    waiting: dict[str, Job] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    done: list[Task] = field(default_factory=list)
    rows: dict[str, JobForecasts] = field(default_factory=dict)
    occupied: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """By backend: when each worker is free of what it had before the simulation, on its clock."""
    on_round: Callable[[Snapshot, Plan], None] = lambda _snapshot, _plan: None
    arrival: Callable[[Job], float] = lambda job: job.created
    """When a job is first seen, on the simulation's clock."""
    on_time: Callable[[float], None] = lambda _now: None
    """Called as the clock moves, before the round."""
    links: Links = field(default_factory=dict)

    def run(
        self,
        arrivals: Sequence[Job],
        on_end: Callable[[Task], Sequence[Job]],
        until: float,
        moments: Sequence[float] = (),
    ) -> None:
        """Live through the arrivals; ``on_end`` may return further jobs, and ``moments`` have rounds too."""
        coming = [(self.arrival(job), number, job) for number, job in enumerate(arrivals)]
        heapq.heapify(coming)
        number, ticks = len(coming), sorted(moments, reverse=True)
        while True:
            ends = min((task.end for task in self.tasks), default=math.inf)
            moment = min(ends, coming[0][0] if coming else math.inf, ticks[-1] if ticks else math.inf)
            if moment > until or moment == math.inf:
                return
            moment = max(self.now, moment)
            self.shares = self.shares.later(moment - self.now)
            self.now = moment
            self.on_time(moment)
            while ticks and ticks[-1] <= moment:
                ticks.pop()
            for task in self._ended():
                for job in on_end(task):
                    number += 1
                    heapq.heappush(coming, (self.arrival(job), number, job))
            while coming and coming[0][0] <= moment:
                arrived = heapq.heappop(coming)[2]
                self.waiting[arrived.key] = arrived
                self.rows[arrived.key] = self.forecast(arrived)
            if self.waiting:
                self._round()

    def _ended(self) -> list[Task]:
        """Take off the backends what has ended; of hedged jobs the other try goes with the first that ends."""
        ended = [task for task in self.tasks if task.end <= self.now]
        twice = {task.job.key for task in self.tasks if task.kind == "Hedge"}
        hedged = {task.job.key for task in ended} & twice
        left = [task for task in self.tasks if task.end > self.now]
        self.tasks = [task for task in left if task.job.key not in hedged]
        self.done += [*ended, *(task for task in left if task.job.key in hedged)]
        return ended

    def _round(self) -> None:
        jobs = tuple(self.waiting.values())
        made = Estimates.stack([self.rows[job.key] for job in jobs], len(self.backends))
        active = tuple(
            Active(
                *(t.job.key, t.job.namespace, self.backends[t.backend].key, t.job.priority, t.start <= self.now),
                remaining_seconds=t.end - max(t.start, self.now),
                slots=_slots(t.job),
            )
            for t in self.tasks
        )
        seen = tuple(self._seen(n) for n in range(len(self.backends)))
        view = Snapshot(jobs, seen, self.now, made, self.shares, active=active, links=self.links)
        decided = decide(view, self.policy)
        self.on_round(view, decided)
        column = {one.key: number for number, one in enumerate(self.backends)}
        sent = [decision for decision in decided.decisions if decision.backend is not None]
        for decision in sorted(sent, key=lambda decision: (decision.expected_start or 0.0, decision.job)):
            assert decision.backend is not None
            job = self.waiting.pop(decision.job)
            self.rows.pop(job.key)
            if not decision.parts:
                self._send(job, column[decision.backend.key], 1.0, "Split")
            for part in decision.parts:
                whole = job.needs.shots if job.needs else 0
                self._send(job, column[part.backend.key], part.shots / whole if whole else 1.0, part.kind)

    def _seen(self, index: int) -> Backend:
        """Return a backend with what the simulation gave it."""
        one = self.backends[index]
        there = sum(task.backend == index for task in self.tasks)
        room = None if one.room is None else max(0, one.room - there)
        if one.queue_seconds is not None:
            # A queue that others fill: what is sent from here says little.
            return replace(one, room=room)
        free = tuple(max(0.0, time - self.now) for time in self._free(index))
        return replace(one, free_seconds=free, load=there / max(1, one.workers), room=room)

    def _send(self, job: Job, target: int, share: float, kind: PartKind) -> None:
        start = max(self.now, self._free(target)[_slots(job) - 1])
        run = self.actual(job, target) * share
        self.tasks.append(Task(job, target, run, start, start + run, share, kind))
        self.shares = self.shares.charged(job.namespace, run * _slots(job))

    def _free(self, target: int) -> list[float]:
        """When each worker will have done what it has, by true times: a forecast's error shows in the next round."""
        one = self.backends[target]
        if one.queue_seconds is not None:
            return [self.now + one.queue_seconds] * max(1, one.workers)
        before = [max(self.now, time) for time in self.occupied.get(target, ())][: one.workers]
        free = sorted([*before, *[self.now] * (max(1, one.workers) - len(before))])
        for task in sorted((t for t in self.tasks if t.backend == target), key=lambda t: (t.start, t.end)):
            slots = _slots(task.job)
            free = sorted([*free[slots:], *[task.end] * slots])
        return free


def _slots(job: Job) -> int:
    return job.needs.slots if job.needs else 1
