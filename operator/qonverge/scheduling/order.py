"""Who goes first: aging, priority classes, deadlines, then fair share between namespaces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qonverge.scheduling.estimates import Floats
from qonverge.scheduling.model import Job, Policy, Shares, Snapshot
from qonverge.scheduling.terms import Allowance, Table

Kind = Literal["Aged", "Urgent", "Share", "Rest"]


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that compete by the objective; a group goes after those before it."""

    kind: Kind
    """Aged: each goes where it starts first, in this order. Urgent: their deadlines are near. Share: what the
    namespaces' shares let in. Rest: what waits behind, and will be planned again."""
    jobs: tuple[int, ...]
    """Indices into the snapshot's jobs, in order of admission."""


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
       then the others by fair share, where namespaces compete in tranches: the first as large as what can be sent
       now, each further one twice as large, so that the shares decide who goes first and the objective where.
    """
    fits = table.fits
    placeable = np.flatnonzero(fits.any(axis=1))
    shortest = np.where(fits, table.run, np.inf).min(axis=1, initial=np.inf)
    charges = shortest * np.array([slots(job) for job in snapshot.jobs])
    workers = sum(max(1, backend.workers) for backend in snapshot.backends)
    backlog = float(charges[placeable].sum()) / max(1, workers)
    slack = _slack(snapshot, table, backlog)
    fair = _FairShare(snapshot.jobs, charges, snapshot.shares)
    strata: dict[tuple[bool, int], list[int]] = {}
    for index in placeable.tolist():
        job = snapshot.jobs[index]
        aged = snapshot.now - job.created > policy.aging_seconds
        strata.setdefault((not aged, 0 if aged else -job.priority), []).append(index)
    groups: list[Group] = []
    allowances = {namespace: Allowance(quota) for namespace, quota in snapshot.quotas.items()}
    over: set[int] = set()

    def admit(kind: Kind, jobs: Iterable[int]) -> None:
        admitted = [job for job in jobs if _within_quota(snapshot, table, job, charges, allowances)]
        over.update(set(jobs) - set(admitted))
        if admitted:
            groups.append(Group(kind, tuple(admitted)))

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
        size = max(1.0, policy.tranche * capacity) if several else math.inf
        kind: Kind = "Share"
        while ordered:
            count = int(min(size, len(ordered)))
            admit(kind, ordered[:count])
            ordered, size, kind = ordered[count:], 2 * size, "Rest"
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


def _within_quota(
    snapshot: Snapshot, table: Table, index: int, charges: Floats, allowances: dict[str, Allowance]
) -> bool:
    job = snapshot.jobs[index]
    allowance = allowances.get(job.namespace)
    if allowance is None:
        return True
    shots = job.needs.charged_shots if job.needs else 0
    fits = table.verdicts[index] == 0
    costs = table.cost[index][fits]
    cheapest = int(np.nanargmin(costs)) if not np.isnan(costs).all() else 0
    currency = snapshot.backends[int(np.flatnonzero(fits)[cheapest])].currency
    return allowance.take(shots, float(charges[index]), float(costs[cheapest]), currency)


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
