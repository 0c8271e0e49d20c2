"""Decisions with their reasons, from what a round found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qonverge.api.backend import OFFERS_LABEL
from qonverge.scheduling.model import Backend, Candidate, Decision, Job, Part, Preemption
from qonverge.scheduling.network import link_of
from qonverge.scheduling.parts import cost_most
from qonverge.scheduling.progress import Placement, Round
from qonverge.scheduling.terms import Verdict
from qonverge.scheduling.texts import Rejections, duration, numbers

_WORTH_SAYING = 0.1
"""Seconds by which one way is shorter than another."""
_SAME = 1e-9


def decisions(this: Round, preemptions: Sequence[Preemption]) -> tuple[Decision, ...]:
    """Return a decision for every job, in the snapshot's order."""
    fitting = this.table.fits.sum(axis=1).tolist()
    rejected = (this.table.verdicts > Verdict.NOT_MEANT).sum(axis=1).tolist()
    made = []
    for index, job in enumerate(this.snapshot.jobs):
        placement = this.placements.get(index)
        if placement is None:
            made.append(_stays(this, index, job, fitting[index], rejected[index]))
        else:
            made.append(_goes(this, index, job, placement, fitting[index], rejected[index]))
    if not preemptions:
        return tuple(made)
    yields: dict[str, list[str]] = {}
    for preemption in preemptions:
        yields.setdefault(preemption.beneficiary, []).append(f"{preemption.job} on {preemption.backend}")
    return tuple(_with_room(decision, yields.get(decision.job)) for decision in made)


def _goes(this: Round, index: int, job: Job, placement: Placement, fitting: int, rejected: int) -> Decision:
    first = placement.pieces[0]
    backend = this.snapshot.backends[first.backend]
    chosen = _candidate(this, index, first.backend, first.start)
    candidates = [chosen]
    if placement.second_best is not None:
        candidates.append(_candidate(this, index, placement.second_best, placement.second_wait))
    sent = index in this.sent
    name = backend.label_for(job.namespace)
    told = numbers(chosen, backend)
    if fitting == 1:
        choice = "the only candidate" if not rejected else f"the only one of {1 + rejected} candidates that fits"
    else:
        choice = f"the best of {fitting} that fit"
    if sent:
        reason = f"{name} is {choice}: {told}"
    elif placement.slot_place:
        reason = f"{_place_for_slot(this, job, placement)}; {name} is {choice}"
    else:
        reason = f"held for {name}, {choice}, until it can start: {told}"
    if backend.starting and not sent:
        reason += f"; {backend.starting}"
    if placement.second_best is not None:
        second = this.snapshot.backends[placement.second_best]
        reason += f"; next is {second.label_for(job.namespace)}: {numbers(candidates[1], second)}"
        reason += _ways_text(this, index, chosen, candidates[1], backend, second)
    reason += _parts_text(this, job, placement)
    return Decision(
        job.key,
        backend if sent else None,
        reason,
        rejected=_rejections(this, index, job) if rejected else {},
        planned=None if sent else backend,
        expected_start=this.snapshot.now + first.start,
        parts=_parts(this, placement),
        candidates=tuple(candidates),
        slot_place=0 if sent else placement.slot_place,
    )


def _place_for_slot(this: Round, job: Job, placement: Placement) -> str:
    """Return where a program is in the queue for slots, and when its turn comes."""
    column, ranks = placement.pieces[placement.slot_piece].backend, job.ranks_of(placement.slot_piece)
    backend, waiting = this.snapshot.backends[column], this.slots.waiting(column)
    total = len(backend.slot_seconds or ())
    slots = "the program slot" if total == 1 else f"the {total} program slots"
    if total > 1 and ranks > 1:
        slots = f"all {total} program slots" if ranks >= total else f"{ranks} of {slots}"
    return (
        f"place {placement.slot_place} of {waiting} in the queue for {slots} of {backend.label_for(job.namespace)}, "
        f"start in about {duration(placement.start)}"
    )


def _candidate(this: Round, index: int, column: int, wait: float) -> Candidate:
    table = this.table
    fidelity, cost, run, energy = (
        float(values[index, column]) for values in (table.fidelity, table.cost, table.run, table.energy)
    )
    run_known = bool(table.run_known[index, column])
    return Candidate(
        backend=this.snapshot.backends[column].key,
        fidelity=None if math.isnan(fidelity) else fidelity,
        wait_seconds=wait,
        run_seconds=run if run_known else None,
        cost=None if math.isnan(cost) else cost,
        network_seconds=float(this.network[index, column]),
        score=float(this.static[index, column] + this.weight[index] * (wait + run)),
        energy_joules=energy if run_known and not math.isnan(energy) else None,
    )


def _ways_text(this: Round, index: int, chosen: Candidate, other: Candidate, backend: Backend, second: Backend) -> str:
    """Return the ways to the chosen backend and to the next, where that one would be better but for them."""
    job, shorter = this.snapshot.jobs[index], other.network_seconds - chosen.network_seconds
    if shorter < _WORTH_SAYING or other.score > chosen.score + float(this.weight[index]) * shorter + _SAME:
        return ""
    told = [
        f"{duration(candidate.network_seconds)} to {each.label_for(job.namespace)} "
        f"({link_of(job, each, this.snapshot.links)})"
        for candidate, each in ((chosen, backend), (other, second))
    ]
    return f"; the ways decide: {' and '.join(told)}"


def _parts(this: Round, placement: Placement) -> tuple[Part, ...]:
    if len(placement.pieces) == 1:
        return ()
    return tuple(Part(this.snapshot.backends[p.backend], p.shots, p.kind) for p in placement.pieces)


def _parts_text(this: Round, job: Job, placement: Placement) -> str:
    if len(placement.pieces) == 1:
        return ""
    names = [this.snapshot.backends[p.backend].label_for(job.namespace) for p in placement.pieces]
    if placement.pieces[-1].kind == "Ranks":
        return f"; its ranks are spread over {', '.join(names)}"
    if placement.pieces[-1].kind == "Hedge":
        return f"; also sent to {names[-1]}, since the deadline is in danger"
    counts = [f"{piece.shots} shots on {name}" for piece, name in zip(placement.pieces, names, strict=True)]
    # They have one currency.
    together = sum(cost_most(this, placement.job, piece) for piece in placement.pieces)
    paid = f", up to {together:.2f} {this.snapshot.backends[placement.pieces[0].backend].currency} together"
    return f"; split: {', '.join(counts)}{paid if together > 0 else ''}"


def _stays(this: Round, index: int, job: Job, fitting: int, rejected: int) -> Decision:
    if not fitting and not rejected:
        return Decision(job.key, None, _none_exists(job, this.snapshot.backends))
    why = _rejections(this, index, job)
    total = fitting + rejected
    count = f"{rejected} of {total} backends rejected: " if total > 1 and rejected else ""
    if not fitting:
        hopeless = why.hopeless
        remedy = why.remedy() if hopeless else ""
        reason = count + why.summary()
        over = hopeless and why.over_budget
        return Decision(job.key, None, reason, impossible=hopeless, over_budget=over, rejected=why, remedy=remedy)
    summary = f"; {count}{why.summary()}" if rejected else ""
    if fitting < job.backends:
        reason = f"its ranks call {job.backends} different backends and {fitting} of {total} can take it"
        remedy = "put more ranks on each with program.ranksPerBackend"
        return Decision(job.key, None, reason + summary, rejected=why, remedy=remedy)
    columns = np.flatnonzero(this.table.fits[index])
    best = int(columns[int(np.argmin(this.table.wait[index, columns]))])
    label = this.snapshot.backends[best].label_for(job.namespace)
    wait = f"best wait: {label}, {duration(float(this.table.wait[index, best]))}"
    if index in this.over_quota:
        reason = f"the quota of namespace {job.namespace} is used up by what goes before it"
        quota = this.snapshot.quotas[job.namespace]
        if quota.renews_at is not None:
            reason += f" and renews in {duration(quota.renews_at - this.snapshot.now)}"
    else:
        reason = f"behind what goes before it, {_late(this, index, job)}"
    return Decision(job.key, None, f"{reason}; {wait}{summary}", rejected=why)


def _late(this: Round, index: int, job: Job) -> str:
    limits = []
    if job.terms.max_wait_seconds is not None:
        limits.append(f"start within {duration(job.terms.max_wait_seconds)}")
    if job.deadline is not None:
        limits.append(f"end within {duration(float(this.due[index]))}")
    return f"no backend would {' and '.join(limits)}"


def _rejections(this: Round, index: int, job: Job) -> Rejections:
    quota = this.snapshot.quotas.get(job.namespace)
    return Rejections(job, this.snapshot.backends, this.table, index, this.snapshot.now, quota)


def _with_room(decision: Decision, victims: list[str] | None) -> Decision:
    if victims is None:
        return decision
    return replace(decision, reason=f"{decision.reason}; makes room by displacing {', '.join(victims)}")


def _none_exists(job: Job, backends: Sequence[Backend]) -> str:
    reachable = sorted(b.label_for(job.namespace) for b in backends if b.admits(job.namespace))
    there = f"there are {', '.join(reachable)}" if reachable else "there is none that this namespace may use"
    if withheld := sorted({b.namespace for b in backends if b.offer_withheld and b.namespace != job.namespace}):
        there += (
            f"; those of {', '.join(withheld)} are offered without the label {OFFERS_LABEL}=true on their namespace"
        )
    if job.backend_name is not None:
        where = f" in namespace {job.backend_namespace}" if job.backend_namespace else ""
        return f"waiting for a QuantumBackend named {job.backend_name}{where}; {there}"
    if job.backend_selector is not None:
        return f"waiting for a QuantumBackend with labels {job.backend_selector}; {there}"
    return f"waiting for a QuantumBackend: {there}"
