"""One round: a snapshot in, a plan for every job out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.allowances import Allowances
from qonverge.scheduling.assign import solve
from qonverge.scheduling.capacity import Capacity
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.model import Plan, Policy, Snapshot
from qonverge.scheduling.network import network_seconds
from qonverge.scheduling.objective import Problem, objective
from qonverge.scheduling.order import Group, line_up, slots
from qonverge.scheduling.parts import cost_most, hedge, pieces
from qonverge.scheduling.preempt import displace
from qonverge.scheduling.progress import Piece, Placement, Round
from qonverge.scheduling.reasons import decisions
from qonverge.scheduling.scoring import second_weights, static_costs
from qonverge.scheduling.slots import Slots
from qonverge.scheduling.terms import free_times, judge


def plan(snapshot: Snapshot, policy: Policy | None = None) -> Plan:
    """Decide for every job of the snapshot.

    Jobs are admitted in groups (see ``order.line_up``); each group is assigned as a whole, so that the objective over
    it is least, behind what the groups before it got; then shares order what goes to the same backend. What can start
    soon is sent; the rest is planned only, and planned again in the next round. Nothing that breaks a hard term,
    exceeds a backend's room or a quota is sent. Equal snapshots give equal plans.
    """
    policy = policy or Policy()
    this = _begin(snapshot, policy)
    if snapshot.backends:
        for group in this.queue.groups:
            if group.kind == "Aged":
                _first_start(this, group)
            else:
                _assign(this, group)
        _send(this)
    preemptions = displace(this) if snapshot.active else ()
    return Plan(decisions(this, preemptions), preemptions, this.objective, this.lower_bound)


def _begin(snapshot: Snapshot, policy: Policy) -> Round:
    typical = _typical_runs(snapshot, policy)
    lanes = [free_times(backend, run) for backend, run in zip(snapshot.backends, typical, strict=True)]
    table = judge(snapshot, lanes, policy)
    capacity = [Capacity.of(backend) for backend in snapshot.backends]
    network = network_seconds(snapshot, policy)
    queue = line_up(snapshot, table, policy, sum(max(0.0, min(c.workers, c.room)) for c in capacity))
    return Round(
        snapshot=snapshot,
        policy=policy,
        table=table,
        static=static_costs(snapshot, table, policy, network),
        network=network,
        weight=second_weights(snapshot, policy),
        due=np.array([math.inf if job.deadline is None else job.deadline - snapshot.now for job in snapshot.jobs]),
        lanes=lanes,
        slots=Slots(snapshot.backends),
        capacity=capacity,
        queue=queue,
        placements={},
        sent=set(),
        over_quota=set(queue.over_quota),
    )


def _typical_runs(snapshot: Snapshot, policy: Policy) -> list[float]:
    if snapshot.estimates is None or not snapshot.jobs:
        return [policy.usual_seconds] * len(snapshot.backends)
    known = ~np.isnan(snapshot.estimates.run_seconds)
    total = np.where(known, snapshot.estimates.run_seconds, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), policy.usual_seconds).tolist()  # type: ignore[no-any-return]


def _first_start(this: Round, group: Group) -> None:
    """Put each job where it starts first.

    Nothing admitted later then starts before it where it could have gone, but in gaps that do not delay it.
    """
    free: dict[int, Floats] = {}
    gaps: set[int] = set()
    for job in group.jobs:
        wanted = slots(this.snapshot.jobs[job])
        if wanted not in free:
            free[wanted] = np.array([_free(lanes, wanted) for lanes in this.lanes])
        waits = free[wanted].copy()
        for backend in gaps if wanted == 1 else ():
            waits[backend] = this.lanes[backend].start(float(this.table.run[job, backend]))
        waits = _with_slots(this, job, waits)
        soonest = np.where(this.table.fits[job], waits, math.inf)
        best = int(np.argmin(np.where(soonest == soonest.min(), this.static[job], math.inf)))
        if _commit(this, job, best, waits) or _anywhere(this, job):
            for backend in {piece.backend for piece in this.placements[job].pieces}:
                (gaps.add if this.lanes[backend].has_gaps else gaps.discard)(backend)
                for width, times in free.items():
                    times[backend] = _free(this.lanes[backend], width)


def _free(lanes: Lanes, wanted: int) -> float:
    """Return when so many workers are free, gaps aside."""
    return lanes.times[wanted - 1] if wanted <= lanes.workers else math.inf


def _assign(this: Round, group: Group) -> None:
    # Of a program neither its tasks nor their length is known: each goes where it is best off as things are. First,
    # since it would wait for ever behind circuits that come and come.
    programs = [job for job in group.jobs if this.slots.limited(this.snapshot.jobs[job])]
    for job in programs:
        _anywhere(this, job)
    if circuits := [job for job in group.jobs if job not in programs]:
        _assign_together(this, replace(group, jobs=tuple(circuits)))


def _assign_together(this: Round, group: Group) -> None:
    rows = np.array(group.jobs, dtype=np.intp)
    problem = Problem(
        static=this.static[rows],
        run=this.table.run[rows],
        slots=np.array([slots(this.snapshot.jobs[row]) for row in group.jobs], dtype=np.intp),
        weight=this.weight[rows],
        due=this.due[rows],
        lateness=this.policy.lateness,
        lanes=tuple(lanes.copy() for lanes in this.lanes),
    )
    solution = solve(problem)
    # Where a job goes is decided with all that wait behind it in view, or the best backend would be given away to
    # whose turn it is. When it goes there is up to the shares first: the sort is stable.
    sequences = [sorted(sequence, key=group.tranche) for sequence in solution.sequences]
    this.objective += objective(problem, sequences)
    this.lower_bound += solution.lower_bound
    waits = np.array([lanes.first for lanes in this.lanes])
    left_out = []
    for backend, sequence in enumerate(sequences):
        for index in sequence:
            if not _commit(this, group.jobs[index], backend, waits):
                left_out.append(group.jobs[index])
    for job in sorted(left_out, key=group.jobs.index):
        _anywhere(this, job)


def _anywhere(this: Round, job: int) -> bool:
    """Put the job where it is cheapest as the lanes are now and no hard term is broken, if there is such a place."""
    waits = _waits(this, job)
    order = np.argsort(this.static[job] + this.weight[job] * (waits + this.table.run[job]), kind="stable")
    return any(_commit(this, job, backend, waits) for backend in order.tolist() if this.table.fits[job, backend])


def _waits(this: Round, job: int) -> NDArray[np.float64]:
    wanted = slots(this.snapshot.jobs[job])
    waits = np.array(
        [
            lanes.start(float(run), wanted) if wanted <= lanes.workers else math.inf
            for lanes, run in zip(this.lanes, this.table.run[job], strict=True)
        ]
    )
    return _with_slots(this, job, waits)


def _with_slots(this: Round, job: int, waits: Floats) -> Floats:
    """Return the waits of a program with those for slots."""
    wanted = this.snapshot.jobs[job]
    if not this.slots.limited(wanted):
        return waits
    return np.maximum(waits, [this.slots.start(wanted, backend) for backend in range(len(waits))])


def _commit(this: Round, job: int, backend: int, waits: Floats) -> bool:
    """Put the job on the backend's lanes, unless a hard term would be broken there."""
    wanted = this.snapshot.jobs[job]
    found = pieces(this, job, backend)
    # All ranks begin together.
    free = [this.slots.start(wanted, piece.backend, part) for part, piece in enumerate(found)]
    found = tuple(replace(piece, start=max(piece.start, *free)) for piece in found)
    longest = math.inf if wanted.terms.max_wait_seconds is None else wanted.terms.max_wait_seconds
    if len(found) < wanted.backends:
        return False
    if any(piece.start > longest or piece.start + piece.run > this.due[job] for piece in found):
        return False
    # A program's tasks are not known, and those that run already are on no lane either: its slot is what it takes.
    for piece in () if this.slots.limited(wanted) else found:
        this.lanes[piece.backend].put(piece.run, slots(wanted))
    second, wait = _runner_up(this, job, backend, waits)
    places = [this.slots.put(wanted, piece.backend, part) for part, piece in enumerate(found)]
    last = free.index(max(free))
    this.placements[job] = Placement(job, found, second, wait, places[last], last)
    return True


def _runner_up(this: Round, job: int, chosen: int, waits: Floats) -> tuple[int | None, float]:
    scores = this.static[job] + this.weight[job] * (waits + this.table.run[job])
    scores[chosen] = math.inf
    second = int(np.argmin(scores))
    return (second, float(waits[second])) if math.isfinite(scores[second]) else (None, math.nan)


def _send(this: Round) -> None:
    """Choose what is sent now: what the backends' dispatch depth and room take, and quotas allow."""
    ready = _within_depth(this)
    allowances = Allowances(this.snapshot.quotas)
    for job in [job for job in this.placements if job in ready]:
        if not _take(this, allowances, job, this.placements[job].pieces):
            this.over_quota.add(job)
            del this.placements[job]
            continue
        this.sent.add(job)
        second = hedge(this, job)
        if second is not None and _take(this, allowances, job, (second,), jobs=0):
            this.lanes[second.backend].put(second.run, slots(this.snapshot.jobs[job]))
            this.capacity[second.backend].take(slots(this.snapshot.jobs[job]))
            this.placements[job] = replace(this.placements[job], pieces=(*this.placements[job].pieces, second))


def _within_depth(this: Round) -> set[int]:
    """Return the jobs all of whose pieces their backends take now.

    Each backend takes work in order of its start and stops at the first that must be held back: what starts after that
    one would go before it otherwise.
    """
    queues: list[list[tuple[float, int, int]]] = [[] for _ in this.lanes]
    for job, placement in this.placements.items():
        for part, piece in enumerate(placement.pieces):
            queues[piece.backend].append((piece.start, job, this.snapshot.jobs[job].ranks_of(part)))
    taken: dict[int, int] = {}
    for backend, queue in enumerate(queues):
        # Equal starts keep the order of admission.
        queue.sort(key=lambda entry: entry[0])
        capacity, held = this.capacity[backend], False
        for start, job, ranks in queue:
            wanted = slots(this.snapshot.jobs[job])
            held = held or not capacity.has_slots(ranks)
            if ranks and held:
                # It keeps nobody back but other programs, also those for which there are slots enough: they would be
                # taken one by one, and many never be free at once.
                continue
            # Work that takes several workers would block those that are free until the last one is.
            there = this.snapshot.backends[backend]
            blocked = wanted > 1 and start > 0 and there.dispatch_depth is not None
            if blocked or start > there.ahead_seconds or not capacity.take(wanted, ranks=ranks):
                break
            taken[job] = taken.get(job, 0) + 1
    return {job for job, count in taken.items() if count == len(this.placements[job].pieces)}


def _take(this: Round, allowances: Allowances, job: int, submissions: Sequence[Piece], *, jobs: int = 1) -> bool:
    namespace, needs = this.snapshot.jobs[job].namespace, this.snapshot.jobs[job].needs
    if namespace not in allowances:
        return True
    shots = sum(math.ceil(piece.fraction * needs.charged_shots) for piece in submissions) if needs else 0
    run = this.table.run_most[job]
    seconds = sum(float(run[piece.backend]) * piece.fraction for piece in submissions) * slots(this.snapshot.jobs[job])
    backends = this.snapshot.backends
    costs = [(cost_most(this, job, piece), backends[piece.backend].currency) for piece in submissions]
    if needs is None:
        # What a program uses is metered while it runs.
        costs = [(0.0 if math.isnan(cost) else cost, currency) for cost, currency in costs]
    return allowances.take(namespace, shots, seconds, costs, jobs=jobs)


def check(snapshot: Snapshot, policy: Policy, made: Plan) -> str:
    """Return what is wrong with a plan that another scheduler made, empty where nothing is.

    It decides for every job in the snapshot's order, sends to backends of the snapshot, breaks no hard term, and sends
    no more than a backend's room or what quotas have left.
    """
    if [decision.job for decision in made.decisions] != [job.key for job in snapshot.jobs]:
        return "did not decide for every job in the snapshot's order"
    this = _begin(snapshot, policy)
    columns = {backend.key: column for column, backend in enumerate(snapshot.backends)}
    allowances = Allowances(snapshot.quotas)
    for index, decision in enumerate(made.decisions):
        if decision.backend is None:
            continue
        job = snapshot.jobs[index]
        shots = job.needs.shots if job.needs else 0
        places = [(part.backend, part.shots) for part in decision.parts] or [(decision.backend, shots)]
        found = []
        for part, (backend, count) in enumerate(places):
            column = columns.get(backend.key)
            if column is None or not this.table.fits[index, column]:
                return f"sent {job.key} to {backend.key}, which breaks a hard term"
            if not this.capacity[column].take(slots(job), ranks=job.ranks_of(part)):
                return f"sent {job.key} to {backend.key} beyond what it takes"
            found.append(
                Piece(column, count, count / shots if shots else 1.0, 0.0, float(this.table.run[index, column]))
            )
        if not _take(this, allowances, index, found):
            return f"sent {job.key} beyond the quota of its namespace"
    return ""
