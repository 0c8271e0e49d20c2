"""Which backends a job may go to: every hard term, over all jobs and backends at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from qonverge.forecast.intervals import Floats
from qonverge.providers.descriptor import STATE_POWER
from qonverge.scheduling.fees import of_submissions
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.model import Backend, Job, Policy, Snapshot
from qonverge.scheduling.network import round_trips

MONEY_TOLERANCE = 1e-9
"""Costs are compared in floats, whose sums are not exact."""


class Verdict(IntEnum):
    """The first term that a job and a backend break; up to ``NEVER`` no waiting helps."""

    FITS = 0
    NOT_MEANT = 1
    ACCESS = 2
    QUBITS = 3
    SHOTS = 4
    SLOTS = 5
    FEATURES = 6
    MEMORY = 7
    TIER = 8
    REGION = 9
    CURRENCY = 10
    BUDGET = 11
    TOO_LATE = 12
    MISFIT = 13
    NEVER = 13
    NOT_SERVING = 20
    CALIBRATION = 21
    FIDELITY = 22
    NO_FIDELITY = 23
    LATENCY = 24
    NO_LATENCY = 25
    NO_COST = 26
    QUOTA = 27
    FULL = 28
    WAIT = 29
    DEADLINE = 30
    NOT_SELECTED = 31
    OUT_OF_ORDER = 32
    TWO_QUBIT_ERROR = 33
    READOUT_ERROR = 34
    SIZE_AWAITED = 35


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Every pair of job and backend: rows are jobs, columns backends."""

    verdicts: NDArray[np.int8]
    fits: NDArray[np.bool_]
    """Pairs that break no term."""
    fidelity: Floats
    """NaN where unknown."""
    run: Floats
    """Seconds; the policy's usual time where nothing is forecast."""
    run_known: NDArray[np.bool_]
    cost: Floats
    """NaN where unknown."""
    run_most: Floats
    """Upper bound of ``run``: what a quota must have left."""
    cost_most: Floats
    """Upper bound of ``cost``: what a budget or a quota must have left."""
    energy: Floats
    """Joules, for ``run``; NaN where the backend's power is unknown."""
    wait: Floats
    """Seconds until the job could start, behind what the backend has already."""
    way: Floats
    """Round trip as it was measured, seconds; NaN where it was not."""


def free_times(backend: Backend, typical_run: float) -> Lanes:
    """Return when the backend's workers are free.

    ``typical_run`` is the length of tasks of which only the number is known, seconds.
    """
    known = backend.free_seconds[: backend.workers]
    queue = backend.queue_seconds
    rest = backend.load * typical_run if queue is None else queue
    return Lanes([*(max(0.0, time) for time in known), *[max(0.0, rest)] * (max(1, backend.workers) - len(known))])


def judge(snapshot: Snapshot, lanes: Sequence[Lanes], policy: Policy) -> Table:
    """Return which pairs fit, and the first term that the others break."""
    jobs, backends = snapshot.jobs, snapshot.backends
    shape = (len(jobs), len(backends))
    estimates = snapshot.estimates
    unknown = np.full(shape, np.nan)
    fidelity = unknown if estimates is None else estimates.fidelity
    forecast = unknown if estimates is None else estimates.run_seconds
    cost = unknown if estimates is None else of_submissions(jobs, backends, estimates.cost)
    run_known = ~np.isnan(forecast)
    run = np.where(run_known, forecast, policy.usual_seconds)
    # A bound that is not known is the value itself.
    run_most = run if estimates is None else np.fmax(run, estimates.run_seconds_high)
    cost_most = cost
    if estimates is not None:
        cost_most = np.where(np.isnan(cost), cost, np.fmax(cost, of_submissions(jobs, backends, estimates.cost_high)))
    wait, way = _waits(jobs, lanes), round_trips(snapshot)
    verdicts = _by_group(jobs, _reach_key, lambda job: _reach(job, backends), len(backends))
    verdicts[_of_other_sizes(jobs, backends)] = Verdict.NOT_MEANT
    judged = _Judged(verdicts)
    _circuit_terms(judged, jobs, backends)
    _misfit_terms(judged, jobs, backends, lasting=True)
    placement = _by_group(jobs, _placement_key, lambda job: _placement(job, backends), len(backends))
    judged.verdicts = np.where(judged.verdicts == 0, placement, judged.verdicts)
    _money_terms(judged, jobs, backends, cost_most)
    slack = np.array([np.inf if job.deadline is None else job.deadline - snapshot.now for job in jobs])[:, None]
    judged.mark(run > slack, Verdict.TOO_LATE)
    _present_terms(judged, jobs, backends, fidelity, way)
    _quota_terms(judged, snapshot, run_most, cost_most)
    longest = _column(jobs, lambda job: job.terms.max_wait_seconds, np.inf)
    judged.mark(wait > longest, Verdict.WAIT)
    judged.mark(wait + run > slack, Verdict.DEADLINE)
    fits = np.equal(judged.verdicts, Verdict.FITS)
    energy = run * _row(backends, lambda b: b.task_watts, np.nan)
    return Table(judged.verdicts, fits, fidelity, run, run_known, cost, run_most, cost_most, energy, wait, way)


class _Judged:
    """Verdicts so far: the first one stays."""

    def __init__(self, verdicts: NDArray[np.int8]) -> None:
        self.verdicts = verdicts

    def mark(self, broken: NDArray[np.bool_], verdict: Verdict) -> None:
        if broken.any():
            self.verdicts[(self.verdicts == 0) & broken] = verdict


def _column(jobs: Sequence[Job], get: Callable[[Job], float | None], default: float) -> Floats:
    values = (get(job) for job in jobs)
    return np.array([default if value is None else value for value in values], dtype=np.float64)[:, None]


def _row(backends: Sequence[Backend], get: Callable[[Backend], float | None], default: float) -> Floats:
    return np.array([default if (value := get(b)) is None else value for b in backends], dtype=np.float64)


def _by_group(
    jobs: Sequence[Job], key: Callable[[Job], Hashable], judge_one: Callable[[Job], list[Verdict]], width: int
) -> NDArray[np.int8]:
    """Return verdicts on what few jobs have of their own, judged once for all that have the same."""
    index: dict[Hashable, int] = {}
    rows: list[list[Verdict]] = []
    which = np.empty(len(jobs), dtype=np.intp)
    for number, job in enumerate(jobs):
        group = key(job)
        if group not in index:
            index[group] = len(rows)
            rows.append(judge_one(job))
        which[number] = index[group]
    return np.array(rows, dtype=np.int8).reshape(len(rows), width)[which]


def meant(job: Job, backends: Sequence[Backend]) -> list[bool]:
    """Return for each backend whether the job may mean it: by name, by labels, or since its namespace may use it.

    Of a backend with larger sizes that is the smallest one that the circuit fits, or the largest.
    """
    reach, others = _reach(job, backends), _of_other_sizes([job], backends)[0]
    return [verdict != Verdict.NOT_MEANT and not other for verdict, other in zip(reach, others, strict=True)]


def _reach_key(job: Job) -> Hashable:
    # A selector holds dicts: equal ones are judged twice, which does no harm.
    return job.namespace, job.backend_name, job.backend_namespace, id(job.backend_selector)


def _reach(job: Job, backends: Sequence[Backend]) -> list[Verdict]:
    if job.backend_name is None and job.backend_selector is None:
        # Without a choice of its own a job sees only what its namespace may use.
        return [Verdict.FITS if b.admits(job.namespace) else Verdict.NOT_MEANT for b in backends]
    if job.backend_name is not None:
        meant = [
            job.backend_name in (b.name, b.size_of) and job.backend_namespace in (None, b.namespace) for b in backends
        ]
        # An unqualified name means the job's own namespace first.
        own = [yes and b.namespace == job.namespace for yes, b in zip(meant, backends, strict=True)]
        meant = own if any(own) else meant
    else:
        assert job.backend_selector is not None
        meant = [job.backend_selector.matches(dict(b.labels)) for b in backends]
    return [_access(job, b) if yes else Verdict.NOT_MEANT for yes, b in zip(meant, backends, strict=True)]


def _access(job: Job, backend: Backend) -> Verdict:
    if backend.admits(job.namespace):
        return Verdict.FITS
    return Verdict.NOT_SELECTED if backend.selects or backend.offer_withheld else Verdict.ACCESS


def _placement_key(job: Job) -> Hashable:
    return job.needs.features if job.needs else None, job.terms.tiers, job.terms.regions


def _placement(job: Job, backends: Sequence[Backend]) -> list[Verdict]:
    features = job.needs.features if job.needs else frozenset()
    verdicts = []
    for b in backends:
        if b.features is not None and not features <= b.features:
            verdicts.append(Verdict.FEATURES)
        elif job.terms.tiers and b.tier not in job.terms.tiers:
            verdicts.append(Verdict.TIER)
        elif job.terms.regions and b.region not in job.terms.regions:
            verdicts.append(Verdict.REGION)
        else:
            verdicts.append(Verdict.FITS)
    return verdicts


def _circuit_terms(judged: _Judged, jobs: Sequence[Job], backends: Sequence[Backend]) -> None:
    qubits = _column(jobs, lambda job: job.needs.num_qubits if job.needs else None, 0)
    judged.mark(qubits > _row(backends, lambda b: b.max_qubits, np.inf), Verdict.QUBITS)
    shots = _column(jobs, lambda job: job.needs.shots if job.needs else None, 0)
    least = _column(jobs, lambda job: job.split.min_shots if job.split else None, 1e18)
    parts = np.ceil(shots / _row(backends, lambda b: b.max_shots, np.inf))
    judged.mark((parts > 1) & (parts * least > shots), Verdict.SHOTS)
    slots = _column(jobs, lambda job: job.needs.slots if job.needs else None, 1)
    judged.mark(slots > _row(backends, lambda b: max(1, b.workers), np.inf), Verdict.SLOTS)
    too_large = _too_large(jobs, backends, [b.memory_bytes for b in backends])
    awaited = np.array([b.awaits_larger for b in backends], dtype=np.bool_)
    judged.mark(too_large & awaited, Verdict.SIZE_AWAITED)
    judged.mark(too_large, Verdict.MEMORY)


def _of_other_sizes(jobs: Sequence[Job], backends: Sequence[Backend]) -> NDArray[np.bool_]:
    """Return which backends are for smaller or larger circuits than a job's; none that the job names itself."""
    sized = np.array([b.smaller_bytes is not None for b in backends], dtype=np.bool_)
    larger = np.array([b.larger for b in backends], dtype=np.bool_)
    others = np.zeros((len(jobs), len(backends)), dtype=np.bool_)
    if not sized.any():
        return others
    others |= sized & ~_too_large(jobs, backends, [b.smaller_bytes for b in backends])
    others |= larger & _too_large(jobs, backends, [b.memory_bytes for b in backends])
    for column in sized.nonzero()[0].tolist():
        others[[job.backend_name == backends[column].name for job in jobs], column] = False
    return others


def _too_large(jobs: Sequence[Job], backends: Sequence[Backend], memories: Sequence[int | None]) -> NDArray[np.bool_]:
    """Return which circuits need more memory than backends would have with this much; None: enough."""
    qubits = _column(jobs, lambda job: job.needs.num_qubits if job.needs else None, 0)
    # Sizes of states go beyond every float: their logarithms are compared.
    state = _column(jobs, lambda job: math.log2(job.needs.statevector_bytes) - 4 if job.needs else None, -np.inf)
    compact = _column(jobs, _compact_bits, np.inf)
    power = _row(backends, lambda b: STATE_POWER.get(b.method), 0)
    memory = np.array([np.inf if size is None else math.log2(max(1, size)) for size in memories], dtype=np.float64)
    copies = np.log2(_row(backends, lambda b: b.state_copies, 1))
    automatic = np.array([b.method == "Automatic" for b in backends], dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        too_much = (power > 0) & (4 + copies + power * state > memory + 1e-12)
        # A tableau has two Pauli operators of two bits a qubit for each qubit.
        tableau = np.array([b.method == "Stabilizer" for b in backends], dtype=np.bool_)
        too_much |= tableau & (2 * np.log2(np.maximum(qubits, 1)) - 1 > memory + 1e-12)
    # The engine runs a Clifford circuit as a stabilizer state, and one that entangles little as a product of
    # matrices, which need no full state.
    return too_much & ~(automatic & (compact <= memory))


def _misfit_terms(judged: _Judged, jobs: Sequence[Job], backends: Sequence[Backend], *, lasting: bool) -> None:
    columns = {backend.key: column for column, backend in enumerate(backends)}
    verdict = Verdict.MISFIT if lasting else Verdict.OUT_OF_ORDER
    for row, job in enumerate(jobs):
        for key, found in job.misfits.items():
            if found.lasting == lasting and key in columns and judged.verdicts[row, columns[key]] == 0:
                judged.verdicts[row, columns[key]] = verdict


def _compact_bits(job: Job) -> float | None:
    if job.needs is None or job.needs.clifford:
        return -math.inf
    return None if job.needs.compact_bytes is None else math.log2(max(1, job.needs.compact_bytes))


def _money_terms(judged: _Judged, jobs: Sequence[Job], backends: Sequence[Backend], cost: Floats) -> None:
    if not any(job.budget for job in jobs):
        return
    budget = _column(jobs, lambda job: float(job.budget.amount) if job.budget else None, np.inf)
    given = np.isfinite(budget)
    priced = given & (cost > 0)
    other = np.array([[job.budget.currency if job.budget else ""] for job in jobs]) != np.array(
        [b.currency for b in backends]
    )
    unknown = given & np.isnan(cost)
    metered = np.array([[job.needs is None] for job in jobs])
    judged.mark((priced | (unknown & metered)) & other, Verdict.CURRENCY)
    used_up = unknown & metered & (budget <= 0)
    judged.mark((priced & (cost > budget + MONEY_TOLERANCE)) | used_up, Verdict.BUDGET)
    # What a program spends is not forecast, and kept within its budget while it runs.
    judged.mark(unknown & ~metered, Verdict.NO_COST)
    judged.mark(given & _unpriced(backends), Verdict.NO_COST)


def _unpriced(backends: Sequence[Backend]) -> NDArray[np.bool_]:
    return np.array([backend.unpriced for backend in backends], dtype=np.bool_)


def _present_terms(
    judged: _Judged, jobs: Sequence[Job], backends: Sequence[Backend], fidelity: Floats, way: Floats
) -> None:
    judged.mark(np.array([not b.serving for b in backends], dtype=np.bool_), Verdict.NOT_SERVING)
    judged.mark(np.array([bool(b.calibration_stale_reason) for b in backends], dtype=np.bool_), Verdict.CALIBRATION)
    _misfit_terms(judged, jobs, backends, lasting=False)
    # An error that is not known is too much.
    most = _column(jobs, lambda job: job.terms.max_two_qubit_error, np.inf)
    judged.mark(_row(backends, lambda b: b.two_qubit_error, np.inf) > most, Verdict.TWO_QUBIT_ERROR)
    most = _column(jobs, lambda job: job.terms.max_readout_error, np.inf)
    judged.mark(_row(backends, lambda b: b.readout_error, np.inf) > most, Verdict.READOUT_ERROR)
    least = _column(jobs, lambda job: job.terms.min_fidelity, -np.inf)
    judged.mark(fidelity < least, Verdict.FIDELITY)
    judged.mark(np.isfinite(least) & np.isnan(fidelity), Verdict.NO_FIDELITY)
    farthest = _column(jobs, lambda job: job.terms.max_latency_seconds, np.inf)
    judged.mark(way > farthest, Verdict.LATENCY)
    judged.mark(np.isfinite(farthest) & np.isnan(way), Verdict.NO_LATENCY)
    judged.mark(np.array([b.room is not None and b.room <= 0 for b in backends], dtype=np.bool_), Verdict.FULL)


def _quota_terms(judged: _Judged, snapshot: Snapshot, run: Floats, cost: Floats) -> None:
    currencies = np.array([b.currency for b in snapshot.backends])
    for namespace, quota in snapshot.quotas.items():
        rows = np.array([n for n, job in enumerate(snapshot.jobs) if job.namespace == namespace], dtype=np.intp)
        if not rows.size:
            continue
        broken = np.zeros((len(rows), len(snapshot.backends)), dtype=np.bool_)
        jobs = [snapshot.jobs[row] for row in rows]
        if quota.jobs is not None and quota.jobs < 1:
            broken[:] = True
        if quota.shots is not None:
            # A program that finds none left would only fail.
            broken |= _column(jobs, lambda job: job.needs.charged_shots if job.needs else None, 1) > quota.shots
        if quota.seconds is not None:
            slots = _column(jobs, lambda job: job.needs.slots if job.needs else None, 1)
            broken |= run[rows] * slots > quota.seconds
        if quota.cost is not None:
            known, unknown = np.nan_to_num(cost[rows]), np.isnan(cost[rows])
            metered = np.array([[job.needs is None] for job in jobs])
            broken |= ((known > 0) | (unknown & metered)) & (currencies != quota.cost.currency)
            broken |= known > float(quota.cost.amount) + MONEY_TOLERANCE
            # What is not forecast can't be kept within a limit, but for programs, whose use is metered.
            broken |= unknown & ~(metered & (quota.cost.amount > 0))
            broken |= _unpriced(snapshot.backends)
        whole = np.zeros(judged.verdicts.shape, dtype=np.bool_)
        whole[rows] = broken
        judged.mark(whole, Verdict.QUOTA)


def _waits(jobs: Sequence[Job], lanes: Sequence[Lanes]) -> Floats:
    slots = np.array([job.needs.slots if job.needs else 1 for job in jobs], dtype=np.intp)
    waits = np.empty((len(jobs), len(lanes)))
    for count in np.unique(slots):
        one = [lane.start(math.inf, int(count)) if count <= lane.workers else np.inf for lane in lanes]
        waits[slots == count] = one
    return waits
