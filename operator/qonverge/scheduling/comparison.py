"""What a second policy would have changed in fidelity, wait, cost and energy, by recorded rounds. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from qonverge.forecast.intervals import Floats, Intervals, JobForecasts
from qonverge.scheduling.estimates import Estimates
from qonverge.scheduling.model import Backend, Job, Policy, Snapshot
from qonverge.scheduling.schedulers import decide
from qonverge.scheduling.simulation import Simulation, Task
from qonverge.scheduling.trace import Outcome, Recorded

CONFIDENCE = 0.95
_QUANTITIES = tuple(item.name for item in fields(Estimates))


@dataclass(frozen=True, slots=True)
class Figures:
    """What is expected of one job under a policy."""

    places: tuple[str, ...]
    """Keys of the backends, sorted."""
    wait: float | None
    """Seconds to its start."""
    fidelity: float | None
    """Mean over its parts by their shots; None where one is not known."""
    costs: Mapping[str, float | None]
    """By currency; None where one of its parts has no known price."""
    energy: float | None = None
    """Joules, of all its parts; None where one is not known."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure under both policies, over the jobs of which both know it."""

    jobs: int
    before: float
    """Mean under the policy in force."""
    after: float
    """Mean under the second one."""
    difference: float
    low: float | None
    """Ends of the 95 % interval of the mean difference (Student's t over jobs, each with its own difference); None
    below two jobs."""
    high: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """What the second policy changes for some jobs."""

    name: str
    jobs: int
    """Jobs that at least one of the policies sent."""
    elsewhere: int
    """Jobs that go to other backends."""
    only_before: int
    """Jobs that only the policy in force sends."""
    only_after: int
    wait: Change | None
    fidelity: Change | None
    costs: Mapping[str, Change]
    """By currency."""
    energy: Change | None
    """Joules."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two policies side by side: over recorded rounds one by one, and where each had to live with what it decided."""

    rounds: int
    decisions: int
    """Jobs in rounds."""
    differing: int
    """Of these, those that the second policy sends elsewhere, or sends and the first does not, or the reverse."""
    by_round: tuple[Group, ...]
    simulated: tuple[Group, ...]


def compare(recorded: Sequence[Recorded], second: Policy) -> Comparison:
    """Return what the second policy changes beside the recorded one.

    Raises:
        SchedulerError: a scheduler failed.
    """
    rounds = [differing(each, second) for each in recorded]
    pairs = [pair for each in rounds for pair in each]
    # A job that is in several rounds counts once: in the first in which one of the policies sends it.
    first: dict[str, Pair] = {}
    for pair in pairs:
        if pair.sent:
            first.setdefault(pair.job.key, pair)
    in_force = recorded[-1].policy
    before, after = (_simulated(recorded, policy) for policy in (in_force, second))
    jobs = {job.key: job for each in recorded for job in each.snapshot.jobs}
    both = [Pair(jobs[key], before.get(key), after.get(key)) for key in jobs if key in before or key in after]
    return Comparison(
        len(recorded), len(pairs), sum(p.differs for p in pairs), _groups(list(first.values())), _groups(both)
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """One job under both policies; None: it is not sent."""

    job: Job
    before: Figures | None
    after: Figures | None

    @property
    def sent(self) -> bool:
        """Whether one of the policies sends it."""
        return self.before is not None or self.after is not None

    @property
    def differs(self) -> bool:
        """Whether the policies do not send it to the same backends."""
        return (None if self.before is None else self.before.places) != (
            None if self.after is None else self.after.places
        )


def differing(recorded: Recorded, second: Policy) -> list[Pair]:
    """Return each job of a round under both policies.

    Raises:
        SchedulerError: the scheduler failed.
    """
    snapshot = recorded.snapshot
    outcomes = [Outcome.of(decision) for decision in decide(snapshot, second).decisions]
    columns = {backend.key: column for column, backend in enumerate(snapshot.backends)}
    return [
        Pair(job, _sent(snapshot, index, old, columns), _sent(snapshot, index, new, columns))
        for index, (job, old, new) in enumerate(zip(snapshot.jobs, recorded.outcomes, outcomes, strict=True))
    ]


def _sent(snapshot: Snapshot, index: int, outcome: Outcome, columns: Mapping[str, int]) -> Figures | None:
    if outcome.backend is None:
        return None
    parts = outcome.parts or ((outcome.backend, 0, "Split"),)
    whole = sum(shots for _, shots, _ in parts)
    places = [
        (columns[key], 1.0 if kind == "Hedge" or not whole else shots / whole, kind == "Hedge")
        for key, shots, kind in parts
    ]
    if any(hedge for _, _, hedge in places):
        places = [(column, 1.0, hedge) for column, _, hedge in places]
    start = None if outcome.expected_start is None else max(0.0, outcome.expected_start - snapshot.now)
    if snapshot.estimates is None:
        return Figures(tuple(sorted({key for key, _, _ in parts})), start, None, {})
    known = snapshot.estimates
    return _figures(
        snapshot.backends, known.fidelity[index], known.run_seconds[index], known.cost[index], places, start
    )


def _figures(
    backends: Sequence[Backend],
    fidelity: Floats,
    run: Floats,
    cost: Floats,
    places: Sequence[tuple[int, float, bool]],
    wait: float | None,
) -> Figures:
    """Return the figures of a job's submissions: column, share of the shots, whether it is a second try."""
    costs: dict[str, float | None] = {}
    energy = 0.0
    for column, share, _ in places:
        watts = backends[column].task_watts
        energy += math.nan if watts is None else share * float(run[column]) * watts
        known, currency = float(cost[column]), backends[column].currency
        before = costs.get(currency, 0.0)
        costs[currency] = None if math.isnan(known) or before is None else before + share * known
    # Of a job that is hedged the first try's fidelity counts: which one ends first is not known.
    mean = sum(share * float(fidelity[column]) for column, share, hedge in places if not hedge)
    keys = tuple(sorted({backends[column].key for column, _, _ in places}))
    return Figures(keys, wait, None if math.isnan(mean) else mean, costs, energy=None if math.isnan(energy) else energy)


def _groups(pairs: Sequence[Pair]) -> tuple[Group, ...]:
    """Return all jobs, then those of each namespace, kind of program and priority, where there are several."""
    found: defaultdict[str, defaultdict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        found["namespace"][pair.job.namespace].append(pair)
        found["kind"]["programs" if pair.job.needs is None else "circuits"].append(pair)
        found["priority"][str(pair.job.priority)].append(pair)
    groups = [_group("all", pairs)]
    for what, members in found.items():
        if len(members) > 1:
            groups += [_group(f"{what} {name}", members[name]) for name in sorted(members)]
    return tuple(groups)


def _group(name: str, pairs: Sequence[Pair]) -> Group:
    both = [(pair.before, pair.after) for pair in pairs if pair.before is not None and pair.after is not None]
    currencies = sorted({currency for old, new in both for currency in (*old.costs, *new.costs)})
    costs = {
        # A policy that spends nothing in a currency spends 0 of it.
        currency: change
        for currency in currencies
        if (change := _change([(old.costs.get(currency, 0.0), new.costs.get(currency, 0.0)) for old, new in both]))
        is not None
    }
    return Group(
        name,
        jobs=len(pairs),
        elsewhere=sum(old.places != new.places for old, new in both),
        only_before=sum(pair.after is None for pair in pairs),
        only_after=sum(pair.before is None for pair in pairs),
        wait=_change([(old.wait, new.wait) for old, new in both]),
        fidelity=_change([(old.fidelity, new.fidelity) for old, new in both]),
        costs=costs,
        energy=_change([(old.energy, new.energy) for old, new in both]),
    )


def _change(pairs: Iterable[tuple[float | None, float | None]]) -> Change | None:
    known = np.array([pair for pair in pairs if None not in pair], dtype=np.float64).reshape(-1, 2)
    if not len(known):
        return None
    before, after = known.mean(axis=0).tolist()
    apart = known[:, 1] - known[:, 0]
    mean, low, high = float(apart.mean()), None, None
    if len(known) > 1:
        # Loaded for comparisons only: the operator that counts figures needs no interval.
        from scipy.special import stdtrit

        half = float(stdtrit(len(known) - 1, 0.5 + CONFIDENCE / 2) * apart.std(ddof=1) / math.sqrt(len(known)))
        low, high = mean - half, mean + half
    return Change(len(known), before, after, mean, low, high)


class _World:
    """What the recorded rounds tell of the world that they were made in."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self.recorded = sorted(recorded, key=lambda each: each.snapshot.now)
        last: dict[str, Backend] = {b.key: b for each in self.recorded for b in each.snapshot.backends}
        self.columns = {key: column for column, key in enumerate(last)}
        self.last = last
        self.jobs: dict[str, Job] = {}
        self.arrivals: dict[str, float] = {}
        self.estimates: dict[str, Floats] = {}
        for each in self.recorded:
            self._learn(each.snapshot)

    def _learn(self, snapshot: Snapshot) -> None:
        where = [self.columns[backend.key] for backend in snapshot.backends]
        for index, job in enumerate(snapshot.jobs):
            self.jobs.setdefault(job.key, job)
            # It comes when a round first sees it: before, it was checked.
            self.arrivals.setdefault(job.key, snapshot.now)
            known = self.estimates.setdefault(job.key, np.full((len(_QUANTITIES), len(self.columns)), np.nan))
            if snapshot.estimates is None:
                continue
            row = np.array([getattr(snapshot.estimates, name)[index] for name in _QUANTITIES])
            # What was forecast first counts, and later what was not forecast then.
            known[:, where] = np.where(np.isnan(known[:, where]), row, known[:, where])

    def backends(self, snapshot: Snapshot) -> tuple[Backend, ...]:
        """Return all backends as a round saw them; those that it did not see do not serve."""
        there = {backend.key: backend for backend in snapshot.backends}
        found = []
        for key, last in self.last.items():
            backend = there.get(key)
            if backend is None:
                found.append(replace(last, serving=False, not_serving_reason="it was not there", free_seconds=()))
                continue
            # Its queues take what the round says, and what it had.
            held = round(backend.load * backend.workers)
            room = None if backend.room is None else backend.room + held
            found.append(replace(backend, room=room, free_seconds=()))
        return tuple(found)

    def row(self, job: Job) -> JobForecasts:
        """Return a job's forecasts on all backends."""
        named = dict(zip(_QUANTITIES, self.estimates[job.key], strict=True))
        quantities = [
            Intervals(named[f"{name}_low"], named[name], named[f"{name}_high"])
            for name in ("fidelity", "run_seconds", "cost")
        ]
        return JobForecasts(*quantities)


def _simulated(recorded: Sequence[Recorded], policy: Policy) -> dict[str, Figures]:
    """Return the figures of all jobs that are sent when the policy lives through the recorded time.

    Jobs come when a round first saw them, backends are as each round saw them, and what runs takes as long as was
    forecast. What the first round found on the backends is there too.
    """
    world = _World(recorded)
    opening = world.recorded[0].snapshot
    times = [each.snapshot.now for each in world.recorded]

    def actual(job: Job, target: int) -> float:
        run = float(world.row(job).run_seconds.mid[target])
        return policy.usual_seconds if math.isnan(run) else run

    simulation = Simulation(
        backends=world.backends(opening),
        forecast=world.row,
        actual=actual,
        policy=policy,
        shares=opening.shares,
        now=opening.now,
        occupied={
            world.columns[backend.key]: tuple(opening.now + seconds for seconds in backend.free_seconds)
            for backend in opening.backends
        },
        arrival=lambda job: world.arrivals[job.key],
    )
    position = 0

    def on_time(now: float) -> None:
        nonlocal position
        while position + 1 < len(times) and times[position + 1] <= now:
            position += 1
        simulation.backends = world.backends(world.recorded[position].snapshot)
        simulation.links = world.recorded[position].snapshot.links

    simulation.on_time = on_time
    simulation.run(list(world.jobs.values()), lambda _task: (), math.inf, times)
    tasks: defaultdict[str, list[Task]] = defaultdict(list)
    for task in simulation.done:
        tasks[task.job.key].append(task)
    return {key: _lived(world, key, ended) for key, ended in tasks.items()}


def _lived(world: _World, key: str, tasks: Sequence[Task]) -> Figures:
    fidelity, run, cost = (
        world.estimates[key][_QUANTITIES.index(name)] for name in ("fidelity", "run_seconds", "cost")
    )
    wait = min(task.start for task in tasks) - world.arrivals[key]
    places = [(task.backend, task.share, task.kind == "Hedge") for task in tasks]
    return _figures(list(world.last.values()), fidelity, run, cost, places, wait)
