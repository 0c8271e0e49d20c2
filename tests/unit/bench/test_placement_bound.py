"""What no policy beats: below every schedule, and equal to the best one where that can be searched."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from bench.placement import compare, metrics, policies, report
from bench.placement.bound import Relaxed, Work
from bench.placement.clairvoyant import Search
from bench.placement.compare import Setting, Task
from bench.placement.front import Point, completion_at
from bench.placement.limits import TOLD, bound, limits
from bench.placement.simulate import simulate
from bench.placement.world import World
from qonverge.scheduling import Policy
from tests.unit.bench.test_placement import TWO, jobs


def instance(random: np.random.Generator, count: int, devices: int) -> Work:
    run = random.integers(1, 6, (count, devices)).astype(np.float64) * 3.0
    fidelity = np.repeat(random.uniform(0.7, 1, (count, devices, 1)), 3, axis=2).astype(np.float64)
    run[0, 0] = fidelity[0, 0] = np.nan
    return Work(np.sort(random.integers(0, 5, count) * 3.0).astype(np.float64), run, fidelity)


def best(work: Work, worth: float) -> float:
    """The least mean over all devices of all jobs and all orders; no schedule is better than one without idling."""
    count, devices = len(work.run), work.run.shape[1]
    least = np.inf
    for order in itertools.permutations(range(count)):
        for where in itertools.product(range(devices), repeat=count):
            free, total = [0.0] * devices, 0.0
            for job, device in zip(order, where, strict=True):
                free[device] = max(free[device], work.arrivals[job]) + work.run[job, device]
                total += free[device] - work.arrivals[job] - worth * work.fidelity[job, device, 0]
            least = min(least, total) if np.isfinite(total) else least
    return float(least / count)


def relaxed(work: Work, worth: float, slot: float = 3.0) -> float:
    """The value of the time-indexed linear program, from HiGHS, where all times are multiples of a slot."""
    count, devices = len(work.run), work.run.shape[1]
    slots = int((work.arrivals[-1] + np.nansum(work.run)) / slot)
    cost, used, owner = [], [], []
    for job, device in zip(*np.nonzero(np.isfinite(work.run)), strict=True):
        length = int(work.run[job, device] / slot)
        for start in range(int(work.arrivals[job] / slot), slots - length + 1):
            cost.append((start + length) * slot - work.arrivals[job] - worth * work.fidelity[job, device, 0])
            used.append([device * slots + at for at in range(start, start + length)])
            owner.append(job)
    capacity, once = np.zeros((devices * slots, len(cost))), np.zeros((count, len(cost)))
    for column, (places, job) in enumerate(zip(used, owner, strict=True)):
        capacity[places, column] = once[job, column] = 1
    found = linprog(cost, capacity, np.ones(len(capacity)), once, np.ones(count), method="highs")
    return float(found.fun / count)


@pytest.mark.parametrize("worth", [0.0, 60.0])
def test_the_bound_is_below_the_best_schedule_and_near_the_linear_program(worth: float) -> None:
    random = np.random.default_rng(3)
    for _ in range(6):
        work = instance(random, 5, 2)
        bound = Relaxed(work).bound(worth)
        assert bound <= best(work, worth) + 1e-9
        exact = relaxed(work, worth)
        assert exact - 0.4 <= bound <= exact + 1e-6


@pytest.mark.parametrize("worth", [0.0, 60.0])
def test_the_bound_of_one_device_without_arrivals_to_come_is_shortest_first(worth: float) -> None:
    work = Work(np.zeros(4), np.array([[12.0], [3.0], [9.0], [6.0]]), np.full((4, 1, 3), 0.9))
    # 3, 9, 18 and 30 s.
    assert best(work, worth) == pytest.approx(15 - worth * 0.9)
    assert Relaxed(work).bound(worth) == pytest.approx(15 - worth * 0.9, abs=0.4)


@pytest.mark.parametrize("worth", [0.0, 60.0])
def test_a_search_finds_the_best_schedule_of_few_jobs(worth: float) -> None:
    random = np.random.default_rng(4)
    for _ in range(6):
        work = instance(random, 5, 2)
        found = Search(work, worth).best()
        assert found.completion - worth * found.fidelity == pytest.approx(best(work, worth))


@pytest.mark.parametrize("worth", [0.0, 300.0])
def test_a_search_over_many_jobs_is_between_the_bound_and_what_knows_less(worth: float) -> None:
    busy = jobs(*np.arange(0.0, 40.0, 1.7).tolist())
    work = Work.of(TWO, busy, World(TWO, busy, busy.world, 5))
    found = Search(work, worth).best()
    reached = found.completion - worth * found.fidelity
    assert Relaxed(work).bound(worth) <= reached + 1e-9
    runs = [Point.of(metrics.figures(simulate(TWO, busy, policy, seed=5))) for policy in policies.every()]
    known = min(point.completion - worth * point.fidelity for point in runs)
    assert reached <= known + 0.01 * abs(known)


def test_what_limits_us_is_in_order_from_what_can_be_reached_to_what_can_not() -> None:
    busy = jobs(*np.arange(0.0, 20.0, 1.7).tolist())
    ours = metrics.figures(simulate(TWO, busy, policies.Qonverge(Policy(patience_seconds=300.0)), seed=5))
    found = limits(TWO, busy, 5, Policy(), ours.fidelity_mean)
    assert list(found) == [*TOLD, "schedule", "bound"]
    assert found["bound"] <= found["schedule"] <= min(found["told_both"], ours.completion_mean)
    assert found["bound"] == bound(TWO, busy, 5, ours.fidelity_mean)


@pytest.mark.parametrize("worth", [0.0, 300.0])
def test_no_policy_is_below_the_bound(worth: float) -> None:
    busy = jobs(*np.arange(0.0, 40.0, 1.7).tolist())
    bound = Relaxed(Work.of(TWO, busy, World(TWO, busy, busy.world, 5))).bound(worth)
    for policy in policies.every():
        run = simulate(TWO, busy, policy, seed=5)
        pairs = zip(run.outcomes, busy.arrivals, strict=True)
        costs = [outcome.end - arrival.seconds - worth * outcome.fidelity for outcome, arrival in pairs]
        # What differs from job to job is known to it too.
        assert bound <= np.mean(costs) + 1e-9, policy.name


def test_completion_at_equal_fidelity_is_that_of_a_mixture() -> None:
    points = [Point(10.0, 0.8), Point(30.0, 0.9), Point(25.0, 0.85)]
    assert completion_at(0.8, points) == 10
    assert completion_at(0.7, points) == 10
    # On the line from the first to the second, which is below the third.
    assert completion_at(0.85, points) == pytest.approx(20)
    assert completion_at(0.95, points) == np.inf


def test_traces_together_are_compared_at_their_mean_fidelity_with_one_patience_for_all() -> None:
    busy = jobs(*np.arange(0.0, 20.0, 1.7).tolist())
    alone = compare.run(Task(Setting("", "given", TWO), "trace", busy, seed=5))
    ours = Point.of(alone.figures[0])
    assert alone.more["greedy_at_equal_fidelity"] == completion_at(ours.fidelity, alone.front)
    assert report.below_greedy_together([alone]) == report.lower(
        ours.completion, completion_at(ours.fidelity, alone.front)
    )
    # Greedy is better with its first setting in one trace and with its second in the other.
    fronts = [
        (Point(ours.completion * a, ours.fidelity), Point(ours.completion * b, ours.fidelity))
        for a, b in ((2, 4), (8, 2))
    ]
    assert report.below_greedy_together([replace(alone, front=front) for front in fronts]) == pytest.approx(1 - 1 / 3)
