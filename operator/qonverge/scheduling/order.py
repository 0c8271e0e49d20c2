"""Who goes first: aging, priority classes, deadlines, then fair share between namespaces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.allowances import Allowances
from qonverge.scheduling.model import Job, Policy, Shares, Snapshot
from qonverge.scheduling.terms import Table

Kind = Literal["Aged", "Urgent", "Share"]


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that compete by the objective; a group goes after those before it."""

    kind: Kind
    """Aged: each goes where it starts first, in this order. Urgent: their deadlines are near. Share: all others."""
    jobs: tuple[int, ...]
    """Indices into the snapshot's jobs, in order of admission."""
    first_tranche: float = math.inf
    """Jobs that are the first tranche; each further one has twice as many."""

    def tranche(self, position: int) -> int:
        """Return which tranche the job at this position is in: on a backend it goes before all of later ones."""
        return int(math.log2(position / self.first_tranche + 1))


@dataclass(frozen=True, slots=True)
class Queue:
    """All jobs that some backend fits."""

    groups: tuple[Group, ...]
    over_quota: frozenset[int]
    """Jobs whose namespace's quota is used up by those before them."""


def line_up(snapshot: Snapshot, table: Table, policy: Policy, capacity: float) -> Queue:
    """Return the order in which jobs are admitted; ``capacity`` is how many tasks the backends take now.

    1. Jobs that have waited longer than the aging bound, whatever their priority: so a job that is past the bound goes
       before every job that is not, and before every later one of its own namespace.
    2. By priority class; in each, those whose deadline the work in front of them would endanger, least slack first;
       then the others by fair share. The objective says where each of them goes, and sees all; when it goes there is a
       matter of tranches, where several namespaces wait: the first has some jobs for each worker, or all that can be
       sent now where these are more, each further one twice as many.
    """
    fits = table.fits
    placeable = np.flatnonzero(fits.any(axis=1))
    shortest = np.where(fits, table.run, np.inf).min(axis=1, initial=np.inf)
    charges = shortest * np.array([slots(job) for job in snapshot.jobs])
    workers = sum(max(1, snapshot.backends[column].workers) for column in np.flatnonzero(fits.any(axis=0)).tolist())
    backlog = float(charges[placeable].sum()) / max(1, workers)
    slack = _slack(snapshot, table, backlog)
    fair = _FairShare(snapshot.jobs, charges, snapshot.shares)
    strata: dict[tuple[bool, int], list[int]] = {}
    for index in placeable.tolist():
        job = snapshot.jobs[index]
        aged = snapshot.now - job.created > policy.aging_seconds
        strata.setdefault((not aged, 0 if aged else -job.priority), []).append(index)
    groups: list[Group] = []
    allowances = Allowances(snapshot.quotas)
    over: set[int] = set()

    def admit(kind: Kind, jobs: Iterable[int], first_tranche: float = math.inf) -> None:
        admitted = [job for job in jobs if _within_quota(snapshot, table, job, charges, allowances)]
        over.update(set(jobs) - set(admitted))
        if admitted:
            groups.append(Group(kind, tuple(admitted), first_tranche))

    for (young, _), members in sorted(strata.items()):
        if not young:
            admit("Aged", fair.order(members))
            continue
        urgent = sorted((i for i in members if slack[i] < 0), key=lambda i: (slack[i], snapshot.jobs[i].key))
        admit("Urgent", urgent)
        fair.charge(urgent)
        hurried = set(urgent)
        ordered = fair.order([i for i in members if i not in hurried])
        several = len({snapshot.jobs[i].namespace for i in ordered}) > 1
        # By what can be sent now alone a tranche would mostly be one job: when a worker is free, the others are not.
        size = max(1.0, capacity, policy.tranche * workers) if several else math.inf
        admit("Share", ordered, size)
    return Queue(tuple(groups), frozenset(over))


def slots(job: Job) -> int:
    """Return the workers that the job takes at once."""
    return job.needs.slots if job.needs else 1


def _slack(snapshot: Snapshot, table: Table, backlog: float) -> Floats:
    """Return the seconds that each job has to spare if all that waits went before it; infinite without deadline."""
    soonest = np.where(table.fits, table.wait + table.run, np.inf).min(axis=1, initial=np.inf)
    deadline = np.array([np.inf if job.deadline is None else job.deadline for job in snapshot.jobs])
    due = np.isfinite(deadline) & np.isfinite(soonest)
    slack = np.full(len(deadline), np.inf)
    slack[due] = deadline[due] - snapshot.now - soonest[due] - backlog
    return slack


def _within_quota(snapshot: Snapshot, table: Table, index: int, charges: Floats, allowances: Allowances) -> bool:
    job = snapshot.jobs[index]
    if job.namespace not in allowances:
        return True
    shots = job.needs.charged_shots if job.needs else 0
    fits = table.verdicts[index] == 0
    # What a program uses is metered while it runs.
    costs = np.nan_to_num(table.cost[index][fits]) if job.needs is None else table.cost[index][fits]
    cheapest = int(np.nanargmin(costs)) if not np.isnan(costs).all() else 0
    currency = snapshot.backends[int(np.flatnonzero(fits)[cheapest])].currency
    return allowances.take(job.namespace, shots, float(charges[index]), [(float(costs[cheapest]), currency)])


class _FairShare:
    """Weighted fair queueing over namespaces.

    A job's turn comes by what its namespace has used and would use up to and with it, over the namespace's weight.
    """

    def __init__(self, jobs: Sequence[Job], charges: Floats, shares: Shares) -> None:
        self._jobs = jobs
        self._charges = charges
        self._shares = shares
        self._used: dict[str, float] = {}

    def charge(self, members: Iterable[int]) -> None:
        """Count the jobs as used by their namespaces."""
        for index in members:
            namespace = self._jobs[index].namespace
            self._used[namespace] = self._usage(namespace) + float(self._charges[index])

    def order(self, members: Sequence[int]) -> list[int]:
        """Return the jobs in order of their turn, oldest first within a namespace, and count them as used."""
        turns = []
        for index in sorted(members, key=lambda i: (self._jobs[i].created, self._jobs[i].key)):
            job = self._jobs[index]
            used = self._usage(job.namespace) + float(self._charges[index])
            self._used[job.namespace] = used
            turns.append((used / self._shares.of(job.namespace).weight, job.created, job.key, index))
        return [turn[-1] for turn in sorted(turns)]

    def _usage(self, namespace: str) -> float:
        used = self._used.get(namespace)
        return self._shares.of(namespace).usage if used is None else used
