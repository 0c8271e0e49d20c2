"""What holds for every plan, whatever the snapshot."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import fields, replace
from decimal import Decimal

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qonverge.amounts import Money
from qonverge.forecast.intervals import JobForecasts
from qonverge.scheduling import (
    Active,
    Backend,
    Estimates,
    Job,
    Needs,
    Plan,
    Policy,
    Quota,
    Share,
    Shares,
    Snapshot,
    plan,
)
from qonverge.scheduling.model import Part, Split, Terms, Weights
from tests.unit.scheduling.worlds import row

NAMESPACES = ("bio", "chem")
seconds = st.floats(0.5, 50.0)
maybe = st.none()

backends = st.builds(
    Backend,
    name=st.sampled_from("abcd"),
    namespace=st.just("lab"),
    admits_all_namespaces=st.booleans(),
    admitted_namespaces=st.frozensets(st.sampled_from(NAMESPACES)),
    serving=st.sampled_from([True, True, True, False]),
    load=st.floats(0, 2),
    room=maybe | st.integers(0, 3),
    max_qubits=maybe | st.integers(2, 6),
    max_shots=maybe | st.integers(500, 3000),
    memory_bytes=maybe | st.integers(4, 9).map(lambda bits: 16 << bits),
    method=st.sampled_from(["Automatic", "Statevector", "DensityMatrix", "Stabilizer"]),
    state_copies=st.integers(1, 4),
    tier=maybe | st.sampled_from(["Cloud", "OnPrem", "Edge"]),
    region=maybe | st.sampled_from(["eu", "us"]),
    latency_seconds=maybe | st.floats(0, 1),
    features=maybe | st.frozensets(st.sampled_from(["MidCircuit", "NonClifford"])),
    workers=st.integers(1, 3),
    free_seconds=st.lists(seconds, max_size=3).map(tuple),
    dispatch_depth=maybe | st.integers(0, 2),
    calibration_stale_reason=st.sampled_from(["", "", "", "it is 30 h old"]),
    task_price=st.sampled_from([0.0, 0.0, 0.4]),
)
needs = st.builds(
    Needs,
    num_qubits=st.integers(1, 7),
    shots=st.integers(1, 5000),
    clifford=st.booleans(),
    statevector_bytes=st.just(0),
    compact_bytes=maybe | st.integers(1, 4000),
    features=st.frozensets(st.sampled_from(["MidCircuit", "NonClifford"]), max_size=1),
    slots=st.sampled_from([1, 1, 1, 2]),
).map(lambda given: replace(given, statevector_bytes=16 << given.num_qubits))
terms = st.builds(
    Terms,
    tiers=st.frozensets(st.sampled_from(["Cloud", "OnPrem", "Edge"]), max_size=2),
    regions=st.sampled_from([frozenset(), frozenset(), frozenset({"eu"})]),
    min_fidelity=maybe | st.floats(0.3, 0.9),
    max_wait_seconds=maybe | st.floats(0, 60),
    max_latency_seconds=maybe | st.floats(0, 1),
    preferred_tiers=st.frozensets(st.sampled_from(["Cloud", "Edge"])),
    weights=st.sampled_from([Weights(0.9, 0.08, 0.02), Weights(0.0, 1.0, 0.0), Weights(1.0, 0.0, 0.0), Weights()]),
)
jobs = st.builds(
    Job,
    key=st.uuids().map(str),
    namespace=st.sampled_from(NAMESPACES),
    created=st.floats(-200, 0),
    needs=maybe | needs,
    priority=st.integers(-1, 1),
    terms=st.just(Terms()) | terms,
    deadline=maybe | st.floats(-5, 150),
    budget=maybe | st.decimals(0, 10, places=2).map(Money),
    split=maybe | st.integers(100, 1000).map(Split),
    hedge=st.booleans(),
    warm=st.frozensets(st.sampled_from(["lab/a", "lab/b"])),
    data_site=maybe | st.just("here"),
)
quotas = st.builds(
    Quota,
    shots=maybe | st.integers(0, 8000),
    seconds=maybe | st.floats(0, 100),
    cost=maybe | st.decimals(0, 12, places=2).map(Money),
    jobs=maybe | st.integers(0, 3),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    there = draw(st.lists(backends, max_size=4, unique_by=lambda b: b.key))
    waiting = draw(st.lists(jobs, max_size=9, unique_by=lambda j: j.key))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def forecast() -> JobForecasts:
        values = (
            random.uniform(0.2, 1, len(there)),
            random.lognormal(2, 1, len(there)),
            random.uniform(0, 5, len(there)),
        )
        fidelity, run, cost = (np.where(random.random(len(there)) < 0.1, np.nan, value) for value in values)
        return row(fidelity, run, cost, high=1.5)

    made = Estimates.stack([forecast() for _ in waiting], len(there))
    active = tuple(
        Active(f"old/{n}", "old", b.key, draw(st.integers(-2, 1)), draw(st.booleans()), True, draw(st.booleans()), 9.0)
        for n, b in enumerate(there)
    )
    shares = Shares({"bio": Share(2.0, draw(seconds)), "chem": Share(1.0, draw(seconds))})
    limits = draw(st.dictionaries(st.sampled_from(NAMESPACES), quotas))
    return Snapshot(tuple(waiting), tuple(there), 0.0, draw(st.none() | st.just(made)), shares, limits, active)


policies = st.builds(
    Policy, aging_seconds=st.sampled_from([50.0, 150.0, 3600.0]), tranche=st.sampled_from([0.5, 1.0, 4.0])
)
thorough = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def submissions(made: Plan) -> list[tuple[str, Part]]:
    """Every submission of the plan, with its job's key; one in a single piece has its job's shots as -1."""
    found = []
    for decision in made.decisions:
        if decision.backend is not None:
            found += [(decision.job, part) for part in decision.parts or (Part(decision.backend, -1, "Split"),)]
    return found


def total_cost(seen: Snapshot, row: int, parts: list[Part]) -> float:
    """What the parts of a job cost together: their shares of what is no price of a task, and one price for each."""
    assert seen.estimates is not None
    columns = {backend.key: number for number, backend in enumerate(seen.backends)}
    shots, total = sum(part.shots for part in parts), 0.0
    for part in parts:
        price = part.backend.task_price
        total += price + (seen.estimates.cost_high[row, columns[part.backend.key]] - price) * part.shots / shots
    return total


@thorough
@given(snapshots(), policies)
def test_no_hard_term_is_broken(seen: Snapshot, policy: Policy) -> None:
    made = plan(seen, policy)
    rows = {job.key: number for number, job in enumerate(seen.jobs)}
    columns = {backend.key: number for number, backend in enumerate(seen.backends)}
    starts = {decision.job: decision.expected_start for decision in made.decisions}
    for key, part in submissions(made):
        job, backend, terms = seen.jobs[rows[key]], part.backend, seen.jobs[rows[key]].terms
        cell = rows[key], columns[backend.key]
        fidelity = math.nan if seen.estimates is None else seen.estimates.fidelity[cell]
        cost = math.nan if seen.estimates is None else seen.estimates.cost[cell]
        assert backend.serving
        assert not backend.calibration_stale_reason
        assert backend.admits(job.namespace)
        assert not terms.tiers or backend.tier in terms.tiers
        assert not terms.regions or backend.region in terms.regions
        assert terms.min_fidelity is None or fidelity >= terms.min_fidelity
        assert terms.max_latency_seconds is None or (backend.latency_seconds or 0.0) <= terms.max_latency_seconds
        if job.budget is not None and job.needs is None and math.isnan(cost):
            # What a program spends is kept within its budget while it runs.
            assert job.budget.amount > 0
            assert job.budget.currency == backend.currency
        else:
            assert job.budget is None or cost <= float(job.budget.amount) + 1e-6
        start = starts[key]
        assert start is not None
        assert terms.max_wait_seconds is None or start <= terms.max_wait_seconds
        run = (
            1.0
            if seen.estimates is None or np.isnan(seen.estimates.run_seconds[cell])
            else seen.estimates.run_seconds[cell]
        )
        if part.shots == -1:
            assert job.deadline is None or start + run <= job.deadline + 1e-6
        if job.needs is None:
            continue
        shots = job.needs.shots if part.shots == -1 else part.shots
        assert backend.max_shots is None or shots <= backend.max_shots
        assert job.needs.slots <= backend.workers
        assert backend.max_qubits is None or job.needs.num_qubits <= backend.max_qubits
        assert backend.features is None or job.needs.features <= backend.features
        if backend.memory_bytes is not None and backend.method in ("Statevector", "DensityMatrix"):
            power = 2 if backend.method == "DensityMatrix" else 1
            assert backend.state_copies * 16 * 2 ** (power * job.needs.num_qubits) <= backend.memory_bytes
        if backend.memory_bytes is not None and backend.method == "Stabilizer":
            assert job.needs.num_qubits**2 / 2 <= backend.memory_bytes
    for decision in made.decisions:
        job = seen.jobs[rows[decision.job]]
        parts = [part for part in decision.parts if part.kind == "Split"]
        if len(parts) > 1:
            assert job.needs is not None
            assert job.split is not None
            assert sum(part.shots for part in parts) == job.needs.shots
            assert min(part.shots for part in parts) >= job.split.min_shots
            # Each part has one task at the device, and each task its price.
            assert job.budget is None or total_cost(seen, rows[decision.job], parts) <= float(job.budget.amount) + 1e-6
        if any(part.kind == "Hedge" for part in decision.parts):
            assert job.hedge
            assert job.deadline is not None


@thorough
@given(snapshots(), policies)
def test_no_capacity_and_no_quota_is_exceeded(seen: Snapshot, policy: Policy) -> None:
    made = plan(seen, policy)
    rows = {job.key: number for number, job in enumerate(seen.jobs)}
    columns = {backend.key: number for number, backend in enumerate(seen.backends)}
    tasks: dict[str, int] = defaultdict(int)
    slots: dict[str, int] = defaultdict(int)
    used: dict[str, list[float]] = {namespace: [0.0, 0.0, 0.0] for namespace in NAMESPACES}
    running: dict[str, set[str]] = {namespace: set() for namespace in NAMESPACES}
    for key, part in submissions(made):
        job = seen.jobs[rows[key]]
        width = job.needs.slots if job.needs else 1
        tasks[part.backend.key] += 1
        slots[part.backend.key] += width
        cell = rows[key], columns[part.backend.key]
        total = job.needs.shots if job.needs else 0
        shots = total if part.shots == -1 else part.shots
        fraction = shots / total if total else 1.0
        run = math.nan if seen.estimates is None else seen.estimates.run_seconds_high[cell]
        cost = 0.0 if seen.estimates is None else np.nan_to_num(seen.estimates.cost_high[cell])
        spent = (shots, (1.0 if math.isnan(run) else run) * fraction * width, cost * fraction)
        used[job.namespace] = [a + b for a, b in zip(used[job.namespace], spent, strict=True)]
        running[job.namespace].add(key)
    for backend in seen.backends:
        assert backend.room is None or tasks[backend.key] <= backend.room
        if backend.dispatch_depth is not None:
            most = backend.workers * (1 + backend.dispatch_depth - backend.load)
            assert slots[backend.key] <= max(0.0, most) + 1e-6
    for namespace, quota in seen.quotas.items():
        counted, time, cost = used[namespace]
        assert quota.shots is None or counted <= quota.shots
        assert quota.seconds is None or time <= quota.seconds + 1e-6
        assert quota.cost is None or cost <= float(quota.cost.amount) + 1e-6
        assert quota.jobs is None or len(running[namespace]) <= quota.jobs


@thorough
@given(snapshots(), policies)
def test_the_same_snapshot_gives_the_same_plan_and_everybody_a_reason(seen: Snapshot, policy: Policy) -> None:
    made = plan(seen, policy)
    again = plan(seen, policy)
    assert made.decisions == again.decisions
    assert made.preemptions == again.preemptions
    assert [decision.job for decision in made.decisions] == [job.key for job in seen.jobs]
    for decision in made.decisions:
        assert decision.reason
        assert "nan" not in decision.reason.lower()
        assert "None" not in decision.reason
        if decision.backend is not None or decision.planned is not None:
            assert decision.expected_start is not None
            assert decision.candidates
            assert not decision.impossible
        if decision.impossible:
            assert decision.remedy
        for label, why in decision.rejected.items():
            assert label in why
    assert made.lower_bound <= made.objective + 1e-6


@thorough
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_in_which_jobs_are_given_does_not_matter_for_who_goes(seen: Snapshot, random: object) -> None:
    """Admission goes by the jobs' own values: with all keys and times different, shuffled jobs get the same states."""
    numbers = list(range(len(seen.jobs)))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    made = (
        None
        if seen.estimates is None
        else Estimates(
            **{
                item.name: getattr(seen.estimates, item.name)[np.array(numbers, dtype=np.intp)]
                for item in fields(Estimates)
            }
        )
    )
    if len({job.created for job in seen.jobs}) < len(seen.jobs):
        return
    shuffled = replace(seen, jobs=tuple(seen.jobs[n] for n in numbers), estimates=made)
    before = {decision.job: decision.impossible for decision in plan(seen).decisions}
    assert {decision.job: decision.impossible for decision in plan(shuffled).decisions} == before


@thorough
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-30, 0), st.integers(1, 40)), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_a_lower_class_never_goes_before_a_higher_one_that_could(
    given: list[tuple[int, float, int]], workers: int
) -> None:
    """One backend that all could use: who is sent has at least the priority of all who are not."""
    backend = Backend("a", "lab", True, workers=workers, dispatch_depth=0)
    waiting = tuple(Job(f"chem/{n}", "chem", made, None, priority=level) for n, (level, made, _) in enumerate(given))
    rows = [row([0.9], [float(run)], [0.0]) for _, _, run in given]
    made = plan(Snapshot(waiting, (backend,), 0.0, Estimates.stack(rows, 1)))
    sent = [job.priority for job, decision in zip(waiting, made.decisions, strict=True) if decision.backend]
    held = [job.priority for job, decision in zip(waiting, made.decisions, strict=True) if not decision.backend]
    assert len(sent) == min(workers, len(waiting)), "no worker idles while somebody waits"
    assert min(sent) >= max(held, default=0)


def test_money_is_exact_in_words() -> None:
    assert str(Money(Decimal("0.1"), "EUR")) == "0.10 EUR"
