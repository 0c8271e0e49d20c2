"""Long runs on a virtual clock: fairness, aging and deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qonverge.scheduling import Job, Plan, Policy, Share, Shares, Snapshot
from qonverge.scheduling.estimates import row
from tests.unit.scheduling.worlds import NEEDS, Task, World, backend, job

BACKENDS = tuple(
    backend(name, workers=workers, dispatch_depth=depth)
    for name, workers, depth in (("falcon", 1, 1), ("heron", 2, 0), ("aer", 4, 1), ("edge", 1, 0))
)
SPEED = np.array([1.0, 0.7, 1.5, 2.0])
FIDELITY = np.array([0.8, 0.9, 0.97, 0.7])


def world(length: dict[str, float], policy: Policy, shares: Shares | None = None, noise: float = 0.2) -> World:
    """A job's true time is its namespace's length, drawn anew; the forecast knows it but for some noise."""
    random = np.random.default_rng(3)
    true: dict[str, float] = {}

    def forecast(one: Job) -> np.ndarray:
        true[one.key] = length[one.namespace] * float(random.lognormal(0, 0.5))
        guess = true[one.key] * float(np.exp(random.normal(0, noise)))
        return row(FIDELITY, guess * SPEED, np.zeros(4))

    return World(
        BACKENDS, forecast, lambda one, target: true[one.key] * float(SPEED[target]), policy, shares or Shares()
    )


def jain(values: Sequence[float]) -> float:
    """Jain, Chiu and Hawe: 1 when all are equal, 1/n when one has all."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@pytest.mark.parametrize("aging", [3600.0, 60.0], ids=["young", "all past the aging bound"])
def test_namespaces_get_their_shares_under_saturation(aging: float) -> None:
    weights = {"big": 4.0, "small": 1.0, "long": 2.0, "short": 2.0}
    length = {"big": 10.0, "small": 10.0, "long": 60.0, "short": 2.0}
    shares = Shares({name: Share(weight) for name, weight in weights.items()}, half_life=1000.0)
    here = world(length, Policy(aging_seconds=aging), shares)
    until = 2400.0

    def again(task: Task) -> list[Job]:
        # Every namespace always has as much waiting: the one that ended is asked for again.
        return [replace(task.job, key=f"{task.job.key}+", created=here.now)]

    outstanding = {"big": 16, "small": 8, "long": 8, "short": 16}
    here.run([job(f"{n}", ns) for ns, count in outstanding.items() for n in range(count)], again, until)
    used = dict.fromkeys(weights, 0.0)
    for task in here.done:
        # The first part is settling in.
        used[task.job.namespace] += task.run if task.end > until / 4 else 0.0
    assert jain([used[name] / weight for name, weight in weights.items()]) >= 0.98, used
    busy = sum(used.values()) / (0.75 * until * sum(one.workers for one in BACKENDS))
    assert busy > 0.9


def test_no_job_past_the_aging_bound_waits_while_later_ones_start() -> None:
    """Small jobs of a higher priority come without end; the low ones and the wide one get their turn by age."""
    policy = Policy(aging_seconds=100.0)
    here = world({"rush": 5.0, "slow": 30.0}, policy)
    low = [job(f"low{n}", "slow", created=float(n), priority=-5) for n in range(12)]
    wide = [job("wide", "slow", created=3.5, needs=replace(NEEDS, slots=4), priority=-5, backend_name="aer")]
    rush = [job(f"r{n}", "rush", created=0.6 * n, priority=5) for n in range(1000)]
    overtaken = []

    def watch(seen: Snapshot, made: Plan) -> None:
        by_key = {one.key: one for one in seen.jobs}
        sent = [(by_key[d.job], d) for d in made.decisions if d.backend is not None]
        for decision in made.decisions:
            old = by_key[decision.job]
            if decision.backend is not None or seen.now - old.created <= policy.aging_seconds:
                continue
            assert decision.expected_start is not None
            for young, its in sent:
                past = seen.now - young.created > policy.aging_seconds
                could = old.backend_name in (None, its.backend.name if its.backend else None)
                before = its.expected_start is not None and its.expected_start < decision.expected_start
                run = its.candidates[0].run_seconds or 0.0
                in_gap = its.expected_start is not None and its.expected_start + run <= decision.expected_start + 1e-6
                if could and not past and before and not in_gap:
                    overtaken.append((seen.now, old.key, young.key))

    here.on_round = watch
    here.run([*low, *wide, *rush], lambda _task: [], 700.0)
    assert not overtaken
    waits = {task.job.key: task.start - task.job.created for task in here.done if task.job.namespace == "slow"}
    assert len(waits) == 13, "the low ones were served at all"
    # Past the bound there are at most the work that runs and the other old ones in front.
    assert max(waits.values()) < policy.aging_seconds + 200
    rushed = [task.start - task.job.created for task in here.done if task.job.namespace == "rush"]
    assert len(rushed) > 300


def test_deadlines_that_can_be_met_are() -> None:
    """Poisson arrivals at 75 % load: a third has a deadline of a few times its own length."""
    random = np.random.default_rng(11)
    here = world({"chem": 8.0, "bio": 8.0}, Policy(), noise=0.1)
    arrivals, moment = [], 0.0
    for n in range(500):
        moment += float(random.exponential(1.9))
        deadline = moment + float(random.uniform(60, 200)) if n % 3 == 0 else None
        arrivals.append(job(f"j{n}", "chem" if n % 2 else "bio", created=moment, deadline=deadline))
    here.run(arrivals, lambda _task: [], moment + 1000)
    ended = {task.job.key: task.end for task in here.done}
    due = [one for one in arrivals if one.deadline is not None]
    met = sum(ended.get(one.key, np.inf) <= (one.deadline or 0.0) for one in due)
    assert met / len(due) >= 0.99
    assert len(ended) >= len(arrivals) - (len(due) - met)
