"""Long runs on a virtual clock: fairness, aging and deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from qonverge.forecast.intervals import JobForecasts
from qonverge.scheduling import Estimates, Job, Plan, Policy, Share, Shares, Snapshot, plan
from qonverge.scheduling.simulation import Simulation, Task
from tests.unit.scheduling.worlds import NEEDS, backend, job, row

BACKENDS = tuple(
    backend(name, workers=workers, dispatch_depth=depth)
    for name, workers, depth in (("falcon", 1, 1), ("heron", 2, 0), ("aer", 4, 1), ("edge", 1, 0))
)
SPEED = np.array([1.0, 0.7, 1.5, 2.0])
FIDELITY = np.array([0.88, 0.90, 0.93, 0.86])


def world(length: dict[str, float], policy: Policy, shares: Shares | None = None, noise: float = 0.2) -> Simulation:
    """A job's true time is its namespace's length, drawn anew; the forecast knows it but for some noise."""
    random = np.random.default_rng(3)
    true: dict[str, float] = {}

    def forecast(one: Job) -> JobForecasts:
        true[one.key] = length[one.namespace] * float(random.lognormal(0, 0.5))
        guess = true[one.key] * float(np.exp(random.normal(0, noise)))
        return row(FIDELITY, guess * SPEED, np.zeros(4))

    return Simulation(
        BACKENDS, forecast, lambda one, target: true[one.key] * float(SPEED[target]), policy, shares or Shares()
    )


def jain(values: Sequence[float]) -> float:
    """Jain, Chiu and Hawe: 1 when all are equal, 1/n when one has all."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@pytest.mark.parametrize("aging", [3600.0, 60.0], ids=["young", "all past the aging bound"])
def test_namespaces_get_their_shares_under_saturation(aging: float) -> None:
    weights = {"big": 4.0, "small": 1.0, "long": 2.0, "short": 2.0}
    length = {"big": 10.0, "small": 10.0, "long": 30.0, "short": 5.0}
    shares = Shares({name: Share(weight) for name, weight in weights.items()}, half_life=400.0)
    here = world(length, Policy(aging_seconds=aging), shares)
    until = 1600.0

    def again(task: Task) -> list[Job]:
        # Every namespace always has as much waiting: the one that ended is asked for again.
        return [replace(task.job, key=f"{task.job.key}+", created=here.now)]

    outstanding = {"big": 40, "small": 16, "long": 16, "short": 40}
    here.run([job(f"{n}", ns) for ns, count in outstanding.items() for n in range(count)], again, until)
    used = dict.fromkeys(weights, 0.0)
    for task in here.done:
        # The first part is settling in.
        used[task.job.namespace] += task.run if task.end > until / 4 else 0.0
    assert jain([used[name] / weight for name, weight in weights.items()]) >= 0.98, used
    busy = sum(used.values()) / (0.75 * until * sum(one.workers for one in BACKENDS))
    assert busy > 0.9


def test_jobs_past_the_aging_bound_go_as_if_the_others_were_not_there() -> None:
    """Small jobs of a higher priority come without end; the low ones and the wide one get their turn by age."""
    policy = Policy(aging_seconds=60.0)
    here = world({"rush": 5.0, "slow": 20.0}, policy)
    low = [job(f"low{n}", "slow", created=float(n), priority=-5) for n in range(8)]
    wide = [job("wide", "slow", created=3.5, needs=replace(NEEDS, slots=4), priority=-5, backend_name="aer")]
    rush = [job(f"r{n}", "rush", created=0.6 * n, priority=5) for n in range(250)]
    checked = 0

    def watch(seen: Snapshot, made: Plan) -> None:
        nonlocal checked
        old = [n for n, one in enumerate(seen.jobs) if seen.now - one.created > policy.aging_seconds]
        if not old or len(old) == len(seen.jobs):
            return
        checked += 1
        assert seen.estimates is not None
        rows = np.array(old)
        alone = replace(
            seen,
            jobs=tuple(seen.jobs[n] for n in old),
            estimates=Estimates(**{item.name: getattr(seen.estimates, item.name)[rows] for item in fields(Estimates)}),
        )
        for number, decision in zip(old, plan(alone, policy).decisions, strict=True):
            crowded = made.decisions[number]
            assert crowded.expected_start == decision.expected_start
            assert (crowded.backend or crowded.planned) == (decision.backend or decision.planned)

    here.on_round = watch
    here.run([*low, *wide, *rush], lambda _task: [], 300.0)
    assert checked > 20
    waits = {task.job.key: task.start - task.job.created for task in here.done if task.job.namespace == "slow"}
    assert len(waits) == 9, "the low ones were served at all"
    # Past the bound there are at most the work that runs and the other old ones in front.
    assert max(waits.values()) < policy.aging_seconds + 150
    assert max(waits.values()) > policy.aging_seconds, "the higher class went first until then"


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
