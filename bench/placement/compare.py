"""The comparison: every policy on every trace, on both halves of devices and circuits."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any, Literal, NamedTuple

import numpy as np
from qiskit import QuantumCircuit

from bench.fidelity.study import HELD_OUT, TUNING
from bench.placement import metrics, policies, trace
from bench.placement.fleet import Fleet, assemble, known_circuits, known_devices, quality
from bench.placement.front import Point, completion_at
from bench.placement.limits import bound, limits
from bench.placement.metrics import Figures
from bench.placement.nature import Nature
from bench.placement.pairs import InvalidInput, Pairs, Program
from bench.placement.simulate import Policy as AnyPolicy
from bench.placement.simulate import Run, simulate
from bench.placement.trace import Trace
from qonverge.scheduling import Policy

LOAD = 0.8
SWEEP = (0.2, 0.5)
MOST_DEVICES = 8
GENERATIONS = {"present": (0.0, 0.005), "former": (0.005, 0.012)}
"""Median errors of gates on two qubits: those of devices that are sold today, and of those before them."""
HALVES = (TUNING, HELD_OUT)
_FLOODED_LOAD = 1.2
_SHORT_AGING = 60.0
"""An aging bound that is too short for a flood: towards the end every job waits longer, seconds."""
_DRIFTS = 3
"""Worlds in which intervals are counted: of 200 outcomes the share within is off by 3 points by chance alone."""
_GREEDY_PATIENCE = tuple(75.0 * 2**n for n in range(-1, 10))
"""With which greedy's front is drawn, seconds."""
_SATURATED_DEVICES, _SATURATED_JOBS = 4, 100

Kind = Literal["trace", "profile", "load", "drift", "saturated", "flooded"]


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A fleet with its circuits, and what it is called."""

    half: str
    generation: str
    fleet: Fleet

    @property
    def mean_run(self) -> float:
        """Mean run time of a job of the traces that are made, on a device of mean speed, seconds."""
        nature = Nature()
        return nature.job_overhead + trace.mean_shots() * (
            nature.reset_seconds + float(np.nanmean(self.fleet.shot_seconds))
        )

    def rate(self, load: float) -> float:
        """Return the arrivals per second that would keep so much of all devices busy."""
        return load * len(self.fleet.devices) / self.mean_run


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A part of the comparison that can be made by itself."""

    setting: Setting
    kind: Kind
    trace: Trace
    seed: int
    """Of its world."""
    load: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a task."""

    half: str
    generation: str
    kind: Kind
    trace: str
    seed: int
    load: float | None
    figures: tuple[Figures, ...]
    """A policy each, ours first."""
    more: Mapping[str, float]
    """What this kind of task is for."""
    front: tuple[Point, ...] = ()
    """What greedy reaches with each patience."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON carries it."""
        kept = {name: getattr(self, name) for name in ("half", "generation", "kind", "trace", "seed", "load")}
        more = {name: value if math.isfinite(value) else None for name, value in self.more.items()}
        front = {"front": [asdict(point) for point in self.front]} if self.front else {}
        return {**kept, "figures": [f.to_dict() for f in self.figures], **more, **front}


def settings(known: Pairs, save: Callable[[Pairs], None] | None = None) -> list[Setting]:
    """Return fleets of both generations in both halves: the best devices of each, at most eight.

    The halves are those of the fidelity study, so that nothing was fitted on what is held out.
    """
    made = []
    for part in HALVES:
        circuits, devices = programs(known_circuits(part)), known_devices(part)
        for generation, (low, high) in GENERATIONS.items():
            of = [device for device in devices if low < (device.median_error(2) or 0.0) <= high]
            best = sorted(of, key=quality, reverse=True)[:MOST_DEVICES]
            made.append(Setting(part, generation, assemble(circuits, best, known, save).usable()))
    return made


def programs(circuits: Mapping[str, QuantumCircuit]) -> dict[str, Program]:
    """Return the circuits, to be laid out as is best."""
    return {name: Program(circuit) for name, circuit in circuits.items()}


def tasks(setting: Setting, jobs: int, seeds: Sequence[int]) -> list[Task]:
    """Return everything that is shown of a fleet; what does not have a bar of its own is made of the first seed."""
    few = replace(setting, fleet=setting.fleet.first(_SATURATED_DEVICES))
    first = seeds[0]
    return [
        *(_arrivals(setting, "trace", kind, jobs, LOAD, seed) for seed in seeds for kind in trace.KINDS),
        *(_arrivals(setting, "profile", kind, jobs, LOAD, first) for kind in trace.KINDS),
        *(_arrivals(setting, "load", "poisson", jobs, load, first) for load in SWEEP),
        *(_arrivals(setting, "drift", "poisson", 3 * jobs, LOAD, first + n) for n in range(_DRIFTS)),
        *(Task(few, "saturated", trace.saturated(few.fleet.circuits, _SATURATED_JOBS, s), s) for s in seeds),
        *(_flooded(_arrivals(setting, "flooded", "poisson", jobs, _FLOODED_LOAD, seed)) for seed in seeds),
    ]


def _arrivals(setting: Setting, kind: Kind, times: str, jobs: int, load: float, seed: int) -> Task:
    made = trace.make(times, setting.fleet.circuits, jobs, setting.rate(load), seed)
    return Task(setting, kind, made, seed, load)


def given(setting: Setting, arrivals: Trace, seed: int) -> Task:
    """Return a trace of somebody as a task.

    Raises:
        InvalidInput: no device may run one of its jobs.
    """
    for arrival in arrivals.arrivals:
        if all(math.isnan(arrival.service_on(device) or 0.0) for device in setting.fleet.devices):
            raise InvalidInput(
                f"the job at {arrival.seconds:g} s has service times for none of {', '.join(setting.fleet.devices)}"
            )
    return Task(setting, "trace", arrivals, seed)


def _flooded(of: Task) -> Task:
    """Return the task with every tenth job of low priority, in one namespace, and without deadlines."""
    arrivals = [
        replace(
            arrival,
            namespace="one",
            priority=0 if number % 10 == 0 else 1000,
            objective="Time",
            deadline=None,
        )
        for number, arrival in enumerate(of.trace.arrivals)
    ]
    return replace(of, trace=Trace("flooded", tuple(arrivals)))


def run_all(those: Sequence[Task], policy: Policy | None = None) -> list[Result]:
    """Return the results in order, made side by side on all CPUs."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(run, those, [policy] * len(those)))


def run(task: Task, policy: Policy | None = None) -> Result:
    """Return what comes of a task."""
    made, of = _RUNS[task.kind](task, policy or Policy()), task.setting
    return Result(of.half, of.generation, task.kind, task.trace.name, task.seed, task.load, *made)


class _Made(NamedTuple):
    figures: tuple[Figures, ...]
    more: Mapping[str, float]
    front: tuple[Point, ...] = ()


def _beside(task: Task, policy: Policy) -> _Made:
    return _Made(tuple(_figures(task, of) for of in policies.every(policy)), {})


def _figures(task: Task, of: AnyPolicy) -> Figures:
    return metrics.figures(simulate(task.setting.fleet, task.trace, of, seed=task.seed))


def _judged(task: Task, policy: Policy) -> _Made:
    """Every policy, and what greedy and the clairvoyant take for the fidelity of ours."""
    figures = _beside(task, policy).figures
    greedy = tuple(
        Point.of(_figures(task, policies.greedy(replace(policy, patience_seconds=patience))))
        for patience in _GREEDY_PATIENCE
    )
    fidelity = figures[0].fidelity_mean
    more = {
        "greedy_at_equal_fidelity": completion_at(fidelity, greedy),
        # Of all jobs: where some are not served it says nothing.
        "bound_at_equal_fidelity": math.nan
        if figures[0].unserved
        else bound(task.setting.fleet, task.trace, task.seed, fidelity),
    }
    return _Made(figures, more, greedy)


def _profile(task: Task, policy: Policy) -> _Made:
    """What ours would take if it knew more, at the fidelity that it has as it is."""
    ours = _figures(task, policies.Qonverge(policy))
    return _Made((ours,), limits(task.setting.fleet, task.trace, task.seed, policy, ours.fidelity_mean))


def _drift(task: Task, policy: Policy) -> _Made:
    """The first third of the trace is there to learn from; after the second, devices change."""
    count = len(task.trace.arrivals)
    learned, shift = (task.trace.arrivals[count * third // 3].seconds for third in (1, 2))
    made = simulate(task.setting.fleet, task.trace, policies.Qonverge(policy), Nature(shift_at=shift), task.seed)
    return _Made((metrics.figures(made, learned, shift), metrics.figures(made, shift)), {"shift_at": shift})


def _saturated(task: Task, policy: Policy) -> _Made:
    """Shares are counted until a namespace has fewer than a quarter of its jobs left, and so little to choose from."""
    made = simulate(task.setting.fleet, task.trace, policies.Qonverge(policy), seed=task.seed)
    starts: dict[str, list[float]] = {}
    for arrival, outcome in zip(task.trace.arrivals, made.outcomes, strict=True):
        starts.setdefault(arrival.namespace, []).append(outcome.start)
    until = min(sorted(those)[3 * len(those) // 4] for those in starts.values())
    return _Made((metrics.figures(made),), {"jain": metrics.fairness(made, until), "until": until})


def _flooded_run(task: Task, policy: Policy) -> _Made:
    """The aging bound is the longest wait of all jobs in order of arrival, so that there is a way to keep it."""
    in_order = simulate(task.setting.fleet, task.trace, policies.FirstFit(), seed=task.seed)
    bound = max(_flood_waits(in_order))
    runs = [
        simulate(
            task.setting.fleet, task.trace, policies.Qonverge(replace(policy, aging_seconds=aging)), seed=task.seed
        )
        for aging in (bound, math.inf, _SHORT_AGING)
    ]
    low = [max(_flood_waits(made, low=True)) for made in runs]
    more = {
        "aging_seconds": bound,
        "longest": max(_flood_waits(runs[0])),
        "low_longest": low[0],
        "low_longest_without": low[1],
        "low_longest_short": low[2],
        "longest_run": max(outcome.end - outcome.start for outcome in runs[0].outcomes),
    }
    return _Made((metrics.figures(runs[0]),), more)


def _flood_waits(made: Run, *, low: bool = False) -> list[float]:
    return [
        outcome.start - arrival.seconds
        for arrival, outcome in zip(made.trace.arrivals, made.outcomes, strict=True)
        if arrival.priority == 0 or not low
    ]


_RUNS: dict[Kind, Callable[[Task, Policy], _Made]] = {
    "trace": _judged,
    "profile": _profile,
    "load": _beside,
    "drift": _drift,
    "saturated": _saturated,
    "flooded": _flooded_run,
}
