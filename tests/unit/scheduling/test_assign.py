"""The assignment against exhaustive search, and its bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.scheduling.assign import solve
from qonverge.scheduling.lanes import Lanes
from qonverge.scheduling.objective import Problem, objective, sequence_cost


def instance(random: np.random.Generator, jobs: int, backends: int) -> Problem:
    """Unequal backends; some pairs are forbidden, some jobs have deadlines, some take all workers."""
    run = random.lognormal(2, 1, (jobs, 1)) * random.uniform(0.3, 2, (jobs, backends))
    static = random.uniform(0, 0.5, (jobs, backends))
    static[random.random((jobs, backends)) < 0.2] = np.inf
    static[np.arange(jobs), random.integers(backends, size=jobs)] = 0.1
    lanes = tuple(Lanes(random.exponential(10, int(random.integers(1, 4))).tolist()) for _ in range(backends))
    workers = np.array([lane.workers for lane in lanes])
    narrowest = np.where(np.isfinite(static), workers, 9).min(axis=1)
    slots = np.where(random.random(jobs) < 0.2, narrowest, 1).astype(np.intp)
    weight = random.uniform(0.1, 1, jobs) * random.choice([1 / 600, 1 / 60, 1 / 10])
    due = np.where(random.random(jobs) < 0.2, random.uniform(10, 60, jobs), np.inf)
    return Problem(static, run, slots, weight, due, 4.0, lanes)


def exhaustive(problem: Problem) -> float:
    """The least objective over every assignment and every order: best orders of all subsets, then all partitions."""
    jobs, backends = problem.shape
    subsets = 1 << jobs
    table = [0.0] + [np.inf] * (subsets - 1)
    for backend in range(backends):
        works = problem.works(backend, range(jobs))
        cost = [np.inf] * subsets
        for subset in range(subsets):
            members = [job for job in range(jobs) if subset >> job & 1]
            if all(np.isfinite(works[job][0]) for job in members):
                orders = itertools.permutations(members)
                cost[subset] = min(
                    sequence_cost(problem.lanes[backend], [works[job] for job in order], problem.lateness)
                    for order in orders
                )
        table = [
            min(table[subset ^ part] + cost[part] for part in range(subsets) if part & subset == part)
            for subset in range(subsets)
        ]
    return table[-1]


def test_a_thousand_small_instances_are_within_two_percent_of_the_optimum() -> None:
    random = np.random.default_rng(5)
    gaps = []
    for _ in range(1000):
        problem = instance(random, int(random.integers(2, 6)), int(random.integers(1, 4)))
        best = exhaustive(problem)
        solution = solve(problem)
        assert solution.objective == pytest.approx(objective(problem, solution.sequences))
        assert solution.lower_bound <= best + 1e-9
        gaps.append(solution.objective / best - 1)
    assert max(gaps) <= 0.02
    assert min(gaps) >= -1e-9


@pytest.mark.parametrize("workers", [1, 4])
def test_a_large_group_is_within_the_gap_that_the_bound_shows(workers: int) -> None:
    random = np.random.default_rng(2)
    jobs, backends = 600, 30
    run = random.lognormal(1, 1, (jobs, 1)) * random.uniform(0.5, 3, (1, backends))
    static = random.uniform(0, 0.3, (jobs, backends))
    static[random.random((jobs, backends)) < 0.3] = np.inf
    lanes = tuple(Lanes(random.exponential(10, workers).tolist()) for _ in range(backends))
    weight = np.full(jobs, 1 / 1800)
    problem = Problem(static, run, np.ones(jobs, dtype=np.intp), weight, np.full(jobs, np.inf), 4.0, lanes)
    solution = solve(problem)
    assert sorted(itertools.chain(*solution.sequences)) == list(range(jobs))
    assert all(np.isfinite(static[job, b]) for b, jobs_there in enumerate(solution.sequences) for job in jobs_there)
    assert solution.lower_bound <= solution.objective <= 1.06 * solution.lower_bound


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40) | st.integers(150, 155), st.integers(1, 6))
def test_every_job_has_one_allowed_place(seed: int, jobs: int, backends: int) -> None:
    problem = instance(np.random.default_rng(seed), jobs, backends)
    solution = solve(problem)
    assert sorted(itertools.chain(*solution.sequences)) == list(range(jobs))
    for backend, sequence in enumerate(solution.sequences):
        assert np.isfinite(problem.static[sequence, backend]).all()
    assert solution.lower_bound <= solution.objective + 1e-9


def test_jobs_that_are_alike_keep_their_order() -> None:
    lanes = (Lanes([0.0]), Lanes([0.0]))
    alike = Problem(
        np.zeros((6, 2)), np.ones((6, 2)), np.ones(6, dtype=np.intp), np.ones(6), np.full(6, np.inf), 4.0, lanes
    )
    sequences = solve(alike).sequences
    assert all(sequence == sorted(sequence) for sequence in sequences)
    assert {sequence[0] for sequence in sequences} == {0, 1}


works = st.lists(st.tuples(st.integers(1, 20).map(float), st.integers(1, 3)), min_size=1, max_size=12)


@given(st.lists(st.integers(0, 20).map(float), min_size=3, max_size=5), works)
def test_lanes_never_run_more_than_their_workers_and_backfill_delays_nothing(
    free: list[float], pieces: list[tuple[float, int]]
) -> None:
    lanes = Lanes(free)
    placed = [(lanes.put(run, slots), run, slots) for run, slots in pieces]
    for moment in {start for start, _, _ in placed}:
        busy = sum(slots for start, run, slots in placed if start <= moment < start + run)
        assert busy + sum(time > moment for time in free) <= len(free)
    # What came later changed no start: without it the others start as they did.
    for count in range(len(pieces)):
        again = Lanes(free)
        assert [again.put(run, slots) for run, slots in pieces[:count]] == [start for start, _, _ in placed[:count]]


def test_a_gap_before_a_reservation_is_filled() -> None:
    lanes = Lanes([0.0, 30.0])
    assert lanes.put(10.0, 2) == 30.0
    assert lanes.put(20.0) == 0.0
    assert lanes.put(10.0) == 20.0
    assert lanes.put(1.0) == 40.0


@pytest.mark.parametrize("most_slots", [1, 2])
@pytest.mark.parametrize("gaps", [[], [(0.0, 3.0), (1.0, 4.5)]])
def test_a_sequence_costs_what_its_works_do_as_they_are_put_on_the_lanes(
    most_slots: int, gaps: list[tuple[float, float]]
) -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        lanes = Lanes(random.uniform(0, 9, int(random.integers(2, 5))).tolist(), gaps)
        works = [
            (float(static), float(run), int(random.integers(1, most_slots + 1)), float(weight), float(due))
            for static, run, weight, due in random.uniform(0, 9, (int(random.integers(9)), 4))
        ]
        expected, own = 0.0, lanes.copy()
        for static, run, slots, weight, due in works:
            end = own.put(run, slots) + run
            expected += static + weight * end
            expected += 100.0 if end > due else 0.0
        assert sequence_cost(lanes, works, 100.0) == expected
        assert lanes.start(0.1) == Lanes(lanes.times, gaps).start(0.1), "the lanes stay as they are"
