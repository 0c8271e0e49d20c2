"""What limits the scheduler: its completion time at equal fidelity as it is told more and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.placement import metrics, policies
from bench.placement.bound import Relaxed, Work
from bench.placement.clairvoyant import Search
from bench.placement.fleet import Fleet
from bench.placement.front import Point, completion_at
from bench.placement.known import Informed, Known, ToldFidelities, ToldRuns
from bench.placement.simulate import simulate
from bench.placement.trace import Trace
from bench.placement.world import World
from qonverge.scheduling import Policy

TOLD: Mapping[str, type[Known]] = {
    "told_fidelities": ToldFidelities,
    "told_runs": ToldRuns,
    "told_both": Informed,
}
_PATIENCE = (150.0, 1200.0)
"""Who is told fidelities waits for them less in vain, and needs less patience for the same mean."""
_WORTHS = (0.0, 300.0, 1000.0)
"""Prices of fidelity, seconds for all of it; between them the bound is a little lower than it could be."""


def limits(fleet: Fleet, trace: Trace, seed: int, policy: Policy, fidelity: float) -> dict[str, float]:
    """Return mean completion times at a mean fidelity, seconds, from the least knowledge to the most.

    ``told_...``: the scheduler itself with what it is told. ``schedule``: of one who knows arrivals as well, as far as
    such schedules were found. ``bound``: no schedule is below it.
    """
    found = {
        name: completion_at(fidelity, [_told(fleet, trace, seed, policy, patience, known) for patience in _PATIENCE])
        for name, known in TOLD.items()
    }
    work = _work(fleet, trace, seed)
    schedules: Sequence[Point] = [Search(work, worth).best() for worth in _WORTHS]
    return {**found, "schedule": completion_at(fidelity, schedules), "bound": bound_at(fidelity, work)}


def bound(fleet: Fleet, trace: Trace, seed: int, fidelity: float) -> float:
    """Return the mean completion time that no schedule of this mean fidelity is below, seconds."""
    return bound_at(fidelity, _work(fleet, trace, seed))


def bound_at(fidelity: float, work: Work) -> float:
    """Return the mean completion time of some work that no schedule of this mean fidelity is below, seconds."""
    relaxed = Relaxed(work)
    return max(relaxed.bound(worth) + worth * fidelity for worth in _WORTHS)


def _work(fleet: Fleet, trace: Trace, seed: int) -> Work:
    return Work.of(fleet, trace, World(fleet, trace, trace.world, seed))


def _told(fleet: Fleet, trace: Trace, seed: int, policy: Policy, patience: float, known: type[Known]) -> Point:
    ours = policies.Qonverge(replace(policy, patience_seconds=patience))
    return Point.of(metrics.figures(simulate(fleet, trace, ours, seed=seed, known=known)))
