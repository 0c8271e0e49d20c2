"""Work that yields to higher priorities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qonverge.scheduling.model import Active, Job, Preemption
from qonverge.scheduling.order import slots
from qonverge.scheduling.progress import Round
from qonverge.scheduling.terms import Verdict
from qonverge.scheduling.texts import duration

_MOST = 64
"""Jobs for which work is displaced in one round, at most; the next round sees what it brought."""
_CAPACITY = (Verdict.FITS, Verdict.FULL, Verdict.WAIT, Verdict.DEADLINE)
"""Verdicts that displacing work can change."""
_STALE = "calibration is not to be trusted"


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one backend could free for a job."""

    victims: tuple[Active, ...]
    start: float
    """When the job could start then, seconds from now."""
    backend: int

    @property
    def loss(self) -> tuple[int, float]:
        """What it costs: tasks that have started, then time that is still needed elsewhere."""
        return sum(v.started for v in self.victims), sum(v.remaining_seconds for v in self.victims)


def displace(this: Round) -> tuple[Preemption, ...]:
    """Return the work that makes room for jobs of higher priority that would wait too long otherwise.

    Only work whose policy allows it yields: what is queued, and what has started where it can go on from a checkpoint.
    Those of the lowest priority yield first, and no more than the job needs. What waits on a backend whose calibration
    went stale is taken back for its own sake.
    """
    jobs, found = this.snapshot.jobs, _recalled(this)
    recalled = {preemption.job for preemption in found}
    free = {
        column: [
            a for a in this.snapshot.active if a.backend == backend.key and a.job not in recalled and _may_yield(a)
        ]
        for column, backend in enumerate(this.snapshot.backends)
    }
    lowest = min((a.priority for victims in free.values() for a in victims), default=None)
    if lowest is None:
        return tuple(found)
    for index in _waiting(this, lowest)[:_MOST]:
        job = jobs[index]
        offer = _best_offer(this, index, job, free)
        if offer is None:
            continue
        free[offer.backend] = [a for a in free[offer.backend] if a not in offer.victims]
        for victim in offer.victims:
            found.append(Preemption(victim.job, victim.backend, job.key, _why(this, index, job, victim, offer)))
    return tuple(found)


def _recalled(this: Round) -> list[Preemption]:
    """Return the work that has not started on backends whose calibration can't be trusted any more."""
    stale = {b.key: b.calibration_stale_reason for b in this.snapshot.backends if b.calibration_stale_reason}
    return [
        Preemption(
            a.job, a.backend, a.job, f"{a.job} had not started on {a.backend}, whose {_STALE}: {stale[a.backend]}"
        )
        for a in this.snapshot.active
        if a.backend in stale and not a.started
    ]


def _may_yield(active: Active) -> bool:
    return active.preemptible and not active.yields and (not active.started or active.checkpointable)


def _waiting(this: Round, lowest: int) -> list[int]:
    patience = this.policy.preempt_after_seconds
    jobs = this.snapshot.jobs
    waiting = [
        index
        for index, job in enumerate(jobs)
        if job.may_preempt
        and job.priority > lowest
        and index not in this.sent
        and index not in this.over_quota
        and (index not in this.placements or this.placements[index].start > patience)
    ]
    return sorted(waiting, key=lambda index: (-jobs[index].priority, jobs[index].created, jobs[index].key))


def _best_offer(this: Round, index: int, job: Job, free: dict[int, list[Active]]) -> _Offer | None:
    planned = this.placements[index].start if index in this.placements else np.inf
    offers = []
    for column in np.flatnonzero(np.isin(this.table.verdicts[index], _CAPACITY)).tolist():
        lower = [a for a in free[column] if a.priority < job.priority]
        # Room for tasks gives a program no slot, nor does a program's end give a task room.
        if this.capacity[column].has_slots(job.ranks_of(0)):
            offer = _offer(this, index, job, column, [a for a in lower if not a.ranks])
        else:
            offer = _slots_offer(this, index, job, column, [a for a in lower if a.ranks])
        if offer is not None and offer.start + this.policy.preempt_after_seconds < planned:
            offers.append(offer)
    return min(offers, key=lambda offer: (offer.loss, offer.start, offer.backend), default=None)


def _offer(this: Round, index: int, job: Job, column: int, lower: Iterable[Active]) -> _Offer | None:
    """Return the fewest victims that let the job start soon on the backend, lowest priority first."""
    workers = max(1, this.snapshot.backends[column].workers)
    wait = float(this.table.wait[index, column])
    freed, victims = 0, []
    for victim in sorted(lower, key=lambda a: (a.priority, a.started, -a.remaining_seconds, a.job)):
        victims.append(victim)
        if victim.started:
            freed += victim.slots
            if freed >= slots(job):
                wait = 0.0
        else:
            wait = max(0.0, wait - victim.remaining_seconds * victim.slots / workers)
        if wait <= this.policy.preempt_after_seconds and wait + this.table.run[index, column] <= this.due[index]:
            return _Offer(tuple(victims), wait, column)
    return None


def _slots_offer(this: Round, index: int, job: Job, column: int, lower: Iterable[Active]) -> _Offer | None:
    """Return the fewest programs whose end frees the slots that a program lacks, those of lowest priority first."""
    capacity, key = this.capacity[column], this.snapshot.backends[column].key
    leaving = sum(active.ranks for active in this.snapshot.active if active.yields and active.backend == key)
    missing = min(job.ranks_of(0), capacity.slots) - capacity.programs - leaving
    if missing <= 0 or job.backends > 1 or this.table.run[index, column] > this.due[index]:
        # Ranks of several backends begin together: to make room on one of them may be for nothing.
        return None
    victims: list[Active] = []
    for victim in sorted(lower, key=lambda a: (a.priority, -a.remaining_seconds, a.job)):
        victims.append(victim)
        missing -= victim.ranks
        if missing <= 0:
            return _Offer(tuple(victims), 0.0, column)
    return None


def _why(this: Round, index: int, job: Job, victim: Active, offer: _Offer) -> str:
    placement = this.placements.get(index)
    instead = f"{duration(placement.start)}" if placement else "an unknown time"
    state = "was running and begins again later" if victim.started else "had not started"
    return (
        f"{job.key} of priority {job.priority} starts on {victim.backend} in {duration(offer.start)} instead of "
        f"{instead}; {victim.job} of priority {victim.priority} {state}"
    )
