"""What decides rounds: the scheduler of this package, or one of another package by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from qonverge.scheduling.model import Plan, Policy, Snapshot
from qonverge.scheduling.rounds import check, plan

GROUP = "qonverge.schedulers"
"""Group of entry points whose values are schedulers."""
OWN = "Joint"
"""Name of ``rounds.plan``."""

Scheduler = Callable[[Snapshot, Policy], Plan]
"""Decides for every job of a snapshot, in its order. Equal snapshots give equal plans; it keeps nothing, and may run in
any thread."""


class SchedulerError(RuntimeError):
    """A scheduler that is not there, failed, or decided what may not be; the message has its name."""


def decide(snapshot: Snapshot, policy: Policy) -> Plan:
    """Return what the policy's scheduler decides.

    Raises:
        SchedulerError: see there. A plan of another package is checked against every hard term, as ours is built.
    """
    if policy.scheduler == OWN:
        return plan(snapshot, policy)
    scheduler = find(policy.scheduler)
    try:
        made = scheduler(snapshot, policy)
        fault = check(snapshot, policy, made)
    except Exception as error:
        raise SchedulerError(f"the scheduler {policy.scheduler} failed: {type(error).__name__}: {error}") from error
    if fault:
        raise SchedulerError(f"the scheduler {policy.scheduler} {fault}")
    return made


@cache
def find(name: str) -> Scheduler:
    """Return a scheduler.

    Raises:
        SchedulerError: none has this name, or it can't be loaded.
    """
    if name == OWN:
        return plan
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise SchedulerError(f"no scheduler is called {name}; installed: {', '.join(sorted({OWN, *points}))}")
    try:
        found: Scheduler = points[name].load()
    except Exception as error:
        raise SchedulerError(f"the scheduler {name} can't be loaded from {points[name].value}: {error}") from error
    return found
