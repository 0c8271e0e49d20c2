"""Jobs in several submissions: shots split over equal backends, and a second try for a deadline in danger."""

from __future__ import annotations

import math

import numpy as np

from qonverge.scheduling.fees import fees, in_limits
from qonverge.scheduling.model import Split
from qonverge.scheduling.order import slots
from qonverge.scheduling.progress import Piece, Round
from qonverge.scheduling.terms import MONEY_TOLERANCE

_WORTH_SPLITTING = 0.95
"""A further backend must bring the end this much nearer."""


def pieces(this: Round, job: int, backend: int) -> tuple[Piece, ...]:
    """Return the job's submissions when it goes to this backend: one, or several where it may be split."""
    wanted = this.snapshot.jobs[job]
    if wanted.backends > 1:
        return _of_ranks(this, job, backend)
    shots = wanted.needs.shots if wanted.needs else 0
    if wanted.split is None or shots == 0:
        run = float(this.table.run[job, backend])
        return (Piece(backend, shots, 1.0, this.lanes[backend].start(run, slots(wanted)), run),)
    best = {backend: shots}
    for spread in _spreads(this, job, backend, shots, wanted.split):
        best = spread
    return _submissions(this, job, best)


def _of_ranks(this: Round, job: int, backend: int) -> tuple[Piece, ...]:
    """Return one piece for each group of a program's ranks, on this backend and on the best of the others.

    There are fewer than it has groups where so many backends do not fit: then the job must stay.
    """
    wanted = this.snapshot.jobs[job]
    run, width = this.table.run[job], slots(wanted)
    starts = {
        each: max(lanes.start(float(run[each]), width), this.slots.start(wanted, each))
        for each, lanes in enumerate(this.lanes)
        if this.table.fits[job, each]
    }
    scores = {each: float(this.static[job, each] + this.weight[job] * (starts[each] + run[each])) for each in starts}
    others = sorted((each for each in starts if each != backend), key=lambda each: (scores[each], each))
    chosen = [backend, *others[: wanted.backends - 1]]
    return tuple(Piece(each, 0, 1 / wanted.backends, starts[each], float(run[each]), "Ranks") for each in chosen)


def cost_most(this: Round, job: int, piece: Piece) -> float:
    """Return the upper bound of what a submission costs: its share of shots and time, and the fees of its own tasks.

    It is in its backend's currency, and NaN where it is not known.
    """
    needs, backend = this.snapshot.jobs[job].needs, this.snapshot.backends[piece.backend]
    whole = float(this.table.cost_most[job, piece.backend])
    if needs is None or piece.shots == needs.shots:
        return whole
    return (whole - fees(needs, backend, needs.shots)) * piece.fraction + fees(needs, backend, piece.shots)


def _spreads(this: Round, job: int, backend: int, shots: int, split: Split) -> list[dict[int, int]]:
    """Return ways to spread the shots over more and more equal backends, each ending clearly sooner than the last.

    A backend that starts at ``s`` and needs ``r`` for all shots does ``(T - s) / r`` of them until ``T``; the end ``T``
    is where these shares sum to 1.
    """
    lanes, run = this.lanes, this.table.run[job]
    width = slots(this.snapshot.jobs[job])
    start = {b: lanes[b].start(float(run[b]), width) for b in _equals(this, job, backend)}
    others = sorted((b for b in start if b != backend), key=lambda b: (start[b], float(run[b]), b))
    end = start[backend] + float(run[backend])
    used = [backend]
    found = []
    for other in others:
        chosen = [*used, other]
        rates = [1 / max(float(run[b]), 1e-9) for b in chosen]
        new = (1 + sum(start[b] * rate for b, rate in zip(chosen, rates, strict=True))) / sum(rates)
        counts = _whole([(new - start[b]) * rate for b, rate in zip(chosen, rates, strict=True)], shots)
        limits = [this.snapshot.backends[b].max_shots for b in chosen]
        allowed = all(_divisible(count, limit, split) for count, limit in zip(counts, limits, strict=True))
        if new > end * _WORTH_SPLITTING or not allowed:
            break
        spread = dict(zip(chosen, counts, strict=True))
        # Another one may have smaller fees.
        if _is_paid(this, job, spread):
            used, end = chosen, new
            found.append(spread)
    return found


def _is_paid(this: Round, job: int, spread: dict[int, int]) -> bool:
    """Return whether the budget and the quota have what all the submissions cost together.

    The backends have one currency. What is in another one is no limit of theirs: they fit, so that they cost nothing.
    """
    wanted = this.snapshot.jobs[job]
    quota = this.snapshot.quotas.get(wanted.namespace)
    limits = [wanted.budget, None if quota is None else quota.cost]
    total = sum(cost_most(this, job, piece) for piece in _submissions(this, job, spread))
    return not any(limit is not None and total > float(limit.amount) + MONEY_TOLERANCE for limit in limits)


def _equals(this: Round, job: int, backend: int) -> list[int]:
    fidelity = this.table.fidelity[job]
    if math.isnan(fidelity[backend]):
        return [backend]
    near = np.abs(fidelity - fidelity[backend]) <= this.policy.split_tolerance
    same_money = np.array([b.currency == this.snapshot.backends[backend].currency for b in this.snapshot.backends])
    return np.flatnonzero(near & same_money & this.table.fits[job]).tolist()


def _whole(shares: list[float], shots: int) -> list[int]:
    counts = [max(0, math.floor(share * shots)) for share in shares]
    counts[0] += shots - sum(counts)
    return counts


def _divisible(shots: int, limit: int | None, split: Split) -> bool:
    return shots >= len(in_limits(shots, limit)) * split.min_shots


def _submissions(this: Round, job: int, spread: dict[int, int]) -> tuple[Piece, ...]:
    """Return the parts of backends as submissions that each keep its limit of shots, one behind the other."""
    wanted = this.snapshot.jobs[job]
    total = sum(spread.values())
    found = []
    for backend, count in spread.items():
        ahead = this.lanes[backend].copy()
        for part in in_limits(count, this.snapshot.backends[backend].max_shots):
            run = float(this.table.run[job, backend]) * part / total
            found.append(Piece(backend, part, part / total, ahead.put(run, slots(wanted)), run))
    return tuple(found)


def hedge(this: Round, job: int) -> Piece | None:
    """Return a second submission for a job whose deadline is in danger, if its policy and budget allow.

    The deadline is in danger when the run time's upper bound goes beyond it. The second backend must be able to take
    the job now and meet the deadline by its forecast.
    """
    wanted, placement, estimates = this.snapshot.jobs[job], this.placements[job], this.snapshot.estimates
    if not wanted.hedge or wanted.deadline is None or estimates is None or len(placement.pieces) > 1:
        return None
    (first,) = placement.pieces
    if not first.start + estimates.run_seconds_high[job, first.backend] > this.due[job]:
        return None
    best: Piece | None = None
    for backend in np.flatnonzero(this.table.fits[job]).tolist():
        run = float(this.table.run[job, backend])
        start = this.lanes[backend].start(run, slots(wanted))
        limit = wanted.terms.max_wait_seconds
        possible = (
            backend != first.backend
            and start + run <= this.due[job]
            and (limit is None or start <= limit)
            and this.capacity[backend].takes(slots(wanted))
            and _affordable(this, job, first.backend, backend)
        )
        if possible and (best is None or start + run < best.start + best.run):
            best = Piece(backend, first.shots, 1.0, start, run, "Hedge")
    return best


def _affordable(this: Round, job: int, first: int, second: int) -> bool:
    budget, cost = this.snapshot.jobs[job].budget, this.table.cost_most[job]
    return budget is None or float(cost[first] + cost[second]) <= float(budget.amount)
